"""A text that scrolls, with its keys in the footer where there is more of it than room."""

from __future__ import annotations

from textual.binding import Binding
from textual.containers import VerticalScroll

__all__ = ["Scroll"]


class Scroll(VerticalScroll):
    """Takes the focus."""

    BINDINGS = [
        Binding("up", "scroll_up", "scroll", key_display="↑↓"),
        Binding("down", "scroll_down", "scroll", key_display="↑↓"),
    ]

    def on_mount(self) -> None:
        """Follow whether there is anything to scroll."""
        self.watch(self, "show_vertical_scrollbar", self.refresh_bindings)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.show_vertical_scrollbar if action in ("scroll_up", "scroll_down") else True
