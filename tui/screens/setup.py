"""The set-up: workload, its parameters, backends, repeats; ready-filled, so that Enter starts it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Static

from lbench.engine.plan import Plan

__all__ = ["SetupScreen"]


class SetupScreen(ModalScreen[Plan | None]):
    """Dismissed with the plan to start, or None."""

    BINDINGS = [Binding("enter", "start", "start"), Binding("escape", "dismiss(None)", "back")]

    def __init__(self, plan: Plan, focus: str = "") -> None:
        """`focus`: "workload" or "backends", what to begin with."""
        super().__init__(id="setup")
        self._plan = plan

    def compose(self) -> ComposeResult:
        """A placeholder until the form is here."""
        yield Static(f"{self._plan.workload} on {', '.join(choice.label for choice in self._plan.backends)}: enter starts")

    def action_start(self) -> None:
        """Start it."""
        self.dismiss(self._plan)
