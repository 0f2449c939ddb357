"""The Invoke operation: checks of the request, and its three invocation types."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping

import msgspec

from lbench.decoding import decode_json
from lbench.engine.emulator.api.async_queue import EventQueue
from lbench.engine.emulator.api.functions import LATEST, Function, Pool
from lbench.engine.emulator.api.json_errors import invalid_utf8, parse_error
from lbench.engine.emulator.api.lookup import find, named
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.errors import ERRORS, Refusal
from lbench.engine.emulator.core.faults import Fate
from lbench.engine.emulator.core.invocation import EVENT_LIMIT, REQUEST_LIMIT, Invocation
from lbench.engine.emulator.core.throttles import throttle
from lbench.engine.emulator.http.server import Exchange

__all__ = ["Invoker", "too_large"]

_CONTEXT_LIMIT = 3583  # bytes of base64
_NO_JSON = (b"text/", b"image/", b"audio/", b"video/", b"multipart/", b"application/xml", b"application/zip")
_KINDS = (b"RequestResponse", b"Event", b"DryRun")


class Invoker:
    """Handles Invoke requests."""

    def __init__(self, shared: Shared, functions: Mapping[str, Function], events: EventQueue) -> None:
        self._shared = shared
        self._functions = functions
        self._events = events
        self._region = shared.config.region

    def invoke(self, exchange: Exchange, request_id: str, name: str, query: str) -> None:
        """Answer the request, now or after the function has run.

        Raises:
            Refusal: it is not run.
        """
        function, pool = self.find(name, query)
        invocation, kind = self._read(exchange, request_id, function, pool, name, query)
        self.start(function, pool, invocation, kind)

    def find(self, name: str, query: str) -> tuple[Function, Pool]:
        """Count a request, and find the function and the version that it names.

        Raises:
            Refusal: too many requests a second, or no such function or version.
        """
        self._shared.limits.request()
        return find(self._functions, self._region, name, query, operation="Invoke", shown=LATEST)

    def start(self, function: Function, pool: Pool, invocation: Invocation, kind: bytes = b"RequestResponse") -> None:
        """Run it by its invocation type, with injected faults if there are any."""
        weather = self._shared.weather
        if weather is None:
            self._run(function, pool, invocation, kind)
            return
        invocation.fate = weather.fate()
        asyncio.get_running_loop().call_later(
            invocation.fate.out_s, self._run_disturbed, function, pool, invocation, kind, invocation.fate
        )

    def _run(self, function: Function, pool: Pool, invocation: Invocation, kind: bytes) -> None:
        if kind == b"RequestResponse":
            function.invoke(pool, invocation)
            return
        assert invocation.exchange is not None
        headers = f"x-amzn-RequestId: {invocation.request_id}\r\nX-Amzn-Trace-Id: {invocation.trace_id}\r\n"
        if kind == b"DryRun":
            invocation.exchange.reply(204, b"", headers)
            return
        self._events.put(function, pool, invocation)
        invocation.exchange.reply(202, b"", headers)

    def _read(
        self, exchange: Exchange, request_id: str, function: Function, pool: Pool, name: str, query: str
    ) -> tuple[Invocation, bytes]:
        headers = exchange.headers
        get = headers.get
        kind = get(b"x-amz-invocation-type", b"RequestResponse")
        if kind not in _KINDS:
            raise _not_one_of("invocationType", kind, "Event, RequestResponse, DryRun")
        if exchange.too_large:
            raise too_large(REQUEST_LIMIT)
        log_type = get(b"x-amz-log-type", b"None")
        if log_type not in (b"None", b"Tail"):
            raise _not_one_of("logType", log_type, "None, Tail")
        if get(b"content-type", b"").lower().startswith(_NO_JSON):
            media = headers[b"content-type"].decode("latin-1")
            raise Refusal("UnsupportedMediaTypeException", f"Unsupported content type: {media}: use application/json")
        if b"x-amz-durable-execution-name" in headers:
            raise Refusal("InvalidParameterValueException", "Durable execution is not emulated: leave out its name")
        own_id = get(b"x-amzn-requestid")
        if own_id is not None and not naming.is_uuid(own_id.decode("latin-1")):
            raise Refusal("InvalidRequestContentException", "x-amzn-RequestId is not a valid UUID string")
        body = exchange.body
        try:
            if body:
                decode_json(body, msgspec.Raw)
                if not body.isascii():
                    body.decode()
        except UnicodeDecodeError as problem:
            raise _malformed(invalid_utf8(bytes(body), problem)) from None
        except msgspec.DecodeError as problem:
            raise _malformed(parse_error(bytes(body), problem)) from None
        if kind == b"Event" and len(body) > EVENT_LIMIT:
            raise too_large(EVENT_LIMIT)
        trace = get(b"x-amzn-trace-id")
        tenant = get(b"x-amz-tenant-id")
        version = pool.spec.version
        qualifier = named(self._region, name, query)[1] if query or ":" in name or "%" in name else ""
        return Invocation(
            exchange,
            request_id,
            naming.arn(self._region, function.name, qualifier),
            body or b"{}",
            version=version,
            wants_tail=log_type == b"Tail" and kind == b"RequestResponse",
            client_context=_client_context(get(b"x-amz-client-context")) if kind != b"Event" else None,
            trace_id=(
                naming.trace_id(request_id, sampled=pool.spec.tracing == "Active")
                if trace is None
                else trace.decode("latin-1")
            ),
            tenant_id=None if tenant is None else tenant.decode("latin-1"),
        ), kind

    # -- injected faults
    def _run_disturbed(self, function: Function, pool: Pool, invocation: Invocation, kind: bytes, fate: Fate) -> None:
        weather = self._shared.weather
        if weather is not None and fate.refused == "fail":
            name = weather.conditions.fail_error
            reason = "ConcurrentInvocationLimitExceeded" if name == "TooManyRequestsException" else None
            text = f"{name}: injected by fail_rate"
            invocation.refuse(Refusal(name if name in ERRORS else "ServiceException", text, reason=reason))
        elif fate.refused == "throttle":
            invocation.refuse(throttle("ConcurrentInvocationLimitExceeded"))
        else:
            self._run(function, pool, invocation, kind)
            if fate.duplicate and kind == b"RequestResponse":
                function.invoke(
                    pool,
                    Invocation(
                        None, invocation.request_id, invocation.arn, invocation.event, version=invocation.version
                    ),
                )


def _client_context(header: bytes | None) -> str | None:
    """The client's context as JSON on one line."""
    if header is None:
        return None
    if len(header) > _CONTEXT_LIMIT:
        raise Refusal("InvalidRequestContentException", f"Client context must be at most {_CONTEXT_LIMIT} bytes")
    try:
        return json.dumps(json.loads(base64.b64decode(header, validate=True)))
    except (binascii.Error, ValueError, RecursionError) as problem:
        text = f"Client context must be a valid Base64-encoded JSON object: {problem}"
        raise Refusal("InvalidRequestContentException", text) from None


def _malformed(problem: str) -> Refusal:
    text = f"Could not parse request body into json: Could not parse payload into json: {problem}"
    return Refusal("InvalidRequestContentException", text)


def too_large(limit: int) -> Refusal:
    """The refusal of a request that has more bytes than `limit`."""
    text = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    return Refusal("RequestTooLargeException", text)


def _not_one_of(field: str, value: bytes, known: str) -> Refusal:
    text = f"Member must satisfy enum value set: [{known}]"
    return Refusal.invalid([naming.invalid_member(field, value.decode("latin-1"), text)])
