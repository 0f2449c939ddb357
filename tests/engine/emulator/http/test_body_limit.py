"""Large bodies that come at once have a bound over all connections together; who finds no room waits."""

from __future__ import annotations

import asyncio

from lbench.engine.emulator.http.body_limit import Room
from lbench.engine.emulator.http.connection import Connection
from lbench.engine.emulator.http.server import Server
from tests.engine.emulator.http.test_http_server import Wire, echo, receive

BODY = 100_000  # bytes: large
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BODY
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Line:
    """A connection and its client's end."""

    def __init__(self, server: Server) -> None:
        self.wire = Wire()
        self.connection = Connection(server)
        self.connection.connection_made(self.wire)

    def send(self, data: bytes) -> None:
        receive(self.connection, data)

    @property
    def answered(self) -> bool:
        return self.wire.written.startswith(b"HTTP/1.1 200 ")


def server_with_room(size_bytes: int, stall_s: float = 1000.0) -> Server:
    return Server(echo, body_limit=2 * BODY, room=Room(size_bytes, stall_s))


async def test_a_body_waits_for_room_and_is_read_when_another_has_come() -> None:
    server = server_with_room(2 * BODY)
    first, second, third, small = (Line(server) for _ in range(4))
    for line in (first, second, third):
        line.send(HEAD)
    assert [line.wire.reading for line in (first, second, third)] == [True, True, False]
    small.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    assert small.answered  # it needs no room
    second.send(b"x" * BODY)
    assert second.answered and third.wire.reading
    third.send(b"x" * BODY)
    first.send(b"x" * BODY)
    assert first.answered and third.answered


async def test_a_body_of_unknown_length_takes_its_whole_limit() -> None:
    server = server_with_room(2 * BODY)
    first, second = Line(server), Line(server)
    first.send(CHUNKED)
    second.send(HEAD)
    assert not second.wire.reading
    first.send(b"2\r\nhi\r\n0\r\n\r\n")
    assert first.answered and second.wire.reading


async def test_a_client_that_leaves_makes_room() -> None:
    server = server_with_room(BODY)
    first, second, third = (Line(server) for _ in range(3))
    for line in (first, second, third):
        line.send(HEAD)
    second.connection.connection_lost(None)  # while it waited
    first.connection.connection_lost(None)
    assert third.wire.reading
    third.send(b"x" * BODY)
    assert third.answered


async def test_a_body_that_does_not_grow_is_turned_out_where_others_wait() -> None:
    server = server_with_room(BODY, stall_s=0.01)
    first, second = Line(server), Line(server)
    first.send(HEAD)
    second.send(HEAD)
    async with asyncio.timeout(60):
        await second.wire.resumed.wait()
    assert first.wire.closed
    second.send(b"x" * BODY)
    assert second.answered
