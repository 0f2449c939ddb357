"""One client's connection: httptools parses it, and its requests are handled one at a time, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import httptools

from lbench.engine.emulator.http.body_limit import Room
from lbench.engine.emulator.http.exchange import HEADS, Exchange

__all__ = ["Connection", "Handler", "Owner", "PlainConnection"]

_PIPELINE = 16  # waiting requests of one connection at which reading pauses
_DISCARD_FACTOR = 8  # a body that is too large is read up to this many limits, so that the client gets the answer
_LARGE = 65_536  # bytes: a body above it takes a place in the server's room
_LINGER_S = 2.0  # for so long a body that nobody wants is read and dropped, so that the client gets the answer

Handler = Callable[["Exchange"], None]


class Owner(Protocol):
    """The server of the connection."""

    handler: Handler
    body_limit: int
    head_limit: int
    limit_of: Callable[[Exchange], int] | None
    connections: set[Connection]
    closing: bool
    admits: Callable[[int, int], bool] | None
    room: Room | None


# Received data is parsed before the loop serves the next connection, so all connections share one buffer. Without it,
# asyncio allocates and frees 256 KiB at every read.
_RECEIVED = memoryview(bytearray(262_144))


class Connection(asyncio.BufferedProtocol):
    """One client: parses, queues, hands one request at a time to the handler."""

    def __init__(self, server: Owner) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Exchange] = deque()  # complete requests in order
        self._current: Exchange | None = None  # at the handler
        self._incoming: Exchange | None = None
        self._head_bytes = 0  # of the request being read, until its headers are complete
        self._body_bytes = 0
        self._body_limit = server.body_limit
        self._in_head = True
        self._data = _RECEIVED[:0]  # the data being parsed
        self._paused = False
        self._in_room = False  # its body has a place in the server's room, or waits for one
        self._outside = False  # waits for one
        self.lost = False

    # -- called by asyncio
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport  # asyncio has set TCP_NODELAY
        self._server.connections.add(self)
        admits = self._server.admits
        if admits is not None:
            peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
            if not peer or not own or not admits(peer[1], own[1]):
                self._refuse(403)
                self.lost = True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._server.connections.discard(self)
        if self._in_room:
            self._leave_room()
        self._waiting.clear()
        current, self._current = self._current, None
        if current is not None and current.on_close is not None:
            current.on_close()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, count: int) -> None:
        if not self.lost:
            self._parse(_RECEIVED[:count])

    def _parse(self, data: memoryview) -> None:
        self._data = data
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request is answered, then the connection closes
            if self._transport is not None and not self.lost:
                self._transport.pause_reading()
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._in_head and self._head_bytes > self._server.head_limit:
                self._refuse(431)

    # -- called by httptools
    def on_message_begin(self) -> None:
        self._incoming = Exchange(self)
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        assert self._incoming is not None
        self._incoming.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._incoming is not None
        self._incoming.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        exchange = self._incoming
        assert exchange is not None
        self._in_head = False
        exchange.method = self._parser.get_method()
        exchange.keep_alive = self._parser.should_keep_alive() and not self._server.closing
        if self._parser.should_upgrade():
            exchange.keep_alive = False
        headers = exchange.headers
        if self._server.limit_of is not None:
            self._body_limit = self._server.limit_of(exchange)
        length = int(headers.get(b"content-length", b"0"))
        if length > self._body_limit:
            exchange.too_large = True
        if self._body_limit == 0 and (exchange.too_large or b"transfer-encoding" in headers):
            exchange.too_large = True
            self._refuse_early(exchange)
            return
        if headers.get(b"expect", b"").lower() == b"100-continue":
            if exchange.too_large:  # answered before the body, which may never come
                self._refuse_early(exchange)
                return
            if self._current is None and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        room = self._server.room
        if room is not None and not exchange.too_large:
            most = self._body_limit if b"transfer-encoding" in headers else length
            if most > _LARGE:
                self._ask_for_room(room, most)

    def on_body(self, chunk: bytes) -> None:
        exchange = self._incoming
        if exchange is None:
            return
        self._body_bytes += len(chunk)
        if self._body_bytes > self._body_limit:
            exchange.too_large = True
        if exchange.too_large:
            exchange.body = b""
            if self._in_room:
                self._leave_room()
            if self._body_bytes > self._body_limit * _DISCARD_FACTOR:
                self._refuse_early(exchange)
        elif not exchange.body:
            exchange.body = chunk
        else:
            if isinstance(exchange.body, bytes):
                exchange.body = bytearray(exchange.body)
            exchange.body += chunk

    def on_message_complete(self) -> None:
        exchange, self._incoming = self._incoming, None
        self._head_bytes = 0
        self._in_head = True
        if exchange is not None:
            self._enqueue(exchange)
        if self._in_room:
            self._leave_room()

    # -- the room of large bodies
    @property
    def received_bytes(self) -> int:
        return self._body_bytes

    def _ask_for_room(self, room: Room, bytes_: int) -> None:
        self._in_room = True
        if not room.ask(self, bytes_):
            self._outside = True
            assert self._transport is not None
            self._transport.pause_reading()

    def enter(self) -> None:
        self._outside = False
        if not self._paused and self._transport is not None and not self.lost:
            self._transport.resume_reading()

    def _leave_room(self) -> None:
        self._in_room = self._outside = False
        assert self._server.room is not None
        self._server.room.leave(self)

    def _refuse_early(self, exchange: Exchange) -> None:
        """Answer before the body has come, and close."""
        exchange.keep_alive = False
        self._enqueue(exchange)
        self._incoming = None

    # -- one at a time, in order
    def _enqueue(self, exchange: Exchange) -> None:
        if self._current is None:
            self._current = exchange
            self._server.handler(exchange)
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= _PIPELINE and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def send(self, head: bytes, body: bytes | bytearray) -> None:
        """Write the current exchange's answer and start the next exchange."""
        exchange, transport = self._current, self._transport
        if self.lost or exchange is None or transport is None:
            return
        if len(body) < 65536 and not exchange.twice:
            transport.write(head + body)
        elif exchange.twice:
            transport.write(2 * (head + body))
        else:
            transport.write(head)
            transport.write(body)  # not copied into one buffer with the head
        self._current = None
        if not exchange.keep_alive or self._server.closing:
            self._waiting.clear()
            self.lost = True
            if self._in_head:
                transport.close()
            else:  # its body is still coming: what closes now, with bytes unread, takes the answer from the client
                transport.write_eof()
                asyncio.get_running_loop().call_later(_LINGER_S, transport.close)
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        if self._current is None and self._waiting and not self.lost:
            self._current = self._waiting.popleft()
            if self._paused and len(self._waiting) < _PIPELINE and self._transport is not None:
                self._paused = False
                if not self._outside:
                    self._transport.resume_reading()
            self._server.handler(self._current)

    def _refuse(self, status: int) -> None:
        """Answer a request that cannot be parsed (unless another answer is due first), and close the connection."""
        if self._transport is not None:
            if self._current is None:
                self._transport.write(HEADS[status] + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            self._transport.close()

    def close_when_idle(self) -> None:
        """Close now, or after the pending answer."""
        if self._current is None and self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class PlainConnection(Connection):
    """A connection that keeps the headers of `/error` only, which saves a call of the parser for each other header."""

    on_header = None  # type: ignore[assignment]

    def on_headers_complete(self) -> None:
        exchange = self._incoming
        if exchange is not None and exchange.path.endswith(b"/error"):
            head = bytes(self._data).partition(exchange.path)[2].partition(b"\r\n\r\n")[0]
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                exchange.headers[name.strip().lower()] = value.strip()
        super().on_headers_complete()
