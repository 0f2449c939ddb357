"""The frames between the engine and its worker processes, over a Unix socket pair for each environment.

A request is `kind, length` and then so many bytes; a reply has the task's own start and end (CLOCK_MONOTONIC,
which all processes of a machine share) and its peak memory in between. An environment has at most one frame on its way, so a
small one is one `send` and one `recv`; a large one is received into a buffer of its size.
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
    "receive_request",
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

    def read(self, sock: socket.socket) -> Reply | None:
        """Read once; the reply if it is whole now, else None.

        Raises:
            BlockingIOError: there is nothing to read.
            EOFError: the other end is closed.
        """
        if self._body is not None:
            return self._more(sock, self._body)
        data = sock.recv(PIECE_BYTES)
        if not data:
            raise EOFError
        if self._head:
            data = self._head + data
        if len(data) < REPLY.size:
            self._head = data
            return None
        self._head = b""
        kind, length, started, finished, peak_kib = REPLY.unpack_from(data)
        if len(data) == REPLY.size + length:
            return Reply(kind, started, finished, peak_kib, data[REPLY.size :])
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


def receive_request(sock: socket.socket) -> tuple[int, memoryview]:
    """Wait for a request: its kind and its body.

    Raises:
        EOFError: the engine has closed its end.
    """
    data = sock.recv(PIECE_BYTES)
    while data and len(data) < REQUEST.size:
        more = sock.recv(PIECE_BYTES)
        if not more:
            raise EOFError
        data += more
    if not data:
        raise EOFError
    kind, length = REQUEST.unpack_from(data)
    if len(data) == REQUEST.size + length:
        return kind, memoryview(data)[REQUEST.size :]
    body = bytearray(length)
    view = memoryview(body)
    filled = len(data) - REQUEST.size
    view[:filled] = data[REQUEST.size :]
    while filled < length:
        count = sock.recv_into(view[filled:])
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
