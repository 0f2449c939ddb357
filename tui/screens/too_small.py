"""What stands over any screen while the terminal is too small for it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.screen import Screen

from lbench.tui.widgets.title import TooSmall

__all__ = ["SmallScreen"]


class SmallScreen(Screen[None]):
    """A message; what is beneath comes back as it was when there is room again."""

    def __init__(self) -> None:
        super().__init__(id="too-small")

    def compose(self) -> ComposeResult:
        yield TooSmall()
