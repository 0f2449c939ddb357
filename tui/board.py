"""What the Bench screen tells, worked out of a session once or twice a second: rows, the answer's sentence, the cost.

Comparisons draw resamples, so they are made only when a run has ended or was checked; a running row needs no more than
its counts and its clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from lbench.analysis.comparison import Comparison, Summary, by_label, compare
from lbench.analysis.outlook import Outlook, outlooks
from lbench.analysis.words import seconds_text, times_text
from lbench.engine.bill import run_bill
from lbench.engine.columns import STATUSES
from lbench.engine.cost import RunCost, total_usd, usd_short
from lbench.engine.session import RunView
from lbench.tui.draw.ink import Piece
from lbench.tui.feed import Frame, epoch_s
from lbench.tui.theme import role_of

__all__ = ["EMPTY", "Board", "BoardMaker", "Row", "answer_pieces"]

_OK = STATUSES.index("ok")


class Row(msgspec.Struct, frozen=True):
    """One backend of the newest comparison."""

    outlook: Outlook
    summary: Summary
    run: RunView | None  # the one to look at: that under way, else the last that has begun
    runs: list[RunView] = []
    live_p50_ms: float | None = None
    live_p99_ms: float | None = None
    live_speedup: float | None = None  # of the run under way at its pace so far

    @property
    def label(self) -> str:
        """What the backend is called."""
        return self.summary.label


class Board(msgspec.Struct, frozen=True):
    """All that the screen tells but timelines and histograms."""

    rows: list[Row]
    comparison: Comparison | None
    workload: str | None
    params: dict[str, Any]
    seed: int | None
    tasks: int | None
    usd: Decimal | None  # so far, of all runs of the comparison
    expected_usd: Decimal | None  # of all its runs, by what one costs
    bound_usd: Decimal | None  # of all its runs; None: no bound, or nothing is charged
    items: dict[str, Decimal]  # so far
    left_s: float | None  # until everything is done
    elapsed_s: float | None

    def row(self, label: str | None) -> Row | None:
        """A backend by its label."""
        return next((row for row in self.rows if row.label == label), None)


EMPTY = Board([], None, None, {}, None, None, None, None, None, {}, None, None)


class BoardMaker:
    """Makes boards from frames, keeping what is dear between them."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] | None = None
        self._comparison: Comparison | None = None
        self._bills: dict[str, RunCost] = {}

    def make(self, frame: Frame) -> Board:
        """The board of a frame."""
        runs = frame.runs
        if not runs:
            return EMPTY
        key = (
            frame.epoch,
            runs[0].id,
            *((run.status, run.started is not None, run.answer is not None) for run in runs),
        )
        if key != self._key:
            self._key = key
            self._bills = {run.id: run_bill(run) for run in runs if run.ended is not None and run.started is not None}
            self._comparison = compare(runs, self._bill)
        assert self._comparison is not None
        looks = outlooks(runs, frame.now_s, self._bill)
        groups = by_label(runs)
        rows = [_row(look, self._comparison, groups[look.label]) for look in looks]
        first = runs[0].planned
        tasks = max((run.known_tasks for run in runs), default=0) or first.tasks
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
            expected_usd=_expected(rows, self._bills),
            bound_usd=_bound(rows),
            items=_items(bills),
            left_s=None if any(left is None for left in lefts) else sum(left or 0.0 for left in lefts),
            elapsed_s=_elapsed_s(frame),
        )

    def _bill(self, run: RunView, now_s: float | None) -> RunCost:
        known = self._bills.get(run.id)
        return known if known is not None else run_bill(run, now_s)


def _elapsed_s(frame: Frame) -> float | None:
    """Seconds from the start of the comparison's first run to now, or to the end of its last."""
    ends = []
    for run in frame.runs:
        if run.started is not None:
            took = frame.now_s.get(run.id, run.makespan_s)
            ends.append((epoch_s(run.started.started), took or 0.0))
    if not ends:
        return None
    first = min(start for start, _ in ends)
    return max(start + took for start, took in ends) - first


def _row(look: Outlook, comparison: Comparison, group: list[RunView]) -> Row:
    summary = comparison[look.label]
    begun = [run for run in group if run.started is not None]
    run = next((run for run in begun if run.ended is None), begun[-1] if begun else None)
    p50 = p99 = speedup = None
    if run is not None and summary.duration_p50_ms is None:
        warm = run.warm_compute_ms()
        warm = warm[np.isfinite(warm)]
        if len(warm):
            p50, p99 = (float(value) for value in np.quantile(warm, (0.5, 0.99)))
    if summary.makespan_s is None and look.elapsed_s and look.tasks and look.tasks_done and comparison.baseline:
        base = comparison[comparison.baseline].makespan_s
        if base is not None and look.tasks_done * 10 >= look.tasks:
            speedup = base.value / (look.elapsed_s * look.tasks / look.tasks_done)
    return Row(look, summary, run, group, p50, p99, speedup)


