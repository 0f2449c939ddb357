"""One kept-alive HTTP/1.1 connection: a request at a time, parsed by httptools (llhttp).

HTTP/1.1 matches a response to its request by the order on the connection alone. So unrequested bytes end the
connection, and an abandoned request takes its connection with it: a late response has nowhere to arrive.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httptools

__all__ = ["Connection", "ConnectionLost", "Response"]

_JOINED = 1 << 16  # up to here head and body go out in one copy, and one packet where they fit
_IDLE_S = (
    1.0  # servers close connections that were idle for seconds (Node 5, nginx 75); one closed sooner has another cause
)
_RACE_S = 0.5  # a close that crosses our request shows within a round trip and some lag of this loop

# Keep-alive probes hold a NAT open (AWS's drops connections idle for 350 s) and detect a lost peer during a long task.
_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 8))


class ConnectionLost(Exception):
    """No complete response came: refused, reset, truncated, not HTTP, or `timed_out`.

    `unsent`: no connection could be opened, so the server never received the request.

    `stale`: the connection had been idle, and was closed without a byte of response before the request was written or
    right after it. The server's idle timeout crossed our request.
    """

    def __init__(self, message: str, *, timed_out: bool = False, stale: bool = False, unsent: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.stale = stale
        self.unsent = unsent


class Response:
    """A response. Header names are lower case; `arrived_s` is on the loop's clock, before anything was decoded."""

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
    """One connection; the parser calls its `on_*` methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None
        self._parser: Any = None
        self._waiter: asyncio.Future[Response] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._received = False
        self._has_head = False
        self._unwritten = False
        self._written_s = 0.0
        self._free_s = loop.time()  # when it was last free
        self._idle_s = 0.0  # how long it had been free when the current request was sent
        self.usable = False

    def send(self, head: bytes, body: bytes) -> asyncio.Future[Response]:
        """Send a complete request; the future gets its response or `ConnectionLost`."""
        self._received = self._has_head = False
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
        """Close at once; unsent bytes are dropped."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def fail(self, message: str, *, timed_out: bool = False, stale: bool = False) -> None:
        """Fail the current request and close the connection."""
        waiter, self._waiter = self._waiter, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionLost(message, timed_out=timed_out, stale=stale))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=0)  # `pause_writing` then reports any byte left unsent
        self.usable = True
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):  # asyncio sets TCP_NODELAY itself
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _PROBES:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def pause_writing(self) -> None:
        self._unwritten = True

    def resume_writing(self) -> None:
        self._unwritten = False
        self._written_s = self._loop.time()

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # unrequested bytes
            self.abort()
            return
        self._received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"the response is not HTTP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._waiter is None:
            return
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if self._has_head and not framed and exc is None:
            self.on_message_complete()  # a body that ends with its connection
        elif self._has_head:
            self.fail("the response was cut short")
        else:
            quick = self._unwritten or self._loop.time() - self._written_s < _RACE_S
            crossed = quick and not self._received and self._idle_s >= _IDLE_S
            text = f"the connection was reset: {exc}" if exc else "the connection was closed before a response"
            self.fail(text, stale=crossed)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._has_head = True
        if self._waiter is None:  # a second response to one request, in the same packet
            self.abort()

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, {}
        if status < 200:  # 100 Continue: the real one follows
            self._has_head = False
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
