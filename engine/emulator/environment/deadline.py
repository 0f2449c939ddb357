"""A deadline that is set anew with each invocation, for the price of a comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Deadline"]

_EARLY_S = 0.001  # a timer may be due a little before its time


class Deadline:
    """Calls `passed` when the deadline set last has passed. A timer that is due before it is kept: it looks again."""

    def __init__(self, passed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._passed = passed
        self._at_s: float | None = None  # on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether one is set."""
        return self._at_s is not None

    def set(self, at_s: float) -> None:
        """It is now this one."""
        self._at_s = at_s
        if self._timer is not None and self._timer.when() > at_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(at_s, self._look)

    def clear(self) -> None:
        """There is none now; the timer stays for the next one."""
        self._at_s = None

    def close(self) -> None:
        """There will be none."""
        self._at_s = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._at_s is None:
            return
        if self._loop.time() < self._at_s - _EARLY_S:
            self._timer = self._loop.call_at(self._at_s, self._look)
        else:
            self._passed()
