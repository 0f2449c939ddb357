"""The ways to run a job, as a table has them, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from lbench.analysis.statistics import Estimate
from lbench.config.limits import limits
from lbench.errors import InputError

__all__ = ["BreakEven", "Option", "Options", "Runs", "Sensitivity", "parse_runs", "preferred"]

Kind = Literal["local", "lambda", "rented", "cluster"]
Basis = Literal["predicted", "model", "measured"]

DAY_S = 86_400.0
REPLICATIONS = 200
LEAST_REPLICATIONS = 40  # fewer do not have a 95 % interval
RUN_SIGMA = 0.03  # of times here, from run to run; the sample is such a run too
HEADROOM = 1.25  # of a function's memory over the peak here
_MOST_RUNS = 1_000_000  # a day


class Runs(msgspec.Struct, frozen=True):
    """How often the job will run: once, so many times a day, or one run after the other all day (None)."""

    per_day: float | None
    once: bool = False

    @property
    def text(self) -> str:
        """As on the command line."""
        return "1" if self.once else "always" if self.per_day is None else f"{self.per_day:g}/day"

    def a_day(self, makespan_s: float) -> float | None:
        """How many runs a day that is; None: one alone."""
        if self.once:
            return None
        return self.per_day if self.per_day is not None else DAY_S / max(makespan_s, 1e-3)


def parse_runs(text: str) -> Runs:
    """What `--runs` says.

    Raises:
        InputError: it is neither 1, nor N/day, nor always.
    """
    wrong = InputError(
        f"--runs must be 1, N/day (for example 10/day; N above 0 and at most {_MOST_RUNS:,}) or always, got {text}"
    )
    word = text.strip().lower()
    if word == "1":
        return Runs(None, once=True)
    if word == "always":
        return Runs(None)
    number, slash, unit = word.partition("/")
    try:
        count = float(number)
    except ValueError:
        raise wrong from None
    if not slash or unit.strip() != "day" or not 0 < count <= _MOST_RUNS:
        raise wrong
    return Runs(count)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run the job. Dollars are of a run; None: nothing is charged, or (not `priced`) nobody knows how much."""

    name: str
    kind: Kind
    basis: Basis
    makespan_s: Estimate
    start_s: float  # before the job can begin
    usd: Decimal | None
    usd_high: Decimal | None  # where the price itself is not fixed
    usd_day: Decimal | None  # at the given number of runs; None: once
    needs: str
    places: int  # tasks at once
    memory_mb: int | None = None
    temperature: str | None = None  # of Lambda: "cold", "warm" or "4 of 100 warm"; of a cluster's workers
    old: bool = False  # its price is older than prices stay true
    priced: bool = True
    usd_interval: tuple[Decimal, Decimal] | None = None  # of a run, as the makespan's
    measured: str | None = None  # the day on which it was, and the session that has the runs
    session: str | None = None

    @property
    def whole_s(self) -> float:
        """From the decision to the answer."""
        return self.start_s + self.makespan_s.value


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the answer depends on one assumption: Lambda's makespan at both of its ends."""

    name: str
    text: str  # what it is, and its ends
    low_s: float
    high_s: float
    usd_low: Decimal
    usd_high: Decimal

    @property
    def factor(self) -> float:
        """The longest makespan over the shortest."""
        ends = sorted((self.low_s, self.high_s))
        return ends[1] / ends[0] if ends[0] > 0 else math.inf


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """Runs a day up to which Lambda costs less than the smallest rented machine that is always on."""

    runs: int | None  # None: more than that machine could do
    low: int  # of the interval, by the dollars of a run
    high: int
    low_beyond: bool  # whether the machine could not even do `low` runs a day
    machine: str
    usd_day: Decimal  # that the machine costs


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, with what follows."""

    rows: list[Option]
    runs: Runs
    sensitivity: list[Sensitivity]  # the three that matter most, the first most
    free_runs_month: int  # that AWS's free tier would cover
    break_even: BreakEven | None  # None: Lambda costs nothing there
    longest_s: float  # of the tasks, on a vCPU of Lambda
    longest_high_s: float  # the same at the high end of the core ratio
    core_ratio: tuple[float, float, float]

    @property
    def fits_lambda(self) -> bool:
        """Whether the longest task ends within the time that Lambda allows; `lbench check` has the other limits."""
        return self.longest_s <= limits().timeout_max_s

    @property
    def here(self) -> Option:
        """The best on this machine."""
        return min((row for row in self.rows if row.kind == "local"), key=lambda row: row.makespan_s.value)

    @property
    def on_lambda(self) -> Option:
        """The best on Lambda: the fastest, of equals (within 5 %) the cheapest."""
        return preferred(self.rows)

    @property
    def fastest(self) -> Option:
        """The one with the answer first, start-up included; of Lambda's sizes `on_lambda`."""
        rows = [row for row in self.rows if row.kind != "lambda" or self.fits_lambda]
        first = min(rows, key=lambda row: row.whole_s)
        return self.on_lambda if first.kind == "lambda" else first


def preferred(rows: Iterable[Option]) -> Option:
    """Of Lambda's sizes the fastest, of equals (within 5 %) the cheapest."""
    sizes = [row for row in rows if row.kind == "lambda"]
    fastest_s = min(row.makespan_s.value for row in sizes)
    near = [row for row in sizes if row.makespan_s.value <= fastest_s * 1.05]
    return min(near, key=lambda row: row.usd or Decimal(0))