def _expected(rows: list[Row], bills: Mapping[str, RunCost]) -> Decimal | None:
    """What all runs will have cost; None once that is known. Those to come count as the median of those that are over,
    or as the pace of the first says.
    """
    told: list[Decimal | None] = []
    for row in rows:
        look, summary = row.outlook, row.summary
        if look.usd is None:
            continue
        over = total_usd(bills[run.id].usd for run in row.runs if run.id in bills) or Decimal(0)
        to_come = sum(run.ended is None for run in row.runs)
        one = summary.usd
        if one is None and look.tasks and look.tasks_done:
            one = (look.usd - over) * Decimal(look.tasks) / Decimal(look.tasks_done)
        if one is None:
            return None
        told.append(max(look.usd, over + one * to_come))
    done = all(run.ended is not None for row in rows for run in row.runs)
    return None if done else total_usd(told)


def _bound(rows: list[Row]) -> Decimal | None:
    return total_usd(row.summary.bound_usd * row.outlook.runs for row in rows if row.summary.bound_usd is not None)


def _items(bills: list[RunCost]) -> dict[str, Decimal]:
    told: dict[str, Decimal] = {}
    for name in ("duration", "requests", "storage", "s3", "transfer", "logs"):
        total = total_usd(getattr(bill.items, name) for bill in bills)
        if total:
            told[name] = total
    return told


def answer_pieces(board: Board, *, short: bool = False) -> list[Piece]:
    """Line 2: the answer in one sentence as far as it is known, with its origin; `short` for a narrow terminal."""
    comparison = board.comparison
    if comparison is None or not board.rows:
        return [
            ("nothing has run yet: ", "quiet"),
            ("r", "key!"),
            (" then ", "quiet"),
            ("enter", "key!"),
            (" compares these backends on this machine", "quiet"),
        ]
    base = comparison.baseline
    pieces: list[Piece] = []
    origins: list[str] = []
    for row in board.rows:
        summary = row.summary
        if summary.answer == "wrong":
            _clause(pieces, [(f"{row.label} gave a ", "text"), ("wrong answer", "wrong!")])
            continue
        if row.label == base:
            continue
        ratio = summary.speedup.value if summary.speedup is not None else row.live_speedup
        if ratio is None or base is None:
            continue
        accent = role_of(summary.backend, row.label)
        sofar = "" if summary.speedup is not None else " so far"
        speed = (times_text(ratio) if not sofar else f"{ratio:.1f}×", accent + "!")
        clause: list[Piece]
        if _undecided(summary):
            apart = f" ≈ {base} (" if short else f" can't be told from {base} ("
            clause = [(f"{row.label}{apart}", "text"), speed, (")", "text")]
        elif pieces:
            clause = [(f"{row.label}{sofar} ", "text"), speed]
        else:
            rest = f" {base}" if short else f" as fast as {base}"
            clause = [(f"{row.label} is{sofar} ", "text"), speed, (rest, "text")]
        if row.summary.usd is not None:
            clause.append((f", {usd_short(row.summary.usd)}" + ("" if short else " a run on AWS"), "text"))
        if summary.origin != "measured":
            places = (
                "" if summary.capacity is None else f", {summary.capacity} environment{'s' * (summary.capacity != 1)}"
            )
            origins.append(f"{summary.origin} here" + ("" if short else places))
        _clause(pieces, clause)
    if not pieces:
        return _not_yet(board)
    failed = [row.label for row in board.rows if row.outlook.state == "failed" and row.summary.answer != "wrong"]
    if failed:
        _clause(pieces, [(f"{', '.join(failed)} failed", "wrong!")])
    if origins:
        pieces.append((f"  ({'; '.join(dict.fromkeys(origins))})", "quiet"))
    return pieces


def _undecided(summary: Summary) -> bool:
    """Whether the interval of a speedup holds 1: then it is no difference."""
    speedup = summary.speedup
    if speedup is None or speedup.low is None or speedup.high is None:
        return False
    return speedup.low <= 1 <= speedup.high


def _clause(pieces: list[Piece], clause: list[Piece]) -> None:
    if pieces:
        pieces.append(("; ", "text"))
    pieces.extend(clause)


def _not_yet(board: Board) -> list[Piece]:
    """Nothing can be compared yet: what there is, or what went wrong."""
    assert board.comparison is not None
    base = board.row(board.comparison.baseline)
    if base is not None and base.summary.makespan_s is not None:
        role = role_of(base.summary.backend, base.label)
        told: list[Piece] = [(base.label, role), (" takes ", "text")]
        told.append((seconds_text(base.summary.makespan_s.value), "bright!"))
        more = any(row.outlook.state in ("waiting", "running", "checking") for row in board.rows)
        failed = [row.label for row in board.rows if row.outlook.state == "failed"]
        if failed:
            told.append((f"; failed: {', '.join(failed)}", "wrong"))
        elif more and len(board.rows) > 1:
            told.append((": the others are compared with it", "quiet"))
        return told
    failure = next((row for row in board.rows if row.summary.error), None)
    if failure is not None:
        return [(f"{failure.label} failed: ", "wrong"), (str(failure.summary.error), "text")]
    running = next((row for row in board.rows if row.outlook.state == "running"), None)
    if running is not None:
        rest = " first: the others are compared with it" if len(board.rows) > 1 else ""
        role = role_of(running.summary.backend, running.label)
        return [("measuring ", "quiet"), (running.label, role), (rest, "quiet")]
    return [("measuring", "quiet")] if board.comparison.summaries else []
