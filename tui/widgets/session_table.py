"""The table of recorded sessions. Columns that do not fit are dropped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import msgspec
from rich.cells import cell_len
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from lbench.analysis.layout import fitting_columns
from lbench.engine.cost.format import usd_short
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import when
from lbench.errors import count_text
from lbench.tui.draw.ink import Piece, aligned, line, put, right_of, width_of
from lbench.tui.session_index import ONCE, Backend, Entry
from lbench.tui.theme import EMULATED, role_of
from lbench.tui.widgets.lines import Lines

__all__ = [
    "SessionTable",
    "error_of",
    "local_time",
    "matches",
    "outcome_pieces",
    "title_of",
    "verdict_pieces",
    "whole_outcome",
]

GLYPHS = {
    "complete": ("✔", "right"),
    "running": ("▶", "bright"),
    "stopped": ("◼", "quiet"),
    "damaged": ("✘", "wrong"),
}
_GAP = 2
_LEAST_NAME = 6  # cells of a name before its tags


class _Column(msgspec.Struct, frozen=True):
    title: str
    least: int  # cells; what is longer makes the column wider, up to `most`
    most: int
    rank: int  # the highest are dropped first
    right: bool
    cell: Callable[[Entry], list[Piece]]
    short: Callable[[Entry], list[Piece]] | None = None  # where the whole cell has no room


def local_time(entry: Entry) -> str:
    """The local time of its beginning."""
    began = when(entry.recorded)[0]
    try:
        return datetime.fromisoformat(began).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return began[:16] or "–"


def error_of(entry: Entry) -> str:
    """Why it cannot be read, without the path."""
    return (entry.recorded.error or "").replace(f"{entry.recorded.path}/{JOURNAL_NAME}", "its journal")


def _given_name(entry: Entry) -> str:
    """The name that a person gave."""
    return "" if entry.recorded.name == entry.recorded.id else entry.recorded.name or ""


def _tags(entry: Entry) -> str:
    return " ".join(f"#{tag}" for tag in entry.recorded.tags)


def title_of(entry: Entry) -> str:
    """The name that a person gave, with the tags; "" if there is none."""
    return " ".join(filter(None, [_given_name(entry), _tags(entry)]))


def verdict_pieces(verdict: list[Backend], *, short: bool = False) -> list[Piece]:
    """A comparison's result: "processes 1.94× (1.90–1.97) · emulated 1.41× (once)".

    `short`: the interval in the ratio's place, "processes 1.90–1.97×": a ratio by itself would be surer than it is.
    """
    pieces: list[Piece] = []
    for one in verdict:
        if one.wrong:
            clause: list[Piece] = [(f"✘ {one.label} wrong", "wrong")]
        elif one.failed:
            clause = [(f"✘ {one.label} failed", "wrong")]
        elif one.speedup is None or (one.baseline and len(verdict) > 1):
            continue
        elif len(verdict) == 1:
            clause = [("✔ right", "right")]
        else:
            clause = [(f"{one.label} ", role_of(one.backend, one.label))]
            if short and one.spread != ONCE:
                clause.append((f"{one.spread}×", "bright"))
            else:
                clause += [(one.speedup, "bright"), (f" {one.spread}" if short else f" ({one.spread})", "quiet")]
        pieces += [(" · ", "quiet"), *clause] if pieces else clause
    return pieces


def outcome_pieces(entry: Entry, *, short: bool = False) -> list[Piece]:
    """A session's result: its last comparison, or its number of updates; empty if there is none."""
    if entry.explored and not entry.verdict:
        return [(f"explored: {count_text(entry.explored, 'update')}", "text")]
    return verdict_pieces(entry.verdict, short=short)


def whole_outcome(entry: Entry) -> list[Piece]:
    """A session's result, with the backend that the others are compared with."""
    pieces, base = outcome_pieces(entry), [one.label for one in entry.verdict if one.baseline]
    others = [one for one in entry.verdict if not one.baseline and one.speedup is not None and not one.wrong]
    return [*pieces, (f" against {base[0]}", "quiet")] if pieces and base and others else pieces


def matches(entry: Entry, text: str) -> bool:
    """Whether every word of `text` occurs in the session's description."""
    recorded = entry.recorded
    about = " ".join(
        [
            recorded.id,
            recorded.name or "",
            recorded.machine or "",
            recorded.cpu_model or "",
            entry.recorded.state,
            local_time(entry),
        ]
        + recorded.workloads
        + recorded.backends
        + [entry.point]
        + [f"#{tag}" for tag in recorded.tags]
    ).lower()
    return all(word in about for word in text.lower().split())


