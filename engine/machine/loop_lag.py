"""The lag of the event loop: by how much a timer of 20 ms is late, and whether the whole process stood still."""

from __future__ import annotations

import asyncio
import math
import sys
import time

__all__ = ["LagMeter"]

_PERIOD_S = 0.02
_STILL_S = 1.0  # no load delays a loop for so long without using the CPU: it was stopped
_STILL_CPU = 0.1  # of that time at most
_SLEPT_S = 0.5


class LagMeter:
    """Samples the running loop's lag from `start` to `stop`; 50 samples a second cost it about 0.1 % of a core."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lags_s: list[float] = []
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._cpu_s = 0.0  # of this process at the last look
        self._stopped_s = 0.0
        self._slept_before_s = 0.0
        self._slept_s = 0.0

    def start(self) -> None:
        self._slept_before_s = _sleep_s()
        self._await_tick(self._loop.time())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if (late_s := self._loop.time() - self._due_s) > 0:  # the loop was held up until now
                self._add(late_s)
            self._slept_s = _sleep_s() - self._slept_before_s

    @property
    def still_s(self) -> float:
        """How long this process was stopped or the machine slept from `start` to `stop`; 0.0: neither was seen.

        A stop shorter than a second is not seen. The time that a machine sleeps is not in the loop's clock.
        """
        return self._stopped_s + (self._slept_s if self._slept_s > _SLEPT_S else 0.0)

    def _tick(self) -> None:
        now_s = self._loop.time()
        self._add(max(0.0, now_s - self._due_s))
        self._await_tick(now_s)

    def _await_tick(self, now_s: float) -> None:
        self._cpu_s = time.process_time()
        self._due_s = now_s + _PERIOD_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def _add(self, late_s: float) -> None:
        self._lags_s.append(late_s)
        if late_s >= _STILL_S and time.process_time() - self._cpu_s < _STILL_CPU * late_s:
            self._stopped_s += late_s

    def quantile_ms(self, q: float) -> float | None:
        """A quantile of the lags in ms (nearest rank); None when the run was too short for a sample."""
        if not self._lags_s:
            return None
        ordered = sorted(self._lags_s)
        return round(ordered[max(0, math.ceil(q * len(ordered)) - 1)] * 1000, 3)


def _sleep_s() -> float:
    """How long the machine has slept since it was started; 0.0 where no clock says so."""
    if sys.platform == "linux":
        with_sleep, without = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC
    elif sys.platform == "darwin":
        with_sleep, without = time.CLOCK_MONOTONIC, time.CLOCK_UPTIME_RAW
    else:
        return 0.0
    try:
        return time.clock_gettime(with_sleep) - time.clock_gettime(without)
    except OSError:
        return 0.0
