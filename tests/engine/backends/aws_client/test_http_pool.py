"""The small HTTP client, against servers that keep and that break the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.dialer import Dialer
from lbench.engine.backends.aws_client.http_pool import HttpPool, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: a\r\n\r\nok"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
    return head + await reader.readexactly(length)


class Served:
    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[HttpPool, Served]]:
    served = Served()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        try:
            while not reader.at_eof():
                await read_request(reader)
                served.requests += 1
                served.asked.set()
                await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            served.gone.set()
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    pool = HttpPool(Dialer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        yield pool, served
    finally:
        pool.close()
        server.close()
        await asyncio.wait_for(served.gone.wait(), 5) if served.connections else None


def sending(*chunks: bytes, close: bool = False) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        if close:
            writer.close()

    return answer


def head(pool: HttpPool, length: int = 0) -> bytes:
    return request_head("POST", "/x", [("host", pool.host), ("content-length", str(length))])


async def ask(pool: HttpPool, body: bytes = b"", timeout_s: float = 10) -> tuple[int, bytes]:
    response = await pool.request(head(pool, len(body)), body, timeout_s)
    return response.status, response.body


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with serving(sending(OK)) as (pool, served):
        first = await pool.request(head(pool), b"", 10)
        second = await pool.request(head(pool), b"", 10)
        assert (first.status, first.body, first.headers[b"x-thing"]) == (200, b"ok", b"a")
        assert served.connections == 1
        assert first.connect_ms is not None and second.connect_ms is None


async def test_connections_are_open_before_the_first_request() -> None:
    async with serving(sending(OK)) as (pool, served):
        await pool.open(70)
        responses = await asyncio.gather(*(pool.request(head(pool), b"", 10) for _ in range(70)))
        assert all(response.connect_ms is None for response in responses)
        assert served.connections == 70


async def test_a_large_body_goes_and_comes_whole() -> None:
    body = bytes(range(256)) * 30_000
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with serving(sending(reply)) as (pool, _):
        assert await ask(pool, body) == (200, body)


@pytest.mark.parametrize(
    "chunks",
    [
        [OK[:10], OK[10:40], OK[40:]],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
    ],
    ids=["in pieces", "chunked", "after 100 Continue"],
)
async def test_every_framing_is_read(chunks: list[bytes]) -> None:
    async with serving(sending(*chunks)) as (pool, served):
        assert await ask(pool) == (200, b"ok")
        assert await ask(pool) == (200, b"ok")
        assert served.connections == 1


async def test_a_body_may_end_with_its_connection() -> None:
    async with serving(sending(b"HTTP/1.1 200 OK\r\n\r\nok", close=True)) as (pool, served):
        assert await ask(pool) == (200, b"ok")
        assert await ask(pool) == (200, b"ok")
        assert served.connections == 2


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (b"", "closed before"),
        (OK[:-1], "cut short"),
        (OK[:20], "closed before"),
        (b"nonsense\r\n\r\n", "not HTTP"),
    ],
)
async def test_a_broken_response_is_an_error_and_the_pool_goes_on(chunk: bytes, expected: str) -> None:
    answers = [sending(chunk, close=True), sending(OK)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(reader, writer)

    async with serving(answer) as (pool, _):
        with pytest.raises(ConnectionLost, match=expected):
            await ask(pool)
        assert await ask(pool) == (200, b"ok")


async def test_a_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    async with serving(sending(OK, close=True)) as (pool, served):
        assert await ask(pool) == (200, b"ok")
        await asyncio.wait_for(served.gone.wait(), 5)
        assert await ask(pool) == (200, b"ok")
        assert served.requests == 2


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_no_answer_in_time_is_a_timeout() -> None:
    async with serving(never) as (pool, _):
        with pytest.raises(ConnectionLost) as caught:
            await ask(pool, timeout_s=0.01)
        assert caught.value.timed_out


async def test_cancelling_closes_the_connection() -> None:
    async with serving(never) as (pool, served):
        task = asyncio.create_task(ask(pool))
        await served.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(served.gone.wait(), 5)


async def test_closing_ends_what_is_under_way() -> None:
    async with serving(never) as (pool, served):
        task = asyncio.create_task(ask(pool))
        await served.asked.wait()
        pool.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await task


async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with serving(sending(OK)) as (pool, _):
        pass
    with pytest.raises(ConnectionLost, match="cannot be reached"):
        await ask(pool)
