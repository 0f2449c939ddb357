"""Cold starts and warm durations: a band of columns for each backend, on one scale, with p50 and p99 marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from textual.strip import Strip

from lbench.engine.columns import STATUSES
from lbench.engine.session import RunView
from lbench.tui.draw import histogram
from lbench.tui.draw.ink import Piece, heading, line, right_of
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines

__all__ = ["Histograms", "Series", "cold_starts", "warm_durations"]

_OK = STATUSES.index("ok")
_NUMBER = 6  # cells of a number beside its band


class Series(msgspec.Struct, frozen=True):
    """The values of one backend."""

    backend: str
    label: str
    values: Any  # (n,) of milliseconds

    @property
    def role(self) -> str:
        """Its accent."""
        return role_of(self.backend, self.label)


def cold_starts(run: RunView) -> Any:
    """Init durations (ms) of cold starts."""
    columns = run.columns
    init = columns["init_ms"]
    return init[(columns["cold"] == 1) & np.isfinite(init)]


def warm_durations(run: RunView) -> Any:
    """Compute times (ms) of warm invocations that were ok."""
    values = run.warm_compute_ms()
    return values[np.isfinite(values)]


def gather(runs: list[RunView], values: Callable[[RunView], Any]) -> list[Series]:
    """A series for each backend that has values, over all its runs but warm-ups."""
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        if not run.planned.warmup and run.started is not None:
            groups.setdefault(run.planned.label, []).append(run)
    told = []
    for label, group in groups.items():
        parts = [part for run in group if len(part := values(run))]
        if parts:
            told.append(Series(group[0].planned.backend, label, np.concatenate(parts)))
    return told


class Histograms(Lines):
    """One phase of all backends."""

    def __init__(self, title: str, empty: str, values: Callable[[RunView], Any], *, id: str) -> None:
        super().__init__(id=id)
        self._title = title
        self._empty = empty
        self._values = values
        self._series: list[Series] = []
        self._count = -1

    def show(self, runs: list[RunView]) -> None:
        """The runs of a comparison."""
        self._series = gather(runs, self._values)
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading, a band for each backend, the axis."""
        palette = self.palette
        series = self._series[: max(1, (height - 2) // 2)] if height > 3 else self._series[:1]
        scale = histogram.range_of([one.values for one in series])
        title: list[Piece] = [(self._title, "quiet!")]
        if scale is None:
            strips = [line(palette, heading(title, [], width), width)]
            strips.append(line(palette, [("  " + self._empty, "quiet")], width))
            return strips
        low, high = scale
        medians = [float(np.quantile(one.values, 0.5)) for one in series]
        nineties = [float(np.quantile(one.values, 0.99)) for one in series]
        measure: list[Piece] = [(right_of("p50", _NUMBER) + right_of("p99", _NUMBER), "quiet")]
        strips = [line(palette, heading(title, measure, width), width)]
        cells = max(1, width - 4 - 2 * _NUMBER)
        rows = max(1, height - 2)
        for number, one in enumerate(series):
            band = rows // len(series) + (number < rows % len(series))
            heights = histogram.counts(one.values, low, high, cells)
            marks = {
                histogram.cell_of(medians[number], low, high, cells): "▾",
                histogram.cell_of(nineties[number], low, high, cells): "▿",
            }
            texts = histogram.columns(heights, band)
            for index, text in enumerate(texts):
                pieces: list[Piece] = [("  ", "text"), *_marked(text, marks, one.role, index == 0)]
                if index == band - 1:
                    numbers = (_short(medians[number]), _short(nineties[number]))
                    pieces.append(("".join(right_of(told, _NUMBER) for told in numbers), one.role))
                strips.append(line(palette, pieces, width))
        strips.append(line(palette, [("  ", "text"), (histogram.axis(low, high, cells, "ms"), "quiet")], width))
        return strips


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


def _short(ms: float) -> str:
    if ms < 0.995:
        return f"{ms:.2f}"
    return f"{ms:.1f}" if ms < 9.95 else f"{ms:,.0f}"
