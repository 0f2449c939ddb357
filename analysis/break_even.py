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
    host: str | None = None  # its name, where several machines take part
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


def break_evens(series: Sequence[Series], places: tuple[float, ...]) -> list[BreakEven]:
    """For each place the series that are paid by the run, against the machine that is cheaper from the fewest runs on.

    A machine is as fast as its fastest backend; of several one that can do so many comes first.
    """
    found = []
    for place in places:
        fastest: dict[tuple[str | None, Decimal], tuple[float, Series]] = {}
        for one in series:
            point = one.at(place)
            if not one.local or point is None or point.usd_per_hour is None or point.makespan_s is None:
                continue
            if point.makespan_s.value > 0:
                own = (point.makespan_s.value, one)
                machine = (one.machine, point.usd_per_hour)
                fastest[machine] = min(fastest.get(machine, own), own, key=lambda pair: pair[0])
        for one in series:
            point = one.at(place)
            if point is None or point.usd is None or point.usd.value <= 0 or not fastest:
                continue
            offers = [_break_even(place, one.name, point.usd, price, *own) for (_, price), own in fastest.items()]
            found.append(min(offers, key=lambda offer: (not offer.reachable, offer.runs_an_hour)))
    return found


def _break_even(place: float, paid: str, usd: Estimate, hourly: Decimal, seconds: float, machine: Series) -> BreakEven:
    price = float(hourly)
    return BreakEven(
        at=place,
        paid=paid,
        machine=machine.name,
        host=machine.machine,
        machine_usd_per_hour=hourly,
        run_usd=usd,
        runs_an_hour=break_even_runs(price, usd.value),
        low=break_even_runs(price, usd.high) if usd.high else None,
        high=break_even_runs(price, usd.low) if usd.low else None,
        most_an_hour=3600 / seconds,
    )
