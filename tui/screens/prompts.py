"""Questions on the last lines of the screen: for a text, or yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input
from textual.widgets._toast import ToastRack

from lbench.errors import LbenchError
from lbench.tui.draw.ink import brief
from lbench.tui.host import host_of
from lbench.tui.textual_fixes import Steady
from lbench.tui.widgets.fields import Heading
from lbench.tui.widgets.path_input import PathInput
from lbench.tui.widgets.prose import Prose
from lbench.tui.widgets.title import Keys

__all__ = ["AskCopy", "AskText", "AskYes"]

Result = TypeVar("Result")


class _Ask(Steady, ModalScreen[Result], Generic[Result]):
    """A question, with prose below it that fits the screen."""

    def __init__(self) -> None:
        super().__init__(classes="ask")

    def on_screen_resume(self) -> None:
        """Show notes here alone, at the top: those of the screen below may stand where the question does."""
        for below in self.app.screen_stack[:-1]:
            for rack in below.query(ToastRack):
                rack.display = False

    def on_resize(self) -> None:
        self.query_one(Prose).fit()

    def action_answer(self, answer: Result) -> None:
        self.dismiss(answer)


class AskText(_Ask[str | None]):
    """Asks for a text. Dismissed with it, or with None. `check` refuses a text by raising LbenchError."""

    BINDINGS = [
        Binding("enter", "take", "ok", key_display="↵", priority=True),
        Binding("escape", "answer(None)", "back", key_display="esc"),
    ]

    def __init__(
        self,
        title: str,
        value: str = "",
        *,
        hint: str = "",
        check: Callable[[str], None] | None = None,
        path: bool = False,
    ) -> None:
        """`path`: whether the text is a path."""
        super().__init__()
        self._path = path
        self._heading, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Heading(self._heading)
            yield PathInput(self._value) if self._path else Input(self._value, compact=True)
            yield Prose(self._hint)
            yield Keys()

    def action_take(self) -> None:
        """Dismiss with the text, if `check` accepts it."""
        text = self.query_one(Input).value.strip()
        try:
            if self._check is not None:
                self._check(text)
        except LbenchError as error:
            self.query_one(Prose).set_text((brief(f"✘ {str(error).strip()}", text), "wrong"))
            host_of(self.app).drop_waiting_inputs()
            return
        self.dismiss(text)


class AskYes(_Ask[bool]):
    """Asks yes or no. Enter is not an answer."""

    BINDINGS = [
        Binding("y", "answer(True)", "yes"),
        Binding("n", "answer(False)", "no"),
        Binding("escape", "answer(False)", "back", show=False, key_display="esc"),
    ]

    def __init__(self, question: str, detail: str = "") -> None:
        super().__init__()
        self._question, self._detail = question, detail

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Heading(self._question)
            yield Prose(self._detail, "text")
            yield Keys()


class AskCopy(_Ask[str | None]):
    """Asks what to copy. Dismissed with "sentence", "table" or "command", or with None."""

    BINDINGS = [
        Binding("s", "answer('sentence')", "sentence", tooltip="copy the sentence"),
        Binding("t", "answer('table')", "table", tooltip="copy the table as Markdown"),
        Binding("c", "answer('command')", "command", tooltip="copy the lbench run command"),
        Binding("escape", "answer(None)", "back", key_display="esc"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Heading("copy")
            yield Prose("s the sentence · t the table as Markdown · c the command that measures this again")
            yield Keys()
