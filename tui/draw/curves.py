"""Curves on axes: points with their intervals, where they cross, and a cursor."""

from __future__ import annotations

import msgspec
from rich.cells import cell_len

from lbench.analysis.layout import unbroken
from lbench.tui.draw.axes import Axis, axis_of, number_text
from lbench.tui.draw.canvas import Canvas
from lbench.tui.draw.ink import Piece, put, right_of, shorter
from lbench.tui.draw.marker import Marker
from lbench.tui.theme import band_role

__all__ = ["Curve", "Curves", "Spot", "chart"]

_LABELLED = 64  # cells from which the curves' names stand at their ends
_NAME_CELLS = 22
_LEAST_ROWS = 3


class Spot(msgspec.Struct, frozen=True):
    """A point of a curve, with the interval of its value."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


class Curve(msgspec.Struct, frozen=True):
    """One series. `role`: of its colour; `measured`: else its points are hollow."""

    name: str
    role: str
    spots: tuple[Spot, ...]
    measured: bool = True
    label: str = ""  # at its end, where there is room
    banded: bool = True  # whether its intervals are drawn
    failed: tuple[float, ...] = ()  # places without a value: the line breaks there, and a cross stands on the axis
    gaps: tuple[float, ...] = ()  # places where it breaks without a cross

    @property
    def xs(self) -> list[float]:
        return [*(spot.x for spot in self.spots), *self.failed]

    @property
    def pieces(self) -> list[list[Spot]]:
        """Its spots between the places without a value."""
        return unbroken(self.spots, lambda spot: spot.x, (*self.failed, *self.gaps))


class Curves(msgspec.Struct, frozen=True):
    """What a chart shows."""

    curves: tuple[Curve, ...]
    places: tuple[float, ...] = ()  # along the axis: ticks stand there, where there is room
    crossings: tuple[tuple[float, str], ...] = ()  # where two curves cross, and the number that is shown
    marks: tuple[float, ...] = ()  # places with a meaning of their own, as the number of cores
    before: str = ""  # a sign before the numbers of the y axis: "$"


def chart(
    shown: Curves, width: int, height: int, *, log: bool, marker: Marker = "braille", cursor: float | None = None
) -> list[list[Piece]]:
    """The lines of a chart: curves, axes and ticks. There may be no curve."""
    values = [value for curve in shown.curves for spot in curve.spots for value in _values(spot)]
    x_axis = axis_of([*shown.places, *(x for curve in shown.curves for x in curve.xs)], log=log, tight=True)
    y_axis = axis_of(values, log=log)
    rows = max(_LEAST_ROWS, height - 2)
    marks = {value: shown.before + number_text(value) for value in y_axis.ticks(max(2, (rows + 1) // 2))}
    left = max((cell_len(text) for text in marks.values()), default=1) + 1
    labelled = width >= _LABELLED
    room = max(8, width - left - 2 - (_NAME_CELLS if labelled else 1))
    canvas = _drawn(shown, room, rows, x_axis, y_axis, marker, cursor)
    names = _names(shown, canvas, x_axis, y_axis) if labelled else {}
    at = {canvas.cell(0, share)[0]: text for value, text in marks.items() if (share := y_axis.share(value)) is not None}
    lines: list[list[Piece]] = []
    for row, cells in enumerate(canvas.rows()):
        number: list[Piece] = [(right_of(at.get(row, ""), left), "quiet"), (" ┤" if row in at else " │", "hairline")]
        lines.append([*number, *cells, *names.get(row, [])])
    return [*lines, *_below(shown, canvas, x_axis, left)]


def _values(spot: Spot) -> list[float]:
    return [value for value in (spot.y, spot.low, spot.high) if value is not None]


def _drawn(
    shown: Curves, width: int, height: int, x_axis: Axis, y_axis: Axis, marker: Marker, cursor: float | None
) -> Canvas:
    canvas = Canvas(width, height, marker)
    for value, glyph, role in (
        *((mark, "┆", "hairline") for mark in shown.marks),
        *((crossing, "│", "quiet") for crossing, _ in shown.crossings),
        *([(cursor, "┊", "quiet")] if cursor is not None else []),
    ):
        x = x_axis.share(value)
        if x is not None and 0 <= x <= 1:
            canvas.column(x, glyph, role)
    for curve, piece in ((one, piece) for one in shown.curves if one.banded for piece in one.pieces):
        canvas.band(
            [
                (x, low, high)
                for spot in piece
                if spot.low is not None
                and spot.high is not None
                and (x := x_axis.share(spot.x)) is not None
                and (low := y_axis.share(spot.low)) is not None
                and (high := y_axis.share(spot.high)) is not None
            ],
            band_role(curve.role),
        )
    for curve in shown.curves:
        for piece in curve.pieces:
            canvas.line([place for spot in piece if (place := _place(spot, x_axis, y_axis)) is not None], curve.role)
    for curve in shown.curves:
        for spot in curve.spots:
            if (place := _place(spot, x_axis, y_axis)) is not None:
                canvas.glyph(*place, "●" if curve.measured else "○", curve.role + "!" * (spot.x == cursor))
    crosses: dict[float, int] = {}  # each above the others of its place
    for curve, failed in ((one, at) for one in shown.curves if one.spots for at in one.failed):
        x = x_axis.share(failed)
        if x is not None:
            row = crosses[failed] = crosses.get(failed, -1) + 1
            canvas.glyph(x, row / max(1, canvas.height - 1), "✘", curve.role + "!" * (failed == cursor))
    return canvas


def _place(spot: Spot, x_axis: Axis, y_axis: Axis) -> tuple[float, float] | None:
    x, y = x_axis.share(spot.x), y_axis.share(spot.y)
    return None if x is None or y is None else (x, y)


def _names(shown: Curves, canvas: Canvas, x_axis: Axis, y_axis: Axis) -> dict[int, list[Piece]]:
    """The curves' names by row, at their ends; none lies over another."""
    ends = []
    for curve in shown.curves:
        places = [place for spot in curve.spots if (place := _place(spot, x_axis, y_axis)) is not None]
        if places and (curve.label or curve.name):
            ends.append((canvas.cell(*max(places))[0], curve))
    taken: dict[int, list[Piece]] = {}
    for row, curve in sorted(ends, key=lambda end: end[0]):
        free = [one for one in range(canvas.height) if one not in taken]
        if free:
            nearest = min(free, key=lambda one: (abs(one - row), one < row))
            taken[nearest] = [
                (" " + put(shorter(curve.label or curve.name, _NAME_CELLS - 1), _NAME_CELLS - 1), curve.role)
            ]
    return taken


