"""Comparison of backends: makespan, speedup and cost of each over its repeats, cold and warm apart.

The caller passes the arithmetic of a bill (`Bill`), because this package knows sessions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from statistics import median
from typing import Any, Literal

import msgspec
import numpy as np

from lbench.analysis.statistics import (
    CLAIM_LEVEL,
    LEAST_CLAIM,
    Estimate,
    coefficient_of_variation,
    holm,
    median_estimate,
    paired_p,
    paired_ratio_estimate,
    quantile,
    quantile_estimates,
    ratio_estimate,
    unpaired_p,
)
from lbench.engine.cost.charges import RunCost
from lbench.engine.model import Origin
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView

__all__ = [
    "Bill",
    "Claim",
    "Comparison",
    "Line",
    "Summary",
    "Temperature",
    "by_label",
    "claim_of",
    "compare",
    "is_cold",
    "makespans",
    "places_used",
    "price_basis",
    "runs_of_line",
    "summarise",
    "warm_quantiles",
]

Bill = Callable[[RunView, float | None], RunCost]  # (run, seconds since its start or None) -> its bill so far
# equal, differ: without a reference, all runs of all backends gave the same answer, or they did not
AnswerState = Literal["same", "wrong", "equal", "differ", "unchecked", "uncomputed", "none"]
Temperature = Literal["cold", "warm"]
# open: the interval contains 1; unsettled: too few values for a claim. Only the first two claim a difference.
Claim = Literal["faster", "slower", "open", "unsettled"]

_OK = STATUSES.index("ok")
_BASELINES = ("loop", "sequential")  # the first of these that has a makespan; else the plan's first backend


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the comparison: the repeats of a backend, or its cold or its warm ones, without warm-up runs."""

    temperature: Temperature | None  # None: the backend has no cold starts
    repeats: int
    repeats_ok: int  # whose answer is right or was not checked, and which were not paused
    paused: int = 0  # repeats that ended as well, but were paused while their clock ran
    stopped: int = 0  # repeats without an end of their own, or under way
    makespan_s: Estimate | None  # of the repeats that were ok
    speedup: Estimate | None = None  # against the baseline's main line
    paired: bool = False  # the speedup is of runs of the same round
    claim: Claim | None = None  # None: the baseline itself, or nothing to compare
    comparisons: int = 0  # for which the claim is corrected
    cold_starts: int | None  # over all repeats; None: does not apply
    init_p50_ms: float | None
    usd: Decimal | None  # a run's bill, the median over the repeats
    rent_usd: Decimal | None  # of an equal machine for a run, the median; local backends only


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one backend. Warm-up runs count in `answer` and `failed_attempts` only."""

    label: str
    backend: str
    origin: Origin
    capacity: int | None  # environments or workers
    oversubscribed: bool
    cpu_share_method: str | None
    lines: tuple[Line, ...]  # one, or cold before warm
    repeats: int  # planned, without warm-up
    repeats_ok: int
    durations: int  # warm invocations behind the next three
    duration_p50_ms: float | None
    duration_p99_ms: float | None  # None below 300 invocations
    duration_cv: float | None
    assumed: tuple[str, ...] = ()  # what of a run's bill is counted at another region's price (`RunCost.assumed`)
    bound_assumed: bool = False  # whether the bound counts anything so
    bound_usd: Decimal | None  # of a run
    rent_basis: str | None
    priced_by_worker: bool = False  # the rent is what a cluster's workers cost
    region: str | None
    architecture: str | None
    price_date: str | None
    memory_mb: int | None
    peak_memory_mb: int | None  # the most that a task used: of its worker process here, by the REPORT line on Lambda
    failed_attempts: int
    answer: AnswerState
    error: str | None  # of the first run that failed

    @property
    def main(self) -> Line:
        """The line that stands for the backend where there is room for one: warm, if it was measured warm."""
        return next((line for line in reversed(self.lines) if line.makespan_s is not None), self.lines[-1])

    @property
    def makespan_s(self) -> Estimate | None:
        return self.main.makespan_s

    @property
    def speedup(self) -> Estimate | None:
        return self.main.speedup

    @property
    def usd(self) -> Decimal | None:
        """The cost of a run of the main line."""
        return self.main.usd

    @property
    def rent_usd(self) -> Decimal | None:
        """The rent of a run of the main line."""
        return self.main.rent_usd

    @property
    def crowded(self) -> bool:
        """Whether it has more environments than this machine can carry; any number of workers is a person's choice."""
        return self.oversubscribed and self.origin != "measured"

    @property
    def local(self) -> bool:
        """Whether it runs on this machine and is charged nothing."""
        return self.region is None and self.origin == "measured"


