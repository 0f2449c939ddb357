"""The emulator: Lambda's API on one port, and its functions."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from lbench.decoding import decode_json
from lbench.engine.emulator.api.api_gateway import FRONT_PATH, PAYLOAD_LIMIT, Front
from lbench.engine.emulator.api.async_queue import EventQueue
from lbench.engine.emulator.api.destinations import Destinations
from lbench.engine.emulator.api.event_invoke_config import EventConfigs
from lbench.engine.emulator.api.functions import Function
from lbench.engine.emulator.api.functions_api import CODE_PATH, Control
from lbench.engine.emulator.api.invoke import Invoker
from lbench.engine.emulator.api.signatures import Verifier
from lbench.engine.emulator.api.tags import Tags
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.context import Shared
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.faults import Weather
from lbench.engine.emulator.core.invocation import REQUEST_LIMIT, reply_json
from lbench.engine.emulator.core.sandbox import Sandbox
from lbench.engine.emulator.core.spec import Conditions, EmulatorConfig
from lbench.engine.emulator.core.throttles import Limits
from lbench.engine.emulator.environment.isolation import can_unshare
from lbench.engine.emulator.environment.process import needed_paths
from lbench.engine.emulator.http.body_limit import Room
from lbench.engine.emulator.http.origin_check import is_foreign
from lbench.engine.emulator.http.server import Exchange, Server
from lbench.engine.emulator.resources.confinement import Confinement
from lbench.engine.emulator.resources.scratch import Scratch
from lbench.engine.processes.guardian_client import Guard

__all__ = ["Emulator"]

_FUNCTIONS = "/2015-03-31/functions"
_INVOCATIONS = "/invocations"
_UPLOAD_LIMIT = 70_167_211  # bytes: AWS names this number for a request with a zip in it
_ROOM = 2 * _UPLOAD_LIMIT  # bytes of bodies whose signatures cannot be checked yet, of all connections together
_UNCHECKED = 65_536  # bytes: a body up to here is read before the signature is checked, together with it

Body = bytes | bytearray
# Takes (name, query, body) and returns the reply; None: an empty reply
Operation = Callable[[str, str, Body], dict[str, Any] | None]


class _Route(NamedTuple):
    """One of AWS's operations besides Invoke: where it is, and what does it."""

    method: str
    path: re.Pattern[str]
    status: int
    name: str
    operation: Operation


def _verify(verifier: Verifier, exchange: Exchange, body: Body | None) -> None:
    """Check a request's signature; `body` None: not received, so that all but the signature itself is checked."""
    verifier.check(exchange.method.decode(), exchange.path.decode("latin-1"), exchange.headers, body)


def _received(exchange: Exchange) -> Body | None:
    """The body; None: it was dropped, so that it cannot be verified, nor will it be used."""
    return None if exchange.too_large else exchange.body


def _sandbox(scratch: Path, *, isolate: bool) -> Sandbox:
    linux = sys.platform == "linux"
    return Sandbox(scratch, needed_paths(), mounts=isolate and linux and can_unshare(), users=isolate and linux)


