"""Pictures in half blocks: two rows of points in a row of cells; rows that have not come are ground."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

__all__ = ["Ramp", "fit", "half_blocks", "resample"]

MISSING = -1


class Ramp:
    """Colours for brightness 0..255 between a few stops; 255 is inside the set."""

    def __init__(self, ground: str, dark: bool) -> None:
        stops = (
            [(0, "#20263a"), (60, "#3d3a48"), (130, "#7a5c42"), (200, "#d99a4e"), (240, "#ffc266"), (254, "#ffe9c7")]
            if dark
            else [(0, "#e6e8ee"), (60, "#d8d2cc"), (130, "#dcb98a"), (200, "#d98f35"), (240, "#b0640a"), (254, "#6e3a00")]
        )
        inside = "#07090d" if dark else "#2b2f36"
        at = [stop for stop, _ in stops]
        channels = np.array([list(bytes.fromhex(colour[1:])) for _, colour in stops], dtype=float).T
        levels = np.arange(256)
        table = np.stack([np.interp(levels, at, channel) for channel in channels], axis=1).round().astype(int)
        # 32 levels are enough for the eye, and let neighbours share a style
        self.colours = ["#" + bytes(table[min(254, level // 8 * 8 + 4)].tolist()).hex() for level in range(256)]
        self.colours[255] = inside
        self.ground = ground
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


def quantise(levels: NDArray[Any]) -> NDArray[np.int16]:
    """Levels in steps of 8, the inside (255) and what is missing kept."""
    told = np.asarray(levels, dtype=np.int16)
    return np.where((told < 0) | (told == 255), told, told // 8 * 8).astype(np.int16)


def fit(height: int, width: int, cells_wide: int, cells_high: int) -> tuple[int, int]:
    """Points (rows, columns) of a picture of that shape in so many cells: a cell is two points high and one wide."""
    scale = min(cells_wide / max(1, width), 2 * cells_high / max(1, height))
    rows = max(2, int(height * scale) // 2 * 2)
    return min(rows, 2 * cells_high), max(1, min(cells_wide, int(width * scale)))


def resample(levels: NDArray[Any], rows: int, columns: int) -> NDArray[np.int16]:
    """The picture at another size: the nearest row that has come near each point, else missing."""
    height, width = levels.shape
    y = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    return levels[np.clip(y, 0, height - 1)][:, np.clip(x, 0, width - 1)].astype(np.int16)


def half_blocks(levels: NDArray[Any], ramp: Ramp) -> list[list[Segment]]:
    """A picture of (2n, width) levels as n rows of segments."""
    told = quantise(levels)
    rows = []
    for top, bottom in zip(told[0::2], told[1::2], strict=True):
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
