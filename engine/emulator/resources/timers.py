"""A timer queue: callbacks of many environments share one asyncio timer handle."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

__all__ = ["Agenda", "Entry"]

_TOGETHER_S = 0.0005  # entries due within this time run together


class Entry:
    """One callback with at most one due time."""

    __slots__ = ("_ticket", "action")

    def __init__(self, action: Callable[[float], None]) -> None:
        self.action = action  # gets the loop's time
        self._ticket = -1


class Agenda:
    """The due times of all entries in one heap; the loop has one timer, for the earliest."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Entry]] = []
        self._tickets = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_s = float("inf")

    def time(self) -> float:
        return self._loop.time()

    def at(self, when_s: float, entry: Entry) -> None:
        """Call the entry's action at that time, which replaces an earlier setting."""
        ticket = entry._ticket = next(self._tickets)
        heapq.heappush(self._heap, (when_s, ticket, entry))
        if when_s < self._armed_s:
            self._arm(when_s)

    def cancel(self, entry: Entry) -> None:
        """Remove the entry's due time."""
        entry._ticket = -1  # its place in the heap is skipped when reached

    def close(self) -> None:
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_s = when_s
        self._timer = self._loop.call_at(when_s, self._due)

    def _due(self) -> None:
        self._timer, self._armed_s = None, float("inf")
        now_s = self._loop.time()
        heap = self._heap
        due = []
        while heap and heap[0][0] <= now_s + _TOGETHER_S:
            _, ticket, entry = heapq.heappop(heap)
            if entry._ticket == ticket:
                due.append((ticket, entry))
        for ticket, entry in due:
            if entry._ticket == ticket:  # unless an earlier action has moved or cancelled it
                entry._ticket = -1
                entry.action(now_s)
        while heap and heap[0][2]._ticket != heap[0][1]:
            heapq.heappop(heap)
        if heap and heap[0][0] < self._armed_s:
            self._arm(heap[0][0])
