"""Injected faults: latency, throttling, errors, lost and duplicate replies, drawn from a seed in request order."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

from lbench.engine.emulator.core.spec import Conditions

__all__ = ["Fate", "Weather"]


class Fate(NamedTuple):
    """The faults of one request."""

    out_s: float = 0.0  # delay of the request
    back_s: float = 0.0  # delay of the reply
    refused: Literal["fail", "throttle"] | None = None
    lost: bool = False
    duplicate: bool = False


class Weather:
    """Draws faults. Each request takes the same number of draws, so that one rate does not change another's hits."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._requests = random.Random(f"requests {conditions.seed}")
        self._environments = random.Random(f"environments {conditions.seed}")

    def fate(self) -> Fate:
        """The faults of the next request."""
        conditions, draw = self.conditions, self._requests.random
        jitter, fail, throttled, lost, duplicate = draw(), draw(), draw(), draw(), draw()
        trip_s = (conditions.latency_ms + conditions.jitter_ms * jitter) / 1000
        refused: Literal["fail", "throttle"] | None = None
        if throttled < conditions.throttle_rate:
            refused = "throttle"
        elif fail < conditions.fail_rate:
            refused = "fail"
        return Fate(trip_s / 2, trip_s / 2, refused, lost < conditions.lost_rate, duplicate < conditions.duplicate_rate)

    def slowness(self) -> float:
        """The factor by which the next new environment is slower."""
        return self.conditions.slow_factor if self._environments.random() < self.conditions.slow_rate else 1.0
