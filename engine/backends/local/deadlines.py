"""The deadlines of all running calls, with one timer for all of them.

A timer for each call would cost as much as the rest of a short task's record. One deadline is much like the next, so the
timer of the earliest is set again only when it fires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lbench.engine.backends.local.worker_process import Answer, Lane

__all__ = ["Deadlines"]


class Deadlines:
    """Calls `expire` with a call's future and lane when the call has not ended in time."""

    def __init__(self, expire: Callable[[asyncio.Future[Answer], Lane], None]) -> None:
        self._expire = expire
        self._due: dict[asyncio.Future[Answer], tuple[Lane, float]] = {}  # with the time on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, future: asyncio.Future[Answer], lane: Lane, deadline_s: float) -> None:
        """A call has begun, and must have ended in so many seconds."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + deadline_s
        self._due[future] = lane, due_s
        if self._timer is None or due_s < self._timer.when():
            self._set(loop, due_s)

    def end(self, future: asyncio.Future[Answer]) -> None:
        """It has ended, or never began."""
        self._due.pop(future, None)

    def close(self) -> None:
        """Forget all calls."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at_s, self._fired)

    def _fired(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now_s = loop.time()
        for future in [future for future, (_, due_s) in self._due.items() if due_s <= now_s]:
            self._expire(future, self._due.pop(future)[0])
        if self._due and self._timer is None:
            self._set(loop, min(due_s for _, due_s in self._due.values()))
