"""A panel of lines. Only the cells that changed are sent to the terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from lbench.tui.draw.ink import blank
from lbench.tui.host import palette_for
from lbench.tui.theme import Palette

__all__ = ["Lines"]


class Lines(Widget):
    """Shows strips, one a row. Subclasses make them in `draw` and call `redraw`."""

    DEFAULT_CSS = "Lines { height: 1; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._strips: list[Strip] = []
        self._drawn_for: tuple[Size, str] | None = None

    @property
    def palette(self) -> Palette:
        return palette_for(self)

    def draw(self, width: int, height: int) -> list[Strip]:
        """The strips; missing rows are blank."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Make the strips again and repaint the cells that changed."""
        size = self.content_size
        if not self.is_mounted or not size.width or not size.height:
            return
        fresh = self.draw(size.width, size.height)[: size.height]
        fresh += [blank(self.palette, size.width)] * (size.height - len(fresh))
        state = (size, self.palette.name)
        old, self._strips = self._strips, fresh
        if state != self._drawn_for or len(old) != len(fresh):
            self._drawn_for = state
            self.refresh()
            return
        changed = [
            Region(first, y, last - first, 1)
            for y, (before, now) in enumerate(zip(old, fresh, strict=True))
            if before is not now and (first_last := _difference(before, now)) is not None
            for first, last in [first_last]
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """A row as it was made."""
        if self._drawn_for is None or self._drawn_for != (self.content_size, self.palette.name):
            self._drawn_for = None
            size = self.content_size
            self._strips = self.draw(size.width, size.height)[: size.height]
            self._strips += [blank(self.palette, size.width)] * (size.height - len(self._strips))
            self._drawn_for = (size, self.palette.name)
        if y < len(self._strips):
            return self._strips[y]
        return blank(self.palette, self.size.width)

    def on_resize(self) -> None:
        self.redraw()

    def on_focus(self) -> None:
        self.call_later(self.redraw)  # the mark of the focus shows or hides

    def on_blur(self) -> None:
        self.call_later(self.redraw)


def _difference(old: Strip, new: Strip) -> tuple[int, int] | None:
    """The cells [first, last) in which two strips differ, by whole segments; None: they are equal."""
    before, after = list(old), list(new)
    if before == after:
        return None
    head, first = _same(before, after)
    _, behind = _same(before[: head - 1 if head else None : -1], after[: head - 1 if head else None : -1])
    last = max(old.cell_length, new.cell_length) - behind
    return first, max(last, first + 1)


def _same(before: list[Segment], after: list[Segment]) -> tuple[int, int]:
    """The number of equal segments at the beginning, and their cells."""
    count = cells = 0
    for a, b in zip(before, after, strict=False):
        if a != b:
            break
        count += 1
        cells += cell_len(a.text)
    return count, cells
