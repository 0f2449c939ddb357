"""A quote: a backend's expected cost and its upper bound; and when to ask a person first."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_short

__all__ = ["Basis", "Expectation", "Quote", "question"]

Basis = Literal["measured", "emulated", "estimated"]  # on AWS; emulated here; from local workers


class Expectation(msgspec.Struct, frozen=True):
    """The expected cost of one run, from runs before it."""

    usd: Decimal
    basis: Basis
    text: str  # where it comes from, for a person
    assumed: tuple[str, ...] = ()  # items at another region's price


class Quote(msgspec.Struct, frozen=True):
    """The cost of a backend of a plan; only `lambda` spends money."""

    label: str
    spends: bool
    runs: int  # at the least, where `open`
    bound_usd: Decimal | None  # of one run; None: no bound
    left_out: tuple[str, ...]
    expected: Expectation | None
    origin: Literal["measured", "emulated", "simulated"] = "measured"
    assumed: tuple[str, ...] = ()  # items of the bound at another region's price (`cost.charges.assumed_items`)
    open: bool = False  # `--repeats auto` may measure more runs

    @property
    def bound_all_usd(self) -> Decimal | None:
        return None if self.bound_usd is None else self.bound_usd * self.runs

    @property
    def expected_all_usd(self) -> Decimal | None:
        """The expected cost of all runs."""
        return None if self.expected is None else self.expected.usd * self.runs


def question(quotes: list[Quote], ask_above_usd: float, max_usd: float | None) -> str | None:
    """Why a person should be asked before the start; None: no need.

    The expected cost decides; where it is unknown, the upper bound does.
    """
    spending = [quote for quote in quotes if quote.spends]
    threshold = Decimal(str(ask_above_usd))
    limit = None if max_usd is None else Decimal(str(max_usd))
    if not spending or (limit is not None and limit <= threshold):
        return None
    most = _all([quote.bound_all_usd for quote in spending])
    expected = _all([quote.expected_all_usd for quote in spending])
    if limit is not None:
        most = limit if most is None else min(most, limit)
    count = expected if expected is not None else most
    if count is not None and count <= threshold:
        return None
    labels = ", ".join(dict.fromkeys(quote.label for quote in spending))
    assumed = any(quote.assumed for quote in spending)
    at_most = "with no upper bound" if most is None else f"at most {usd_short(most, up=True, assumed=assumed)}"
    above = f"more than ask_above_usd = {usd_short(threshold)}"
    if expected is None:
        costs = "Its cost has no upper bound" if most is None else f"It costs {at_most}"
        return (
            f"cannot estimate the cost on {labels}: this job has not run yet (a local run is enough). {costs}, {above}"
        )
    assumed = any(quote.expected is not None and quote.expected.assumed for quote in spending)
    return f"{labels} is expected to cost {usd_short(expected, assumed=assumed)}, {at_most}: {above}"


def _all(amounts: list[Decimal | None]) -> Decimal | None:
    known = [usd for usd in amounts if usd is not None]
    return cost.total_usd(known) if len(known) == len(amounts) else None
