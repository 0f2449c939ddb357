"""Paying for each run against a machine rented by the hour."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from lbench.analysis.series import Series
from lbench.analysis.statistics import Estimate

__all__ = ["BreakEven", "break_even_runs", "break_evens"]


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """From how many runs an hour on a machine rented by the hour costs less than paying for each run."""

    at: float
    paid: str  # `Series.name` of what is paid a run
    machine: str  # of the fastest backend on the machine
    machine_usd_per_hour: Decimal
    run_usd: Estimate
    runs_an_hour: float
    low: float | None  # by the interval of the billed amounts
    high: float | None
    most_an_hour: float  # that the machine can do

    @property
    def reachable(self) -> bool:
        """Whether the machine can do so many; else paying for each run is always cheaper."""
        return self.runs_an_hour <= self.most_an_hour

    @property
    def runs_a_day(self) -> float:
        """The same for a machine that is rented day and night."""
        return 24 * self.runs_an_hour


def break_even_runs(machine_usd_per_hour: float, run_usd: float) -> float:
    """Runs an hour from which a machine rented by the hour costs less than paying for each run."""
    return machine_usd_per_hour / run_usd


def break_evens(series: Sequence[Series], places: tuple[float, ...], hourly: Decimal | None) -> list[BreakEven]:
    """For each place the series that are paid by the run, against the fastest on the machine; `hourly`: its price."""
    if hourly is None:
        return []
    found = []
    for place in places:
        local = [
            (point.makespan_s.value, one)
            for one in series
            if one.local and (point := one.at(place)) is not None and point.makespan_s is not None
            if point.makespan_s.value > 0
        ]
        if not local:
            continue
        fastest_s, machine = min(local, key=lambda pair: pair[0])
        for one in series:
            point = one.at(place)
            if point is None or point.usd is None or point.usd.value <= 0:
                continue
            usd, price = point.usd, float(hourly)
            found.append(
                BreakEven(
                    at=place,
                    paid=one.name,
                    machine=machine.name,
                    machine_usd_per_hour=hourly,
                    run_usd=usd,
                    runs_an_hour=break_even_runs(price, usd.value),
                    low=break_even_runs(price, usd.high) if usd.high else None,
                    high=break_even_runs(price, usd.low) if usd.low else None,
                    most_an_hour=3600 / fastest_s,
                )
            )
    return found