def _below(shown: Curves, canvas: Canvas, axis: Axis, left: int) -> list[list[Piece]]:
    """The x axis and its numbers: crossings before ticks, and no two within one another."""
    ticks = list(shown.places) or axis.ticks(max(2, canvas.width // 10))
    wanted = [(value, text, "bright!") for value, text in shown.crossings]
    wanted += [(value, number_text(value), "quiet") for value in (*ticks[:1], *ticks[:0:-1])]
    line = ["─"] * canvas.width
    texts: dict[int, tuple[str, str]] = {}
    for value, text, role in wanted:
        share = axis.share(value)
        if share is None or not -1e-9 <= share <= 1 + 1e-9:
            continue
        _, column = canvas.cell(share, 0)
        start = max(0, min(column - len(text) // 2, canvas.width - len(text)))
        if all(start > at + len(one) or at > start + len(text) for at, (one, _) in texts.items()):
            texts[start] = (text, role)
            line[column] = "┼" if role == "bright!" else "┬"
    pieces: list[Piece] = [(" " * (left + 2), "text")]
    end = 0
    for start, (text, role) in sorted(texts.items()):
        pieces += [(" " * (start - end), "text"), (text, role)]
        end = start + len(text)
    return [[(" " * left + " └", "hairline"), ("".join(line), "hairline")], pieces]
