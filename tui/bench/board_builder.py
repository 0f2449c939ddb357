"""Builds boards from frames, twice a second.

Comparisons draw resamples, so they are made only when a run has ended or was checked; a running row needs no more than
its counts and its clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from lbench.analysis.comparison import Comparison, by_label, compare
from lbench.analysis.decision import decide, shared_cores_note
from lbench.analysis.progress import Outlook, outlooks
from lbench.analysis.statistics import enough_for
from lbench.engine.billing.bill import run_bill
from lbench.engine.billing.live_bills import RunningBills
from lbench.engine.cost.charges import RunCost, total_usd
from lbench.engine.model import epoch_s
from lbench.engine.session.view import RunView
from lbench.errors import count_text
from lbench.tui.bench.board import EMPTY, Board, Row
from lbench.tui.bench.weaknesses import weaknesses
from lbench.tui.feeds.feed import Frame

__all__ = ["BoardBuilder", "Figures", "data_text", "figures_of"]

Figures = tuple[Comparison, tuple[str, ...]]  # and the warnings
_MANY = 50_000  # invocations


class BoardBuilder:
    """Builds boards, keeping the comparison between them."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._comparison: Comparison | None = None
        self._bills: dict[str, RunCost] = {}
        self._running = RunningBills()
        self._epoch = 0  # of the view that these are of
        self._warnings: tuple[str, ...] = ()
        self._partial = False
        self._longest_s: tuple[object, float] = (None, 0.0)  # the clock of a comparison, which never goes back

    def make(self, frame: Frame) -> Board:
        runs = frame.runs
        if not runs:
            return EMPTY
        key = (
            frame.epoch,
            runs[0].id,
            *((run.status, run.started is not None, run.answer is not None) for run in runs),
        )
        if frame.read_share is not None:
            key = (*key, "reading")
        if frame.epoch != self._epoch:
            self._epoch, self._running = frame.epoch, RunningBills()
        if key != self._key:
            self._key = key
            self._bills = {run.id: run_bill(run) for run in runs if run.ended is not None and run.started is not None}
            self._partial = frame.read_share is not None or _takes_long(frame)
            self._comparison = compare(runs, self._bill, durations=not self._partial)
            self._warnings = () if self._partial else weaknesses(frame)
        assert self._comparison is not None
        looks = outlooks(runs, frame.now_s, self._bill)
        over = frame.state in ("done", "lost")  # no engine carries out or checks what is left
        if over:
            looks = [_without_waiting(look) for look in looks]
        groups = by_label(runs)
        rows = [_row(look, self._comparison, groups[look.label], durations=not self._partial) for look in looks]
        first = runs[0].planned
        done = {run.known_tasks for run in runs if run.status == "ok"}
        # Where each run had another number (k-means chooses it on the way), none is that of the comparison.
        tasks = None if len(done) > 1 else max((run.known_tasks for run in runs), default=0) or first.tasks
        bills = [self._bill(run, frame.now_s.get(run.id)) for run in runs if run.started is not None]
        lefts = [look.left_s for look in looks if look.state in ("running", "waiting", "checking")]
        return Board(
            rows=rows,
            comparison=self._comparison,
            workload=first.workload,
            params=first.params,
            seed=first.seed,
            tasks=tasks,
            usd=total_usd(bill.usd for bill in bills),
            expected_usd=None if over else _expected(rows, self._bills),
            bound_usd=_bound(rows),
            bound_run_usd=_bound_of_a_run(rows),
            items=_items(bills),
            left_s=None if any(left is None for left in lefts) else sum(left or 0.0 for left in lefts),
            elapsed_s=self._elapsed_s(frame),
            budget_usd=_budget(runs),
            assumed=tuple(dict.fromkeys(text for bill in bills for text in bill.assumed)),
            bound_assumed=any(row.summary.bound_assumed for row in rows),
            warnings=self._warnings,
            decision=decide(self._comparison, _hourly(runs)),
            note=_note(frame, rows),
            data=data_text(runs) if any(run.started is not None for run in runs) else None,
            partial=self._partial,
        )

    @property
    def open_figures(self) -> object:
        """The key of the figures that are left to compute; None: there are none."""
        return self._key if self._partial else None

    def take_figures(self, of: object, figures: Figures) -> None:
        """Take what `figures_of` has computed, unless another comparison is shown by now."""
        if self._partial and of == self._key:
            self._comparison, self._warnings = figures
            self._partial = False

    def _bill(self, run: RunView, now_s: float | None) -> RunCost:
        known = self._bills.get(run.id)
        return known if known is not None else self._running(run, now_s)

    def _elapsed_s(self, frame: Frame) -> float | None:
        elapsed_s, key = _elapsed_s(frame), (frame.epoch, frame.runs[0].id)
        if elapsed_s is None:
            return None
        before_s = self._longest_s[1] if self._longest_s[0] == key else 0.0
        self._longest_s = (key, max(before_s, elapsed_s))
        return self._longest_s[1]


def _without_waiting(look: Outlook) -> Outlook:
    """The outlook of a backend whose engine has gone."""
    return msgspec.structs.replace(look, state="stopped") if look.state in ("waiting", "checking") else look


