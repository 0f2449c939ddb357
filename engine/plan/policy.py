"""The policy of a run for its tasks: deadline, attempts and the time between them. Arithmetic only, no clock."""

from __future__ import annotations

import random

import msgspec

__all__ = ["THROTTLE_PATIENCE_S", "Policy", "backoff_s", "most_hedges"]

_SHARE = 20  # at most one task in so many is hedged

# The run fails after this time and a deadline in which the service accepted no call, or could not be reached.
THROTTLE_PATIENCE_S = 300.0


class Policy(msgspec.Struct, frozen=True):
    """Deadline, attempts, concurrency and hedging of a run."""

    timeout_s: float = 300.0  # a task's deadline
    retries: int = 2  # attempts after the first failure; throttles, calls never sent and lost siblings do not count
    concurrency: int | None = None  # None: the backend's capacity
    seed: int = 1  # for the backoff's jitter
    backoff_base_s: float = 0.1
    backoff_cap_s: float = 20.0
    keep_going: bool = False  # run the other tasks of a stage before a failed one fails the run
    hedge: float | None = None  # quantile of a stage's durations above which a task is a straggler; None: no hedging


def backoff_s(policy: Policy, failures: int, rng: random.Random, base_s: float | None = None) -> float:
    """Seconds before the next attempt after so many `failures` (1 or more): full jitter under a capped exponential.

    `base_s` replaces the policy's first ceiling.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015), the variant 'full jitter'.
    """
    first_s = policy.backoff_base_s if base_s is None else base_s
    ceiling = min(policy.backoff_cap_s, first_s * 2 ** min(failures - 1, 30))
    return rng.uniform(0, ceiling)


def most_hedges(tasks: int) -> int:
    """The most duplicates that so many tasks may have: 5 %, and at least one."""
    return max(1, tasks // _SHARE)
