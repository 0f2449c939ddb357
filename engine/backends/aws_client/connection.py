"""One kept-alive HTTP/1.1 connection: a request at a time, parsed by httptools (llhttp).

HTTP/1.1 tells which request a response belongs to by nothing but the order on its connection. So whatever comes that
was not asked for ends the connection, and an abandoned request takes its connection with it: a late answer has nowhere
to arrive.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httptools

__all__ = ["Connection", "ConnectionLost", "Response"]

_JOINED = 1 << 16  # up to here head and body go out in one copy, and one packet where they fit
_IDLE_S = (
    1.0  # servers close what was idle for seconds (Node 5, nginx 75): one that ends sooner ends for another reason
)
_RACE_S = 0.5  # a server that closed while we were sending is heard of within a round trip, and some lag of this loop

# Probes hold a NAT open (AWS's drops what was idle for 350 s) and find a peer that has gone, while a long task runs.
_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 8))


class ConnectionLost(Exception):
    """No whole response came, and why: refused, reset, truncated, no HTTP, or `timed_out`.

    `unsent`: there was no connection to send anything on, so nobody has heard of the request.

    `unheard`: the connection had been idle, and ended without a byte of response before the request was written or at once
    after it. That is the server's idle time-out crossing our request.
    """

    def __init__(self, message: str, *, timed_out: bool = False, unheard: bool = False, unsent: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.unheard = unheard
        self.unsent = unsent


class Response:
    """What came back. Header names are lower case; `arrived_s` is on the loop's clock, before anything was decoded."""

    __slots__ = ("arrived_s", "body", "connect_ms", "connection", "headers", "status")

    def __init__(
        self, status: int, headers: dict[bytes, bytes], body: bytes, arrived_s: float, connection: Connection
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.arrived_s = arrived_s
        self.connection = connection
        self.connect_ms: float | None = None  # None: the connection was open already


class Connection(asyncio.Protocol):
    """The parser calls its `on_*` methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None
        self._parser: Any = None
        self._waiter: asyncio.Future[Response] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._heard = False
        self._headed = False
        self._unwritten = False
        self._written_s = 0.0
        self._free_s = loop.time()  # since when nothing was asked on it
        self._idle_s = 0.0  # how long that was when the request under way was sent
        self.usable = False

    def send(self, head: bytes, body: bytes) -> asyncio.Future[Response]:
        """Send a request, whole as it goes on the wire; the future ends with its response or `ConnectionLost`."""
        self._heard = self._headed = False
        self._written_s = now_s = self._loop.time()
        self._idle_s = now_s - self._free_s
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

    def fail(self, message: str, *, timed_out: bool = False, unheard: bool = False) -> None:
        """End the request that is under way with an error, and the connection with it."""
        waiter, self._waiter = self._waiter, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionLost(message, timed_out=timed_out, unheard=unheard))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = transport
        self._transport.set_write_buffer_limits(high=0)  # `pause_writing` then tells whatever the kernel did not take
        self.usable = True
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):  # asyncio sets TCP_NODELAY itself
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _PROBES:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def pause_writing(self) -> None:  # noqa: D102
        self._unwritten = True

    def resume_writing(self) -> None:  # noqa: D102
        self._unwritten = False
        self._written_s = self._loop.time()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._waiter is None:  # bytes that nobody asked for
            self.abort()
            return
        self._heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"the answer is no HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self.usable = False
        if self._waiter is None:
            return
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if self._headed and not framed and exc is None:
            self.on_message_complete()  # a body that ends with its connection
        elif self._headed:
            self.fail("the response was cut short")
        else:
            quick = self._unwritten or self._loop.time() - self._written_s < _RACE_S
            crossed = quick and not self._heard and self._idle_s >= _IDLE_S
            text = f"the connection was reset: {exc}" if exc else "the connection was closed before an answer"
            self.fail(text, unheard=crossed)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:  # noqa: D102
        self._headed = True
        if self._waiter is None:  # a second response to one request, in the same packet
            self.abort()

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._parts.append(body)

    def on_message_complete(self) -> None:  # noqa: D102
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        if status < 200:  # 100 Continue: the real one follows
            self._headed = False
            return
        parts, self._parts = self._parts, []
        waiter, self._waiter = self._waiter, None
        self._free_s = self._loop.time()
        if not self._parser.should_keep_alive():
            self.usable = False
            self._transport.close()
        if waiter is not None and not waiter.done():
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            waiter.set_result(Response(status, headers, body, self._free_s, self))
