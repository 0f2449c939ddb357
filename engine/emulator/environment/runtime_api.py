"""The Runtime API of one environment's process: its routes, and the environment's methods behind them."""

from __future__ import annotations

import time
from typing import Protocol

from lbench.engine.emulator.core.invocation import RESPONSE_LIMIT, Invocation
from lbench.engine.emulator.http.server import Exchange, Server

__all__ = ["OK", "RuntimeApi", "Served", "headers_of"]

OK = b'{"status":"OK"}'
_HEAD_LIMIT = 2_097_152  # bytes: awslambdaric sends up to 1 MB of X-Ray cause in a header
_RUNTIME = b"/2018-06-01/runtime"
_INVOCATION = b"/invocation/"
_NO_PATH = b'{"errorMessage":"no such path","errorType":"NotFound"}'
_BAD_METHOD = b'{"errorMessage":"method not allowed","errorType":"MethodNotAllowed"}'
_BAD_ID = b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}'
_BAD_ORDER = (
    '{{"errorMessage":"State transition from {} to {} failed for runtime. Error: State transition is not allowed",'
    '"errorType":"InvalidStateTransition"}}'
)
_ERROR_TYPE = b"lambda-runtime-function-error-type"


class Served(Protocol):
    """The environment's side of the Runtime API."""

    def awaits(self, request_id: str) -> bool:
        """Whether that invocation is in progress and has no answer yet."""

    def answered(self, request_id: str) -> bool:
        """Whether that invocation was the last one, and has its answer."""

    def initialised(self) -> bool:
        """Whether the init is over."""

    def is_own_connection(self, peer_port: int, our_port: int) -> bool:
        """Whether one of the environment's processes has made that connection."""

    def on_next(self, exchange: Exchange) -> None:
        """Handle the runtime's request for work."""

    def on_response(self, exchange: Exchange) -> None:
        """Take the current invocation's result."""

    def on_error(self, exchange: Exchange, failed: str) -> None:
        """Take the current invocation's error; `failed`: `Handled` or `Unhandled`."""

    def on_init_error(self, exchange: Exchange) -> None:
        """Take the report of a failed init; the process is about to end."""


def headers_of(invocation: Invocation, left_s: float) -> str:
    """The headers that come with an invocation's event; `left_s`: the time that is left for it."""
    headers = (
        f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {int((time.time() + left_s) * 1000)}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {invocation.arn}\r\n"
    )
    if invocation.trace_id is not None:
        headers += f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
    if invocation.client_context is not None:
        headers += f"Lambda-Runtime-Client-Context: {invocation.client_context}\r\n"
    if invocation.tenant_id is not None:
        headers += f"Lambda-Runtime-Aws-Tenant-Id: {invocation.tenant_id}\r\n"
    return headers


class RuntimeApi(Server):
    """The Runtime API on a port of 127.0.0.1, for one environment's process."""

    def __init__(self, served: Served) -> None:
        super().__init__(
            self._route,
            body_limit=RESPONSE_LIMIT,
            head_limit=_HEAD_LIMIT,
            keep_headers=False,
            admits=served.is_own_connection,
        )
        self._served = served

    def _route(self, exchange: Exchange) -> None:
        path = exchange.path
        route = path[len(_RUNTIME) :] if path.startswith(_RUNTIME) else b""
        if route == b"/invocation/next":
            if _method_is(b"GET", exchange):
                self._served.on_next(exchange)
        elif route == b"/init/error":
            if _method_is(b"POST", exchange):
                if self._served.initialised():
                    _refuse_order(exchange, "Ready", "InitError")
                else:
                    self._served.on_init_error(exchange)
        elif route.startswith(_INVOCATION):
            request_id, _, what = route[len(_INVOCATION) :].decode("latin-1").partition("/")
            if what not in ("response", "error"):
                exchange.reply(404, _NO_PATH)
            elif _method_is(b"POST", exchange):
                self._answer(exchange, request_id, what)
        else:
            exchange.reply(404, _NO_PATH)

    def _answer(self, exchange: Exchange, request_id: str, what: str) -> None:
        if not self._served.awaits(request_id):
            if self._served.answered(request_id):
                target = "InvocationResponse" if what == "response" else "InvocationErrorResponse"
                _refuse_order(exchange, "ResponseSent", target)
            else:
                exchange.reply(400, _BAD_ID)
        elif what == "response":
            self._served.on_response(exchange)
        else:
            # Python's runtime names no type, which AWS calls Unhandled. A custom runtime may name Handled.
            handled = exchange.headers.get(_ERROR_TYPE, b"") == b"Handled"
            self._served.on_error(exchange, "Handled" if handled else "Unhandled")

    def drop_all(self) -> None:
        """Close the connections of a process that has ended."""
        for connection in list(self.connections):
            connection.drop()


def _method_is(method: bytes, exchange: Exchange) -> bool:
    """Whether the request has that method; if not, it gets 405."""
    if exchange.method == method:
        return True
    exchange.reply(405, _BAD_METHOD, f"Allow: {method.decode()}\r\n")
    return False


def _refuse_order(exchange: Exchange, state: str, target: str) -> None:
    exchange.reply(403, _BAD_ORDER.format(state, target).encode())