class Comparison(msgspec.Struct, frozen=True):
    """The backends in the order of the plan; `baseline` is the label that speedups are against."""

    summaries: list[Summary]
    baseline: str | None

    def __getitem__(self, label: str) -> Summary:
        return next(summary for summary in self.summaries if summary.label == label)

    @property
    def rows(self) -> list[tuple[Summary, Line]]:
        """The table: each line with its backend."""
        return [(summary, line) for summary in self.summaries for line in summary.lines]


def by_label(runs: Iterable[RunView]) -> dict[str, list[RunView]]:
    """Runs grouped by backend, in the order in which they were planned."""
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        groups.setdefault(run.planned.label, []).append(run)
    return groups


def is_cold(run: RunView) -> bool | None:
    """Whether all environments of a run were new; None where the backend has no cold starts."""
    if run.planned.cold is not None:
        return run.planned.cold
    columns = run.columns
    known = columns["cold"] >= 0
    if not known.any():
        return None
    used = columns["environment"][known]
    return bool(np.isin(used, used[columns["cold"][known] == 1]).all())


def compare(runs: Iterable[RunView], bill: Bill, *, durations: bool = True) -> Comparison:
    """Compare the backends of one plan's runs with a baseline: the plain loop, else `sequential`, else the first.

    Without `durations` the quantiles of the invocations are left out: they take most of the time of a large session.
    """
    every = list(runs)
    groups = by_label(every)
    among = _among_themselves([run for group in groups.values() for run in group])
    with_times = [label for label, group in groups.items() if makespans(group)]
    names = [groups[label][0].planned.backend for label in with_times]
    usual = [with_times[names.index(name)] for name in _BASELINES if name in names]
    baseline = next(iter(usual + with_times), None)
    summaries = {label: summarise(group, bill, durations=durations) for label, group in groups.items()}
    if baseline is not None:
        _put_speedups(summaries, groups, baseline, _rounds(every))
    for label, summary in summaries.items():
        if summary.answer == "unchecked" and among is not None:
            summaries[label] = msgspec.structs.replace(summary, answer=among)
    return Comparison(list(summaries.values()), baseline)


_Round = tuple[int | str, int]


def _rounds(runs: list[RunView]) -> dict[str, _Round]:
    """The rounds of runs by id, with their plan: a session may have measured one job several times.

    A plan that has ended is named by its comparison. Of runs without one, a round that comes twice is of another plan.
    """
    found: dict[str, _Round] = {}
    plan, seen = 0, set[tuple[str, int]]()
    for run in runs:
        if (number := run.planned.pair_round) is None or run.planned.warmup:
            continue
        if run.comparison is not None:
            session, _, _ = run.id.rpartition("/")  # of several that were joined
            found[run.id] = f"{session}/{run.comparison}", number
            continue
        if (run.planned.label, number) in seen:
            plan += 1
            seen.clear()
        seen.add((run.planned.label, number))
        found[run.id] = plan, number
    return found


def _put_speedups(
    summaries: dict[str, Summary],
    groups: dict[str, list[RunView]],
    baseline: str,
    rounds: dict[str, _Round],
) -> None:
    """Speedups of all lines against the baseline's main line, and what they claim together."""
    base = summaries[baseline].main
    against = runs_of_line(groups[baseline], base)
    found: dict[tuple[str, int], Line] = {}
    tested: dict[tuple[str, int], Callable[[int], float]] = {}
    for label, summary in summaries.items():
        for index, line in enumerate(summary.lines):
            if line is base:
                found[label, index] = msgspec.structs.replace(line, speedup=Estimate(1.0, count=line.repeats_ok))
            elif line.makespan_s is not None:
                found[label, index], tested[label, index] = _speedup(
                    line, against, runs_of_line(groups[label], line), rounds
                )
    count = sum(_can_claim(found[place]) for place in tested)
    places = [place for place in tested if _can_claim(found[place])]
    corrected = dict(zip(places, holm([tested[place](count) for place in places]), strict=True))
    for place in tested:
        speedup = found[place].speedup
        claim = None if speedup is None else claim_of(speedup, corrected.get(place, 1.0))
        found[place] = msgspec.structs.replace(found[place], claim=claim, comparisons=count)
    for label, summary in summaries.items():
        lines = tuple(found.get((label, index), line) for index, line in enumerate(summary.lines))
        summaries[label] = msgspec.structs.replace(summary, lines=lines)


