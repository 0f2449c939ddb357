"""Watches the attempts under way, and names those that take longer than most of their stage (`engine.hedging`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lbench.engine.runner.hedging import Hedger
from lbench.engine.runner.task_state import Pending

__all__ = ["Stragglers"]

_TICK_S = 0.001  # a straggler has passed the limit by so much: what returns right then is not issued once more


class Stragglers:
    """One run's."""

    def __init__(self, quantile: float) -> None:
        self._hedger = Hedger(quantile)
        self._found: Callable[[list[Pending]], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._watched: dict[int, tuple[Pending, float]] = {}  # by attempt, the oldest first: its task, and since when
        self._timer: asyncio.TimerHandle | None = None

    def begin_stage(self, tasks: int, found: Callable[[list[Pending]], None]) -> None:
        """Another stage, of so many tasks. `found` gets those that are to be issued once more, with `hedge_of` set."""
        self._hedger.begin_stage(tasks)
        self._found = found

    def stop(self) -> None:
        """The stage is over."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def began(self, n: int, pending: Pending, began_s: float) -> None:
        """Attempt `n` is under way since then, on the loop's clock."""
        if not pending.hedged:
            self._watched[n] = pending, began_s
            if self._timer is None:
                self._look_out()

    def ended(self, n: int) -> None:
        """Attempt `n` is over."""
        self._watched.pop(n, None)

    def returned(self, took_s: float) -> None:
        """A task has its result, from an attempt that took so long."""
        self._hedger.returned(took_s)
        self._look_out()

    def withdraw(self, pending: Pending) -> None:
        """It is not issued once more after all."""
        pending.hedge_of = None
        self._hedger.withdrawn()

    def _look_out(self) -> None:
        """Set the timer to the moment at which the oldest attempt will be a straggler."""
        limit_s = None if self._hedger.spent else self._hedger.limit_s
        if limit_s is None or not self._watched:
            return
        _, began_s = next(iter(self._watched.values()))
        due_s = began_s + limit_s + _TICK_S
        if self._timer is not None:
            if due_s >= self._timer.when() - _TICK_S:
                return  # it comes early enough, and looks again
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        found: list[Pending] = []
        while self._watched and not self._hedger.spent and (limit_s := self._hedger.limit_s) is not None:
            n, (pending, began_s) = next(iter(self._watched.items()))
            if now_s - began_s <= limit_s:
                break
            del self._watched[n]
            self._hedger.issued()
            pending.hedged, pending.hedge_of = True, n
            found.append(pending)
        self._look_out()
        if found and self._found is not None:
            self._found(found)
