"""An event loop in virtual time: when only timers are pending, its clock jumps to the next one.

The runner's only clock is its loop's, so an hour of throttles and deadlines passes here in a moment, the same way each
time. Nothing on this loop may wait for a thread, a process or a socket.
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
    """Moves the clock to the next timer instead of sleeping until then."""

    def __init__(self, now_s: float, *, wakeable: bool) -> None:
        super().__init__()
        self.now_s = now_s
        self._wakeable = wakeable

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            if self._wakeable:
                return super().select(None)
            raise RuntimeError("deadlock on the virtual-time loop: a task waits, and nothing is pending")
        self.now_s += timeout
        if self.now_s + 1e-9 == self.now_s:  # after 97 days a timer is due only once its time has passed
            self.now_s = math.nextafter(self.now_s, math.inf)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time."""

    def __init__(self, now_s: float = 0.0, *, wakeable: bool = False) -> None:
        """Begin at that time. `wakeable`: where nothing is pending, wait for another thread's `call_soon_threadsafe`."""
        self._jumping = _JumpingSelector(now_s, wakeable=wakeable)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