def _speedup(
    line: Line, against: list[RunView], runs: list[RunView], rounds: dict[str, _Round]
) -> tuple[Line, Callable[[int], float]]:
    """A line with its speedup, and its test as a function of the number of comparisons."""
    bases = {rounds[run.id]: run for run in against if run.id in rounds}
    pairs = [(bases[key], run) for run in runs if (key := rounds.get(run.id)) in bases]
    if len(pairs) > 1:
        over, under = makespans([one for one, _ in pairs]), makespans([other for _, other in pairs])
        if min(over + under, default=0.0) <= 0:
            return line, lambda count: 1.0
        return (
            msgspec.structs.replace(line, speedup=paired_ratio_estimate(over, under), paired=True),
            lambda count: paired_p(over, under, count),
        )
    over, under = makespans(against), makespans(runs)
    if min(over, default=0.0) <= 0 or min(under, default=0.0) <= 0:
        return line, lambda count: 1.0
    return (
        msgspec.structs.replace(line, speedup=ratio_estimate(over, under)),
        lambda count: unpaired_p(over, under, count),
    )


def _can_claim(line: Line) -> bool:
    return line.speedup is not None and line.speedup.interval is not None and line.speedup.count >= LEAST_CLAIM


def claim_of(speedup: Estimate, p: float) -> Claim:
    """What a speedup says of the backend, p corrected for the number of comparisons."""
    if speedup.low is None or speedup.high is None or speedup.count < LEAST_CLAIM:
        return "unsettled"
    if speedup.low <= 1 <= speedup.high:
        return "open"
    if p > CLAIM_LEVEL:
        return "unsettled"
    return "faster" if speedup.low > 1 else "slower"


def places_used(run: RunView) -> int | None:
    """Workers, or environments that its tasks can fill: Lambda starts one for a call, and none that has none."""
    if run.started is None:
        return None
    capacity, widest = run.started.capacity, max((stage.tasks for stage in run.stages), default=0)
    return min(capacity, widest) if run.started.pricing.rates is not None and widest else capacity


def summarise(group: list[RunView], bill: Bill, *, durations: bool = True) -> Summary:
    """The summary of one backend's runs (at least one), without speedups; `durations`: as of `compare`."""
    planned = group[0].planned
    repeats = [run for run in group if not run.planned.warmup]
    good = [run for run in repeats if run.counts]
    started = next((run.started for run in group if run.started is not None), None)
    pricing = started.pricing if started is not None else None
    rates = pricing.rates if pricing is not None else None
    bills = {run.id: bill(run, None) for run in good}
    warm = _joined([run.warm_compute_ms() for run in good if durations])
    p50, p99 = (None if found is None else found.value for found in quantile_estimates([warm], (0.5, 0.99)))
    share = [environment.cpu_share_method for run in group for environment in run.environments.values()]
    errors = [run.ended.error for run in group if run.ended is not None and run.ended.error]
    return Summary(
        label=planned.label,
        backend=planned.backend,
        origin=planned.origin,
        capacity=max((count for run in group if (count := places_used(run)) is not None), default=None),
        oversubscribed=any(run.started is not None and run.started.oversubscribed for run in group),
        cpu_share_method=next((method for method in share if method is not None), None),
        lines=_lines(repeats, bills),
        repeats=len(repeats),
        repeats_ok=len(good),
        durations=len(warm),
        duration_p50_ms=p50,
        duration_p99_ms=p99,
        duration_cv=coefficient_of_variation(warm),
        assumed=tuple(dict.fromkeys(text for cost in bills.values() for text in cost.assumed)),
        bound_usd=Decimal(pricing.bound_usd) if pricing is not None and pricing.bound_usd else None,
        bound_assumed=rates is not None and bool(rates.assumed),
        rent_basis=pricing.rent_basis if pricing is not None else None,
        priced_by_worker=pricing is not None and pricing.worker_usd_per_hour is not None,
        region=rates.region if rates else None,
        architecture=rates.architecture if rates else None,
        price_date=rates.price_date if rates else None,
        memory_mb=pricing.memory_mb if pricing is not None else None,
        peak_memory_mb=_peak_memory_mb(good),
        failed_attempts=sum(run.failed_attempts for run in group),
        answer=_answer(group),
        error=errors[0] if errors else None,
    )


