"""A spending limit that cannot be passed: each attempt's worst case is kept back before it is dispatched.

What an attempt has cost replaces what was kept back for it once that is known. What is never known (it was abandoned, or
its answer lost) stays at its worst case, so the bill, which estimates it, is never more than what counts here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from decimal import Decimal

from lbench.config.limits import limits
from lbench.engine.backends.base import Outcome
from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_short
from lbench.engine.model import Pricing
from lbench.errors import LbenchError

__all__ = ["Budget", "Hold", "OverBudget", "Purse", "attempt_usd", "beyond_deadline_usd", "worst_attempt_usd"]

_ZERO = Decimal(0)


class OverBudget(LbenchError):
    """The next attempt might pass the spending limit."""


class Budget:
    """What all runs of a plan may cost together."""

    def __init__(self, limit_usd: Decimal) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = _ZERO  # known, or the worst case where the cost is never known
        self.kept_usd = _ZERO  # the worst case of what is in flight
        self.in_flight = 0
        self.limit_reported = False
        self._waiting: dict[Purse, Callable[[], None]] = {}

    @property
    def left_usd(self) -> Decimal:
        """What may still be kept back."""
        return _less(self.limit_usd, _sum(self.spent_usd, self.kept_usd))

    def keep(self, worst_usd: Decimal) -> bool:
        """Keep back an attempt's worst case; False: it does not fit."""
        if worst_usd > self.left_usd:
            return False
        self.kept_usd = _sum(self.kept_usd, worst_usd)
        self.in_flight += 1
        return True

    def release(self, kept_usd: Decimal, spent_usd: Decimal) -> None:
        """End an attempt: free what was kept back for it, and add what it cost."""
        self.kept_usd = _less(self.kept_usd, kept_usd)
        self.spent_usd = _sum(self.spent_usd, spent_usd)
        self.in_flight -= 1
        waiting, self._waiting = self._waiting, {}
        for callback in waiting.values():
            asyncio.get_running_loop().call_soon(callback)

    def spend(self, usd: Decimal) -> None:
        """Add a cost outside the attempts."""
        self.spent_usd = _sum(self.spent_usd, usd)

    def wait(self, purse: Purse, callback: Callable[[], None] | None) -> None:
        """Call `callback` once when something has been released; None: cancel the call."""
        self._waiting.pop(purse, None)
        if callback is not None:
            self._waiting[purse] = callback


class Hold:
    """The amount kept back for one attempt, until `settle` or `give_back`."""

    __slots__ = ("_budget", "_kept_usd", "_pricing", "_since_s")

    def __init__(self, budget: Budget, pricing: Pricing, kept_usd: Decimal) -> None:
        self._budget = budget
        self._pricing = pricing
        self._kept_usd = kept_usd
        self._since_s = asyncio.get_running_loop().time()

    def may_fetch(self, size_bytes: int) -> bool:
        """Whether a result of so many bytes may be fetched from S3: it leaves AWS, and no worst case knows its size."""
        rates = self._pricing.rates
        assert rates is not None
        usd = cost.transfer_usd(rates, size_bytes)
        if usd is None:
            return True
        if usd > self._budget.left_usd:
            return False
        self._budget.kept_usd = _sum(self._budget.kept_usd, usd)
        self._kept_usd = _sum(self._kept_usd, usd)
        return True

    def give_back(self) -> None:
        """The attempt was not made."""
        self._budget.release(self._kept_usd, _ZERO)

    def settle(self, outcome: Outcome | None) -> None:
        """The attempt is over; None: it was abandoned, and may cost anything up to its worst case."""
        known = None if outcome is None else attempt_usd(self._pricing, outcome, self._billed_ms(outcome))
        if known is None and outcome is not None and self._has_lost_its_deadline(outcome):
            known = _sum(self._kept_usd, beyond_deadline_usd(self._pricing))
        self._budget.release(self._kept_usd, self._kept_usd if known is None else known)

    def _has_lost_its_deadline(self, outcome: Outcome) -> bool:
        """Whether an attempt gave no reply for so long that nothing seems to have ended it at its deadline."""
        if outcome.failure is None or outcome.failure.kind != "timeout" or self._pricing.print_limit_bytes is None:
            return False
        took_s = asyncio.get_running_loop().time() - self._since_s
        return took_s * 1000 > cost.worst_ms(self._pricing.deadline_s)

    def _billed_ms(self, outcome: Outcome) -> int | None:
        """What was billed at most: where that is an estimate, which is low by what the handler cannot see, all the time
        that the attempt took. None: as the outcome says.
        """
        if outcome.billed_ms is None or outcome.billed_source != "estimated":
            return None
        ended_s = asyncio.get_running_loop().time() if outcome.returned_s is None else outcome.returned_s
        took_ms = math.ceil((ended_s - outcome.collected_s - self._since_s) * 1000)
        return min(max(outcome.billed_ms, took_ms), cost.worst_ms(self._pricing.deadline_s))


