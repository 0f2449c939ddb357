"""Latency and cost of the updates, backend by backend, from the runs of an exploring session."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from decimal import Decimal

import msgspec
import numpy as np

from lbench.analysis.statistics import Estimate, enough_for, median_estimate, quantile
from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.events import RunPlanned
from lbench.engine.model import Origin
from lbench.engine.session.view import RunView

__all__ = ["Figures", "Tally", "first_picture_s"]


class Tally(msgspec.Struct, frozen=True):
    """One backend's updates; times in milliseconds."""

    label: str
    backend: str
    origin: Origin
    latencies_ms: tuple[float, ...]  # of the finished ones but the warm-up, in their order
    steps_ms: tuple[float | None, ...]  # of a scripted sequence: step by step, None for one that did not finish
    p50: Estimate | None
    p95_ms: float | None  # None below 20 updates
    first_ms: float | None  # median of the time to the first picture
    usd: Decimal | None  # mean of an update, with what was abandoned; None: a local backend
    total_usd: Decimal | None
    cancelled: int  # by a newer one
    failed: int
    assumed: bool = False  # whether the cost counts anything at another region's price

    @property
    def count(self) -> int:
        """How many are behind the figures."""
        return len(self.latencies_ms)


class _Update(msgspec.Struct, frozen=True):
    planned: RunPlanned
    status: str | None
    usd: Decimal | None
    assumed: bool  # whether that counts anything at another region's price
    script: int | None  # generation of the scripted sequence
    latency_ms: float | None
    first_ms: float | None


def first_picture_s(run: RunView) -> float | None:
    """Seconds until something could be drawn: the coarse tasks, else the first stage of several, else the first task."""
    columns = run.columns
    interaction = run.planned.interaction
    done = columns["returned_s"][columns["stage"] == 0]
    if not len(done) or not np.isfinite(done).all():
        return None
    if interaction is not None and interaction.coarse_tasks:
        return float(done[columns["task"][columns["stage"] == 0] < interaction.coarse_tasks].max())
    return float(done.max() if len(run.stages) > 1 or run.planned.workload == "mandelbrot" else done.min())


class Figures:
    """Collects the updates of one session; each run is read once, when it has ended."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._updates: list[_Update] = []
        self.version = 0  # grows with each update taken in

    def take(self, runs: Iterable[RunView]) -> None:
        """Take in the runs that ended since."""
        for run in runs:
            interaction = run.planned.interaction
            if run.ended is None or run.id in self._seen or interaction is None:
                continue
            self._seen.add(run.id)
            self.version += 1
            script = None if interaction.step is None else interaction.generation
            latency = None if run.makespan_s is None else run.makespan_s * 1000
            first = first_picture_s(run)
            first_ms = None if first is None else first * 1000
            bill = run_bill(run)
            self._updates.append(
                _Update(run.planned, run.status, bill.usd, bool(bill.assumed), script, latency, first_ms)
            )

    @property
    def last_script(self) -> int | None:
        return max((update.script for update in self._updates if update.script is not None), default=None)

    def recent(self, count: int, workload: str) -> list[tuple[str, str, float]]:
        """(backend, label, milliseconds) of the last updates of a workload."""
        latencies = [
            (update.planned.backend, update.planned.label, update.latency_ms)
            for update in self._updates
            if update.latency_ms is not None and update.planned.workload == workload and not update.planned.warmup
        ]
        return latencies[-count:]

    def tallies(self, workload: str, script: int | None = None) -> dict[str, Tally]:
        """By label: the updates of one scripted sequence, or (None) those made by hand."""
        groups: dict[str, list[_Update]] = {}
        for update in self._updates:
            if update.planned.workload == workload and update.script == script:
                groups.setdefault(update.planned.label, []).append(update)
        return {label: _tally(label, group, script is not None) for label, group in groups.items()}


def _tally(label: str, group: list[_Update], scripted: bool) -> Tally:
    planned = group[0].planned
    counted = [update for update in group[1 if scripted else 0 :] if not update.planned.warmup]
    done = [update for update in counted if update.latency_ms is not None]
    latencies = tuple(update.latency_ms for update in done if update.latency_ms is not None)
    firsts = [update.first_ms for update in done if update.first_ms is not None]
    bills = [update.usd for update in counted if update.usd is not None]
    return Tally(
        label=label,
        backend=planned.backend,
        origin=planned.origin,
        latencies_ms=latencies,
        steps_ms=tuple(update.latency_ms for update in group[1:]) if scripted else (),
        p50=median_estimate(latencies),
        p95_ms=quantile(latencies, 0.95) if enough_for(0.95, len(latencies), beyond=1) else None,
        first_ms=statistics.median(firsts) if firsts else None,
        usd=sum(bills, Decimal(0)) / len(bills) if bills else None,
        total_usd=sum(bills, Decimal(0)) if bills else None,
        assumed=any(update.assumed for update in counted),
        cancelled=sum(update.status == "cancelled" for update in group),
        failed=sum(update.status == "failed" for update in group),
    )
