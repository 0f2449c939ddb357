"""The emulator: the Invoke API on one port, the functions behind it."""

from __future__ import annotations

import base64
import binascii
import json
import os
import platform
import sys
import time
import urllib.parse
from types import TracebackType
from typing import Any, Self

import msgspec

from lbench.engine.emulator.answers import REQUEST_LIMIT, Invocation, error, reply_json
from lbench.engine.emulator.functions import Function, Limits
from lbench.engine.emulator.http1 import Exchange, Server
from lbench.engine.emulator.process import libraries
from lbench.engine.emulator.scratch import Scratch
from lbench.engine.emulator.spec import EmulatorConfig, FunctionSpec

__all__ = ["Emulator"]

_FUNCTIONS = "/2015-03-31/functions"
_ACCOUNT = "000000000000"


class Emulator:
    """`async with Emulator(config, port)`: it serves at `endpoint` until it is left; then nothing of it remains.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, config: EmulatorConfig, port: int = 0) -> None:
        self._config = config
        self._wanted_port = port
        self._scratch = Scratch()
        self._functions: dict[str, Function] = {}
        self._server = Server(self._answer, body_limit=REQUEST_LIMIT)
        self.endpoint = ""

    async def __aenter__(self) -> Self:
        port = self._server.bind(self._wanted_port)
        self._scratch.__enter__()
        limits = Limits(self._config.concurrency)
        for spec in self._config.functions:
            self._functions[spec.name] = Function(spec, self._config, limits, self._scratch)
        await self._server.serve()
        self.endpoint = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        try:
            for function in self._functions.values():
                await function.stop()
        finally:
            self._scratch.__exit__(kind, problem, trace)
            self._server.abort()

    # -- routes
    def _answer(self, exchange: Exchange) -> None:
        request_id = _request_id()
        raw, _, query = exchange.path.decode("latin-1").partition("?")
        if raw.startswith(_FUNCTIONS):
            rest = raw[len(_FUNCTIONS) :].strip("/")
            name, _, action = rest.partition("/")
            if exchange.method == b"POST" and action == "invocations":
                self._invoke(exchange, request_id, name, query)
                return
            if exchange.method == b"GET" and not rest:
                listed = [self._configuration(function.spec) for function in self._functions.values()]
                reply_json(exchange, request_id, {"Functions": listed, "NextMarker": None})
                return
            if exchange.method == b"GET" and action in ("", "configuration"):
                self._describe(exchange, request_id, name, query, whole=not action)
                return
        if exchange.method == b"GET" and raw == "/_lbench/environments":
            functions = self._functions.values()
            there = [environment.describe() for f in functions for environment in f.environments.values()]
            gone = [told for function in functions for told in function.ended]
            reply_json(exchange, request_id, {"environments": gone + there})
            return
        message = f"{exchange.method.decode()} {raw} is not emulated: see the documentation of `lbench emulator`"
        error(exchange, request_id, 404, "UnknownOperationException", message)

    def _find(self, exchange: Exchange, request_id: str, text: str, query: str) -> Function | None:
        """The function by name, partial or full ARN; else the error has been answered."""
        name, qualifier = _function_name(urllib.parse.unquote(text))
        if query:
            qualifier = dict(urllib.parse.parse_qsl(query)).get("Qualifier", qualifier)
        function = self._functions.get(name)
        if function is None or qualifier not in ("", "$LATEST"):
            arn = self._arn(name) + (f":{qualifier}" if qualifier else "")
            error(exchange, request_id, 404, "ResourceNotFoundException", f"Function not found: {arn}")
            return None
        return function

    # -- Invoke
    def _invoke(self, exchange: Exchange, request_id: str, name: str, query: str) -> None:
        function = self._find(exchange, request_id, name, query)
        if function is None:
            return
        headers = exchange.headers
        kind = headers.get(b"x-amz-invocation-type", b"RequestResponse")
        if exchange.too_large:
            text = f"Request must be smaller than {REQUEST_LIMIT} bytes for the InvokeFunction operation"
            error(exchange, request_id, 413, "RequestTooLargeException", text)
            return
        try:
            context = _client_context(headers.get(b"x-amz-client-context"))
            if exchange.body:
                msgspec.json.decode(exchange.body, type=msgspec.Raw)
        except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, ValueError) as problem:
            text = f"Could not parse request body into json: {problem}"
            error(exchange, request_id, 400, "InvalidRequestContentException", text)
            return
        if kind == b"DryRun":
            exchange.reply(204, b"", f"x-amzn-RequestId: {request_id}\r\n")
            return
        if kind != b"RequestResponse":
            text = f"invocation type {kind.decode('latin-1')} is not emulated yet: use RequestResponse"
            error(exchange, request_id, 400, "InvalidParameterValueException", text)
            return
        trace = headers.get(b"x-amzn-trace-id")
        function.invoke(
            Invocation(
                exchange,
                request_id,
                self._arn(function.spec.name),
                exchange.body or b"{}",
                wants_tail=headers.get(b"x-amz-log-type") == b"Tail",
                client_context=context,
                trace_id=None if trace is None else trace.decode("latin-1"),
            )
        )

    # -- what is told of functions
    def _describe(self, exchange: Exchange, request_id: str, name: str, query: str, *, whole: bool) -> None:
        function = self._find(exchange, request_id, name, query)
        if function is None:
            return
        told: dict[str, Any] = self._configuration(function.spec)
        if whole:
            told = {
                "Configuration": told,
                "Code": {"RepositoryType": "folder", "Location": function.spec.code},
            }
            if function.spec.concurrency is not None:
                told["Concurrency"] = {"ReservedConcurrentExecutions": function.spec.concurrency}
        reply_json(exchange, request_id, told)

    def _arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self._config.region}:{_ACCOUNT}:function:{name}"

    def _configuration(self, spec: FunctionSpec) -> dict[str, Any]:
        digest = base64.b64encode(bytes.fromhex(spec.code_sha256)).decode() if spec.code_sha256 else ""
        python = platform.python_version()
        return {
            "FunctionName": spec.name,
            "FunctionArn": self._arn(spec.name),
            "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "Role": f"arn:aws:iam::{_ACCOUNT}:role/lbench-emulated",
            "Handler": spec.handler,
            "CodeSize": 0,
            "Description": f"emulated; Python {python} and its libraries from {', '.join(libraries())}"[:256],
            "Timeout": max(1, round(spec.timeout_s)),
            "MemorySize": spec.memory_mb,
            "LastModified": time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime()),
            "CodeSha256": digest,
            "Version": "$LATEST",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": ["arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"],
            "EphemeralStorage": {"Size": 512},
            "Environment": {"Variables": spec.environment},
        }


def _request_id() -> str:
    """A random UUID (version 4), made in a quarter of `uuid.uuid4`'s time."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def _function_name(text: str) -> tuple[str, str]:
    """(name, qualifier) of a name, `account:function:name` or an ARN, each with an optional qualifier."""
    parts = text.split(":")
    if "function" in parts[:-1]:
        parts = parts[parts.index("function") + 1 :]
    return parts[0], parts[1] if len(parts) > 1 else ""


def _client_context(header: bytes | None) -> str | None:
    """The client's context as JSON on one line.

    Raises:
        ValueError: it is not base64 of JSON.
    """
    if header is None:
        return None
    return json.dumps(json.loads(base64.b64decode(header, validate=True)))
