"""The backends' table. Columns that do not fit are dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from lbench.analysis.format import interval_text, percent_text, ratio_text, seconds_text, times_interval_text
from lbench.analysis.layout import fitting_columns
from lbench.engine.cost.format import usd_short
from lbench.tui.bench.board import EMPTY, Board, Row
from lbench.tui.draw.bars import progress
from lbench.tui.draw.ink import Piece, aligned, line, put, right_of, shorter, width_of
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from lbench.analysis.comparison import Line

__all__ = ["BackendTable", "Waiting", "other_lines"]


class Waiting(msgspec.Struct, frozen=True):
    """A backend before its first run."""

    backend: str
    label: str
    summary: str


class _Column(msgspec.Struct, frozen=True):
    title: str
    width: int
    right: bool
    rank: int  # the highest are dropped first
    cell: Callable[[Row, int], list[Piece]]


def _runs(row: Row, width: int) -> list[Piece]:
    look = row.outlook
    glyph, role = {
        "waiting": ("·", "quiet"),
        "running": ("▶", "bright"),
        "checking": ("?", "bright"),
        "ok": ("✔", "right"),
        "failed": ("✘", "wrong"),
        "stopped": ("■", "quiet"),
    }[look.state]
    return [(f"{glyph} {look.runs_done}/{look.runs}", role)]


def _tasks(row: Row, width: int) -> list[Piece]:
    look = row.outlook
    total = look.tasks or 0
    role = role_of(look.backend, look.label)
    if not total:
        return progress(0, 0, width - _COUNT - 1, role)
    count = f"{look.tasks_done:,}/{total:,}".rjust(max(_COUNT, 2 * len(f"{total:,}") + 1))
    bar = width - 1 - len(count)
    if bar >= _LEAST_BAR:
        return [*progress(look.tasks_done, total, bar, role), (f" {count}", "text")]
    share = f"{look.tasks_done * 100 // total}%".rjust(4)  # so many that there is no room for them
    return [*progress(look.tasks_done, total, width - 1 - len(share), role), (f" {share}", "text")]


def _makespan(row: Row, width: int) -> list[Piece]:
    makespan = row.summary.makespan_s
    if makespan is not None:
        return [(seconds_text(makespan.value), "text")]
    if row.outlook.elapsed_s is not None:
        elapsed_s = row.outlook.elapsed_s
        return [((f"{elapsed_s:.1f} s" if elapsed_s < 60 else seconds_text(elapsed_s)) + " …", "text")]
    return [("–", "quiet")]


def _makespan_range(row: Row, width: int) -> list[Piece]:
    makespan = row.summary.makespan_s
    return [("" if makespan is None else interval_text(makespan), "quiet")]


def _speedup_range(row: Row, width: int) -> list[Piece]:
    return [(times_interval_text(row.summary.speedup), "quiet")]


def _retried(row: Row, width: int) -> list[Piece]:
    count = max(row.summary.failed_attempts, row.outlook.failed_attempts)
    return [(f"{count:,}", "key")] if count else [("–", "quiet")]


def _speedup(row: Row, width: int) -> list[Piece]:
    if row.summary.speedup is not None:
        return [(ratio_text(row.summary.speedup), "bright!")]
    if row.live_speedup is not None:
        return [(f"{row.live_speedup:.1f}×", "text")]
    return [("–", "quiet")]


def _ms(value: float | None) -> list[Piece]:
    if value is None:
        return [("–", "quiet")]
    if 0 < value < 0.000095:
        return [(f"{value * 1e6:.2g}ns", "text")]
    if 0 < value < 0.0995:  # "0.00ms" would say that it took no time
        return [(f"{value * 1000:.0f}µs" if value >= 0.00995 else f"{value * 1000:.1f}µs", "text")]
    if value < 9.995:
        return [(f"{value:.2f}ms" if value < 0.995 else f"{value:.1f}ms", "text")]
    return [(f"{value:.0f}ms" if value < 9999.5 else f"{value / 1000:.1f}s", "text")]


def _p50(row: Row, width: int) -> list[Piece]:
    return _ms(row.summary.duration_p50_ms if row.summary.duration_p50_ms is not None else row.live_p50_ms)


def _p99(row: Row, width: int) -> list[Piece]:
    return _ms(row.summary.duration_p99_ms if row.summary.duration_p99_ms is not None else row.live_p99_ms)


def _cv(row: Row, width: int) -> list[Piece]:
    spread = row.summary.duration_cv
    return [("–", "quiet")] if spread is None else [(percent_text(spread).replace(" ", ""), "text")]


def _cold(row: Row, width: int) -> list[Piece]:
    count = row.summary.main.cold_starts
    if count is None and row.run is not None:
        count = row.run.cold_starts()
    return [("–", "quiet")] if count is None else [(f"{count:,}", "text")]


def _cost(row: Row, width: int) -> list[Piece]:
    usd = row.summary.usd if row.summary.usd is not None else row.outlook.usd
    assumed = bool(row.summary.assumed) or row.outlook.assumed
    return [("–", "quiet")] if usd is None else [(usd_short(usd, assumed=assumed, width=width), "text")]


def _answer(row: Row, width: int) -> list[Piece]:
    state = row.summary.answer
    if state == "same":
        return [("✔ same", "right")]
    if state == "wrong":
        return [("✘ wrong", "wrong!")]
    if state in ("equal", "differ") and row.summary.error is None:  # with each other: there is no reference
        return [("= equal", "right")] if state == "equal" else [("✘ differ", "wrong!")]
    if state == "uncomputed":
        return [("uncomputed", "quiet")]
    if row.summary.error is not None:
        return [("✘ failed", "wrong")]
    if row.outlook.state == "stopped":
        return [("not run" if row.run is None else "stopped", "quiet")]
    return [("unchecked", "quiet")] if state == "unchecked" and row.outlook.state == "ok" else [("", "quiet")]


_COLUMNS = (  # title, least width, at the right end?, rank, cell
    _Column("RUN", 6, False, 1, _runs),
    _Column("TASKS", 15, False, 3, _tasks),
    _Column("MAKESPAN", 8, True, 0, _makespan),
    _Column("LOW–HIGH", 11, True, 7, _makespan_range),
    _Column("SPEEDUP", 7, True, 0, _speedup),
    _Column("LOW–HIGH", 9, True, 5, _speedup_range),
    _Column("P50", 6, True, 8, _p50),
    _Column("P99", 6, True, 9, _p99),
    _Column("CV", 4, True, 10, _cv),
    _Column("COLD", 5, True, 4, _cold),
    _Column("RETRIED", 7, True, 1, _retried),
    _Column("COST", 9, True, 2, _cost),
    _Column("ANSWER", 7, True, 2, _answer),
)
_TASKS_OVER = 6  # rank of TASKS once every run is over: the interval of the speedup says more than "100/100"
_OF_A_LINE = (_makespan, _makespan_range, _speedup, _speedup_range, _cold, _cost)
_GAP = 1
_COUNT = 7  # cells of "100/100"
_LEAST_BAR = 4
_LABEL = 11


def other_lines(row: Row) -> list[Line]:
    """The lines of a backend below its main one: its cold repeats."""
    return [one for one in row.summary.lines if one is not row.summary.main and one.makespan_s is not None]


class BackendTable(Lines, can_focus=True):
    """One line per backend. The selected one's timeline is shown where there is room for one."""

    BINDINGS = [
        Binding("up", "move(-1)", "select", key_display="↑↓"),
        Binding("down", "move(1)", "select", key_display="↑↓"),
    ]

    class Selected(Message):
        """Another backend was selected."""

        def __init__(self, label: str) -> None:
            self.label = label
            super().__init__()

    def __init__(self) -> None:
        super().__init__(id="table")
        self._board = EMPTY
        self._waiting: list[Waiting] = []
        self.cursor = 0

    def show(self, board: Board, waiting: list[Waiting]) -> None:
        self._board, self._waiting = board, waiting
        self.redraw()

    @property
    def labels(self) -> list[str]:
        """The backends' labels, in their order."""
        return [row.label for row in self._board.rows] or [one.label for one in self._waiting]

    def action_move(self, by: int) -> None:
        """Select the next or previous backend."""
        if self.labels:
            self.cursor = max(0, min(len(self.labels) - 1, self.cursor + by))
            self.post_message(self.Selected(self.labels[self.cursor]))
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The header and a line for each backend."""
        chosen, widths = _fit(width, self.labels, self._board.rows)
        label_width = widths[0]
        head: list[Piece] = [("  ", "text"), (put("BACKEND", label_width), "quiet")]
        for column, size in zip(chosen, widths[1:], strict=True):
            head.append((" " * _GAP, "text"))
            head.append(((right_of if column.right else put)(column.title, size), "quiet"))
        lines = [line(self.palette, head, width)]
        for number, row in enumerate(self._board.rows):
            lines.append(self._line(number, row, chosen, widths, width))
            lines += [self._other_line(row, other, chosen, widths, width) for other in other_lines(row)]
        if not self._board.rows:
            for number, one in enumerate(self._waiting):
                pieces = self._head(number, one.backend, one.label, label_width)
                pieces += [(" " * _GAP, "text"), ("·", "quiet"), ("       ", "text")]
                pieces.append((shorter(one.summary, width - width_of(pieces)), "quiet"))
                lines.append(line(self.palette, pieces, width))
        return lines

    def _head(self, number: int, backend: str, label: str, width: int) -> list[Piece]:
        role = role_of(backend, label)
        here = self.has_focus and number == self.cursor
        return [("▐" if here else "▍", role), (" ", "text"), (put(label, width), role + "!")]

    def _other_line(self, row: Row, other: Line, chosen: list[_Column], widths: list[int], width: int) -> Strip:
        """The cold repeats of a backend, below its warm ones."""
        row = msgspec.structs.replace(row, summary=msgspec.structs.replace(row.summary, lines=(other,)))
        role = role_of(row.summary.backend, row.label)
        pieces: list[Piece] = [("▍", role), (" ", "text"), (put(f"  {other.temperature}", widths[0]), role)]
        for column, size in zip(chosen, widths[1:], strict=True):
            cell = column.cell(row, size) if column.cell in _OF_A_LINE else []
            pieces += [(" " * _GAP, "text"), *aligned(cell, size, right=column.right)]
        return line(self.palette, pieces, width)

    def _line(self, number: int, row: Row, chosen: list[_Column], widths: list[int], width: int) -> Strip:
        pieces = self._head(number, row.summary.backend, row.label, widths[0])
        for column, size in zip(chosen, widths[1:], strict=True):
            pieces += [(" " * _GAP, "text"), *aligned(column.cell(row, size), size, right=column.right)]
        return line(self.palette, pieces, width)


def _fit(width: int, labels: list[str], rows: list[Row]) -> tuple[list[_Column], list[int]]:
    """The columns that fit, and the widths of the label and each column. Spare room goes to the bar, then evenly."""
    label = max([_LABEL, *(len(text) + 1 for text in labels)])
    label = min(label, max(_LABEL, width // 4))
    chosen = []
    for column in _COLUMNS:
        if column.cell is _retried and not any(
            row.summary.failed_attempts or row.outlook.failed_attempts for row in rows
        ):
            continue
        if column.cell in (_runs, _answer):  # words and counts of runs are never cut
            needed = max((width_of(column.cell(row, 0)) for row in rows), default=0)
            column = msgspec.structs.replace(column, width=max(column.width, needed))
        chosen.append(column)

    def need(columns: list[_Column]) -> int:
        return 3 + label + sum(column.width + _GAP for column in columns)

    over = bool(rows) and all(row.outlook.state not in ("waiting", "running", "checking") for row in rows)

    def rank(column: _Column) -> int:
        return _TASKS_OVER if over and column.cell is _tasks else column.rank

    chosen = fitting_columns(chosen, rank, need, width)
    spare = max(0, width - need(chosen))
    widths = [label, *(column.width for column in chosen)]
    titles = [column.title for column in chosen]
    if "TASKS" in titles:  # the bar grows first, to a quarter of the line
        more = min(spare // 2, max(0, width // 5 - 12))
        widths[1 + titles.index("TASKS")] += more
        spare -= more
    for turn in range(spare):
        widths[1 + turn % len(chosen)] += 1
    return chosen, widths