def _backends(entry: Entry) -> list[Piece]:
    kinds = {one.label: one.backend for one in entry.verdict}
    pieces: list[Piece] = []
    for label in entry.recorded.backends:
        pieces += [(" ", "text")] * bool(pieces) + [(label, role_of(kinds.get(label, label), label))]
    return pieces or [("–", "quiet")]


def _cost(entry: Entry, width: int = 0) -> list[Piece]:
    if not entry.worked_out:
        return [("…" if entry.recorded.error is None else "–", "quiet")]
    if entry.usd is None:
        return [("–", "quiet")]
    return [
        (usd_short(Decimal(entry.usd), assumed=entry.assumed, width=width), "text"),
        (" " if entry.charged else EMULATED, "quiet"),
    ]


def _short_cost(entry: Entry) -> list[Piece]:
    return _cost(entry, width=7)  # and the mark of what was emulated


def _verdict(entry: Entry, *, short: bool = False) -> list[Piece]:
    if not entry.worked_out:
        return [("…", "quiet")] if entry.recorded.error is None else [("–", "quiet")]
    return outcome_pieces(entry, short=short) or [("no answer", "quiet")]


def _short_verdict(entry: Entry) -> list[Piece]:
    return _verdict(entry, short=True)


def _work(entry: Entry) -> list[Piece]:
    pieces: list[Piece] = [(", ".join(entry.recorded.workloads) or "–", "text")]
    return [*pieces, (f" {entry.data}", "quiet")] if entry.data else pieces


def _name(entry: Entry) -> list[Piece]:
    """What tells it from others: a person's name for the session, the point of a sweep."""
    title = title_of(entry)
    pieces: list[Piece] = [(title, "bright")] if title else []
    if entry.point:
        pieces.append((f" {entry.point}" if title else entry.point, "text"))
    return pieces or [("–", "quiet")]


def _fitted_name(entry: Entry, size: int) -> list[Piece]:
    """The cell of a name that has no room: the name is cut, and the tags and the point behind it stay, if they can."""
    name, behind = _given_name(entry), " ".join(filter(None, [_tags(entry), entry.point]))
    room = size - cell_len(behind) - 1
    if not name or not behind or room < _LEAST_NAME:
        return _name(entry)
    return [(put(name, room), "bright"), (f" {behind}", "text")]


_COLUMNS = (
    _Column("DATE", 16, 16, 0, False, lambda one: [(local_time(one), "text")]),
    _Column("NAME", 10, 28, 0, False, _name),
    _Column("WORKLOAD", 10, 40, 0, False, _work),
    _Column("RUNS", 4, 7, 2, True, lambda one: [(f"{one.recorded.runs_done}/{one.recorded.runs}", "text")]),
    _Column("COST", 8, 10, 1, True, _cost, _short_cost),
    _Column("VERDICT", 20, 82, 0, False, _verdict, _short_verdict),
    _Column("BACKENDS", 10, 44, 5, False, _backends),
    _Column("MACHINE", 7, 24, 4, False, lambda one: [(one.recorded.machine or "–", "text")]),
)


