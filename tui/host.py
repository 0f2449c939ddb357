"""The interface of the app for screens and widgets, so that none of them imports it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from lbench.engine.plan.plan import Plan
from lbench.tui.background_errors import FaultsEnd
from lbench.tui.draw.marker import Marker
from lbench.tui.feeds.feed import EngineControls, Feed, Frame
from lbench.tui.textual_fixes import Steady
from lbench.tui.theme import DARK, Palette

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from lbench.engine.plan.sweep import Point
    from lbench.tui.scaling.sweep_run import SweepRun

__all__ = ["Host", "LbenchScreen", "ReadingScreen", "Say", "host_of", "keys_of", "palette_for"]

Result = TypeVar("Result")
Say = Callable[[str, str], None]  # a line and its role


class Host(Protocol):
    """The app, as screens and widgets see it."""

    palette: Palette
    feed: Feed  # the session on the Bench screen
    set_aside: EngineControls | None  # an engine of ours that is at work while a record is shown
    plan: Plan
    compared: list[Path]  # the sessions that the Compare screen shows
    session_chosen: tuple[str, int] | None  # in the list of sessions, by a person: path and part
    sessions_marked: list[str]  # their paths
    problem: str | None

    sweep: SweepRun | None  # that an engine of ours measures, or has measured
    axis_in_focus: str | None  # the parameter that had the focus in the set-up last

    @property
    def can_add_points(self) -> bool:
        """Whether the sweep's engine is still there."""
        ...

    def more_points(self, points: list[Point]) -> bool:
        """Measure further points in the sweep's engine. Returns whether any is new."""
        ...

    def ask_for_axis(self, plan: Plan, name: str | None, then: Callable[[], None] | None = None) -> None:
        """Ask for an axis over a plan, beginning with a parameter, and measure it; `then`: once it starts."""
        ...

    @property
    def looks_at_explored(self) -> bool:
        """Whether `feed` is a recorded exploring session."""
        ...

    @property
    def reading_every(self) -> int:
        """Frames between two updates of what a person reads."""
        ...

    @property
    def quadrants(self) -> bool:
        """Whether pictures are drawn in quadrants."""
        ...

    @property
    def marker(self) -> Marker:
        """What lines of a chart are drawn with."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the engine on the screen is paused."""
        ...

    @property
    def note(self) -> str:
        """The note at the right of the footer: an automatic choice."""
        ...

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key of the app does anything now."""
        ...

    def tick_if_taken(self) -> None:
        """Draw one frame, unless the terminal has not taken the ones before."""
        ...

    async def action_go(self, screen: str) -> None: ...

    def drop_waiting_inputs(self) -> None:
        """Forget the inputs behind the one being handled: they were meant for the screen that would have followed."""
        ...

    def handle_again(self, inputs: Sequence[events.Event]) -> None:
        """Handle inputs that a screen has kept, before those that wait."""
        ...

    def open_session(self, folder: Path, part: int | None = None) -> None:
        """Show a session on the Bench screen."""
        ...

    def forget_deleted(self, folder: Path) -> None:
        """A session was deleted: no screen shows it as something to look at any more."""
        ...

    def copy_out(self, text: str, what: str) -> None:
        """Copy a text to the terminal's clipboard, and keep it in a file."""
        ...

    def export(self, source: Path, say: Say) -> None:
        """Ask for a file and write the session in `source` to it; `say` is given the outcome."""
        ...


def host_of(app: App[Any]) -> Host:
    """The app as a `Host`: only `LbenchApp` runs our screens."""
    return cast(Host, app)


def palette_for(node: DOMNode) -> Palette:
    """The colours in force."""
    return host_of(node.app).palette if node.is_attached else DARK


class LbenchScreen(FaultsEnd, Steady, Screen[Result], Generic[Result]):
    """A screen that the app draws a frame on, several times a second."""

    @property
    def host(self) -> Host:
        return host_of(self.app)

    @property
    def own_feed(self) -> Feed | None:
        """The feed that this screen shows instead of the app's."""
        return None

    @property
    def at_work(self) -> bool:
        """Whether `own_feed` computes something that can be cancelled."""
        return False

    def show_frame(self, frame: Frame) -> None:
        """Draw what changed since the last frame."""


class ReadingScreen(LbenchScreen[Result], Generic[Result]):
    """A screen that reads first what it shows. Its keys are kept until then, and what is typed behind them.

    Keys of the app, as those of other screens, do not wait.
    """

    KEPT: frozenset[str] = frozenset()  # keys that mean something only once there is something to see

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self._kept: list[events.Event] = []

    @property
    def reads_first(self) -> bool:
        """Whether there is nothing to see yet."""
        raise NotImplementedError

    def on_key(self, event: events.Key) -> None:
        if self.reads_first and event.key != "escape" and (self._kept or event.key in self.KEPT):
            self._kept.append(events.Key(event.key, event.character))
            event.stop()
            event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        if self.reads_first and self._kept:
            self._kept.append(events.Paste(event.text))
            event.stop()

    def hand_back(self) -> None:
        """Handle what was kept, once there is something to see."""
        if self._kept and not self.reads_first:
            kept, self._kept = self._kept, []
            self.host.handle_again(kept)


def keys_of(bindings: Sequence[BindingType]) -> frozenset[str]:
    """The keys of a part's own bindings, without those that are the app's actions or lead back."""
    own = [one for one in bindings if isinstance(one, Binding) and not one.action.startswith("app.")]
    return frozenset(key.strip() for one in own for key in one.key.split(",")) - {"escape"}
