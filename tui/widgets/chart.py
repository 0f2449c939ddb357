"""A panel with a heading and a chart, or lines of text in its place."""

from __future__ import annotations

from collections.abc import Callable

from textual.strip import Strip

from lbench.tui.draw.curves import Curves, chart
from lbench.tui.draw.ink import Piece, heading, line
from lbench.tui.host import host_of
from lbench.tui.widgets.lines import Lines

__all__ = ["Chart", "Rows"]


class Chart(Lines):
    """Curves on axes, below a heading."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._measure = "", ""
        self._curves: Curves | None = None
        self._log = True
        self._cursor: float | None = None

    def show(self, title: str, curves: Curves | None, *, log: bool, cursor: float | None) -> None:
        """None: nothing to draw yet."""
        self._title, self._curves, self._log, self._cursor = title, curves, log, cursor
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        scale: list[Piece] = [("log × log" if self._log else "linear", "quiet")]
        strips = [line(self.palette, heading([(self._title, "text!")], scale, width), width)]
        if self._curves is None:
            return strips
        marker = host_of(self.app).marker
        rows = chart(self._curves, width - 1, height - 1, log=self._log, marker=marker, cursor=self._cursor)
        return strips + [line(self.palette, [(" ", "text"), *pieces], width) for pieces in rows]


class Rows(Lines):
    """A heading, if there is a title, and lines, which scroll where there are more than rows."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._measure = "", ""
        self._make: Callable[[int], list[list[Piece]]] = lambda width: []
        self.top = 0
        self._count = 0

    def show(self, title: str, measure: str, make: Callable[[int], list[list[Piece]]]) -> None:
        """`make`: the lines for a width."""
        self._title, self._measure, self._make = title, measure, make
        self.redraw()

    @property
    def scrolls(self) -> bool:
        """Whether there are more lines than rows."""
        return self._count > self._room

    @property
    def _room(self) -> int:
        return max(1, self.content_size.height - bool(self._title))

    def show_row(self, row: int) -> None:
        """Scroll as far as a line needs to be seen."""
        self.top = max(row - self._room + 1, min(self.top, row), 0)
        self.redraw()

    def scroll_by(self, by: int) -> None:
        self.top = max(0, min(self.top + by, self._count - self._room))
        self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        lines = self._make(width)
        self._count = len(lines)
        text = self._measure or ("pgup pgdn" if self._title and len(lines) > height - 1 else "")
        measure: list[Piece] = [(text, "quiet")] if text else []
        strips = [line(self.palette, heading([(self._title, "text!")], measure, width), width)] if self._title else []
        room = height - len(strips)
        self.top = max(0, min(self.top, len(lines) - room))
        return strips + [line(self.palette, pieces, width) for pieces in lines[self.top : self.top + room]]
