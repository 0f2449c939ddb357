"""The app: one feed, one timer, a few screens. It draws an engine's journal and never measures."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec
from textual import events
from textual.binding import Binding
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from lbench.config.exit_codes import SIGNAL_EXIT_CODES
from lbench.engine.plan.parse import DEFAULT_BACKENDS, parse_backend
from lbench.engine.plan.plan import Plan
from lbench.errors import LbenchError
from lbench.tui.background_errors import beside
from lbench.tui.bench.layout import LEAST
from lbench.tui.commands import COMMAND_BINDINGS, Commands
from lbench.tui.draw.marker import Marker
from lbench.tui.feeds.feed import EngineControls, Feed, Frame, NoFeed, is_engine
from lbench.tui.host import LbenchScreen
from lbench.tui.input_queue import InputQueue
from lbench.tui.screens.bench import BenchScreen
from lbench.tui.screens.too_small import SmallScreen
from lbench.tui.terminal.capabilities import Terminal, look
from lbench.tui.terminal.driver import LbenchDriver
from lbench.tui.terminal.frame_rate import Pace
from lbench.tui.theme import DARK, LIGHT, Palette, palette_of, textual_theme
from lbench.tui.widgets.title import Keys
from lbench.workloads import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lbench.engine.plan.sweep import Point, SweepPlan
    from lbench.tui.draw.ink import Piece
    from lbench.tui.explore.state import ExploreState
    from lbench.tui.scaling.sweep_run import SweepRun

__all__ = ["LbenchApp", "default_plan"]

_NEXT = ("lbench.tui.screens.setup", "lbench.tui.launch", "lbench.tui.screens.bench_panels")  # needed by the first keys
_ASK_AFTER_S = 10.0  # a comparison that is older is not cancelled by one key
_BREATH_S = 0.02  # between two stretches of folding, for keys
_READING_S = 0.5  # between two frames while a record is read
_STILL_S = 1.0  # between two frames while nothing moves
_STILL_FRAMES = 40  # in which nothing moved, after which there are fewer
_HANDOVER_S = 60.0  # for an engine to take up its plan: it needs half a second, and many on a busy machine


def default_plan() -> Plan:
    """The plan that `r` offers first."""
    return Plan(workload="mandelbrot", backends=[parse_backend(name, {}) for name in DEFAULT_BACKENDS])


class LbenchApp(Commands):
    """lbench's screens."""

    CSS_PATH = "lbench.tcss"
    TITLE = "lbench"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = [
        *COMMAND_BINDINGS,
        Binding("1", "go('bench')", "bench"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "leave", "quit"),
        Binding("ctrl+c", "interrupt", "cancel, else quit; twice: quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "back to the shell", show=False, priority=True),
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
        # `lbench serve` names the driver of a browser in the environment.
        self.in_browser = bool(os.environ.get("TEXTUAL_DRIVER"))
        super().__init__(driver_class=None if self.in_browser else LbenchDriver)
        self.palette: Palette = DARK
        self.feed: Feed = feed or NoFeed()
        self.plan = plan or default_plan()
        self.problem: str | None = None
        self.unsaved = {}
        self.compared = []
        self.session_chosen: tuple[str, int] | None = None
        self.sessions_marked: list[str] = []
        self.sweep: SweepRun | None = None
        self.axis_in_focus: str | None = None  # the parameter that had the focus in the set-up last
        self._swept_feed: Feed | None = None
        self._switching = asyncio.Lock()
        self._on_hangup = on_hangup
        self._timer: Timer | None = None
        self._pace = Pace(self.terminal.fps, sent=self._sent_bytes if self.terminal.remote else None)
        self._interrupted = False  # by Ctrl-C, and something still runs
        self._still_frames = 0  # since anything moved or came in
        self._inputs = InputQueue(self)
        self._read_ahead = False
        self._newest_look: object = None  # for the last result
        self._catching_up = False
        self._noted: tuple[object, str] | None = None  # the screen with the newest note
        self._reading = False  # a record, which is not on the screen as a whole yet
        for palette in (DARK, LIGHT):
            self.register_theme(textual_theme(palette_of(palette.name, self.terminal.colours)))
        # Set before anything is drawn: changed later, every style is made twice before the first frame.
        self.set_reactive(LbenchApp.theme, DARK.name if theme == "dark" or self.terminal.no_color else LIGHT.name)
        self.stylesheet.set_variables(self.get_css_variables())
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        self._apply_palette()
        self.bench = BenchScreen()
        self._exploring: ExploreState | None = None
        self._led_to: Feed | None = None  # whose first frame has led to the Explore screen

    # -- life

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda _: self._apply_palette())
        if self.terminal.remote:
            self.animation_level = "none"
        self._timer = self.set_timer(self._pace.interval_s, self._beat)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and event.key == "ctrl+j":  # Enter, pressed before the terminal was ours
            event = events.Key("enter", "\r")
        going = self._exit or not self.screen_stack
        if going and isinstance(event, events.InputEvent | events.Paste):
            return  # left already
        if isinstance(event, events.InputEvent | events.Paste | events.Resize):
            self._wake()
        if self._inputs.admit(event):
            await super().on_event(event)
            if isinstance(event, events.Paste) and len(event.text.splitlines()) > 1 and isinstance(self.focused, Input):
                self.notify("pasted the first line only: a field takes one")

    def drop_waiting_inputs(self) -> None:
        """Forget the inputs behind the one being handled."""
        self._inputs.drop_waiting()

    def handle_again(self, inputs: Sequence[events.Event]) -> None:
        """Handle inputs that a screen has kept, before those that wait."""
        self._inputs.again(inputs)

    def _wake(self) -> None:
        """Draw at the full rate again: what an input begins may move."""
        slow, self._still_frames = self._still_frames > _STILL_FRAMES, 0
        if slow and self._timer is not None:
            self._timer.stop()
            self._timer = self.set_timer(self._pace.interval_s, self._beat)

    def _sent_bytes(self) -> int:
        return self._driver.sent_bytes if isinstance(self._driver, LbenchDriver) else 0

    def _mind_size(self) -> None:
        """Cover a screen with a message while the terminal is too small. Bench shows its own."""
        small = self.size.width < LEAST[0] or self.size.height < LEAST[1]
        above = isinstance(self.screen, SmallScreen)
        if small and not above and self.screen is not self.bench:
            self.push_screen(SmallScreen())
        elif above and not small:
            self.pop_screen()

    def get_default_screen(self) -> BenchScreen:
        """Bench lies beneath all other screens."""
        return self.bench

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables, which Textual's default theme lacks."""
        return textual_theme(DARK).variables

    def _apply_palette(self) -> None:
        self.palette = palette_of(self.theme, self.terminal.colours)

    def _beat(self) -> None:
        """Draw a frame, unless the terminal has not taken the ones before. Schedule the next."""
        driver = self._driver
        if isinstance(driver, LbenchDriver) and driver.hung_up:
            signal.raise_signal(signal.SIGHUP)
        self._interrupted = self._interrupted and self._running_engine is not None
        if self.screen_stack and is_engine(shown := self.shown) and shown.cancelling:
            shown.command("cancel")  # again: an engine that was only loading then has not kept it
        self.tick_if_taken()
        if not self._read_ahead:  # the first frame is drawn: what `r` and Enter need is loaded before they are pressed
            self._read_ahead = True
            beside(self, self._load_ahead, name="ahead")
        if self._reading:  # nothing is measured meanwhile, and drawing takes the time of reading
            self._pace.forget()
        else:
            self._pace.frame()
        interval_s = self._pace.interval_s
        if self._reading:
            interval_s = max(_READING_S, interval_s)
        elif self._still_frames > _STILL_FRAMES:
            interval_s = max(_STILL_S, interval_s)
        self._timer = self.set_timer(interval_s, self._beat)

    def call_from_thread(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in the app's loop, and return its result; it returns nothing to await.

        Textual's makes a coroutine in the thread, which nobody awaits where the app is left meanwhile: Python says so on
        the terminal.

        Raises:
            RuntimeError: it was left, or this is its own thread.
        """
        if self._loop is None or self._thread_id == threading.get_ident():
            raise RuntimeError("to be called from another thread while the screens are shown")
        future: Future[Any] = Future()

        def call() -> None:
            try:
                with self._context():
                    future.set_result(callback(*args, **kwargs))
            except Exception as error:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return future.result()

    def _load_ahead(self) -> None:
        """Import what the first keys need, then look for what the first screen shows besides. Runs in a thread."""
        for name in _NEXT:
            importlib.import_module(name)
        self._look_for_last()
        from lbench.tui.bench.welcome import machine_texts

        with contextlib.suppress(RuntimeError):  # left meanwhile
            self.call_from_thread(self.bench.show_machine, machine_texts())

    def _look_for_last(self) -> None:
        """Show the last result on the first screen. Runs in a thread."""
        from lbench.tui.session_index import last_result
        from lbench.tui.widgets.session_table import local_time, whole_outcome

        look = self._newest_look = object()
        pieces: list[Piece] = []
        if (entry := last_result()) is not None:
            what = " ".join([", ".join(entry.recorded.workloads), entry.data]).strip()
            pieces = [(f"{local_time(entry)}  {what}  ", "text"), *whole_outcome(entry)]
        with contextlib.suppress(RuntimeError):  # left meanwhile
            self.call_from_thread(self._show_last, look, pieces)

    def _show_last(self, look: object, pieces: list[Piece]) -> None:
        if look is self._newest_look:  # else a session was deleted meanwhile, and may be the one that was found
            self.bench.show_last(pieces)

    def forget_deleted(self, folder: Path) -> None:
        """A session was deleted: no screen shows it as something to look at any more."""
        self.compared = [one for one in self.compared if one != folder]
        beside(self, self._look_for_last, name="last")

    @property
    def reading_every(self) -> int:
        """Frames between two updates of what a person reads: two updates a second, one at the lowest rates."""
        if self._reading:
            return 2
        return 1 if self._pace.fps < 2 else max(2, round(self._pace.fps / 2))

    def tick_if_taken(self) -> None:
        """Draw a frame, unless the terminal has not taken the ones before."""
        driver = self._driver
        if not (isinstance(driver, LbenchDriver) and driver.behind):
            self.tick()

    @property
    def quadrants(self) -> bool:
        return self.terminal.quadrants

    @property
    def marker(self) -> Marker:
        return self.terminal.marker

    @property
    def paused(self) -> bool:
        return is_engine(self.feed) and self.feed.paused

    @property
    def exploring(self) -> ExploreState:
        """The state of the Explore screen, created on first use."""
        if self._exploring is None:
            from lbench.tui.explore.state import ExploreState

            self._exploring = ExploreState(self.plan)
        return self._exploring

    @property
    def shown(self) -> Feed:
        """The feed of the screen in sight: its own, else the app's."""
        screen = self.in_sight
        return (screen.own_feed if isinstance(screen, LbenchScreen) else None) or self.feed

    @property
    def looks_at_explored(self) -> bool:
        """Whether the app's feed is a recorded exploring session."""
        return self._led_to is self.feed

    def _show_explored(self, frame: Frame) -> None:
        """Open the Explore screen, once, for a session that was explored."""
        if self.looks_at_explored or self.screen is not self.bench or not frame.runs:
            return
        if frame.runs[-1].planned.interaction is not None:
            self._led_to = self.feed
            self.exploring.close()
            self.call_later(self.action_go, "explore")

    def tick(self) -> None:
        if not self.screen_stack:
            return  # the app is going down
        self._mind_size()
        self._mind_what_is_aside()
        self._mind_sweep()
        frame = self.shown.frame()
        self._reading = frame.read_share is not None
        still = frame.state in ("none", "done", "lost") and not frame.behind and self.set_aside is None
        self._still_frames = self._still_frames + 1 if still else 0
        self._show_explored(frame)
        screen = self.in_sight
        if isinstance(screen, LbenchScreen):
            screen.show_frame(frame)
        if screen is not self.bench and self.shown is self.feed:
            self.bench.keep_up(frame)
        self._show_note(self.screen)
        if frame.behind and not self._catching_up:
            self._catching_up = True
            self.set_timer(_BREATH_S, self._catch_up)

    def _mind_what_is_aside(self) -> None:
        """Close the engine that was set aside once it is idle."""
        aside = self.set_aside
        if aside is not None:
            aside.catch_up()
            if not aside.running:
                self.keep_unsaved(aside)
                aside.close()
                self.set_aside = None

    def _catch_up(self) -> None:
        """Fold between two frames, without drawing."""
        self._catching_up = bool(self.screen_stack) and self.shown.catch_up()  # without screens it is going down
        if self._catching_up:
            self.set_timer(_BREATH_S, self._catch_up)
        elif self._reading and self.screen_stack:
            self.tick_if_taken()  # all of it is known now

    def _show_note(self, screen: Screen[object]) -> None:
        """Show the note in the footer, which reads it itself when it is mounted; looking for the footer costs time."""
        if self._noted != (screen, self.note):
            self._noted = (screen, self.note)
            for keys in screen.query(Keys):
                keys.show_note(self.note)

    @property
    def note(self) -> str:
        """The note at the right of the footer: an automatic choice."""
        if self._interrupted:
            return "cancelling; Ctrl-C once more leaves"
        if self.shown is not self.feed:  # while somebody explores, a frame comes when there is something to see
            return self.terminal.note
        return self._pace.note or self.terminal.note

    # -- commands to a session

    def start(self, plan: Plan) -> None:
        """Run a plan in the engine that we started, else in a new one."""
        from lbench.tui.launch import launched

        self.plan = plan
        self.problem = None
        self.sweep = None
        self._interrupted = False
        if self._exploring is not None:
            self._exploring.close()  # nothing shall run beside what is measured
        try:
            if self.set_aside is not None and not self.set_aside.over:
                self.show_feed(self.set_aside)
            elif not is_engine(self.feed) or self.feed.over:
                self.show_feed(launched(self._on_hangup))
            assert is_engine(self.feed)
            self.feed.start(msgspec.structs.replace(plan, preview=True))
        except LbenchError as error:
            self.problem = str(error)

    # -- a sweep

    def start_sweep(self, sweep: SweepPlan) -> None:
        """Measure a sweep, point by point, in an engine of ours, and show it."""
        from lbench.tui.scaling.sweep_run import SweepRun

        base, run = self.plan, SweepRun(sweep)
        first = run.proceed(None, None, False)
        assert first is not None
        self.start(first)
        self.plan = base
        if self.problem is None:
            self.sweep = run
            self._swept_feed = self.feed
            self.call_later(self.action_go, "scaling")

    def _mind_sweep(self) -> None:
        """Send the next point once the one before has ended."""
        feed, sweep = self.feed, self.sweep
        if sweep is None or sweep.over:
            return
        if feed is not self._swept_feed or not is_engine(feed) or feed.over:
            sweep.over = True
            return
        if self.shown is not feed:
            feed.catch_up()
        if (plan := sweep.proceed(feed.view, feed.refusal, feed.running)) is not None:
            feed.start(msgspec.structs.replace(plan, preview=True))

    def more_points(self, points: list[Point]) -> bool:
        """Measure further points in the sweep's engine. Returns whether any is new."""
        return self.sweep is not None and any([self.sweep.add(point) for point in points])

    @property
    def can_add_points(self) -> bool:
        feed = self.feed
        return self.sweep is not None and feed is self._swept_feed and is_engine(feed) and not feed.over

    def action_sweep(self) -> None:
        """Ask for an axis, and measure the comparison on the screen along it."""
        self.ask_for_axis(self._offered(), self.axis_in_focus)

    def ask_for_axis(self, plan: Plan, name: str | None, then: Callable[[], None] | None = None) -> None:
        """Ask for an axis over a plan, beginning with a parameter; `then`: once a sweep starts."""
        self._inputs.begin(self._ask_for_axis(plan, name, then))

    async def _ask_for_axis(self, plan: Plan, name: str | None, then: Callable[[], None] | None) -> None:
        from lbench.engine.processes.daemon_thread import in_daemon_thread
        from lbench.tui.scaling.sweep_run import pinned, proposed_axis, sweep_of
        from lbench.tui.screens.prompts import AskText

        screen = self.screen
        if plan.workload not in registry.all_names():
            self.notify(f"reading {plan.workload}", timeout=2)
        try:
            copied = await in_daemon_thread(lambda: pinned(plan), name="own-file")
            proposed = proposed_axis(copied, name)
        except LbenchError as error:  # an own file that is not there, or cannot be used now
            self.notify(str(error), severity="error")
            self.drop_waiting_inputs()
            return
        if self.screen is not screen:
            return  # it was left meanwhile

        def take(text: str | None) -> None:
            if text is None:
                return
            self.plan = plan
            sweep = sweep_of(copied, text)
            if then is not None:
                then()
            self.start_sweep(sweep)

        def check(text: str) -> None:
            sweep_of(copied, text)

        hint = "NAME=V1,V2,... or NAME=A..BxF: a parameter, workers, memory or tasks; a second axis after a space"
        self.push_screen(AskText(f"sweep {plan.workload} over", proposed, hint=hint, check=check), take)

    def action_set_up(self, focus: str = "") -> None:
        from lbench.tui.screens.setup import SetupScreen

        def done(plan: Plan | None) -> None:
            if plan is not None:
                self.start(plan)

        self.push_screen(SetupScreen(self._offered(), focus), done)

    def _offered(self) -> Plan:
        """The plan that the set-up begins with: of the comparison on the screen, else the last one."""
        if not isinstance(self.feed, NoFeed) and not (is_engine(self.feed) and self.feed.launched_here):
            from lbench.tui.bench.session_plan import offered_plan

            return offered_plan(self.bench.shown_runs, self.plan) or self.plan
        return self.plan

    def action_pause(self) -> None:
        if is_engine(self.feed):
            self.feed.command("resume" if self.feed.paused else "pause")

    def action_cancel(self) -> None:
        """Cancel the runs, once asked if they have taken long or cost money. Results so far are kept."""
        feed, board = self.feed, self.bench.board
        if not is_engine(feed):
            return
        spent = any(row.summary.origin == "measured" and row.outlook.usd for row in board.rows)
        if not spent and (board.elapsed_s or 0.0) < _ASK_AFTER_S:
            self._cancel(feed)
            return
        from lbench.tui.screens.prompts import AskYes

        def answered(yes: bool | None) -> None:
            if yes and is_engine(feed):
                self._cancel(feed)

        self.push_screen(AskYes("cancel the runs?", "what was measured is kept; what runs now is lost"), answered)

    def _cancel(self, feed: EngineControls) -> None:
        """Cancel what it runs, and say so at once: on a busy machine the next frame may be a second away."""
        feed.command("cancel")
        self.tick_if_taken()

    def action_leave(self, code: int = 0) -> None:
        """Leave at once. The engine follows `on_hangup`."""
        if self._exploring is not None:
            self._exploring.close()
        for feed in (self.feed, self.set_aside):
            self.keep_unsaved(feed)
            if feed is not None and not self._to_be_settled(feed):
                feed.close()
        self.exit(code)

    def _to_be_settled(self, feed: Feed) -> bool:
        """Whether leaving now would lose a plan that the engine has not taken up yet."""
        left = is_engine(feed) and feed.handing_over and not self._interrupted
        return left and self._on_hangup != "stop"

    async def action_quit(self) -> None:
        """Textual's quit action leaves as `q` does."""
        self.action_leave()

    def action_interrupt(self) -> None:
        """Ctrl-C: cancel the runs, or leave if nothing runs. The second press leaves at once."""
        running = self._running_engine
        if running is not None and not self._interrupted:
            self._interrupted = True
            self._cancel(running)
        else:
            self.action_leave(0 if running is None else SIGNAL_EXIT_CODES[signal.SIGINT])

    @property
    def _running_engine(self) -> EngineControls | None:
        """The engine on the screen, if it is at work."""
        feed, screen = self.shown, self.in_sight
        at_work = isinstance(screen, LbenchScreen) and screen.at_work
        return feed if is_engine(feed) and (feed.running or at_work) else None

    def action_suspend_process(self) -> None:
        """Ctrl-Z: suspend until `fg`. The engine goes on."""
        if isinstance(self._driver, LbenchDriver):
            self._driver.stop_job()

    def farewell(self) -> str | None:
        """The line printed after leaving: how to attach to a run that goes on. Takes no lock.

        Waits until the engine has taken up a plan that was sent just before.
        """
        feed = self.feed if is_engine(self.feed) else self.set_aside
        if feed is not None and self._to_be_settled(feed) and not feed.settle(_HANDOVER_S):
            return f"lbench: the engine did not take up the plan in {_HANDOVER_S:g} s: start it again"
        if feed is None or not feed.goes_on or feed.folder is None or self._interrupted:
            return None
        if feed.launched_here and self._on_hangup == "stop":
            return None
        return f"lbench attach {feed.folder.name}"

    def _print_error_renderables(self) -> None:
        """Print nothing: a fault gives one line after the terminal is restored."""
        self._exit_renderables.clear()
