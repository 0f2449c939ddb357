"""A deadline that each invocation sets again.

A timer for each would cost as much as the rest of a short task's record. One deadline is much like the next, so the timer
of an earlier one is kept, and setting the next costs a comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Deadline"]

_EARLY_S = 0.001  # a timer may fire slightly early


class Deadline:
    """Calls `passed` after the deadline set last. An earlier timer is kept, and armed again when it fires."""

    def __init__(self, passed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._passed = passed
        self._at_s: float | None = None  # on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Whether a deadline is set."""
        return self._at_s is not None

    def set(self, at_s: float) -> None:
        """Set the deadline, in place of an earlier one."""
        self._at_s = at_s
        if self._timer is not None and self._timer.when() > at_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(at_s, self._look)

    def clear(self) -> None:
        """Remove the deadline; the timer stays for the next one."""
        self._at_s = None

    def close(self) -> None:
        """Remove the deadline and its timer."""
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
