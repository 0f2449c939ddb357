"""Every warning about a comparison, in full."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding

from lbench.errors import count_text
from lbench.tui.host import LbenchScreen
from lbench.tui.widgets.prose import Prose
from lbench.tui.widgets.scroll import Scroll
from lbench.tui.widgets.title import Keys, Title
from lbench.tui.widgets.weaknesses import TITLE

__all__ = ["WeaknessesScreen"]


class WeaknessesScreen(LbenchScreen[None]):
    """A list of sentences that scrolls."""

    BINDINGS = [Binding("escape,enter,exclamation_mark", "dismiss", "back", key_display="esc")]

    def __init__(self, warnings: tuple[str, ...]) -> None:
        super().__init__(name="weaknesses")
        self._warnings = warnings

    def compose(self) -> ComposeResult:
        yield Title()
        with Scroll():
            yield Prose()
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(Title).show([(TITLE, "text")], [(count_text(len(self._warnings), "warning"), "quiet")])
        self.query_one(Scroll).focus()
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        lines = [(text, "text") for warning in self._warnings for text in (f"! {warning}", "")]
        self.query_one(Prose).set_text(*lines)
