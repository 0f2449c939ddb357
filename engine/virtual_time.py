"""An event loop whose clock jumps: when nothing but timers is pending, it is at once the next timer's time.

The runner's only clock is its loop's, so the same runner lives through an hour of throttles and deadlines here
in a moment, and always in the same way. Nothing on this loop may wait for a thread, a process or a socket.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Instead of sleeping until the next timer, moves the clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is pending on the virtual-time loop, and somebody waits: a deadlock")
        self.now_s += timeout
        if self.now_s + 1e-9 == self.now_s:  # so late (97 days), a timer counts as due only once its time has passed
            self.now_s = math.nextafter(self.now_s, math.inf)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, starting at 0 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
