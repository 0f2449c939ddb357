"""The limit on bytes of large bodies that come at once, over all connections of a server.

A body is known to be from the holder of the secret only when all of it has come. So what waits for that must be bounded
over all connections, and not for each alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

__all__ = ["Guest", "Room"]

_STALL_S = 30.0  # a body that has not grown for so long leaves its place where others wait


class Guest(Protocol):
    """A connection with a large body."""

    @property
    def received_bytes(self) -> int:
        """Bytes of the body that have come."""

    def enter(self) -> None:
        """There is room now: read on."""

    def drop(self) -> None:
        """Close without an answer."""


class Room:
    """Places for bodies of `size_bytes` together; who finds none waits in the order of coming."""

    def __init__(self, size_bytes: int, stall_s: float = _STALL_S) -> None:
        self._free_bytes = size_bytes
        self._size_bytes = size_bytes
        self._stall_s = stall_s
        self._inside: dict[Guest, int] = {}
        self._waiting: deque[tuple[Guest, int]] = deque()
        self._seen: dict[Guest, int] = {}  # at the last look
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, guest: Guest, bytes_: int) -> bool:
        """Whether the body may come now; else `enter` is called when it may."""
        bytes_ = min(bytes_, self._size_bytes)
        if not self._waiting and bytes_ <= self._free_bytes:
            self._take(guest, bytes_)
            return True
        self._waiting.append((guest, bytes_))
        self._look_later()
        return False

    def leave(self, guest: Guest) -> None:
        """Its body has come, or will not; may be called again."""
        self._free_bytes += self._inside.pop(guest, 0)
        self._seen.pop(guest, None)
        if any(one is guest for one, _ in self._waiting):
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not guest)
        while self._waiting and self._waiting[0][1] <= self._free_bytes:
            one, bytes_ = self._waiting.popleft()
            self._take(one, bytes_)
            one.enter()
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, guest: Guest, bytes_: int) -> None:
        self._inside[guest] = bytes_
        self._free_bytes -= bytes_

    def _look_later(self) -> None:
        if self._timer is None:
            self._seen = {one: one.received_bytes for one in self._inside}
            self._timer = asyncio.get_running_loop().call_later(self._stall_s, self._look)

    def _look(self) -> None:
        """Turn out the bodies that have not grown since the last look."""
        self._timer = None
        for guest in [one for one in self._inside if self._seen.get(one) == one.received_bytes]:
            guest.drop()
            self.leave(guest)
        if self._waiting:
            self._look_later()
