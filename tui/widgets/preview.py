"""The answer as it grows: a picture in half blocks, or a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.segment import Segment
from textual.strip import Strip

from lbench.tui.draw.ink import Piece, heading, line
from lbench.tui.draw.picture import MISSING, Ramp, fit, half_blocks, resample
from lbench.tui.widgets.lines import Lines

__all__ = ["Preview"]


class Preview(Lines):
    """A picture in rows."""

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._levels: Any = None  # (height, width) int16, MISSING where nothing has come
        self._measure = ""
        self._ramp: tuple[str, Ramp] | None = None

    def show(self, levels: Any, measure: str) -> None:
        """A picture of brightness 0..255, 255 inside, -1 where rows are missing."""
        self._levels, self._measure = levels, measure
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading and the picture."""
        palette = self.palette
        measure: list[Piece] = [(self._measure, "quiet")] if self._measure else []
        strips = [line(palette, heading([("picture", "quiet!")], measure, width), width)]
        if self._levels is None or height < 3:
            return strips
        if self._ramp is None or self._ramp[0] != palette.ground:
            self._ramp = (palette.ground, Ramp(palette.ground, palette.dark))
        rows, columns = fit(*self._levels.shape, width - 2, height - 1)
        told = resample(self._levels, rows, columns)
        left = (width - columns) // 2
        pad = Segment(" " * left, palette.style("text"))
        rest = Segment(" " * (width - columns - left), palette.style("text"))
        for made in half_blocks(told, self._ramp[1]):
            strips.append(Strip([pad, *made, rest], width))
        return strips


def empty_picture(height: int, width: int) -> Any:
    """A picture of which nothing has come."""
    return np.full((height, width), MISSING, dtype=np.int16)
