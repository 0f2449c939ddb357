"""Hedging: a task that takes longer than most of its stage is issued once more, and the first answer wins.

Source: Dean and Barroso, "The Tail at Scale" (CACM 2013), hedged requests: deferred until the first request has been
outstanding for longer than a quantile of the expected latency, which limits the additional load to a few per cent.
"""

from __future__ import annotations

import math

__all__ = ["Hedger", "most_hedges"]

_SHARE = 20  # one task in so many, at most
_LEAST_RETURNED = 5
_ANEW = 1.02  # the quantile is worked out anew when there are so many times as many durations


def most_hedges(tasks: int) -> int:
    """So many of these tasks are issued once more at most: 5 %, and one where that is less than one."""
    return max(1, tasks // _SHARE)


class Hedger:
    """One run's hedging: how long is too long in the current stage, and how many may still be issued once more."""

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._tasks = 0
        self._issued = 0
        self._stage_issued = 0
        self._stage_most = 0
        self._needed = 0
        self._durations_s: list[float] = []
        self._limit_s: float | None = None
        self._anew_at = 0

    def begin_stage(self, tasks: int) -> None:
        """Another stage: its durations are its own."""
        self._tasks += tasks
        self._stage_issued = 0
        self._stage_most = most_hedges(tasks)
        self._needed = max(_LEAST_RETURNED, math.ceil(tasks / 2))
        self._durations_s = []
        self._limit_s = None
        self._anew_at = self._needed

    @property
    def spent(self) -> bool:
        """Nothing more may be issued once more: of this stage, or of all tasks so far."""
        return self._stage_issued >= self._stage_most or self._issued >= most_hedges(self._tasks)

    def returned(self, duration_s: float) -> None:
        """A task has its result, so long after the dispatch of the attempt that brought it."""
        self._durations_s.append(duration_s)

    def issued(self) -> None:
        """A task is issued once more."""
        self._issued += 1
        self._stage_issued += 1

    def withdrawn(self) -> None:
        """It was not, after all."""
        self._issued -= 1
        self._stage_issued -= 1

    @property
    def limit_s(self) -> float | None:
        """A task that was dispatched longer ago than this is a straggler; None: it is too early to say.

        The smallest duration that at least the quantile's share of the stage's durations do not exceed.
        """
        count = len(self._durations_s)
        if count >= self._anew_at:
            self._durations_s.sort()
            self._limit_s = self._durations_s[max(0, math.ceil(self._quantile * count) - 1)]
            self._anew_at = max(count + 1, math.floor(count * _ANEW))
        return self._limit_s
