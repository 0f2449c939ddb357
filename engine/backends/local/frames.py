"""The frames between the engine and its worker processes, over a Unix socket pair for each environment.

A request is `kind, length` and then so many bytes; a reply has the task's own start and end (CLOCK_MONOTONIC,
which all processes of a machine share) and its peak memory in between. A small frame is one `send` and one `recv`; a large
one is received into a buffer of its size. A second request may follow before the first is answered.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

__all__ = [
    "CALL",
    "FAILURE",
    "PIECE_BYTES",
    "REPLY",
    "REQUEST",
    "RESULT",
    "SETUP",
    "Reply",
    "ReplyReader",
    "RequestReader",
    "send_blocking",
]

REQUEST = struct.Struct("<BQ")  # kind, bytes that follow
REPLY = struct.Struct("<BQddQ")  # kind, bytes that follow, started s, finished s, peak memory KiB (0: not known)

SETUP, CALL = (
    0,
    1,
)  # kinds of request: encode([workload to import, data set's path, run's folder]), None: none; Call.task
RESULT, FAILURE = 0, 1  # kinds of reply: the value, encoded; encode([type, message, log tail])

PIECE_BYTES = 65536  # a frame up to this is one system call


class Reply(NamedTuple):
    """A whole reply."""

    kind: int
    started_s: float
    finished_s: float
    peak_kib: int
    body: bytes | memoryview


class ReplyReader:
    """Assembles a reply from a non-blocking socket, one `recv` at a time.

    One `recv` a wake-up keeps the loop free while a large result comes in.
    """

    __slots__ = ("_body", "_filled", "_head", "_times")

    def __init__(self) -> None:
        self._head = b""
        self._times = (0, 0.0, 0.0, 0)
        self._body: bytearray | None = None
        self._filled = 0

    def buffered(self) -> Reply | None:
        """The reply that came together with the one before it, if it is whole."""
        return self._first(b"") if len(self._head) >= REPLY.size else None

    def read(self, sock: socket.socket) -> Reply | None:
        """Read once; the first reply if it is whole now, else None.

        Raises:
            BlockingIOError: there is nothing to read.
            EOFError: the other end is closed.
        """
        if self._body is not None:
            return self._more(sock, self._body)
        data = sock.recv(PIECE_BYTES)
        if not data:
            raise EOFError
        return self._first(data)

    def _first(self, data: bytes) -> Reply | None:
        if self._head:
            data = self._head + data
        if len(data) < REPLY.size:
            self._head = data
            return None
        kind, length, started, finished, peak_kib = REPLY.unpack_from(data)
        end = REPLY.size + length
        if len(data) >= end:
            self._head = data[end:]
            return Reply(kind, started, finished, peak_kib, data[REPLY.size : end])
        self._head = b""
        self._times = (kind, started, finished, peak_kib)
        self._body = bytearray(length)
        self._filled = len(data) - REPLY.size
        self._body[: self._filled] = data[REPLY.size :]
        return None

    def _more(self, sock: socket.socket, body: bytearray) -> Reply | None:
        count = sock.recv_into(memoryview(body)[self._filled :])
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < len(body):
            return None
        self._body = None
        return Reply(*self._times, memoryview(body).toreadonly())


class RequestReader:
    """Takes requests from a blocking socket, one at a time; a part of the next may have come with one."""

    __slots__ = ("_rest", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""

    def receive(self) -> tuple[int, memoryview]:
        """Wait for a request: its kind and its body.

        Raises:
            EOFError: the engine has closed its end.
        """
        data, self._rest = self._rest, b""
        while len(data) < REQUEST.size:
            more = self._sock.recv(PIECE_BYTES)
            if not more:
                raise EOFError
            data = data + more if data else more
        kind, length = REQUEST.unpack_from(data)
        end = REQUEST.size + length
        if len(data) >= end:
            self._rest = data[end:]
            return kind, memoryview(data)[REQUEST.size : end]
        body = bytearray(length)
        view = memoryview(body)
        filled = len(data) - REQUEST.size
        view[:filled] = data[REQUEST.size :]
        while filled < length:
            count = self._sock.recv_into(view[filled:])
            if not count:
                raise EOFError
            filled += count
        return kind, view.toreadonly()


def send_blocking(sock: socket.socket, head: bytes, body: bytes) -> None:
    """Send a frame whole; a large body isn't copied to be joined with its head."""
    if len(body) < PIECE_BYTES:
        sock.sendall(head + body)
    else:
        sock.sendall(head)
        sock.sendall(body)
