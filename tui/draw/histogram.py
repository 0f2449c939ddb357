"""Histograms in eighth blocks: counts a cell, from there to columns; bins from the data, one round scale for all series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.tui.draw.scale import nice_range, tick_text, ticks

__all__ = ["axis", "bins", "cell_of", "columns", "counts", "range_of"]

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LEAST_TICK = 6  # cells of a number of an axis, at the least
_TAIL = 0.995  # what lies beyond this quantile is counted in the last cell


def range_of(series: list[NDArray[Any]]) -> tuple[float, float] | None:
    """A round range that holds all series but the furthest tail; None where there is nothing."""
    filled = [values for values in series if len(values)]
    if not filled:
        return None
    low = min(float(values.min()) for values in filled)
    high = max(float(np.quantile(values, _TAIL)) for values in filled)
    return nice_range(low, high)


def bins(count: int, width: int) -> int:
    """How many bins so many values deserve: 2 sqrt(n), so that few values make no comb, at most one a cell."""
    return max(1, min(width, max(6, math.ceil(2 * math.sqrt(count)))))


def counts(values: NDArray[Any], low: float, high: float, width: int) -> NDArray[np.int64]:
    """How many values fall into the bin of each of `width` cells of [low, high]; what lies outside is in the end bins."""
    if not len(values) or width <= 0:
        return np.zeros(max(width, 0), dtype=np.int64)
    many = bins(len(values), width)
    at = ((np.asarray(values, dtype=np.float64) - low) / (high - low) * many).astype(np.int64)
    binned = np.bincount(np.clip(at, 0, many - 1), minlength=many)
    return binned[np.arange(width) * many // width]


def columns(heights: NDArray[Any], rows: int) -> list[str]:
    """Columns as `rows` lines of text, the top one first; the highest fills all, and what is not 0 shows at least ▁."""
    most = heights.max() if len(heights) else 0
    if not most:
        return [" " * len(heights)] * rows
    eighths = np.ceil(heights * (rows * 8 / most) - 1e-9).astype(np.int64)
    return [
        "".join(_EIGHTHS[eighth] for eighth in np.clip(eighths - 8 * row, 0, 8).tolist())
        for row in range(rows - 1, -1, -1)
    ]


def cell_of(value: float, low: float, high: float, width: int) -> int:
    """The cell in which a value lies."""
    return int(np.clip((value - low) * width / (high - low), 0, width - 1))


def axis(low: float, high: float, width: int, unit: str = "", *, whole: bool = False) -> str:
    """Round numbers under their cells, and the unit behind the last of them; `whole`: of things that are counted."""
    most = max(1, width // 10)
    marks = ticks(low, high, min(most, max(1, int(high - low))) if whole else most)
    if whole:
        marks = [mark for mark in marks if mark == int(mark)]
    elif len(marks) < 2 <= width // _LEAST_TICK:  # one number is no scale
        marks = next((more for many in (2, 3, 4) if len(more := ticks(low, high, many)) > 1), marks)
    step = marks[1] - marks[0] if len(marks) > 1 else max(high - low, 1e-9)
    row = [" "] * width
    for value in reversed(marks):  # the last, with the unit, always finds room
        number = tick_text(value, step)
        text = f"{number} {unit}" if unit and value == marks[-1] else number
        start = cell_of(value, low, high, width) - (len(number) // 2 if value > low else 0)
        start = max(0, min(start, width - len(text)))
        if all(cell == " " for cell in row[max(0, start - 1) : start + len(text) + 1]):
            row[start : start + len(text)] = text
    return "".join(row)
