"""The app: one feed, one timer, a few screens. It draws what an engine in another process tells, and never measures."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.timer import Timer

from lbench.engine.backends import catalog
from lbench.engine.plan import DEFAULT_BACKENDS, Plan, parse_backend, resolve_params
from lbench.errors import LbenchError
from lbench.tui.feed import EngineFeed, Feed, NoFeed
from lbench.tui.launch import launched
from lbench.tui.screens.bench import BenchScreen
from lbench.tui.terminal import Terminal, look
from lbench.tui.theme import DARK, LIGHT, Palette, palette_of, textual_theme
from lbench.tui.widgets.table import Waiting
from lbench.tui.widgets.title import Keys
from lbench.workloads.parameters import settable

__all__ = ["LbenchApp", "default_plan"]


def default_plan() -> Plan:
    """What `r` offers at first: mandelbrot on the embedded default."""
    return Plan(workload="mandelbrot", backends=[parse_backend(name, {}) for name in DEFAULT_BACKENDS])


class LbenchApp(App[int]):
    """lbench's screens."""

    CSS_PATH = "lbench.tcss"
    TITLE = "lbench"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = [
        Binding("1", "go('bench')", "bench", show=False),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "leave", "quit"),
    ]

    def __init__(
        self,
        feed: Feed | None = None,
        *,
        plan: Plan | None = None,
        terminal: Terminal | None = None,
        theme: str = "dark",
        on_hangup: str = "finish",
    ) -> None:
        """`feed`: the session to show at first (none: the default comparison, ready to run)."""
        self.terminal = terminal or look()
        super().__init__()
        self.palette: Palette = DARK
        self.feed: Feed = feed or NoFeed()
        self.plan = plan or default_plan()
        self.problem: str | None = None
        self._on_hangup = on_hangup
        self._first_theme = DARK.name if theme == "dark" or self.terminal.no_color else LIGHT.name
        self._timer: Timer | None = None
        for palette in (DARK, LIGHT):
            self.register_theme(textual_theme(palette_of(palette.name, self.terminal.colours)))
        self.bench = BenchScreen()

    # -- what waits for its first run

    @property
    def waiting(self) -> list[Waiting]:
        """The backends of the plan, for the table before the first run."""
        return [Waiting(choice.name, choice.label, catalog.summary(choice.name)) for choice in self.plan.backends]

    def plan_params(self) -> dict[str, Any]:
        """The plan's parameters with their defaults."""
        return settable(resolve_params(self.plan))

    # -- life

    def on_mount(self) -> None:
        """Choose the colours, show the Bench screen, start the clock."""
        self.theme = self._first_theme
        self._apply_palette()
        self.theme_changed_signal.subscribe(self, lambda _: self._apply_palette())
        if self.terminal.remote:
            self.animation_level = "none"
        self.push_screen(self.bench)
        self._timer = self.set_interval(1 / self.terminal.fps, self.tick)

    def _apply_palette(self) -> None:
        self.palette = palette_of(self.theme, self.terminal.colours)

    def tick(self) -> None:
        """One frame."""
        frame = self.feed.frame()
        screen = self.screen
        if hasattr(screen, "show_frame"):
            screen.show_frame(frame)
        for keys in screen.query(Keys):
            keys.say(self.terminal.said)
        if frame.behind:
            self.set_timer(0.02, self.tick)

    # -- what a session is told

    def start(self, plan: Plan) -> None:
        """Carry a plan out: in the engine that we have started, else in a new one."""
        self.plan = plan
        self.problem = None
        try:
            if not isinstance(self.feed, EngineFeed) or self.feed.over:
                self.feed.close()
                self.feed = launched(self._on_hangup)
            self.feed.start(plan)
        except LbenchError as error:
            self.problem = str(error)

    def action_set_up(self, focus: str = "") -> None:
        """The ready-filled set-up."""
        from lbench.tui.screens.setup import SetupScreen

        def done(plan: Plan | None) -> None:
            if plan is not None:
                self.start(plan)

        self.push_screen(SetupScreen(self.plan, focus), done)

    def action_pause(self) -> None:
        """Stop dispatching, or go on."""
        if isinstance(self.feed, EngineFeed):
            self.feed.command("resume" if self.feed.paused else "pause")

    def action_cancel(self) -> None:
        """Stop what runs; what was measured is kept."""
        if isinstance(self.feed, EngineFeed):
            self.feed.command("cancel")

    def action_go(self, screen: str) -> None:
        """Another screen."""
        while self.screen is not self.bench and len(self.screen_stack) > 1:
            self.pop_screen()

    def action_export(self) -> None:
        """Write the session to a file."""

    def action_help(self) -> None:
        """Every key of this screen."""

    def action_leave(self) -> None:
        """Leave at once; the engine does as `on_hangup` says."""
        self.feed.close()
        self.exit(0)

    def farewell(self) -> str | None:
        """What to print after leaving: how to come back to a run that goes on."""
        if isinstance(self.feed, EngineFeed) and self.feed.left_running and self.feed.folder is not None:
            return f"lbench attach {self.feed.folder.name}"
        return None
