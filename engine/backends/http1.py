"""A small HTTP/1.1 client for one server: kept-alive connections, one request at a time on each.

Made for Invoke's hot path: aiohttp costs 140 to 170 µs of CPU a call, this a third of it, and the driver's cost is what
bounds how many environments one machine can keep busy. The bytes are parsed by httptools (llhttp). A request is never
sent twice from here: whether to try again is the runner's to say.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import httptools

__all__ = ["ConnectionLost", "HttpPool", "Response", "request_head"]

_JOINED = 1 << 16  # up to here head and body go out in one copy, and one packet where they fit
_OPENED_AT_ONCE = 64  # stays below common listen backlogs


class ConnectionLost(Exception):
    """No whole response came, and why: refused, reset, truncated, no HTTP, or `timed_out`."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Response:
    """What came back. Header names are lower case; `arrived_s` is on the loop's clock, before anything was decoded."""

    __slots__ = ("arrived_s", "body", "connect_ms", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes, arrived_s: float) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.arrived_s = arrived_s
        self.connect_ms: float | None = None  # None: the connection was open already


class _Connection(asyncio.Protocol):
    """One connection; the parser calls its `on_*` methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None
        self._parser: Any = None
        self._waiter: asyncio.Future[Response] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._headed = False
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.usable = True
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio sets TCP_NODELAY; keep-alive probes hold a NAT open while a long task runs
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)

    def send(self, head: bytes, body: bytes) -> asyncio.Future[Response]:
        self._headers = {}
        self._parts = []
        self._headed = False
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = self._loop.create_future()
        if len(body) <= _JOINED:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return self._waiter

    def abort(self) -> None:
        """Close at once, without waiting for what was not yet sent."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def fail(self, message: str, *, timed_out: bool = False) -> None:
        """End the request that is under way with an error, and the connection with it."""
        waiter, self._waiter = self._waiter, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionLost(message, timed_out=timed_out))

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # bytes that nobody asked for
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"the answer is no HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._waiter is None:
            return
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if self._headed and not framed and exc is None:
            self.on_message_complete()  # a body that ends with its connection
        elif self._headed:
            self.fail("the response was cut short")
        else:
            self.fail(f"the connection was reset: {exc}" if exc else "the connection was closed before an answer")

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue: the real one follows
            self._headers, self._headed = {}, False
            return
        waiter, self._waiter = self._waiter, None
        if not self._parser.should_keep_alive():
            self.usable = False
            self._transport.close()
        if waiter is not None and not waiter.done():
            parts = self._parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            waiter.set_result(Response(status, self._headers, body, self._loop.time()))
        self._parts = []


class HttpPool:
    """Connections to one server; the one used last is used next, so that few stay warm under low load.

    There is no limit here: the runner's concurrency is the limit.
    """

    def __init__(self, url: str, *, context: ssl.SSLContext | None = None, connect_timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http(s) URL")
        secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if secure else 80)
        self._context = (context or ssl.create_default_context()) if secure else None
        self._connect_timeout_s = connect_timeout_s
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()

    @property
    def host(self) -> str:
        """The `host` header's value: the port is told where it is not the scheme's own."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return host if self._port == (443 if self._context else 80) else f"{host}:{self._port}"

    async def open(self, count: int) -> None:
        """Open connections until `count` are idle.

        Raises:
            ConnectionLost: the server cannot be reached.
        """
        while (missing := count - len(self._idle)) > 0:
            made = await asyncio.gather(*(self._connect() for _ in range(min(missing, _OPENED_AT_ONCE))))
            self._idle.extend(made)

    async def request(self, head: bytes, body: bytes, timeout_s: float) -> Response:
        """Send one request, whole as it goes on the wire, and wait for its response.

        Cancelling closes the connection that it was sent on.

        Raises:
            ConnectionLost: no whole response came within `timeout_s`.
        """
        connection, connect_ms = self._take(), None
        if connection is None:
            began = self._loop.time()
            connection = await self._connect()
            connect_ms = (self._loop.time() - began) * 1000
        timer = self._loop.call_later(timeout_s, _time_out, connection, timeout_s)
        try:
            response = await connection.send(head, body)
        except BaseException:
            connection.abort()
            self._all.discard(connection)
            raise
        finally:
            timer.cancel()
        if connection.usable:
            self._idle.append(connection)
        else:
            self._all.discard(connection)
        response.connect_ms = connect_ms
        return response

    def close(self) -> None:
        """Close all connections; requests under way end with `ConnectionLost`."""
        for connection in self._all:
            connection.fail("the client was closed")
        self._all.clear()
        self._idle.clear()

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._all.discard(connection)  # the server closed it meanwhile
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self._loop), self._host, self._port, ssl=self._context
                )
        except TimeoutError:
            raise ConnectionLost(f"{self._host}:{self._port} did not accept a connection in time") from None
        except OSError as error:
            raise ConnectionLost(f"{self._host}:{self._port} cannot be reached: {error}") from None
        self._all.add(connection)
        return connection


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request's head as it goes on the wire."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


def _time_out(connection: _Connection, timeout_s: float) -> None:
    connection.fail(f"no answer within {timeout_s:g} s", timed_out=True)
