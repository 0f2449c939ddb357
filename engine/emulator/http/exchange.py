"""One HTTP request and its answer."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

__all__ = ["HEADS", "Exchange", "Line"]

HEADS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n".encode()
    for status in HTTPStatus
}


class Line(Protocol):
    """The connection of a request."""

    def send(self, head: bytes, body: bytes | bytearray) -> None:
        """Write the pending answer."""

    def drop(self) -> None:
        """Close without an answer."""


class Exchange:
    """One request and its answer. `reply` may be called later, once; a client that has left does not get it."""

    __slots__ = (
        "_connection",
        "body",
        "headers",
        "keep_alive",
        "method",
        "on_close",
        "path",
        "replied",
        "too_large",
        "twice",
    )

    def __init__(self, connection: Line) -> None:
        self._connection = connection
        self.method = b""
        self.path = b""  # as sent: percent-encoded, with the query
        self.headers: dict[bytes, bytes] = {}  # names in lower case; the last of a name counts
        self.body: bytes | bytearray = b""
        self.keep_alive = True
        self.too_large = False  # the body exceeded the server's limit and was dropped
        self.replied = False
        self.twice = False  # its answer is sent twice (an injected fault)
        self.on_close: Callable[[], None] | None = None  # called when the client leaves before the answer

    def reply(self, status: int, body: bytes | bytearray = b"", headers: str = "") -> None:
        """Answer with `body`, which is JSON. `headers`: further header lines, each with its CRLF."""
        if self.replied:
            return
        self.replied = True
        self.on_close = None
        head = HEADS[status] + headers.encode("latin-1", "replace")
        if not self.keep_alive:
            head += b"Connection: close\r\n"
        head += b"\r\n" if status == 204 else b"Content-Length: %d\r\n\r\n" % len(body)
        self._connection.send(head, body)

    def drop(self) -> None:
        """Close the connection without an answer; nothing happens where the answer has been given."""
        if not self.replied:
            self.replied = True
            self._connection.drop()
