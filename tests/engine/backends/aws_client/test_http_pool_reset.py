"""Which lost connections cost an attempt, and which do not; and that no answer reaches another request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lbench.engine.backends.aws_client import connection as connection_module
from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.dialer import Dialer
from lbench.engine.backends.aws_client.http_pool import HttpPool, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Step = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0))


def answering(*chunks: bytes, close: bool = False) -> Step:
    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await read_request(reader)
        for chunk in chunks:
            writer.write(chunk)
        if close:
            writer.close()
        return not close

    return step


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read the request, and end the connection without a byte."""
    await read_request(reader)
    writer.transport.abort()
    return False


async def reset_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """End the connection when the first byte of a request has come."""
    await reader.read(1)
    writer.transport.abort()
    return False


@asynccontextmanager
async def scripted(*connections: list[Step]) -> AsyncIterator[HttpPool]:
    """A server whose n-th connection does the steps of the n-th list."""
    waiting = list(connections)
    handlers: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        try:
            for step in waiting.pop(0):
                if not await step(reader, writer):
                    return
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    pool = HttpPool(Dialer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        yield pool
    finally:
        pool.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*handlers), 5)


async def ask(pool: HttpPool, body: bytes = b"") -> bytes:
    head = request_head("POST", "/x", [("host", pool.host), ("content-length", str(len(body)))])
    return (await pool.request(head, body, 10)).body


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kept connection counts as one that was idle for long."""
    monkeypatch.setattr(connection_module, "_IDLE_S", 0.0)


@pytest.mark.usefixtures("idle")
async def test_a_connection_closed_while_idle_is_replaced_without_a_word() -> None:
    async with scripted([answering(OK), reset], [answering(OK)]) as pool:
        assert await ask(pool) == b"ok"
        assert await ask(pool) == b"ok"
        assert pool.resent == 1


@pytest.mark.usefixtures("idle")
async def test_a_connection_opened_ahead_may_have_been_closed_as_well() -> None:
    async with scripted([reset], [answering(OK)]) as pool:
        await pool.open(1)
        assert await ask(pool) == b"ok"
        assert pool.resent == 1


@pytest.mark.usefixtures("idle")
async def test_a_request_that_was_not_yet_written_is_sent_again() -> None:
    body = bytes(20_000_000)
    async with scripted([answering(OK), reset_unread], [answering(OK)]) as pool:
        assert await ask(pool) == b"ok"
        assert await ask(pool, body) == b"ok"
        assert pool.resent == 1


@pytest.mark.usefixtures("idle")
async def test_a_request_is_sent_again_once_only() -> None:
    async with scripted([answering(OK), reset], [reset]) as pool:
        assert await ask(pool) == b"ok"
        with pytest.raises(ConnectionLost):
            await ask(pool)
        assert pool.resent == 1


@pytest.mark.usefixtures("idle")
async def test_after_a_byte_of_response_nothing_is_sent_again() -> None:
    async with scripted([answering(OK), answering(OK[:5], close=True)]) as pool:
        assert await ask(pool) == b"ok"
        with pytest.raises(ConnectionLost):
            await ask(pool)
        assert pool.resent == 0


async def test_a_connection_that_was_in_use_just_now_was_not_idle_so_the_function_may_have_run() -> None:
    async with scripted([answering(OK), reset]) as pool:
        assert await ask(pool) == b"ok"
        with pytest.raises(ConnectionLost) as caught:
            await ask(pool)
        assert not caught.value.stale and pool.resent == 0


@pytest.mark.usefixtures("idle")
async def test_a_connection_that_ends_long_after_the_request_may_have_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_RACE_S", 0.0)
    async with scripted([answering(OK), reset]) as pool:
        assert await ask(pool) == b"ok"
        with pytest.raises(ConnectionLost):
            await ask(pool)
        assert pool.resent == 0


@pytest.mark.parametrize(
    "chunks", [[OK, OK.replace(b"ok", b"no")], [OK + OK.replace(b"ok", b"no")]], ids=["two", "one"]
)
async def test_a_second_response_closes_the_connection_and_is_dropped(chunks: list[bytes]) -> None:
    async with scripted([answering(*chunks)], [answering(OK)]) as pool:
        assert await ask(pool) == b"ok"
        for first in list(pool._all):
            while first.usable:  # noqa: ASYNC110 - the second answer is on its way
                await asyncio.sleep(0)
        assert await ask(pool) == b"ok"


async def test_the_headers_of_a_second_answer_do_not_show_in_the_first() -> None:
    twice = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nokHTTP/1.1 200 OK\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n"
    async with scripted([answering(twice)]) as pool:
        response = await pool.request(request_head("GET", "/", [("content-length", "0")]), b"", 10)
        assert set(response.headers) == {b"content-length", b"x-a"} and response.body == b"ok"


async def test_the_answer_to_an_abandoned_request_has_nowhere_to_arrive() -> None:
    release = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await read_request(reader)
        await release.wait()
        writer.write(OK.replace(b"ok", b"no"))
        return False

    async with scripted([late], [answering(OK)]) as pool:
        head = request_head("POST", "/x", [("content-length", "0")])
        with pytest.raises(ConnectionLost) as caught:
            await pool.request(head, b"", 0.01)
        assert caught.value.timed_out
        release.set()
        assert await ask(pool) == b"ok"
