"""Covers any screen while the terminal is too small."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.screen import Screen

from lbench.tui.textual_fixes import Steady
from lbench.tui.widgets.title import TooSmall

__all__ = ["SmallScreen"]


class SmallScreen(Steady, Screen[None]):
    """A message. The screen beneath comes back when there is room."""

    def __init__(self) -> None:
        super().__init__(name="too-small")

    def compose(self) -> ComposeResult:
        yield TooSmall()
