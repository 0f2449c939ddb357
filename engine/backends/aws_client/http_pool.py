"""A small HTTP/1.1 client for one server: kept-alive connections, one request at a time on each.

Made for Invoke's hot path: a call costs a third of aiohttp's 140 to 170 µs of CPU, and the driver's CPU bounds how many
environments one machine can keep busy.

A request is sent twice in one case only: its connection had been idle for a second or more, and was closed without a
byte of response before the request was written or right after it (`ConnectionLost.stale`). Then the server's idle timeout
crossed our request, and nobody read it. botocore sends an Invoke again after any closed connection. Here each invocation
is counted and billed, so every other loss goes to the runner: the function may have run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from lbench.engine.backends.aws_client.connection import Connection, ConnectionLost, Response
from lbench.engine.backends.aws_client.dialer import Dialer

__all__ = ["ConnectionLost", "HttpPool", "Response", "request_head"]

_OPENED_AT_ONCE = 64  # stays below common listen backlogs


class HttpPool:
    """Connections to one server; the last one used is used next, so that few stay warm under low load.

    There is no limit here: the runner's concurrency is the limit. `resent` counts requests that were sent twice.
    """

    def __init__(self, dialer: Dialer) -> None:
        """Nothing is opened yet."""
        self._dialer = dialer
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self.resent = 0
        self.host = dialer.host_header
        self.target_prefix = dialer.target_prefix
        self.hop_headers = dialer.hop_headers

    async def open(self, count: int) -> None:
        """Open connections until `count` are idle.

        Raises:
            ConnectionLost: the server cannot be reached.
        """
        while (missing := count - len(self._idle)) > 0:
            made = await asyncio.gather(*(self._connect() for _ in range(min(missing, _OPENED_AT_ONCE))))
            self._idle.extend(made)

    async def request(self, head: bytes, body: bytes, timeout_s: float) -> Response:
        """Send one complete request and wait for its response.

        Cancelling closes its connection.

        Raises:
            ConnectionLost: no complete response came within `timeout_s`.
        """
        connection, connect_ms = self._take(), None
        while True:
            if connection is None:
                began = self._loop.time()
                connection = await self._connect()
                connect_ms = (self._loop.time() - began) * 1000
            timer = self._loop.call_later(timeout_s, _time_out, connection, timeout_s)
            try:
                response = await connection.send(head, body)
                break
            except ConnectionLost as error:
                self._all.discard(connection)
                if not error.stale or connect_ms is not None:
                    raise
                connection = None  # other idle connections may be closed too: open a new one
                self.resent += 1
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

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._all.discard(connection)  # the server closed it meanwhile
        return None

    async def _connect(self) -> Connection:
        connection = await self._dialer.connect()
        self._all.add(connection)
        return connection


def request_head(
    method: str, target: str, headers: Iterable[tuple[str, str]], more: Iterable[tuple[str, str]] = ()
) -> bytes:
    """A request's head as it goes on the wire."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    for name, value in more:
        lines += f"{name}: {value}\r\n"
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


def _time_out(connection: Connection, timeout_s: float) -> None:
    connection.fail(f"no answer within {timeout_s:g} s", timed_out=True)
