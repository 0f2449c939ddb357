"""A task on its way to a result, and what a failed attempt of it means: how long to wait, or that it is over."""

from __future__ import annotations

import random

from lbench.engine.backends.base import SIBLING_LOST, Failure
from lbench.engine.billing.budget import Hold
from lbench.engine.plan.policy import THROTTLE_PATIENCE_S, Policy, backoff_s
from lbench.engine.runner.failure_text import blame

__all__ = ["Pending"]

_SIBLINGS_LIMIT = 100  # a task lost so often with its neighbours is not merely unlucky


class Pending:
    """A task of the current stage. Moments are on the loop's clock, but `queued_s` on the run's."""

    __slots__ = (
        "attempts",
        "done",
        "encoded",
        "failures",
        "flying",
        "hedge_of",
        "hedged",
        "hold",
        "holds",
        "index",
        "queued_s",
        "siblings",
        "throttled_since_s",
        "throttles",
    )

    def __init__(self, index: int, encoded: bytes, queued_s: float) -> None:
        self.index = index
        self.encoded = encoded
        self.queued_s = queued_s
        self.attempts = 0
        self.failures = 0
        self.throttles = 0
        self.siblings = 0
        self.holds = False  # keeps its place among the concurrent ones while it waits
        self.throttled_since_s: float | None = None
        self.done = False  # it has its result
        self.flying: set[int] = set()  # the attempts under way: two while it is hedged
        self.hedged = False  # it was, or is to be, issued once more; that happens once
        self.hold: Hold | None = None  # what is kept back of the budget for its next attempt
        self.hedge_of: int | None = None  # the straggling attempt's number, while its double waits for a place

    def wait_before_retry(
        self, failure: Failure, policy: Policy, rng: random.Random, *, now_s: float, taken_s: float
    ) -> float | None:
        """Seconds to wait before it is tried again; None: it is not.

        Args:
            failure: why the attempt has no result.
            policy: how often, and how long to wait.
            rng: of the jitter.
            now_s: the time.
            taken_s: when any call of the run was last taken by the service.
        """
        if failure.untaken:
            if self.throttled_since_s is None:
                self.throttled_since_s = now_s
            # While others are taken the service is only full, however long one task has to wait for its turn.
            if now_s - max(self.throttled_since_s, taken_s) > THROTTLE_PATIENCE_S + policy.timeout_s:
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
        """One line, for a task that is not tried again."""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        if failure.untaken:
            why = "all throttled" if failure.kind == "throttled" else "never heard"
            tries += f", {why} for {THROTTLE_PATIENCE_S + policy.timeout_s:g} s"
        return blame(self.encoded, self.index, tries, failure)
