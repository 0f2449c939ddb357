"""The number of idle environments that are left after a pause, and the rate of new ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["cold_share", "ramp_wait_s", "warm_after"]


def warm_after(environments: int, idle_s: float, halving_s: float = 380.0, last_s: float = 600.0) -> int:
    """How many of so many idle environments are left: half of them, rounded up, after each period; a last one goes too.

    Measured on AWS in 2020 for 2 to 20 environments of 128 and 1,536 MB (SeBS): 5 become 3, 2, 1, 0. One that was alone
    from the start is kept for `last_s` (SimFaaS, 2020).
    """
    if environments == 1:
        return int(idle_s < last_s)
    left = environments
    for _ in range(min(math.floor(idle_s / halving_s), 64)):
        left = 0 if left <= 1 else math.ceil(left / 2)
    return left


def cold_share(environments: int, runs_per_day: float, halving_s: float = 380.0) -> float:
    """The share of cold calls when a job with so many environments runs at regular times, so often a day."""
    if runs_per_day <= 0:
        return 1.0
    return 1.0 - warm_after(environments, 86_400 / runs_per_day, halving_s) / environments


def ramp_wait_s(new: int, burst: float = 1000.0, period_s: float = 10.0) -> NDArray[np.float64]:
    """How long each of so many new environments waits for the ramp: `burst` at once, then as many each period, evenly.

    shape (new,), in seconds after the first.
    """
    return np.maximum(np.arange(new, dtype=np.float64) + 1 - burst, 0.0) * period_s / burst
