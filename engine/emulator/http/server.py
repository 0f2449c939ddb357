"""A small HTTP/1.1 server on httptools, for the emulator's two APIs.

An invocation takes two requests, so a request costs one parser call, one callback and one write: no task, no
stream objects. Requests of one connection are answered in order; a handler may answer at once or much later
(the Runtime API's `next` is answered when there is work).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from lbench.engine.emulator.http.body_limit import Room
from lbench.engine.emulator.http.connection import Connection, Handler, PlainConnection
from lbench.engine.emulator.http.exchange import Exchange

__all__ = ["Exchange", "Server"]


class Server:
    """A listening port of 127.0.0.1; `handler(exchange)` gets its requests on the loop."""

    def __init__(
        self,
        handler: Handler,
        *,
        body_limit: int,
        head_limit: int = 1_048_576,
        limit_of: Callable[[Exchange], int] | None = None,
        keep_headers: bool = True,
        admits: Callable[[int, int], bool] | None = None,
        room: Room | None = None,
    ) -> None:
        self.handler = handler
        self.body_limit = body_limit  # bytes; a larger body comes as an exchange with `too_large` set
        # For limits that depend on the request's line and headers. 0: a request with a body is handled before its body comes
        self.limit_of = limit_of
        self.head_limit = head_limit  # bytes of request line and headers; more gets 431
        self.admits = admits  # of a connection's two ports, the peer's first; others get 403. None: all
        self.room = room  # for the large bodies of all connections together; None: no bound but each body's own
        self._connection = Connection if keep_headers else PlainConnection
        self.connections: set[Connection] = set()
        self.closing = False
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None

    def bind(self, port: int = 0) -> int:
        """Take the port: connections wait in the kernel until `serve`. Returns the port's number.

        Raises:
            OSError: the port is in use.
        """
        # asyncio sets TCP_NODELAY only on sockets whose protocol is named.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if port:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(1024)
        except OSError:
            self._socket.close()
            raise
        return int(self._socket.getsockname()[1])

    async def serve(self) -> None:
        assert self._socket is not None, "bind first"
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connection(self), sock=self._socket, backlog=1024
        )

    def close(self) -> None:
        """Stop listening; connections close after their pending answer."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        for connection in list(self.connections):
            connection.close_when_idle()

    def abort(self) -> None:
        self.close()
        for connection in list(self.connections):
            connection.drop()