def figures_of(frame: Frame) -> Figures:
    """The comparison of a frame's runs, and what makes it weak. Of a large session: in a thread."""
    return compare(frame.runs, run_bill), weaknesses(frame)


def _takes_long(frame: Frame) -> bool:
    """Whether the runs are over and have so many invocations that their figures keep nobody waiting for a key."""
    over = all(run.ended is not None or run.interrupted or run.started is None for run in frame.runs)
    return over and sum(len(run.columns) for run in frame.runs) > _MANY


def _hourly(runs: list[RunView]) -> Decimal | None:
    """The rent of this machine; a cluster's price is another thing."""
    prices = [run.started.pricing for run in runs if run.started is not None]
    rents = [one.rent_usd_per_hour for one in prices if one.worker_usd_per_hour is None]
    return next((Decimal(usd) for usd in rents if usd is not None), None)


def _note(frame: Frame, rows: list[Row]) -> str | None:
    """What this machine cannot show of the backends that ran."""
    header = None if frame.view is None else frame.view.header
    cores = None if header is None else header.environment.usable_cores
    return next((note for row in rows if (note := shared_cores_note(row.summary, cores)) is not None), None)


def data_text(runs: list[RunView]) -> str:
    """Name and size of the data file that the runs read; "" where the data are generated."""
    read = next((run.started.data for run in runs if run.started is not None and run.started.data is not None), None)
    if read is None or read.source.startswith("generated"):
        return ""
    name = re.split(r"[,(]", read.source)[0].strip().partition(".")[0]
    return f"{name}, {count_text(read.rows, 'row')}"


def _elapsed_s(frame: Frame) -> float | None:
    """Seconds from the start of the comparison's first run to now, or to the end of its last."""
    ends = []
    for run in frame.runs:
        if run.started is not None:
            took = frame.now_s.get(run.id, run.makespan_s if run.makespan_s is not None else _last_s(run))
            ends.append((epoch_s(run.started.started), took or 0.0))
    if not ends:
        return None
    first = min(start for start, _ in ends)
    return max(start + took for start, took in ends) - first


def _last_s(run: RunView) -> float:
    """When the last invocation of a run without an answer returned."""
    returned = run.columns["returned_s"]
    return float(np.nanmax(returned)) if len(returned) and not np.isnan(returned).all() else 0.0


def _row(look: Outlook, comparison: Comparison, group: list[RunView], *, durations: bool) -> Row:
    summary = comparison[look.label]
    begun = [run for run in group if run.started is not None]
    run = next((run for run in begun if run.ended is None), begun[-1] if begun else None)
    p50 = p99 = speedup = None
    if run is not None and summary.duration_p50_ms is None and durations:
        warm = run.warm_compute_ms()
        warm = warm[np.isfinite(warm)]
        if len(warm):
            p50 = float(np.median(warm))
            p99 = float(np.quantile(warm, 0.99)) if enough_for(0.99, len(warm)) else None
    if summary.makespan_s is None and look.elapsed_s and look.total and look.tasks_done and comparison.baseline:
        base = comparison[comparison.baseline].makespan_s
        if base is not None and look.tasks_done * 10 >= look.total:
            speedup = base.value / (look.elapsed_s * look.total / look.tasks_done)
    return Row(look, summary, run, group, p50, p99, speedup)


def _expected(rows: list[Row], bills: Mapping[str, RunCost]) -> Decimal | None:
    """The expected cost of all runs; None once all are over. Future runs count as the median of those that are over,
    or by the pace of the first.
    """
    amounts: list[Decimal | None] = []
    for row in rows:
        look, summary = row.outlook, row.summary
        if look.usd is None:
            continue
        over = total_usd(bills[run.id].usd for run in row.runs if run.id in bills) or Decimal(0)
        to_come = sum(run.ended is None for run in row.runs)
        one = summary.usd
        if one is None and look.total and look.tasks_done:
            one = (look.usd - over) * Decimal(look.total) / Decimal(look.tasks_done)
        if one is None:
            return None
        amounts.append(max(look.usd, over + one * to_come))
    done = all(run.ended is not None for row in rows for run in row.runs)
    return None if done else total_usd(amounts)


def _bound(rows: list[Row]) -> Decimal | None:
    return total_usd(row.summary.bound_usd * row.outlook.runs for row in rows if row.summary.bound_usd is not None)


def _bound_of_a_run(rows: list[Row]) -> Decimal | None:
    """The bound of the dearest run; None: AWS charges, and the number of runs is fixed."""
    bounds = [row.summary.bound_usd for row in rows if row.summary.bound_usd is not None]
    paid = any(row.summary.origin == "measured" and row.summary.bound_usd is not None for row in rows)
    return None if paid else max(bounds, default=None)


def _budget(runs: list[RunView]) -> Decimal | None:
    limits = [run.started.pricing.max_usd for run in runs if run.started is not None]
    return next((Decimal(usd) for usd in limits if usd is not None), None)


def _items(bills: list[RunCost]) -> dict[str, Decimal]:
    items: dict[str, Decimal] = {}
    for name in ("duration", "requests", "storage", "s3", "transfer", "logs"):
        total = total_usd(getattr(bill.items, name) for bill in bills)
        if total:
            items[name] = total
    return items
