"""The backends while exploring: which computes, which are compared, their latencies and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from textual.binding import Binding
from textual.strip import Strip

from lbench.analysis.layout import fitting_columns
from lbench.engine.cost.format import usd_short
from lbench.engine.plan.plan import BackendChoice
from lbench.tui.draw.ink import Piece, heading, line, put, right_of
from lbench.tui.explore.messages import Unit, number, spread, unit_of
from lbench.tui.explore.metrics import Tally
from lbench.tui.theme import EMULATED, role_of
from lbench.tui.widgets.lines import Lines

__all__ = ["Chosen", "ExploreBackends"]


class Chosen(msgspec.Struct, frozen=True):
    """A backend to explore on."""

    choice: BackendChoice
    compared: bool  # takes part in the scripted sequence


class _Column(msgspec.Struct, frozen=True):
    title: str
    width: int
    rank: int  # the highest are dropped first
    text: Callable[[Tally, Unit], str]
    role: str = "text"


_COLUMNS = (
    _Column("N", 4, 1, lambda tally, _: f"{tally.count:,}" if tally.count else "", "quiet"),
    _Column("FIRST", 6, 4, lambda tally, unit: number(tally.first_ms, unit)),
    _Column("P50", 6, 0, lambda tally, unit: number(None if tally.p50 is None else tally.p50.value, unit), "bright!"),
    _Column("95 %", 10, 3, lambda tally, unit: spread(tally.p50, unit), "quiet"),
    _Column("P95", 6, 0, lambda tally, unit: number(tally.p95_ms, unit)),
    _Column(
        "$ EACH",
        10,
        2,
        lambda tally, _: "–" if tally.usd is None else usd_short(tally.usd, assumed=tally.assumed, width=10),
    ),
)
_LABEL = 11


def _cells(columns: Sequence[_Column]) -> int:
    return 4 + _LABEL + sum(column.width + 1 for column in columns)


class ExploreBackends(Lines, can_focus=True):
    """One line per backend."""

    BINDINGS = [
        Binding("up,k", "screen.backend(-1)", "choose", key_display="↑↓"),
        Binding("down,j", "screen.backend(1)", "choose", key_display="↑↓"),
        Binding("space", "screen.compare_this", "tick", key_display="space", tooltip="compare it, or not"),
    ]

    def __init__(self) -> None:
        super().__init__(id="backends")
        self._backends: list[Chosen] = []
        self._current = ""
        self._tallies: dict[str, Tally] = {}
        self._measure = ""

    def show(self, backends: list[Chosen], current: str, tallies: dict[str, Tally], measure: str) -> None:
        shown = (backends, current, tallies, measure)
        if shown != (self._backends, self._current, self._tallies, self._measure):
            self._backends, self._current, self._tallies, self._measure = shown
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        palette = self.palette
        columns = fitting_columns(_COLUMNS, lambda column: column.rank, _cells, width)
        spare = width - _cells(columns)
        label = _LABEL + max(0, min(spare, 8))
        mark: Piece = ("▸ ", "key") if self.has_focus else ("", "text")
        unit = self._unit()
        measure: list[Piece] = [(self._measure, "quiet")] if self._measure else []
        strips = [line(palette, heading([mark, (f"an update, {unit}", "quiet!")], measure, width), width)]
        head = "".join(" " + right_of(column.title, column.width) for column in columns)
        strips.append(line(palette, [("    " + put("BACKEND", label), "quiet"), (head, "quiet")], width))
        rows = height - 2
        at = next((number for number, one in enumerate(self._backends) if one.choice.label == self._current), 0)
        first = max(0, min(at - rows + 1, len(self._backends) - rows))
        for one in self._backends[first : first + rows]:
            strips.append(line(palette, self._row(one, columns, label, unit), width))
        return strips

    def _unit(self) -> Unit:
        tallies = self._tallies.values()
        medians = [tally.p50.value for tally in tallies if tally.p50 is not None]
        return unit_of([*medians, *(tally.first_ms for tally in tallies), *(tally.p95_ms for tally in tallies)])

    def _row(self, one: Chosen, columns: list[_Column], label: int, unit: Unit) -> list[Piece]:
        choice = one.choice
        role = role_of(choice.name, choice.label)
        current = choice.label == self._current
        tally = self._tallies.get(choice.label)
        pieces: list[Piece] = [
            (("▐" if self.has_focus else "▶") if current else "▍", role),
            (" ✓ " if one.compared else " · ", "text" if one.compared else "quiet"),
            (
                put(choice.label + (EMULATED if tally is not None and tally.origin != "measured" else ""), label),
                role + "!",
            ),
        ]
        for column in columns:
            text = "" if tally is None else column.text(tally, unit)
            pieces.append((" " + right_of(text, column.width), column.role if text != "–" else "quiet"))
        return pieces