def price_basis(summary: Summary, *, with_memory: bool = True) -> str | None:
    """What the dollars of a backend that is charged by the run are; None: it is not."""
    if summary.region is None or all(line.usd is None for line in summary.lines):
        return None
    memory = f", {summary.memory_mb:,} MB" if with_memory and summary.memory_mb is not None else ""
    where = f"{summary.region} ({summary.architecture}{memory}, list prices of {summary.price_date}, no free tier)"
    if summary.origin == "measured":
        return f"what AWS charges for a run in {where}"
    return f"what AWS would charge for a run in {where}; {summary.origin} here, nothing spent"


def warm_quantiles(group: list[RunView], quantiles: tuple[float, ...]) -> list[Estimate | None]:
    """Quantiles (ms) of the warm invocations of a backend's repeats, with intervals over both levels."""
    return quantile_estimates([run.warm_compute_ms() for run in group if run.counts], quantiles)


def makespans(group: list[RunView]) -> list[float]:
    """Makespans of the repeats that ended well and were not paused, in their order, without warm-up runs."""
    return [run.makespan_s for run in group if run.counts and run.makespan_s is not None]


def _lines(repeats: list[RunView], bills: dict[str, RunCost]) -> tuple[Line, ...]:
    """One line, or one of the cold and one of the warm repeats. A repeat that never began counts with the last."""
    known = [is_cold(run) for run in repeats]
    if True not in known and False not in known:
        return (_line(None, repeats, bills),)
    cold = [run for run, is_new in zip(repeats, known, strict=True) if is_new]
    warm = [run for run in repeats if run not in cold]
    temperatures: tuple[tuple[Temperature, list[RunView]], ...] = (("cold", cold), ("warm", warm))
    return tuple(_line(temperature, runs, bills) for temperature, runs in temperatures if runs)


def _line(temperature: Temperature | None, repeats: list[RunView], bills: dict[str, RunCost]) -> Line:
    good = [run for run in repeats if run.counts]
    colds = [count for run in good if (count := run.cold_starts()) is not None]
    costs = [bills[run.id] for run in good]
    return Line(
        temperature=temperature,
        repeats=len(repeats),
        repeats_ok=len(good),
        paused=sum(run.paused and run.status == "ok" for run in repeats),
        stopped=sum(run.stopped for run in repeats),
        makespan_s=median_estimate(makespans(good)),
        cold_starts=sum(colds) if colds else None,
        init_p50_ms=quantile(_joined([_inits(run) for run in good]), 0.5) if colds else None,
        usd=_median([cost.usd for cost in costs]),
        rent_usd=_median([cost.items.machine_rent for cost in costs]),
    )


def runs_of_line(runs: Iterable[RunView], line: Line) -> list[RunView]:
    """The repeats among a backend's runs that count and belong to a line."""
    good = [run for run in runs if run.counts]
    if line.temperature is None:
        return good
    return [run for run in good if (is_cold(run) is True) == (line.temperature == "cold")]


def _among_themselves(runs: list[RunView]) -> AnswerState | None:
    """How answers without a reference compare; None: fewer than two, or some have a reference."""
    ended = [run for run in runs if run.ended is not None and run.ended.status == "ok" and not _uncomputed(run)]
    if len(ended) < 2 or any(run.answer is None or run.answer.ok is not None for run in ended):
        return None
    digests = {run.answer.digest for run in ended if run.answer is not None}
    return "equal" if len(digests) == 1 else "differ"


def _uncomputed(run: RunView) -> bool:
    return run.answer is not None and not run.answer.computed


def _inits(run: RunView) -> Any:
    columns = run.columns
    return columns["init_ms"][(columns["cold"] == 1) & (columns["status"] == _OK)]


def _joined(arrays: list[Any]) -> Any:
    return np.concatenate(arrays) if arrays else np.empty(0)


def _peak_memory_mb(runs: list[RunView]) -> int | None:
    peaks = [run.columns[name].max() for run in runs if len(run.columns) for name in ("peak_rss_mb", "max_memory_mb")]
    known = [int(peak) for peak in peaks if peak > 0]
    return max(known, default=None)


def _median(amounts: list[Decimal | None]) -> Decimal | None:
    """The median, as a sweep and a tuning have it of the same runs."""
    known = [amount for amount in amounts if amount is not None]
    return median(known) if known else None


def _answer(group: list[RunView]) -> AnswerState:
    """The state of the answers of all runs that ended well; one wrong answer makes it wrong."""
    ended = [run for run in group if run.ended is not None and run.ended.status == "ok"]
    if not ended or not group[0].has_answer:
        return "none"
    if all(map(_uncomputed, ended)):
        return "uncomputed"
    verdicts = [None if run.answer is None else run.answer.ok for run in ended]
    if False in verdicts:
        return "wrong"
    return "same" if all(verdicts) else "unchecked"
