"""The small HTTP server: however the bytes arrive, each request is answered once, in order, or refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.emulator.http.connection import Connection
from lbench.engine.emulator.http.server import Exchange, Server

LIMIT = 1000


class Wire(asyncio.Transport):
    """A client's end: what was written to it, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True
        self.resumed = asyncio.Event()

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def write_eof(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.resumed.set()


def echo(exchange: Exchange) -> None:
    if exchange.too_large:
        exchange.reply(413)
    else:
        exchange.reply(200, exchange.method + b" " + exchange.path + b" " + bytes(exchange.body))


def receive(connection: Connection, chunk: bytes) -> None:
    """As asyncio does: the bytes into the connection's buffer, then word of how many."""
    connection.get_buffer(-1)[: len(chunk)] = chunk
    connection.buffer_updated(len(chunk))


def serve(chunks: list[bytes], handler: Callable[[Exchange], None] = echo, head_limit: int = 2000) -> Wire:
    """Feed the chunks to one connection and give the loop the turns that it wants."""

    async def run() -> Wire:
        wire = Wire()
        connection = Connection(Server(handler, body_limit=LIMIT, head_limit=head_limit))
        connection.connection_made(wire)
        for chunk in chunks:
            if not wire.closed:
                receive(connection, chunk)
        for _ in range(50):
            await asyncio.sleep(0)
        return wire

    return asyncio.run(run())


def request(body: bytes, path: str = "/", *, chunked: bool = False, extra: str = "") -> bytes:
    if chunked:
        parts = [body[start : start + 7] for start in range(0, len(body), 7)]
        encoded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Transfer-Encoding: chunked\r\n\r\n".encode() + encoded
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def bodies(wire: Wire) -> list[bytes]:
    """The bodies of the answers, each checked against its length."""
    found, rest = [], wire.written
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        found.append(rest[:length])
        rest = rest[length:]
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.binary(max_size=60), st.booleans()), min_size=1, max_size=20),
    st.lists(st.integers(0, 3000), max_size=12),
)
def test_requests_are_answered_in_order_whatever_their_chunks(sent: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    stream = b"".join(request(body, f"/{number}", chunked=way) for number, (body, way) in enumerate(sent))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    wire = serve([stream[a:b] for a, b in pairwise(edges) if a < b])
    assert bodies(wire) == [b"POST /%d %b" % (number, body) for number, (body, _) in enumerate(sent)]
    assert wire.reading
    assert not wire.closed


def test_a_request_that_comes_byte_by_byte_is_one_request() -> None:
    stream = request(b"hello", chunked=True)
    assert bodies(serve([bytes([byte]) for byte in stream])) == [b"POST / hello"]


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_arbitrary_bytes_do_not_break_the_server(junk: bytes) -> None:
    serve([junk, b"\r\n\r\n", junk])


@pytest.mark.parametrize(
    "stream",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5x\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_request_that_is_not_http_gets_400_and_the_connection_closes(stream: bytes) -> None:
    wire = serve([stream])
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert wire.closed


@pytest.mark.parametrize("name", [b"a" * 5000, b"a: " + b"b" * 5000])
def test_endless_headers_get_431(name: bytes) -> None:
    wire = serve([b"GET / HTTP/1.1\r\n", name])
    assert wire.written.startswith(b"HTTP/1.1 431 ")
    assert wire.closed


def test_the_limit_on_headers_holds_per_request() -> None:
    wire = serve([request(b"x" * 900) for _ in range(10)], head_limit=1200)
    assert len(bodies(wire)) == 10


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_read_and_refused(chunked: bool) -> None:
    wire = serve([request(b"x" * (LIMIT + 1), chunked=chunked), request(b"next")])
    assert wire.written.startswith(b"HTTP/1.1 413 ")
    assert bodies(wire)[1] == b"POST / next"


def test_an_endless_body_is_cut_off() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire = serve([head, *[b"1f4\r\n" + b"x" * 500 + b"\r\n"] * 40])
    assert wire.written.startswith(b"HTTP/1.1 413 ")
    assert wire.closed


def test_a_client_that_expects_100_continue_gets_it_before_its_body() -> None:
    stream = request(b"hello", extra="Expect: 100-continue\r\n")
    head = stream[: -len(b"hello")]
    wire = serve([head])
    assert wire.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert serve([head, b"hello"]).written.endswith(b"POST / hello")


def test_a_client_that_expects_100_continue_is_refused_before_it_sends_too_much() -> None:
    stream = request(b"x" * 2000, extra="Expect: 100-continue\r\n")
    wire = serve([stream[:-2000]])
    assert wire.written.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in wire.written
    assert wire.closed


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_a_connection_without_keep_alive_closes_after_the_answer(stream: bytes) -> None:
    wire = serve([stream])
    assert bodies(wire) == [b"GET / "]
    assert wire.closed


def test_late_answers_keep_the_order_of_the_requests() -> None:
    held: list[Exchange] = []
    wire = Wire()

    async def run() -> None:
        connection = Connection(Server(held.append, body_limit=LIMIT))
        connection.connection_made(wire)
        receive(connection, request(b"1") + request(b"2"))
        assert len(held) == 1  # the second waits for its turn
        held[0].reply(200, held[0].body)
        held[0].reply(200, b"twice")
        await asyncio.sleep(0)
        held[1].reply(200, held[1].body)

    asyncio.run(run())
    assert bodies(wire) == [b"1", b"2"]


def test_reading_pauses_under_a_flood_of_pipelined_requests() -> None:
    wire = serve([request(b"") * 40], handler=lambda exchange: None)
    assert not wire.reading


async def test_the_handler_is_notified_when_the_client_leaves() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    def hold(exchange: Exchange) -> None:
        exchange.on_close = left.set
        arrived.set()

    server = Server(hold, body_limit=LIMIT)
    port = server.bind()
    await server.serve()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b""))
    await arrived.wait()
    writer.transport.abort()
    async with asyncio.timeout(10):
        await left.wait()
    server.close()


async def test_closing_waits_for_the_pending_answer() -> None:
    held: asyncio.Queue[Exchange] = asyncio.Queue()
    server = Server(held.put_nowait, body_limit=LIMIT)
    port = server.bind()
    await server.serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b""))
    exchange = await held.get()
    server.close()
    async with asyncio.timeout(10):
        assert await idle_reader.read() == b""
        exchange.reply(200, b"late")
        assert (await reader.read()).endswith(b"late")
    for one in (writer, idle_writer):
        one.close()
        await one.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_small_answers_are_sent_at_once() -> None:
    nodelay: list[int] = []

    def look(exchange: Exchange) -> None:
        (connection,) = server.connections
        assert connection._transport is not None
        own = connection._transport.get_extra_info("socket")
        nodelay.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        exchange.reply(204)

    server = Server(look, body_limit=LIMIT)
    port = server.bind()
    await server.serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"", extra="Connection: close\r\n"))
    assert (await reader.read()).startswith(b"HTTP/1.1 204 No Content\r\n")
    assert nodelay == [1]
    writer.close()
    await writer.wait_closed()
    server.close()
