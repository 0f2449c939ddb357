"""Pictures in half blocks: two rows of points in a row of cells; rows that have not come are ground."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from lbench.tui.theme import Palette

__all__ = [
    "MISSING",
    "Ramp",
    "Window",
    "fit",
    "half_blocks",
    "moved",
    "nearest",
    "pictured",
    "pooled",
    "quadrants",
    "ramp_of",
    "resample",
    "stretched",
]

MISSING = -1
_BITS = np.array([1, 2, 4, 8])  # upper left, upper right, lower left, lower right
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟ "  # by those bits; a full cell is ground alone
Window = tuple[float, float, float, float]  # of the plane: x_min, x_max, y_min, y_max


class Ramp:
    """A palette's colours for brightness 0..255; 255 is inside the set."""

    def __init__(self, palette: Palette) -> None:
        at = [level for level, _ in palette.ramp]
        channels = np.array([list(bytes.fromhex(colour[1:])) for _, colour in palette.ramp], dtype=float).T
        # 32 levels are enough for the eye, and let neighbours share a style
        levels = np.minimum(254, np.arange(256) // 8 * 8 + 4)
        if palette.seconds:  # nothing can be mixed
            table = channels.T[np.searchsorted(at, levels, side="right") - 1]
        else:
            table = np.stack([np.interp(levels, at, channel) for channel in channels], axis=1).round()
        self.colours = ["#" + bytes(colour).hex() for colour in table.astype(int).tolist()]
        self.colours[255] = palette.inside
        self.ground = palette.ground
        self._styles: dict[tuple[int, int], Style] = {}

    def style(self, top: int, bottom: int) -> Style:
        """Foreground is the upper point, background the lower."""
        key = (top, bottom)
        style = self._styles.get(key)
        if style is None:
            style = self._styles[key] = Style(color=self.colour(top), bgcolor=self.colour(bottom))
        return style

    def colour(self, level: int) -> str:
        """The colour of a level; of `MISSING` the ground."""
        return self.ground if level < 0 else self.colours[level]


@functools.lru_cache(maxsize=8)
def ramp_of(palette: Palette) -> Ramp:
    """The palette's ramp, made once."""
    return Ramp(palette)


def quantise(levels: NDArray[Any]) -> NDArray[np.int16]:
    """Levels in steps of 8, the inside (255) and what is missing kept."""
    result = np.asarray(levels, dtype=np.int16)
    return np.where((result < 0) | (result == 255), result, result // 8 * 8).astype(np.int16)


def fit(height: int, width: int, cells_wide: int, cells_high: int) -> tuple[int, int]:
    """Points (rows, columns) of a picture of that shape in so many cells: a cell is two points high and one wide."""
    scale = min(cells_wide / max(1, width), 2 * cells_high / max(1, height))
    rows = max(2, int(height * scale) // 2 * 2)
    return min(rows, 2 * cells_high), max(1, min(cells_wide, int(width * scale)))


def resample(levels: NDArray[Any], rows: int, columns: int) -> NDArray[np.int16]:
    """The picture at another size. A row of points is the nearest of the rows it stands for that has come, or missing."""
    height, width = levels.shape
    x = np.clip(((np.arange(columns) + 0.5) * width / columns).astype(int), 0, width - 1)
    y = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    here = np.flatnonzero(levels[:, 0] >= 0)
    result = np.full((rows, columns), MISSING, dtype=np.int16)
    if not len(here):
        return result
    after = np.clip(np.searchsorted(here, y), 0, len(here) - 1)
    before = np.clip(after - 1, 0, len(here) - 1)
    nearest = np.where(np.abs(here[before] - y) <= np.abs(here[after] - y), here[before], here[after])
    found = np.abs(nearest - y) <= max(0.5, height / rows / 2)
    result[found] = levels[nearest[found]][:, x]
    return result


def stretched(levels: NDArray[Any]) -> NDArray[np.int16]:
    """The same picture with all of the ramp in use; its ends are rounded, so that they don't creep as rows come."""
    outside = levels[(levels >= 0) & (levels < 255)]
    if not len(outside):
        return levels.astype(np.int16)
    low = int(np.quantile(outside, 0.02)) // 16 * 16
    high = min(254, -(-int(np.quantile(outside, 0.99)) // 16) * 16)
    scaled = np.clip((levels.astype(np.int32) - low) * 254 // max(1, high - low), 0, 254)
    return np.where((levels < 0) | (levels == 255), levels, scaled).astype(np.int16)


def half_blocks(levels: NDArray[Any], ramp: Ramp) -> list[list[Segment]]:
    """A picture of (2n, width) levels as n rows of segments."""
    quantised = quantise(levels)
    rows = []
    for top, bottom in zip(quantised[0::2], quantised[1::2], strict=True):
        pair = top.astype(np.int32) * 1024 + bottom
        cuts = np.flatnonzero(np.diff(pair)) + 1
        starts = [0, *cuts.tolist()]
        ends = [*cuts.tolist(), len(pair)]
        rows.append(
            [
                Segment(("▀" if top[a] != bottom[a] else " ") * (b - a), ramp.style(int(top[a]), int(bottom[a])))
                for a, b in zip(starts, ends, strict=True)
            ]
        )
    return rows


def quadrants(levels: NDArray[Any], ramp: Ramp) -> list[list[Segment]]:
    """A picture of (2n, 2m) levels as n rows of m cells: two points by two, in the two colours that fit them best."""
    rows, columns = levels.shape[0] // 2, levels.shape[1] // 2
    cells = quantise(levels).reshape(rows, 2, columns, 2).transpose(0, 2, 1, 3).reshape(rows, columns, 4)
    low, high = cells.min(axis=2, keepdims=True), cells.max(axis=2, keepdims=True)
    # The inside and what is missing are colours of their own: never mixed with others.
    upper = np.where(high == 255, cells == 255, np.where(low < 0, cells >= 0, cells > (low + high) // 2))
    front, back = _mean(cells, upper), _mean(cells, ~upper)
    masks = (upper * _BITS).sum(axis=2)
    return [_cells(*row, ramp) for row in zip(masks.tolist(), front.tolist(), back.tolist(), strict=True)]


def _mean(cells: NDArray[Any], chosen: NDArray[Any]) -> NDArray[Any]:
    """The mean level of the chosen points of each cell, in the steps of `quantise`."""
    count = np.maximum(chosen.sum(axis=2), 1)
    return quantise(np.where(chosen, cells, 0).sum(axis=2) // count)


def _cells(masks: list[int], front: list[int], back: list[int], ramp: Ramp) -> list[Segment]:
    segments: list[Segment] = []
    for (top, bottom), group in itertools.groupby(zip(masks, front, back, strict=True), lambda one: _colours(*one)):
        text = "".join(_QUADRANTS[mask] for mask, _, _ in group)
        segments.append(Segment(text, ramp.style(top, bottom)))
    return segments


def _colours(mask: int, front: int, back: int) -> tuple[int, int]:
    """The colours of a cell; one that is all of one colour has no other."""
    return (front, front) if mask == 15 else (back, back) if mask == 0 else (front, back)


def pictured(
    levels: NDArray[Any], shape: tuple[int, int], width: int, height: int, ramp: Ramp, pad: Style, *, fine: bool
) -> list[Strip]:
    """A picture of `shape` (rows, columns) in the middle of so many cells; `pad`: beside it; `fine`: in quadrants."""
    rows, columns = fit(*shape, width - 2, height)
    left = (width - columns) // 2
    before, behind = Segment(" " * left, pad), Segment(" " * (width - columns - left), pad)
    if fine:
        made = quadrants(stretched(resample(levels, rows, 2 * columns)), ramp)
    else:
        made = half_blocks(stretched(resample(levels, rows, columns)), ramp)
    return [Strip([before, *row, behind], width) for row in made]


def nearest(levels: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.int16]:
    """A picture at another size, each point the one that lies there."""
    height, width = levels.shape
    result: NDArray[np.int16] = levels[np.arange(rows) * height // rows][:, np.arange(columns) * width // columns]
    return result


def pooled(levels: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.int16]:
    """A picture made smaller: the mean of what has come of each point, 255 where most of it is inside the set."""
    height, width = levels.shape
    if height < rows or width < columns:
        return nearest(levels, rows, columns)
    down, across = np.arange(rows) * height // rows, np.arange(columns) * width // columns
    if height == rows and width == columns:
        return levels

    def total(values: NDArray[Any]) -> NDArray[np.int64]:
        added: NDArray[np.int64] = np.add.reduceat(np.add.reduceat(values.astype(np.int64), down, 0), across, 1)
        return added

    seen, inside = levels >= 0, levels == 255
    outside = seen & ~inside
    mean = total(np.where(outside, levels, 0)) // np.maximum(total(outside), 1)
    result = np.where(2 * total(inside) > total(seen), 255, mean)
    return np.where(total(seen) == 0, MISSING, result).astype(np.int16)


def moved(levels: NDArray[np.int16], was: Window, now: Window) -> NDArray[np.int16]:
    """A picture of one window as far as it is one of another, of the same size."""
    rows, columns = levels.shape
    x = now[0] + (np.arange(columns) + 0.5) / columns * (now[1] - now[0])
    y = now[3] - (np.arange(rows) + 0.5) / rows * (now[3] - now[2])
    column = np.floor((x - was[0]) / (was[1] - was[0]) * columns)
    row = np.floor((was[3] - y) / (was[3] - was[2]) * rows)
    across, down = (column >= 0) & (column < columns), (row >= 0) & (row < rows)
    result = np.full((rows, columns), MISSING, dtype=np.int16)
    result[np.ix_(down, across)] = levels[np.ix_(row[down].astype(int), column[across].astype(int))]
    return result
