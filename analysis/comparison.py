"""Comparison of backends: makespan, speedup and cost of each over its repeats.

The caller passes the arithmetic of a bill (`Bill`), because this package knows sessions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

import msgspec
import numpy as np

from lbench.analysis.statistics import (
    Estimate,
    coefficient_of_variation,
    median_estimate,
    quantile,
    ratio_estimate,
)
from lbench.engine.cost.charges import RunCost
from lbench.engine.model import Origin
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView

__all__ = ["AnswerState", "Bill", "Comparison", "Summary", "by_label", "compare", "makespans", "summarise"]

Bill = Callable[[RunView, float | None], RunCost]  # (run, seconds since its start or None) -> its bill so far
# equal, differ: without a reference, all runs of all backends gave the same answer, or they did not
AnswerState = Literal["same", "wrong", "equal", "differ", "unchecked", "none"]

_OK = STATUSES.index("ok")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one backend. Warm-up runs count in `answer` and `failed_attempts` only."""

    label: str
    backend: str
    origin: Origin
    capacity: int | None  # environments or workers
    oversubscribed: bool
    cpu_share_method: str | None
    repeats: int  # planned, without warm-up
    repeats_ok: int  # whose answer is right or was not checked
    makespan_s: Estimate | None  # of the repeats that were ok
    speedup: Estimate | None  # against the baseline
    durations: int  # warm invocations behind the next three
    duration_p50_ms: float | None
    duration_p99_ms: float | None
    duration_cv: float | None
    cold_starts: int | None  # over all repeats; None: does not apply
    init_p50_ms: float | None
    usd: Decimal | None  # a run's bill, the median over the repeats
    assumed: tuple[str, ...] = ()  # what of it is counted at another region's price (`RunCost.assumed`)
    bound_assumed: bool = False  # whether the bound counts anything so
    bound_usd: Decimal | None  # of a run
    rent_usd: Decimal | None  # of an equal machine for a run, the median; local backends only
    rent_basis: str | None
    region: str | None
    architecture: str | None
    price_date: str | None
    memory_mb: int | None
    failed_attempts: int
    answer: AnswerState
    error: str | None  # of the first run that failed

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


def by_label(runs: Iterable[RunView]) -> dict[str, list[RunView]]:
    """Runs grouped by backend, in the order in which they were planned."""
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        groups.setdefault(run.planned.label, []).append(run)
    return groups


def compare(runs: Iterable[RunView], bill: Bill) -> Comparison:
    """Compare the backends of one plan's runs. The baseline is `sequential` where it has an answer, else the first."""
    groups = by_label(runs)
    among = _among_themselves([run for group in groups.values() for run in group])
    times = {label: makespans(group) for label, group in groups.items()}
    with_times = [label for label in groups if times[label]]
    sequential = [label for label in with_times if groups[label][0].planned.backend == "sequential"]
    baseline = next(iter(sequential + with_times), None)
    summaries = []
    for label, group in groups.items():
        speedup = None if baseline is None else ratio_estimate(times[baseline], times[label])
        if label == baseline:
            speedup = Estimate(1.0, count=len(times[label]))
        summary = summarise(group, bill, speedup)
        if summary.answer == "unchecked" and among is not None:
            summary = msgspec.structs.replace(summary, answer=among)
        summaries.append(summary)
    return Comparison(summaries, baseline)


def summarise(group: list[RunView], bill: Bill, speedup: Estimate | None = None) -> Summary:
    """The summary of one backend's runs (at least one)."""
    planned = group[0].planned
    repeats = [run for run in group if not run.planned.warmup]
    good = [run for run in repeats if run.status == "ok"]
    started = next((run.started for run in group if run.started is not None), None)
    pricing = started.pricing if started is not None else None
    rates = pricing.rates if pricing is not None else None
    times = makespans(group)
    warm = _joined([run.warm_compute_ms() for run in good])
    colds = [count for run in good if (count := run.cold_starts()) is not None]
    bills = [bill(run, None) for run in good]
    share = [environment.cpu_share_method for run in group for environment in run.environments.values()]
    errors = [run.ended.error for run in group if run.ended is not None and run.ended.error]
    return Summary(
        label=planned.label,
        backend=planned.backend,
        origin=planned.origin,
        capacity=started.capacity if started is not None else None,
        oversubscribed=any(run.started is not None and run.started.oversubscribed for run in group),
        cpu_share_method=next((method for method in share if method is not None), None),
        repeats=len(repeats),
        repeats_ok=len(good),
        makespan_s=median_estimate(times),
        speedup=speedup,
        durations=len(warm),
        duration_p50_ms=quantile(warm, 0.5),
        duration_p99_ms=quantile(warm, 0.99),
        duration_cv=coefficient_of_variation(warm),
        cold_starts=sum(colds) if colds else None,
        init_p50_ms=quantile(_joined([_inits(run) for run in good]), 0.5) if colds else None,
        usd=_median([cost.usd for cost in bills]),
        assumed=tuple(dict.fromkeys(text for cost in bills for text in cost.assumed)),
        bound_usd=Decimal(pricing.bound_usd) if pricing is not None and pricing.bound_usd else None,
        bound_assumed=rates is not None and bool(rates.assumed),
        rent_usd=_median([cost.items.machine_rent for cost in bills]),
        rent_basis=pricing.rent_basis if pricing is not None else None,
        region=rates.region if rates else None,
        architecture=rates.architecture if rates else None,
        price_date=rates.price_date if rates else None,
        memory_mb=pricing.memory_mb if pricing is not None else None,
        failed_attempts=sum(run.failed_attempts for run in group),
        answer=_answer(group),
        error=errors[0] if errors else None,
    )


def _among_themselves(runs: list[RunView]) -> AnswerState | None:
    """How answers without a reference compare; None: fewer than two, or some have a reference."""
    ended = [run for run in runs if run.ended is not None and run.ended.status == "ok"]
    if len(ended) < 2 or any(run.answer is None or run.answer.ok is not None for run in ended):
        return None
    digests = {run.answer.digest for run in ended if run.answer is not None}
    return "equal" if len(digests) == 1 else "differ"


def makespans(group: list[RunView]) -> list[float]:
    """Makespans of the repeats that ended well, in their order, without warm-up runs."""
    return [
        run.makespan_s for run in group if not run.planned.warmup and run.status == "ok" and run.makespan_s is not None
    ]


def _inits(run: RunView) -> Any:
    columns = run.columns
    return columns["init_ms"][(columns["cold"] == 1) & (columns["status"] == _OK)]


def _joined(arrays: list[Any]) -> Any:
    return np.concatenate(arrays) if arrays else np.empty(0)


def _median(amounts: list[Decimal | None]) -> Decimal | None:
    """The lower median: one of the amounts, not a mean of two."""
    known = sorted(amount for amount in amounts if amount is not None)
    return known[(len(known) - 1) // 2] if known else None


def _answer(group: list[RunView]) -> AnswerState:
    """The state of the answers of all runs that ended well; one wrong answer makes it wrong."""
    ended = [run for run in group if run.ended is not None and run.ended.status == "ok"]
    if not ended or not group[0].has_answer:
        return "none"
    verdicts = [None if run.answer is None else run.answer.ok for run in ended]
    if False in verdicts:
        return "wrong"
    return "same" if all(verdicts) else "unchecked"