class Emulator:
    """`async with Emulator(config, port)`: it serves at `endpoint`, and leaves nothing behind at its end.

    Raises:
        OSError: the port is in use.
    """

    def __init__(self, config: EmulatorConfig, port: int = 0) -> None:
        self._config = config
        self._wanted_port = port
        self._scratch: Scratch | None = None
        self._functions: dict[str, Function] = {}
        self._server = Server(self._answer, body_limit=REQUEST_LIMIT, limit_of=self._limit_of, room=Room(_ROOM))
        self._verifier = self._front_verifier = None
        if config.auth:
            config = self._config = config.with_credentials()
            self._verifier = Verifier(config.credentials, config.region)
            self._front_verifier = Verifier(config.credentials, config.region, "execute-api")
        self._guard: Guard | None = None
        self._shared: Shared | None = None
        self.credentials = config.credentials if config.auth else None  # None: nothing is checked
        self.endpoint = ""

    async def __aenter__(self) -> Self:
        config = self._config
        port = self._server.bind(self._wanted_port)
        self._guard = Guard()  # first: everything is announced to it before it is made
        self._scratch = Scratch(self._guard.folder)
        self._scratch.__enter__()
        self._shared = Shared(
            config,
            Limits(config.concurrency, config.requests_per_s, config.control_requests_per_s),
            self._scratch,
            Confinement.choose(self._guard, method=config.cpu_share),
            _sandbox(self._scratch.path, isolate=config.isolation),
        )
        self._set_conditions(config.conditions)
        self._destinations = Destinations(config)
        self._events = EventQueue(config, self._functions, self._destinations)
        self._control = Control(self._shared, self._functions, self._events)
        self._invoker = Invoker(self._shared, self._functions, self._events)
        self._front = Front(self._invoker, config.region, config.front_timeout_s)
        self._operations = self._routes()
        try:
            for spec in config.functions:
                self._control.add(spec)
        except BaseException:
            await self.__aexit__()
            raise
        await self._server.serve()
        self.endpoint = self._control.endpoint = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        assert self._shared is not None and self._guard is not None and self._scratch is not None
        try:
            self._events.close()
            for function in [*self._functions.values(), *self._control.leaving]:
                await function.stop()
            await self._events.closed()
            self._destinations.close()
            self._shared.confinement.close()
            self._shared.sandbox.close()
            await self._guard.close()
        finally:
            self._scratch.__exit__()
            self._server.abort()

    def _set_conditions(self, conditions: Conditions) -> None:
        assert self._shared is not None
        self._shared.weather = None if conditions.at_rest else Weather(conditions)

    def _limit_of(self, exchange: Exchange) -> int:
        """The bytes that a request's body may have: none where its headers are refused, or where no body is used."""
        in_front = exchange.path.startswith(FRONT_PATH.encode())
        headers = exchange.headers
        if b"transfer-encoding" in headers or int(headers.get(b"content-length", b"0")) > _UNCHECKED:
            verifier = self._front_verifier if in_front else self._verifier
            if is_foreign(headers) or exchange.path.startswith(CODE_PATH.encode()):
                return 0
            try:
                if verifier is not None:
                    _verify(verifier, exchange, None)
            except Refusal:
                return 0
        if in_front:
            return PAYLOAD_LIMIT
        return REQUEST_LIMIT if b"/invocations" in exchange.path else _UPLOAD_LIMIT

    # -- routes
    def _routes(self) -> list[_Route]:
        control = self._control
        region = self._config.region
        configs = EventConfigs(region, self._functions, self._events, self._destinations)
        tags = Tags(region, self._functions)
        one = f"{_FUNCTIONS}/([^/]+)"
        concurrency = "/functions/([^/]+)/concurrency"
        events = "/2019-09-25/functions/([^/]+)/event-invoke-config"
        tagged = "/2017-03-31/tags/([^/]+)"
        routes: list[tuple[str, str, int, str, Operation]] = [  # n: name, q: query, b: body
            ("GET", f"{_FUNCTIONS}/?()", 200, "ListFunctions", lambda n, q, b: control.list_functions(q)),
            ("POST", f"{_FUNCTIONS}/?()", 201, "CreateFunction", lambda n, q, b: control.create(b)),
            ("GET", one, 200, "GetFunction", lambda n, q, b: control.get(n, q)),
            ("DELETE", one, 204, "DeleteFunction", lambda n, q, b: control.delete(n, q)),
            (
                "GET",
                f"{one}/configuration",
                200,
                "GetFunctionConfiguration",
                lambda n, q, b: control.get_configuration(n, q),
            ),
            (
                "PUT",
                f"{one}/configuration",
                200,
                "UpdateFunctionConfiguration",
                lambda n, q, b: control.update_configuration(n, b),
            ),
            ("PUT", f"{one}/code", 200, "UpdateFunctionCode", lambda n, q, b: control.update_code(n, b)),
            ("GET", f"{one}/versions", 200, "ListVersionsByFunction", lambda n, q, b: control.list_versions(n, q)),
            ("POST", f"{one}/versions", 201, "PublishVersion", lambda n, q, b: control.publish(n, b)),
            (
                "PUT",
                f"/2017-10-31{concurrency}",
                200,
                "PutFunctionConcurrency",
                lambda n, q, b: control.put_concurrency(n, b),
            ),
            (
                "DELETE",
                f"/2017-10-31{concurrency}",
                204,
                "DeleteFunctionConcurrency",
                lambda n, q, b: control.delete_concurrency(n),
            ),
            (
                "GET",
                f"/2019-09-30{concurrency}",
                200,
                "GetFunctionConcurrency",
                lambda n, q, b: control.get_concurrency(n),
            ),
            ("GET", "/2016-08-19/account-settings/?()", 200, "GetAccountSettings", lambda n, q, b: control.account()),
            ("PUT", events, 200, "PutFunctionEventInvokeConfig", configs.put),
            ("POST", events, 200, "UpdateFunctionEventInvokeConfig", configs.update),
            ("GET", events, 200, "GetFunctionEventInvokeConfig", lambda n, q, b: configs.get(n, q)),
            ("DELETE", events, 204, "DeleteFunctionEventInvokeConfig", lambda n, q, b: configs.delete(n, q)),
            ("GET", f"{events}/list", 200, "ListFunctionEventInvokeConfigs", lambda n, q, b: configs.list_all(n, q)),
            ("POST", tagged, 204, "TagResource", lambda n, q, b: tags.add(n, b)),
            ("DELETE", tagged, 204, "UntagResource", lambda n, q, b: tags.remove(n, q)),
            ("GET", tagged, 200, "ListTags", lambda n, q, b: tags.all(n)),
        ]
        return [_Route(method, re.compile(path), status, name, run) for method, path, status, name, run in routes]

    def _answer(self, exchange: Exchange) -> None:
        if is_foreign(exchange.headers):
            exchange.reply(403, b'{"message":"Forbidden"}')
            return
        request_id = naming.new_id()
        path, _, query = exchange.path.decode("latin-1").partition("?")
        try:
            if path.startswith(FRONT_PATH):
                self._in_front(exchange, request_id, path, query)
                return
            if path.startswith(CODE_PATH):  # its secret name is its signature
                archive = self._control.download(path[len(CODE_PATH) :])
                exchange.reply(404 if archive is None else 200, archive or b"")
                return
            if self._verifier is not None:
                _verify(self._verifier, exchange, _received(exchange))
            if path.endswith(_INVOCATIONS) and path.startswith(_FUNCTIONS) and exchange.method == b"POST":
                name = path[len(_FUNCTIONS) + 1 : -len(_INVOCATIONS)]
                self._invoker.invoke(exchange, request_id, name, query)
            elif path.startswith("/_lbench/"):
                self._own(exchange, request_id, path)
            else:
                self._operate(exchange, request_id, path, query)
        except Refusal as refusal:
            refusal.reply(exchange, request_id)

    def _in_front(self, exchange: Exchange, request_id: str, path: str, query: str) -> None:
        if self._front_verifier is not None:
            try:
                _verify(self._front_verifier, exchange, _received(exchange))
            except Refusal:
                reply_json(exchange, request_id, {"message": "Forbidden"}, 403)
                return
        self._front.answer(exchange, request_id, path, query)

    def _operate(self, exchange: Exchange, request_id: str, path: str, query: str) -> None:
        assert self._shared is not None
        self._shared.limits.control()
        method = exchange.method.decode()
        for route in self._operations:
            found = route.path.fullmatch(path) if route.method == method else None
            if found is not None:
                if exchange.too_large:
                    text = f"Request must be smaller than {_UPLOAD_LIMIT} bytes for the {route.name} operation"
                    raise Refusal("RequestEntityTooLargeException", text)
                answer = route.operation(found[1], query, exchange.body)
                if answer is None:
                    exchange.reply(route.status, b"", f"x-amzn-RequestId: {request_id}\r\n")
                else:
                    reply_json(exchange, request_id, answer, route.status)
                return
        text = f"{method} {path} is not emulated: see docs/emulator.md"
        raise Refusal("UnknownOperationException", text)

    # -- the emulator's own endpoints
    def _own(self, exchange: Exchange, request_id: str, path: str) -> None:
        assert self._shared is not None
        confinement = self._shared.confinement
        if exchange.method == b"GET" and path == "/_lbench/environments":
            functions = [*self._functions.values(), *self._control.leaving]
            there = [environment.describe() for f in functions for environment in f.environments.values()]
            gone = [entry for function in functions for entry in function.ended]
            reply_json(exchange, request_id, {"environments": gone + there})
        elif exchange.method == b"GET" and path == "/_lbench/methods":
            methods = {
                "cpu_share_method": confinement.cpu.method,
                "memory_method": confinement.memory.method,
                "isolation_method": self._shared.sandbox.method,
            }
            reply_json(exchange, request_id, methods)
        elif exchange.method == b"GET" and path == "/_lbench/events":
            reply_json(exchange, request_id, {"waiting": self._events.waiting, **self._events.counts})
        elif exchange.method == b"PUT" and path == "/_lbench/conditions":
            try:
                self._set_conditions(decode_json(exchange.body, Conditions))
            except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
                raise Refusal("InvalidParameterValueException", str(problem)) from None
            reply_json(exchange, request_id, {})
        else:
            raise Refusal("UnknownOperationException", f"unknown path {path}: see docs/emulator.md")
