"""The growing preview: a picture in half blocks, or a curve or scatter in braille."""

from __future__ import annotations

from textual.strip import Strip

from lbench.tui.draw.curve import curve
from lbench.tui.draw.histogram import axis
from lbench.tui.draw.ink import Piece, heading, line, right_of
from lbench.tui.draw.picture import pictured, ramp_of
from lbench.tui.draw.scale import tick_text
from lbench.tui.draw.scatter import CENTRE, NOBODY, Cells, scatter
from lbench.tui.feeds.previews import Curve, Drawn, Picture, Scatter
from lbench.tui.host import host_of
from lbench.tui.theme import role_of
from lbench.tui.widgets.lines import Lines

__all__ = ["Preview"]

_SCALE = 7  # cells of the numbers beside a curve
# Accents that neighbours can be drawn by.
_GROUPS = tuple(role_of(name, name) for name in ("processes", "emulated", "threads", "simulated", "sequential"))
_UNDER = 5  # rows of the curve under a scatter
_LEAST = 9  # rows of a scatter, from which there is room for a curve too


class Preview(Lines):
    """The preview of a run so far."""

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._drawn: Drawn | None = None
        self._measure = ""
        self._accent = "text"

    def show(self, drawn: Drawn | None, measure: str, accent: str) -> None:
        """Draw a preview. `accent`: the role of the run's backend."""
        if drawn is not self._drawn or (measure, accent) != (self._measure, self._accent):
            self._drawn, self._measure, self._accent = drawn, measure, accent
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        drawn = self._drawn
        title = "picture"
        measure: list[Piece] = [(self._measure, "quiet")] if self._measure else []
        if isinstance(drawn, Curve):
            title = drawn.label
        elif isinstance(drawn, Scatter):
            title = f"iteration {drawn.iteration:,}"
            if drawn.inertia:
                measure = [(f"inertia {_compact(drawn.inertia[-1][1])}", "text"), *([("  ", "text"), *measure])]
        strips = [line(self.palette, heading([(title, "quiet!")], measure, width), width)]
        if drawn is None or height < 3:
            return strips
        if isinstance(drawn, Curve):
            return strips + self._curve(drawn.points, width, height - 1)
        if isinstance(drawn, Scatter):
            return strips + self._scatter(drawn, width, height - 1)
        return strips + self._picture(drawn, width, height - 1)

    def _scatter(self, drawn: Scatter, width: int, height: int) -> list[Strip]:
        """The points, over the curve of the inertia where there is room for both."""
        both = height >= _LEAST + _UNDER and len(drawn.inertia) > 1
        rows = height - _UNDER if both else height
        lines = scatter(drawn.points, drawn.labels, drawn.centres, len(_GROUPS), max(1, width - 3), rows)
        strips = [line(self.palette, self._cells(cells), width) for cells in lines]
        return strips + self._curve(drawn.inertia, width, _UNDER) if both else strips

    def _cells(self, cells: Cells) -> list[Piece]:
        roles = {CENTRE: "bright!", NOBODY: "text"}
        return [("  ", "text"), *((text, roles[group] if group < 0 else _GROUPS[group]) for text, group in cells)]

    def _picture(self, drawn: Picture, width: int, height: int) -> list[Strip]:
        palette = self.palette
        shape, fine = (drawn.height, drawn.width), host_of(self.app).quadrants
        return pictured(drawn.levels, shape, width, height, ramp_of(palette), palette.style("text"), fine=fine)

    def _curve(self, points: list[tuple[float, float]], width: int, height: int) -> list[Strip]:
        cells, rows = width - _SCALE - 3, height - 1
        if cells < 8 or rows < 2:
            return []
        lines, (left, right), (low, high) = curve(points, cells, rows)
        whole = all(x == int(x) for x, _ in points)  # iterations and trees are counted
        strips = []
        step = _label_step(rows)
        for number, text in enumerate(lines):
            scale = ""
            if number % step == 0 or number == rows - 1:
                at = high - (high - low) * number / (rows - 1)
                scale = tick_text(at, (high - low) * (1 if step == rows - 1 else 0.1))
                if len(scale) > _SCALE:
                    scale = _compact(at)
            pieces: list[Piece] = [(right_of(scale, _SCALE) + " ", "quiet"), (text, self._accent)]
            strips.append(line(self.palette, pieces, width))
        pieces = [(" " * (_SCALE + 1), "quiet"), (axis(left, right, cells, whole=whole), "quiet")]
        strips.append(line(self.palette, pieces, width))
        return strips


def _label_step(rows: int) -> int:
    """Rows between two numbers of a curve's scale: its ends, and between them if that divides it evenly."""
    parts = [count for count in (4, 3, 2) if (rows - 1) % count == 0 and rows > 5 * count]
    return (rows - 1) // (parts[0] if parts else 1)


def _compact(value: float) -> str:
    """A number in at most seven characters, like "1.234M"."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < size * 1e3:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"
