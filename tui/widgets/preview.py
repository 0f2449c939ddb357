"""The answer as it grows: a picture in half blocks, or a curve in braille."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip

from lbench.tui.draw.curve import curve
from lbench.tui.draw.histogram import axis
from lbench.tui.draw.ink import Piece, heading, line, right_of
from lbench.tui.draw.picture import Ramp, fit, half_blocks, resample, stretched
from lbench.tui.draw.scale import tick_text
from lbench.tui.previews import Curve, Picture
from lbench.tui.widgets.lines import Lines

__all__ = ["Preview"]

_SCALE = 7  # cells of the numbers beside a curve


class Preview(Lines):
    """What a run has come to so far."""

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._told: Picture | Curve | None = None
        self._measure = ""
        self._accent = "text"
        self._ramp: tuple[str, Ramp] | None = None

    def show(self, told: Picture | Curve | None, measure: str, accent: str) -> None:
        """Draw something else; `accent` is the role of the run's backend."""
        if told is not self._told or (measure, accent) != (self._measure, self._accent):
            self._told, self._measure, self._accent = told, measure, accent
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """The heading and the picture."""
        told = self._told
        title = told.label if isinstance(told, Curve) else "picture"
        measure: list[Piece] = [(self._measure, "quiet")] if self._measure else []
        strips = [line(self.palette, heading([(title, "quiet!")], measure, width), width)]
        if told is None or height < 3:
            return strips
        if isinstance(told, Curve):
            return strips + self._curve(told, width, height - 1)
        return strips + self._picture(told, width, height - 1)

    def _picture(self, told: Picture, width: int, height: int) -> list[Strip]:
        palette = self.palette
        if self._ramp is None or self._ramp[0] != palette.ground:
            self._ramp = (palette.ground, Ramp(palette.ground, palette.dark))
        rows, columns = fit(told.height, told.width, width - 2, height)
        left = (width - columns) // 2
        pad = Segment(" " * left, palette.style("text"))
        rest = Segment(" " * (width - columns - left), palette.style("text"))
        made = half_blocks(stretched(resample(told.levels, rows, columns)), self._ramp[1])
        return [Strip([pad, *row, rest], width) for row in made]

    def _curve(self, told: Curve, width: int, height: int) -> list[Strip]:
        cells, rows = width - _SCALE - 3, height - 1
        if cells < 8 or rows < 2:
            return []
        lines, (left, right), (low, high) = curve(told.points, cells, rows)
        strips = []
        for number, text in enumerate(lines):
            scale = ""
            if number in (0, rows - 1):
                scale = tick_text(high if number == 0 else low, high - low)
            pieces: list[Piece] = [(right_of(scale, _SCALE) + " ", "quiet"), (text, self._accent)]
            strips.append(line(self.palette, pieces, width))
        pieces = [(" " * (_SCALE + 1), "quiet"), (axis(left, right, cells), "quiet")]
        strips.append(line(self.palette, pieces, width))
        return strips
