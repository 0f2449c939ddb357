"""Transfer times: an environment's network as a token bucket, S3 by its latency and that network."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.parameters import LambdaModel

__all__ = ["fetch_s", "slow_start_s", "transfer_s"]

_FIRST_WINDOW_MB = 0.0146  # ten segments (RFC 6928)


def transfer_s(model: LambdaModel, megabytes: float) -> float:
    """Seconds for so many MB into or out of one environment: the bucket at full speed, what is above it at the baseline."""
    burst = min(megabytes, model.network_burst_mb.median)
    return burst / model.network_burst_mb_per_s.median + (megabytes - burst) / model.network_mb_per_s.median


def slow_start_s(megabytes: float, rtt_s: float, mb_per_s: float) -> float:
    """What an idle TCP connection adds to a transfer: its window doubles each round trip, up to the bandwidth."""
    if megabytes <= _FIRST_WINDOW_MB:
        return 0.0
    full_mb = max(_FIRST_WINDOW_MB, mb_per_s * rtt_s)
    rounds = math.log2(min(megabytes, full_mb) / _FIRST_WINDOW_MB)
    return max(0.0, rounds * rtt_s - _FIRST_WINDOW_MB * (2**rounds - 1) / mb_per_s)


def fetch_s(
    model: LambdaModel, rng: np.random.Generator, shape: int | tuple[int, ...], megabytes: float, requests: int = 1
) -> NDArray[np.float64]:
    """Seconds of a call's GETs of so many MB together, one after the other; 0 MB and 0 requests: none."""
    seconds = np.full(shape, transfer_s(model, megabytes))
    for _ in range(requests):
        seconds += model.s3_get_s.draw(rng, shape)
    return seconds
