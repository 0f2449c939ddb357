"""Injected conditions: what becomes of each request, drawn from a seed in the order in which requests come."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

from lbench.engine.emulator.core.spec import Conditions

__all__ = ["Fate", "Weather"]


class Fate(NamedTuple):
    """What is done to one request."""

    out_s: float = 0.0  # on its way here
    back_s: float = 0.0  # on the answer's way
    refused: Literal["fail", "throttle"] | None = None
    lost: bool = False
    duplicate: bool = False


class Weather:
    """Draws the same number of figures for each request, so that one rate does not shift what another one hits."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._requests = random.Random(f"requests {conditions.seed}")
        self._environments = random.Random(f"environments {conditions.seed}")

    def fate(self) -> Fate:
        """Of the next request."""
        told, draw = self.conditions, self._requests.random
        jitter, fail, throttled, lost, duplicate = draw(), draw(), draw(), draw(), draw()
        trip_s = (told.latency_ms + told.jitter_ms * jitter) / 1000
        refused: Literal["fail", "throttle"] | None = None
        if throttled < told.throttle_rate:
            refused = "throttle"
        elif fail < told.fail_rate:
            refused = "fail"
        return Fate(trip_s / 2, trip_s / 2, refused, lost < told.lost_rate, duplicate < told.duplicate_rate)

    def slowness(self) -> float:
        """How many times as long the next new environment takes for all it does."""
        return self.conditions.slow_factor if self._environments.random() < self.conditions.slow_rate else 1.0
