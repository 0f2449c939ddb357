"""From counts to colours: a dark blue ground, warm amber towards the border of the set, the set black.

A count's colour depends on nothing but the count and `Scale`, so rows can be coloured as they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scale", "colour", "fit"]

_STOPS = (  # brightness on the way to the border, and the colour there
    (0.00, "#131a24"),
    (0.30, "#1f3145"),
    (0.55, "#4a4a55"),
    (0.75, "#a8703f"),
    (0.92, "#ffc266"),
    (1.00, "#ffe9c7"),
)
_MOST = 65535  # counts above this one share its colour, so that the table stays small


@dataclass(frozen=True)
class Scale:
    """Where the colours lie: `floor` is the ground's count, `floor + spread` that of half the brightness."""

    floor: float = 1.0
    spread: float = 10.0


def fit(counts: NDArray[Any], max_iterations: int) -> Scale:
    """The scale that suits a finished picture: deep windows, where all counts are high, get all colours."""
    outside = counts[counts < max_iterations]
    if not outside.size:
        return Scale()
    floor, middle = float(outside.min()), float(np.median(outside))
    return Scale(floor, max(10.0, 2.0 * (middle - floor)))


def colour(counts: NDArray[Any], max_iterations: int, scale: Scale) -> NDArray[np.uint8]:
    """RGB of each count of rows (n, width), shape (n, width, 3); one colour a point, nothing is averaged."""
    top = min(max_iterations, _MOST)
    above = np.maximum(np.arange(top + 1) - scale.floor, 0.0)
    brightness = above / (above + scale.spread)
    at = [stop for stop, _ in _STOPS]
    channels = np.array([list(bytes.fromhex(text[1:])) for _, text in _STOPS], dtype=float).T
    smooth = np.stack([np.interp(brightness, at, channel) for channel in channels], axis=1)
    table = np.rint(smooth).astype(np.uint8)
    rgb = np.empty((*counts.shape, 3), np.uint8)
    for row, line in enumerate(counts):  # row by row: an index as large as a large picture would not fit
        rgb[row] = table[np.minimum(line, top)]
        rgb[row][line >= max_iterations] = 0
    return rgb
