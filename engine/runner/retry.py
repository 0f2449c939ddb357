"""Whether and when a task is tried again: its attempts and failures so far."""

from __future__ import annotations

import random

from lbench.engine.backends.base import SIBLING_LOST, Failure
from lbench.engine.billing.budget import Hold
from lbench.engine.plan.policy import THROTTLE_PATIENCE_S, Policy, backoff_s
from lbench.engine.runner.failure_text import failure_line
from lbench.workloads.model import Task

__all__ = ["Pending"]

_SIBLINGS_LIMIT = 100  # a task lost more often with its neighbours is the cause, not a victim


class Pending:
    """A task of the current stage. Times are on the loop's clock, except `queued_s`: on the run's."""

    __slots__ = (
        "attempts",
        "done",
        "encoded",
        "failures",
        "hedge_of",
        "hedged",
        "hold",
        "in_flight",
        "index",
        "keeps_place",
        "queued_s",
        "siblings",
        "task",
        "throttled_since_s",
        "throttles",
    )

    def __init__(self, index: int, task: Task, encoded: bytes, queued_s: float) -> None:
        self.index = index
        self.task = task
        self.encoded = encoded
        self.queued_s = queued_s
        self.attempts = 0
        self.failures = 0
        self.throttles = 0
        self.siblings = 0
        self.keeps_place = False  # counts towards the concurrency while it waits
        self.throttled_since_s: float | None = None
        self.done = False  # has its result, or has failed for good
        self.in_flight: set[int] = set()  # numbers of the attempts under way: two while it is hedged
        self.hedged = False  # has, or is about to get, its one duplicate
        self.hold: Hold | None = None  # the part of the budget reserved for its next attempt
        self.hedge_of: int | None = None  # number of the straggling attempt, while the duplicate waits for a place

    def wait_before_retry(
        self, failure: Failure, policy: Policy, rng: random.Random, *, now_s: float, accepted_s: float
    ) -> float | None:
        """Seconds to wait before the next attempt; None: the task has failed for good.

        Args:
            failure: why the attempt has no result.
            policy: the number of retries and the backoff.
            rng: source of the jitter.
            now_s: the current time.
            accepted_s: when the service last accepted any call of the run.
        """
        if failure.not_accepted:
            if self.throttled_since_s is None:
                self.throttled_since_s = now_s
            # While it accepts other calls, the service is only full, however long one task waits for its turn.
            if now_s - max(self.throttled_since_s, accepted_s) > THROTTLE_PATIENCE_S + policy.timeout_s:
                return None
            self.throttles += 1
            wait_s = backoff_s(policy, self.throttles, rng, failure.pause_s)
            return max(wait_s, min(failure.retry_after_s or 0.0, policy.backoff_cap_s))
        self.throttled_since_s = None
        if failure.type == SIBLING_LOST:
            self.siblings += 1
            return 0.0 if self.siblings <= _SIBLINGS_LIMIT else None
        self.failures += 1
        if not failure.retriable or self.failures > policy.retries:
            return None
        return backoff_s(policy, self.failures, rng, failure.pause_s)

    def why_it_failed(self, failure: Failure, policy: Policy) -> str:
        """One line on a task that has failed for good."""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        if failure.not_accepted:
            why = "all throttled" if failure.kind == "throttled" else "never reached the service"
            tries += f", {why} for {THROTTLE_PATIENCE_S + policy.timeout_s:g} s"
        return failure_line(self.task, self.index, tries, failure)