class Purse:
    """One run's access to the budget, at the run's own prices."""

    def __init__(self, budget: Budget, pricing: Pricing, s3_each: dict[str, int]) -> None:
        """`s3_each`: the S3 requests that an attempt can make at most, {"put": n, "get": n}."""
        self._budget = budget
        self._pricing = pricing
        self._worst_usd = worst_attempt_usd(pricing, s3_each)
        self._own_s3: Mapping[str, int] = {}
        self._counted: dict[str, int] = {}

    @property
    def in_use(self) -> bool:
        """Whether anything in flight, of any run, may still give something back."""
        return self._budget.in_flight > 0

    @property
    def affords_one(self) -> bool:
        """Whether there is enough for an attempt."""
        return self._worst_usd <= self._budget.left_usd

    def take(self) -> Hold | None:
        """Keep back one attempt's worst case; None: it does not fit now."""
        self.count_own()
        return Hold(self._budget, self._pricing, self._worst_usd) if self._budget.keep(self._worst_usd) else None

    def watch(self, own_s3: Mapping[str, int]) -> None:
        """S3 requests outside every attempt (the data set, listings) are counted here, by the backend, as they are made."""
        self._own_s3, self._counted = own_s3, {}

    def count_own(self) -> None:
        """Spend what these requests have cost since the last look. While attempts are in flight their worst case has it."""
        rates = self._pricing.rates
        assert rates is not None
        now = {name: self._own_s3.get(name, 0) for name in ("put", "get")}
        usd = cost.s3_usd(rates, {name: count - self._counted.get(name, 0) for name, count in now.items()})
        self._counted = now
        if usd:
            self._budget.spend(usd)

    def wait(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` when an attempt in flight has released money; None: cancel the call."""
        self._budget.wait(self, callback)

    def limited(self, in_flight: int, capacity: int) -> str | None:
        """A message, once, when the budget rather than the backend limits concurrency."""
        if self._budget.limit_reported or in_flight >= capacity:
            return None
        self._budget.limit_reported = True
        limit = usd_short(self._budget.limit_usd)
        return (
            f"--max-usd {limit} limits concurrency: {in_flight} of {capacity} at once, as each may cost "
            f"{usd_short(self._worst_usd, up=True)} at worst; a shorter --timeout or less --memory lets more run"
        )

    def why_it_stopped(self) -> str:
        """The reason in one line, with the remedy."""
        budget = self._budget
        return (
            f"stopped by --max-usd {usd_short(budget.limit_usd)}: {usd_short(budget.spent_usd)} is spent "
            f"and another attempt may cost {usd_short(self._worst_usd, up=True)} (its deadline at full price): "
            "raise it, or lower --timeout, --memory or --retries"
        )


def attempt_usd(pricing: Pricing, outcome: Outcome, billed_ms: int | None = None) -> Decimal | None:
    """What one attempt adds to its run's bill; None where it ran and its billed time is not known.

    `billed_ms` is taken for that time instead of the outcome's own.
    """
    assert pricing.rates is not None and pricing.memory_mb is not None
    failure = outcome.failure
    unrun = failure is not None and (failure.unrun or failure.kind == "throttled")
    if billed_ms is None:
        billed_ms = outcome.billed_ms
    if billed_ms is None and not unrun:
        return None
    calls = 0 if unrun else 1
    printed = outcome.printed_bytes
    if printed is None:  # nothing counted it: it may be all that is allowed
        printed = (pricing.print_limit_bytes or 0) * calls
    tail = None if failure is None else failure.log_tail
    printed += len((tail or "").encode())
    bill = cost.run_cost(
        pricing.rates,
        (billed_ms or 0) * calls,
        memory_mb=pricing.memory_mb,
        ephemeral_mb=pricing.ephemeral_mb,
        requests=calls,
        s3_requests=outcome.s3_requests,
        transfer_bytes=outcome.response_bytes or 0,
        log_bytes=cost.log_bytes(calls, calls if outcome.cold else 0, printed, marked=pricing.marked),
    )
    return bill.usd


def beyond_deadline_usd(pricing: Pricing) -> Decimal:
    """What an attempt costs beyond its worst case if it outlives its deadline, up to the function's timeout."""
    assert pricing.rates is not None and pricing.memory_mb is not None
    more_ms = max(0, cost.lost_deadline_ms() - cost.worst_ms(pricing.deadline_s))
    more = cost.invocation_usd(pricing.rates, more_ms, pricing.memory_mb, pricing.ephemeral_mb)
    return _sum(more.duration, more.storage)


def worst_attempt_usd(pricing: Pricing, s3_each: Mapping[str, int]) -> Decimal:
    """The most that one attempt can add to its run's bill, but for a result fetched from S3, whose size is not known.

    Args:
        pricing: of a run that is charged.
        s3_each: the S3 requests that an attempt can make at most, {"put": n, "get": n}.
    """
    assert pricing.rates is not None and pricing.memory_mb is not None
    lambda_limits = limits()
    bill = cost.run_cost(
        pricing.rates,
        cost.worst_ms(pricing.deadline_s),
        memory_mb=pricing.memory_mb,
        ephemeral_mb=pricing.ephemeral_mb,
        requests=1,
        s3_requests=s3_each,
        transfer_bytes=lambda_limits.response_max_bytes,
        log_bytes=cost.log_bytes(
            1, 1, lambda_limits.log_tail_max_bytes + (pricing.print_limit_bytes or 0), marked=pricing.marked
        ),
    )
    assert bill.usd is not None
    return bill.usd


def _sum(one: Decimal, other: Decimal) -> Decimal:
    total = cost.total_usd([one, other])
    assert total is not None
    return total


def _less(one: Decimal, other: Decimal) -> Decimal:
    return _sum(one, other.copy_negate())  # a minus sign would round to 28 digits
