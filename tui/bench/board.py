"""The Bench screen's values besides timelines and histograms: rows, the answer's sentence, the cost."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from lbench.analysis.format import ratio_text, seconds_text, spread_text
from lbench.engine.cost.format import usd_short
from lbench.errors import count_text
from lbench.tui.draw.ink import Piece
from lbench.tui.theme import role_of

if TYPE_CHECKING:
    from lbench.analysis.comparison import Comparison, Line, Summary
    from lbench.analysis.decision import Decision
    from lbench.analysis.progress import Outlook
    from lbench.engine.session.view import RunView

__all__ = ["EMPTY", "Board", "Row", "answer_pieces"]


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
        return self.summary.label


class Board(msgspec.Struct, frozen=True):
    """All values of the screen but timelines and histograms."""

    rows: list[Row]
    comparison: Comparison | None
    workload: str | None
    params: dict[str, Any]
    seed: int | None
    tasks: int | None
    usd: Decimal | None  # so far, of all runs of the comparison
    expected_usd: Decimal | None  # of all its runs, by what one costs
    bound_usd: Decimal | None  # of all its runs as planned now; None: no bound, or nothing is charged
    items: dict[str, Decimal]  # so far
    left_s: float | None  # until everything is done
    elapsed_s: float | None
    bound_run_usd: Decimal | None = None  # of one run, where nothing is paid: `auto` may add runs
    budget_usd: Decimal | None = None  # what all runs may cost together, where a budget was set
    assumed: tuple[str, ...] = ()  # what is counted at another region's price (`RunCost.assumed`)
    bound_assumed: bool = False  # whether the bound counts anything so
    warnings: tuple[str, ...] = ()  # what makes the results weak
    decision: Decision | None = None
    note: str | None = None  # what this machine cannot show
    data: str | None = ""  # name and size of the data set; "": generated; None: no run has read it yet
    partial: bool = False  # the record is being read, or the figures of its invocations are not computed yet

    def row(self, label: str | None) -> Row | None:
        return next((row for row in self.rows if row.label == label), None)


EMPTY = Board([], None, None, {}, None, None, None, None, None, {}, None, None)


def answer_pieces(board: Board, *, short: bool = False, cost: bool = True) -> list[Piece]:
    """Line 2: the answer in a sentence as far as it is known, and its origin; `short`, without `cost`: for less room."""
    comparison = board.comparison
    if comparison is None or not board.rows:
        return [
            ("not run yet: ", "quiet"),
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
        if base is None or (summary.speedup is None and row.live_speedup is None):
            continue
        accent = role_of(summary.backend, row.label)
        sofar = "" if summary.speedup is not None else " so far"
        speed = (f"{row.live_speedup:.1f}×" if summary.speedup is None else ratio_text(summary.speedup), accent + "!")
        sure: Piece = (_spread(summary, comparison[base].main, short, cost), "quiet")
        clause: list[Piece]
        if summary.main.claim == "open":
            verb = "unclear against" if short else "cannot be distinguished from"
            clause = [(f"{row.label}: {verb} {base}, ", "text"), speed, sure]
        elif pieces:
            clause = [(f"{row.label}{sofar} ", "text"), speed, sure]
        else:
            verb = "" if short and not sofar else " is"
            clause = [(f"{row.label}{verb}{sofar} ", "text"), speed, sure, (f" as fast as {base}", "text")]
        if cost and summary.usd is not None:
            usd = usd_short(summary.usd, assumed=bool(summary.assumed))
            clause.append((f", {usd}" + ("" if short else " a run on AWS"), "text"))
        clause += _other_lines(summary, comparison[base].main, short)
        if summary.origin != "measured":
            places = "" if summary.capacity is None else f", {count_text(summary.capacity, 'environment')}"
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


def _other_lines(summary: Summary, base: Line, short: bool) -> list[Piece]:
    """The speedup of a backend's cold repeats, beside that of its warm ones."""
    others = [one for one in summary.lines if one is not summary.main and one.speedup is not None]
    return [] if short else [(f", {one.temperature} {_ratio_text(one, base)}", "text") for one in others]


def _ratio_text(line: Line, base: Line) -> str:
    """A speedup with its interval and its doubt."""
    from lbench.analysis.verdict import doubt_text, speedup_clause  # loads numpy: not for the first frame

    assert line.speedup is not None
    return speedup_clause(line.speedup, doubt_text(line, base))


def _spread(summary: Summary, base: Line, short: bool, doubts: bool) -> str:
    """The interval of a speedup in brackets, after a space; `doubts`: and why it is not settled, else only that."""
    if summary.speedup is None:
        return ""
    aside = _ratio_text(summary.main, base).partition(" ")[2]
    if short:
        aside = re.sub(r"\((95 %|range of \d+): ", "(", aside)
    if not doubts:  # how many repeats there were, the block of what is weak says, too
        aside = re.sub(r"; .*\)$", "; not settled)", aside).replace(": not settled", "")
    return f" {aside}" if aside else ""


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
        pieces: list[Piece] = [(base.label, role), (" takes ", "text")]
        pieces.append((seconds_text(base.summary.makespan_s.value), "bright!"))
        pieces.append((f" ({spread_text(base.summary.makespan_s) or 'measured once'})", "quiet"))
        more = any(row.outlook.state in ("waiting", "running", "checking") for row in board.rows)
        failed = [row.label for row in board.rows if row.outlook.state == "failed"]
        if failed:
            pieces.append((f"; failed: {', '.join(failed)}", "wrong"))
        elif more and len(board.rows) > 1:
            pieces.append((": the others are compared with it", "quiet"))
        return pieces
    failure = next((row for row in board.rows if row.summary.error), None)
    if failure is not None:
        return [(f"{failure.label} failed: ", "wrong"), (str(failure.summary.error), "text")]
    running = next((row for row in board.rows if row.outlook.state == "running"), None)
    if running is not None:
        rest = " first: the others are compared with it" if len(board.rows) > 1 else ""
        role = role_of(running.summary.backend, running.label)
        return [("measuring ", "quiet"), (running.label, role), (rest, "quiet")]
    if board.rows and all(row.outlook.state == "stopped" for row in board.rows):
        return [("nothing to compare: the runs were stopped before any had ended", "text")]
    return [("measuring", "quiet")] if board.comparison.summaries else []
