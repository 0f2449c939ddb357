"""Points on a plane in braille, coloured by what they belong to, with the centres over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.tui.draw.curve import braille

__all__ = ["CENTRE", "NOBODY", "Cells", "plane", "scatter"]

CENTRE = -2  # the group of a cell that shows a centre
NOBODY = -1  # and of one that shows nothing
_MARK = "◆"
_TAIL = 0.002  # of the points that may lie beyond an edge: a few that are far off would press all others together

Cells = list[tuple[str, int]]  # stretches of a line: text, and the group that it belongs to


def plane(points: NDArray[Any]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of what is shown of points (n, 2): nearly all of them, with a margin."""
    if not len(points):
        return (0.0, 1.0, 0.0, 1.0)
    low, high = np.quantile(points, (_TAIL, 1 - _TAIL), axis=0)
    margin = np.where(high > low, (high - low) * 0.03, 1.0)
    (left, bottom), (right, top) = low - margin, high + margin
    return float(left), float(right), float(bottom), float(top)


def scatter(
    points: NDArray[Any], labels: NDArray[Any], centres: NDArray[Any], groups: int, width: int, height: int
) -> list[Cells]:
    """Lines of `width` cells. A cell takes the group (label modulo `groups`) that most of its points belong to."""
    left, right, bottom, top = plane(points)
    across, down = 2 * width, 4 * height

    def at(places: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        x = np.clip((places[:, 0] - left) / (right - left) * across, 0, across - 1)
        y = np.clip((top - places[:, 1]) / (top - bottom) * down, 0, down - 1)
        return x.astype(np.int64), y.astype(np.int64)

    x, y = at(points)
    dots = np.zeros((down, across), dtype=bool)
    dots[y, x] = True
    cell = y // 4 * width + x // 2
    votes = np.bincount(cell * groups + labels.astype(np.int64) % groups, minlength=width * height * groups)
    votes = votes.reshape(height, width, groups)
    owner = np.where(votes.any(axis=2), votes.argmax(axis=2), NOBODY)
    texts = [list(text) for text in braille(dots)]
    for column, row in zip(*at(centres), strict=True):
        texts[row // 4][column // 2] = _MARK
        owner[row // 4, column // 2] = CENTRE
    return [_stretches(text, row) for text, row in zip(texts, owner.tolist(), strict=True)]


def _stretches(text: list[str], groups: list[int]) -> Cells:
    stretches: Cells = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or groups[end] != groups[start]:
            stretches.append(("".join(text[start:end]), groups[start]))
            start = end
    return stretches
