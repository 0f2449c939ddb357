"""The results in dollars: a run, a thousand runs, a rented machine, and the number of runs where they meet."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec

from lbench.analysis.comparison import Comparison, Summary
from lbench.errors import count_text

__all__ = ["Decision", "decide", "shared_cores_note"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The cheapest Lambda-like backend against a rented machine like this one."""

    label: str
    origin: str
    run_usd: Decimal
    thousand_usd: Decimal
    machine_usd_per_hour: Decimal | None  # of an equal machine; None: no price is known
    break_even_runs: int | None  # an hour, from which the rented machine is cheaper; None: no local run tells
    can_do: bool  # whether the machine can do so many


def decide(comparison: Comparison, machine_usd_per_hour: Decimal | None) -> Decision | None:
    """The decision, once a run on a Lambda-like backend has a price."""
    priced = [summary for summary in comparison.summaries if summary.region is not None and summary.usd]
    if not priced:
        return None
    best = min(priced, key=lambda summary: summary.usd or Decimal(0))
    assert best.usd is not None
    here_s = [
        one.makespan_s.value
        for one in comparison.summaries
        if one.local and not one.priced_by_worker and one.makespan_s is not None
    ]
    runs = None if machine_usd_per_hour is None or not here_s else math.ceil(machine_usd_per_hour / best.usd)
    return Decision(
        label=best.label,
        origin=best.origin,
        run_usd=best.usd,
        thousand_usd=best.usd * 1000,
        machine_usd_per_hour=machine_usd_per_hour,
        break_even_runs=runs,
        can_do=runs is not None and runs * min(here_s) <= 3600,
    )


def shared_cores_note(summary: Summary, cores: float | None) -> str | None:
    """What an emulated backend cannot show on this machine: environments share its cores here."""
    if summary.origin != "emulated" or summary.capacity is None or cores is None:
        return None
    places, own = count_text(summary.capacity, "environment"), count_text(max(1, round(cores)), "core")
    verb = "shares" if summary.capacity == 1 else "share"
    return f"{places} {verb} this machine's {own} here; AWS gives each its own"
