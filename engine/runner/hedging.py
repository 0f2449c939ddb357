"""Hedging: a task that takes longer than most of its stage gets a duplicate, and the first answer wins.

Source: Dean and Barroso, "The Tail at Scale" (CACM 2013), hedged requests: deferred until the first request has been
outstanding for longer than a quantile of the expected latency, which limits the additional load to a few per cent.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from lbench.engine.plan.policy import most_hedges
from lbench.engine.runner.retry import Pending

__all__ = ["Hedger", "Stragglers"]

_TICK_S = 0.001  # a straggler has passed the limit by so much: a task that returns right then gets no duplicate
_LEAST_RETURNED = 5
_RECOMPUTE = 1.02  # growth in the number of durations after which the quantile is computed again


class Hedger:
    """The hedging of one run: how long is too long in the current stage, and how many duplicates are left."""

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._tasks = 0
        self._issued = 0
        self._stage_issued = 0
        self._stage_most = 0
        self._needed = 0
        self._durations_s: list[float] = []
        self._limit_s: float | None = None
        self._recompute_at = 0

    def begin_stage(self, tasks: int) -> None:
        """Begin a stage: it starts without durations."""
        self._tasks += tasks
        self._stage_issued = 0
        self._stage_most = most_hedges(tasks)
        self._needed = max(_LEAST_RETURNED, math.ceil(tasks / 2))
        self._durations_s = []
        self._limit_s = None
        self._recompute_at = self._needed

    @property
    def spent(self) -> bool:
        """Whether no duplicate is left, for this stage or for all tasks so far."""
        return self._stage_issued >= self._stage_most or self._issued >= most_hedges(self._tasks)

    def returned(self, duration_s: float) -> None:
        """Add the duration of an attempt that brought a result, from its dispatch."""
        self._durations_s.append(duration_s)

    def issued(self) -> None:
        self._issued += 1
        self._stage_issued += 1

    def withdrawn(self) -> None:
        """Take a counted duplicate back: it was not sent."""
        self._issued -= 1
        self._stage_issued -= 1

    @property
    def limit_s(self) -> float | None:
        """The time after dispatch from which a task is a straggler; None: too few durations yet.

        It is the smallest duration that at least the quantile's share of the stage's durations do not exceed.
        """
        count = len(self._durations_s)
        if count >= self._recompute_at:
            self._durations_s.sort()
            self._limit_s = self._durations_s[max(0, math.ceil(self._quantile * count) - 1)]
            self._recompute_at = max(count + 1, math.floor(count * _RECOMPUTE))
        return self._limit_s


class Stragglers:
    """Watches the attempts of a run, and finds those that take longer than most of their stage."""

    def __init__(self, quantile: float) -> None:
        self._hedger = Hedger(quantile)
        self._found: Callable[[list[Pending]], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._watched: dict[int, tuple[Pending, float]] = {}  # by attempt, oldest first: its task and start
        self._timer: asyncio.TimerHandle | None = None

    def begin_stage(self, tasks: int, found: Callable[[list[Pending]], None]) -> None:
        """Begin a stage of so many tasks. `found` gets the tasks that need a duplicate, with `hedge_of` set."""
        self._hedger.begin_stage(tasks)
        self._found = found

    def stop(self) -> None:
        """End the stage."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def began(self, n: int, pending: Pending, began_s: float) -> None:
        """Watch attempt `n`, which began then, on the loop's clock."""
        if not pending.hedged:
            self._watched[n] = pending, began_s
            if self._timer is None:
                self._set_timer()

    def ended(self, n: int) -> None:
        """Watch attempt `n` no longer."""
        self._watched.pop(n, None)

    def returned(self, took_s: float) -> None:
        """Add the duration of an attempt that brought a result."""
        self._hedger.returned(took_s)
        self._set_timer()

    def withdraw(self, pending: Pending) -> None:
        """Take back the duplicate of a task: it is not sent."""
        pending.hedge_of = None
        self._hedger.withdrawn()

    def _set_timer(self) -> None:
        """Set the timer to the time at which the oldest attempt becomes a straggler."""
        limit_s = None if self._hedger.spent else self._hedger.limit_s
        if limit_s is None or not self._watched:
            return
        _, began_s = next(iter(self._watched.values()))
        due_s = began_s + limit_s + _TICK_S
        if self._timer is not None:
            if due_s >= self._timer.when() - _TICK_S:
                return  # it fires early enough, and sets itself again
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._find)

    def _find(self) -> None:
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
        self._set_timer()
        if found and self._found is not None:
            self._found(found)
