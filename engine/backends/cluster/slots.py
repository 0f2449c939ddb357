"""Chooses the worker of the next call: the one with the fewest calls under way, and of these the one idle longest.

Where calls are handed over ahead, a slot that is full takes the next ones only once it is half empty, all in one turn of the
loop: they travel as one message, and the worker still has work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

__all__ = ["Slots"]


class Slots:
    """Places for calls. Each slot runs one call at a time; up to `ahead` calls are handed to it, so that it never waits."""

    def __init__(self) -> None:
        self.ahead = 1
        self._calls: dict[str, int] = {}  # under way in each slot
        # The slots that take calls, by their calls under way, each level in the order of its use.
        self._levels: list[dict[str, None]] = [{}]
        self._waiting: deque[asyncio.Future[str]] = deque()
        self._broken: Exception | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def update(self, slots: Iterable[str]) -> None:
        """Take up slots that have joined, and drop those that left."""
        wanted = dict.fromkeys(slots)
        for slot in [slot for slot in self._calls if slot not in wanted]:
            self._leave(slot)
            del self._calls[slot]
        for slot in wanted:
            if slot not in self._calls:
                self._calls[slot] = 0
                self._levels[0][slot] = None
        self._hand_out()

    async def take(self) -> str:
        """A place for a call, as soon as there is one.

        Raises:
            Exception: the error of `fail`.
        """
        if self._broken is not None:
            raise self._broken
        if not self._waiting and (slot := self._next()) is not None:
            return slot
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self.give(waiting.result())
            raise

    def give(self, slot: str) -> None:
        if self._calls.get(slot):
            self._move(slot, self._calls[slot] - 1)
        self._hand_out()

    def fail(self, error: Exception) -> None:
        """Refuse the calls that wait, and all later ones."""
        self._broken = error
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)

    def _next(self) -> str | None:
        for level in self._levels[: self.ahead]:
            if level:
                slot = next(iter(level))
                self._move(slot, self._calls[slot] + 1)
                return slot
        return None

    def _move(self, slot: str, calls: int) -> None:
        takes = self._leave(slot) or calls <= self.ahead // 2
        self._calls[slot] = calls
        if takes and calls < self.ahead:
            while len(self._levels) <= calls:
                self._levels.append({})
            self._levels[calls][slot] = None

    def _leave(self, slot: str) -> bool:
        """Take a slot out of its level, and whether it was in one: a full slot is in none."""
        level = self._calls[slot]
        found = level < len(self._levels) and slot in self._levels[level]
        if found:
            del self._levels[level][slot]
        return found

    def _hand_out(self) -> None:
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            slot = self._next()
            if slot is None:
                return
            self._waiting.popleft().set_result(slot)
