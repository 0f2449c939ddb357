"""How a run treats its tasks: deadline, attempts and how long to wait between them. Arithmetic only, no clock."""

from __future__ import annotations

import random

import msgspec

__all__ = ["THROTTLE_PATIENCE_S", "Policy", "backoff_s", "most_hedges"]

_SHARE = 20  # at most one task in so many is hedged

THROTTLE_PATIENCE_S = (
    300.0  # so long, and a deadline, without any call being taken, or reaching anybody: then the run fails
)


class Policy(msgspec.Struct, frozen=True):
    """How a run treats its tasks."""

    timeout_s: float = 300.0  # a task's deadline
    retries: int = 2  # more attempts after a failed one; throttles, calls never sent and lost siblings don't count
    concurrency: int | None = None  # None: the backend's capacity
    seed: int = 1  # of the backoff's jitter
    backoff_base_s: float = 0.1
    backoff_cap_s: float = 20.0
    keep_going: bool = False  # a task that failed for good fails the run only after the others of its stage have run
    hedge: float | None = None  # the quantile of a stage's durations that makes a straggler; None: no hedging


def backoff_s(policy: Policy, failures: int, rng: random.Random, base_s: float | None = None) -> float:
    """Seconds before the next attempt, after `failures` (from 1) of them: full jitter under a capped exponential.

    `base_s` is what it begins with, where that is not the policy's.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015), the variant 'full jitter'.
    """
    first_s = policy.backoff_base_s if base_s is None else base_s
    ceiling = min(policy.backoff_cap_s, first_s * 2 ** min(failures - 1, 30))
    return rng.uniform(0, ceiling)


def most_hedges(tasks: int) -> int:
    """The most duplicates that so many tasks may have: 5 %, and at least one."""
    return max(1, tasks // _SHARE)
