"""Histograms one below the other on one scale, with p50 and p99; a few values are dots."""

from __future__ import annotations

import numpy as np
from textual.strip import Strip

from lbench.analysis.statistics import enough_for
from lbench.tui.draw import histogram
from lbench.tui.draw.dots import FEW, MOST_ROWS, dots, short_ms
from lbench.tui.draw.ink import HEADING_CELLS, Piece, heading, line, right_of, width_of
from lbench.tui.draw.series import Series
from lbench.tui.theme import Palette

__all__ = ["bands"]

_WIDE = 70  # cells from which a heading says both the repeat and the count of its bands
_NUMBER = 6  # cells of a number beside its band


def bands(palette: Palette, title: list[Piece], every: list[Series], width: int, height: int) -> list[Strip]:
    """The heading, a band for each series that finds room, the axis. There must be a series with a value."""
    series = every[: max(1, (height - 2) // 2)] if height > 3 else every[:1]
    low, high = histogram.range_of([one.values for one in series]) or (0.0, 1.0)
    if len(series) < len(every):
        left_out: Piece = (f" · {len(series)} of {len(every)}", "quiet")
        title = [*title, left_out] if width >= _WIDE else [title[0], left_out]
    names = (right_of("p50", _NUMBER) + right_of("p99", _NUMBER)).lstrip()
    measure: list[Piece] = [(names, "quiet")]
    if not _has_room(title, measure, width):  # the numbers' names come before the whole title
        title = [(title[0][0].split()[0], title[0][1]), *title[1:]]
    if not _has_room(title, measure, width):
        title = [(text.removesuffix(" repeats"), role) for text, role in title]
    strips = [line(palette, heading(title, measure, width), width)]
    cells = max(1, width - 4 - 2 * _NUMBER)
    rows = max(1, height - 2)
    if all(len(one.values) < FEW for one in series):
        rows = min(rows, MOST_ROWS * len(series))
    for number, one in enumerate(series):
        band = rows // len(series) + (number < rows % len(series))
        p50, p99 = (float(np.quantile(one.values, part)) for part in (0.5, 0.99))
        few, tail = len(one.values) < FEW, enough_for(0.99, len(one.values))
        if few:
            lines = [[(text, one.role)] for text in dots(one.values, low, high, cells, band)]
        else:
            heights = histogram.counts(one.values, low, high, cells)
            marks = {
                histogram.cell_of(p50, low, high, cells): "▾",
            } | ({histogram.cell_of(p99, low, high, cells): "▿"} if tail else {})
            texts = histogram.columns(heights, band)
            lines = [_marked(text, marks, one.role, index == 0) for index, text in enumerate(texts)]
        for index, drawn in enumerate(lines):
            pieces: list[Piece] = [("  ", "text"), *drawn]
            if index == band - 1:
                numbers = (short_ms(p50), short_ms(p99) if tail else "–")
                pieces.append(("".join(right_of(text, _NUMBER) for text in numbers), one.role))
            strips.append(line(palette, pieces, width))
    strips.append(line(palette, [("  ", "text"), (histogram.axis(low, high, cells, "ms"), "quiet")], width))
    return strips


def _has_room(title: list[Piece], measure: list[Piece], width: int) -> bool:
    return width_of([*title, *measure]) + HEADING_CELLS <= width


def _marked(text: str, marks: dict[int, str], role: str, top: bool) -> list[Piece]:
    """A line of columns; those of p50 and p99 are bright, and a mark hangs above them where there is room."""
    pieces: list[Piece] = []
    start = 0
    for at in sorted(marks):
        pieces.append((text[start:at], role))
        glyph = text[at]
        pieces.append((marks[at] if top and glyph == " " else glyph, "bright"))
        start = at + 1
    pieces.append((text[start:], role))
    return pieces