class SessionTable(Lines, can_focus=True):
    """A session a line, the newest first. It scrolls with the cursor."""

    BINDINGS = [
        Binding("up,k", "move(-1)", "select", key_display="↑↓"),
        Binding("down,j", "move(1)", "select", key_display="↑↓"),
        Binding("pageup", "page(-1)", "a page up", show=False),
        Binding("pagedown", "page(1)", "a page down", show=False),
        Binding("home", "end(False)", "the newest", show=False),
        Binding("end", "end(True)", "the oldest", show=False),
    ]

    class Moved(Message):
        """The cursor moved to another session."""

    def __init__(self) -> None:
        super().__init__(id="shelf")
        self.entries: list[Entry] = []
        self.cursor = 0
        self._top = 0
        self._empty = ""
        self.wanted: tuple[str, int] | None = None  # the key of the session that a person chose
        self.marked: list[str] = []  # paths, in the order in which they were marked

    def mark(self, path: str) -> None:
        """Mark a session, or take the mark away."""
        self.marked = [one for one in self.marked if one != path] + [path] * (path not in self.marked)
        self.redraw()

    def show(self, entries: list[Entry], empty: str) -> None:
        """Show sessions; the cursor stays on the one that a person chose. `empty`: the text if there are none."""
        here = self.chosen
        self.entries, self._empty = entries, empty
        where = next((at for at, one in enumerate(entries) if one.key == self.wanted), None)
        self.cursor = max(0, min(self.cursor if where is None else where, len(entries) - 1))
        if where is None and here is not None and here.key == self.wanted and self.chosen is not None:
            self.wanted = self.chosen.key  # it has gone: the one in its place
        self.redraw()
        self.post_message(self.Moved())

    @property
    def chosen(self) -> Entry | None:
        return self.entries[self.cursor] if self.cursor < len(self.entries) else None

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(len(self.entries) - 1, self.cursor + by))
        self.wanted = None if self.chosen is None else self.chosen.key
        self.redraw()
        self.post_message(self.Moved())

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.content_size.height - 2))

    def action_end(self, last: bool) -> None:
        self.action_move(len(self.entries) if last else -len(self.entries))

    def on_click(self, event: object) -> None:
        row = self._top + int(getattr(event, "y", 0)) - 1
        if 0 <= row < len(self.entries):
            self.action_move(row - self.cursor)

    def draw(self, width: int, height: int) -> list[Strip]:
        """The header, and the sessions around the cursor."""
        rows = max(1, height - 1)
        self._top = max(0, min(self._top, self.cursor, len(self.entries) - rows), self.cursor - rows + 1)
        shown = self.entries[self._top : self._top + rows]
        if not shown:
            return [line(self.palette, [(" ", "text"), (self._empty, "quiet")], width)]
        chosen, widths = self._fitting(width)
        head: list[Piece] = [("    ", "text")]
        for column, size in zip(chosen, widths, strict=True):
            head.append(((right_of if column.right else put)(column.title, size) + " " * _GAP, "quiet"))
        lines = [line(self.palette, head, width)]
        for number, entry in enumerate(shown, self._top):
            lines.append(self._row(entry, number == self.cursor, chosen, widths, width))
        return lines

    def _row(self, entry: Entry, here: bool, columns: list[_Column], widths: list[int], width: int) -> Strip:
        bad = any(one.wrong or one.failed for one in entry.verdict)
        glyph, role = GLYPHS["damaged" if bad else entry.recorded.state]
        mark = "◆" if entry.recorded.path in self.marked else " "
        pieces: list[Piece] = [(mark, "key!"), ("▸" if here else " ", "key"), (glyph, role), (" ", "text")]
        for number, (column, size) in enumerate(zip(columns, widths, strict=True)):
            if number and entry.recorded.error is not None:  # what is known of it, and why there is no more
                pieces.append((error_of(entry), "wrong" if here else "quiet"))
                break
            cell = column.cell(entry)
            if width_of(cell) > size and column.cell is _name:
                cell = _fitted_name(entry, size)
            elif width_of(cell) > size and column.short is not None:
                cell = column.short(entry)
            pieces += [*aligned(cell, size, right=column.right), (" " * _GAP, "text")]
        return line(self.palette, pieces, width, ground="bar" if here else "ground")

    def _fitting(self, width: int) -> tuple[list[_Column], list[int]]:
        """The columns that fit, and their widths."""
        fine = [entry for entry in self.entries if entry.recorded.error is None] or self.entries
        sizes: dict[str, int] = {}
        for column in _COLUMNS:
            longest = max((width_of(column.cell(entry)) for entry in fine), default=0)
            most = max(column.most, width // 4) if column.cell is _name else column.most
            sizes[column.title] = max(column.least, cell_len(column.title), min(longest, most))
        chosen = [
            one for one in _COLUMNS if one.title != "NAME" or any(title_of(entry) or entry.point for entry in fine)
        ]

        def need(columns: list[_Column]) -> int:
            return 4 + sum(sizes[one.title] + _GAP for one in columns)

        chosen = fitting_columns(
            chosen, lambda one: max(0, one.rank - 1), need, width
        )  # COST stays where texts give way
        least = {one.title: one.least for one in _COLUMNS}
        short = max((width_of(_short_verdict(entry)) for entry in fine), default=0)
        for title, down_to in (
            ("VERDICT", max(short, least["VERDICT"])),
            *((title, least[title]) for title in ("WORKLOAD", "VERDICT", "NAME")),
        ):
            sizes[title] = min(sizes[title], max(down_to, sizes[title] - max(0, need(chosen) - width)))
        chosen = fitting_columns(chosen, lambda one: one.rank, need, width)
        return chosen, [sizes[one.title] for one in chosen]
