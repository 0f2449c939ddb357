"""Sentences, wrapped over as many lines as they need."""

from __future__ import annotations

from lbench.tui.draw.ink import sentence_lines
from lbench.tui.widgets.fields import Text

__all__ = ["Prose"]

_INDENT = 3
_LEAST = 20  # cells of a line; a terminal that is narrower shows other things


class Prose(Text):
    """Wraps its text to the width of the screen, or to `room`, and takes its height."""

    def __init__(self, text: str = "", role: str = "quiet", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._texts = [(text, role)]
        self._room: int | None = None

    def set_text(self, *texts: tuple[str, str], room: int | None = None) -> None:
        """Set sentences with their roles, each on its own line. `room`: cells, if less than the screen's."""
        self._texts, self._room = list(texts), room
        self.fit()

    def fit(self) -> None:
        width = max(_LEAST, (self.app.size.width if self._room is None else self._room) - 2 * _INDENT)
        lines = []
        for text, role in self._texts:
            indent = " " * (len(text) - len(text.lstrip()))  # of an item: its other lines stand below its text
            lines += [(part, role) for part in sentence_lines(text, width, indent=indent) or [""]]
        self.styles.height = len(lines)
        self.show([[(" " * _INDENT, "text"), piece] for piece in lines])

    def on_mount(self) -> None:
        self.fit()
