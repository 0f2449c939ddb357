"""The weaknesses of the results: a line with the count, or a block of sentences where there is room."""

from __future__ import annotations

import textwrap

from textual.strip import Strip

from lbench.errors import count_text
from lbench.tui.draw.ink import Piece, heading, line
from lbench.tui.widgets.lines import Lines

__all__ = ["TITLE", "Weaknesses"]

TITLE = "what makes this weak"


def _cut(text: str, width: int) -> str:
    """The text cut between words, with an ellipsis, if it is too long."""
    return text if len(text) <= width else textwrap.shorten(text, max(8, width), placeholder=" …")


class Weaknesses(Lines):
    """The warnings about a comparison."""

    def __init__(self) -> None:
        super().__init__(id="weak")
        self._warnings: tuple[str, ...] = ()

    def show(self, warnings: tuple[str, ...]) -> None:
        if warnings != self._warnings:
            self._warnings = warnings
            self.redraw()

    def draw(self, width: int, height: int) -> list[Strip]:
        """One line: the count and the first; more: a heading and a sentence a line."""
        if not self._warnings:
            return []
        palette, count = self.palette, len(self._warnings)
        key: list[Piece] = [("!", "key!"), (" shows all", "quiet")]
        if height < 3:
            head = f" ! {count_text(count, 'thing')} make{'s' * (count == 1)} this weak: "
            room = width - len(head) - 14
            return [
                line(palette, [(head, "key"), (_cut(self._warnings[0], room), "text"), ("  ", "text"), *key], width)
            ]
        strips = [line(palette, heading([(f"{TITLE} · {count}", "quiet!")], key, width), width)]
        for text in self._warnings[: height - 1]:
            strips.append(line(palette, [("  ! ", "key"), (_cut(text, width - 5), "text")], width))
        return strips
