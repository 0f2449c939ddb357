"""The live picture: the set in half blocks, a scatter with its centroids, or a curve; panned and zoomed by keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from textual.binding import Binding
from textual.strip import Strip

from lbench.analysis.format import percent_text
from lbench.tui.draw.curve import curve
from lbench.tui.draw.histogram import axis
from lbench.tui.draw.ink import Piece, heading, line, right_of
from lbench.tui.draw.picture import MISSING, Window, fit, half_blocks, moved, quadrants, ramp_of, stretched
from lbench.tui.draw.scale import tick_text
from lbench.tui.explore.trails import scatter_pieces
from lbench.tui.feeds.previews import Curve, PreviewReader, Scatter
from lbench.tui.host import host_of
from lbench.tui.widgets.lines import Lines

__all__ = ["ExplorePicture"]

_SCALE = 7  # cells of the numbers beside a curve
_PAN = {"key_display": "←↑↓→", "tooltip": "pan: also h j k l"}


class ExplorePicture(Lines, can_focus=True):
    """The picture of the newest interaction."""

    BINDINGS = [
        Binding("left,h", "screen.pan(-1, 0)", "move", **_PAN),  # type: ignore[arg-type]
        Binding("right,l", "screen.pan(1, 0)", "move", **_PAN),  # type: ignore[arg-type]
        Binding("up,k", "screen.pan(0, 1)", "move", **_PAN),  # type: ignore[arg-type]
        Binding("down,j", "screen.pan(0, -1)", "move", **_PAN),  # type: ignore[arg-type]
    ]

    def __init__(self) -> None:
        super().__init__(id="picture")
        self._blocks: PreviewReader | None = None
        self._window: Window | None = None  # of the plane, where it is one
        self._shape: tuple[int, int] | None = None
        self._state: object = None  # what is drawn: a picture is dear, and the cores are at work on the next
        self._title = ""
        self._measure: list[Piece] = []
        self._accent = "text"
        self._last: tuple[NDArray[np.int16], Window] | None = None  # what was drawn, and of which window

    @property
    def points(self) -> tuple[int, int]:
        """Columns and rows of points that fit."""
        size = self.content_size
        return max(2, size.width), max(2, 2 * (size.height - 1))

    def show(
        self,
        blocks: PreviewReader | None,
        window: Window | None,
        shape: tuple[int, int] | None,
        title: str,
        measure: list[Piece],
        accent: str,
    ) -> None:
        """Draw what has come by now; without blocks, the picture before is moved to the window.

        `shape`: rows and columns of a recorded picture, which was made for another view; None: it is for this one.
        """
        state = (id(blocks), 0 if blocks is None else blocks.version, window, shape, title, measure, accent)
        if state != self._state:
            self._state = state
            self._blocks, self._window, self._shape = blocks, window, shape
            self._title, self._measure, self._accent = title, measure, accent
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        mark: Piece = ("▸ ", "key") if self.has_focus else ("", "text")
        strips = [line(self.palette, heading([mark, (self._title, "quiet!")], self._measure, width), width)]
        if height < 3:
            return strips
        if self._window is not None:
            return strips + self._plane(self._window, width, height - 1)
        drawn = None if self._blocks is None else self._blocks.drawn
        if isinstance(drawn, Scatter):
            return strips + self._scatter(drawn, width, height - 1)
        return strips + self._curve(drawn.points, width, height - 1) if isinstance(drawn, Curve) else strips

    def _plane(self, window: Window, width: int, height: int) -> list[Strip]:
        palette = self.palette
        rows, columns = 2 * height, width
        if self._shape is not None:
            rows, columns = fit(*self._shape, width, height)
        fine = host_of(self.app).quadrants
        across = 2 * columns if fine else columns
        levels = None if self._blocks is None else self._blocks.picture(rows, across)
        if levels is not None:
            self._last = (levels, window)
        elif self._last is not None and self._last[0].shape == (rows, across):
            levels = moved(*self._last, window)
        if levels is None:
            levels = np.full((rows, across), MISSING, dtype=np.int16)
        left = (width - columns) // 2
        pad, rest = (Segment(" " * cells, palette.style("text")) for cells in (left, width - columns - left))
        return [
            Strip([pad, *row, rest], width)
            for row in (quadrants if fine else half_blocks)(stretched(levels), ramp_of(palette))
        ]

    def _scatter(self, drawn: Scatter, width: int, height: int) -> list[Strip]:
        palette = self.palette
        inertia = [value for _, value in drawn.inertia]
        low = 5 if height >= 22 and len(inertia) > 1 else 0
        lines = scatter_pieces(drawn.points, drawn.labels, drawn.centres, drawn.trail, width, height - low)
        strips = [line(palette, pieces, width) for pieces in lines]
        if low:
            share = inertia[-1] / inertia[0] if inertia[0] else 1.0
            fell = f"{percent_text(share)} of the first's" if share < 1 else ""
            measure: list[Piece] = [(f"{inertia[-1]:,.4g}", "text"), (f" {fell}", "quiet")]
            strips.append(line(palette, heading([("inertia by iteration", "quiet!")], measure, width), width))
            texts, _, _ = curve(drawn.inertia, width - 2, low - 1)
            strips += [line(palette, [(" ", "text"), (text, self._accent)], width) for text in texts]
        return strips

    def _curve(self, points: list[tuple[float, float]], width: int, height: int) -> list[Strip]:
        cells, rows = width - _SCALE - 3, height - 1
        if cells < 8 or rows < 2:
            return []
        lines, (left, right), (low, high) = curve(sorted(points), cells, rows)
        strips = []
        for number, text in enumerate(lines):
            scale = ""
            if number in (0, rows - 1):
                scale = tick_text(high if number == 0 else low, high - low)
            pieces: list[Piece] = [(right_of(scale, _SCALE) + " ", "quiet"), (text, self._accent)]
            strips.append(line(self.palette, pieces, width))
        pieces = [(" " * (_SCALE + 1), "quiet"), (axis(left, right, cells, "trees"), "quiet")]
        strips.append(line(self.palette, pieces, width))
        return strips
