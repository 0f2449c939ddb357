"""A feed gives the frames of a session: of a running engine, or of a record.

This module holds what the first frame needs; `fold`, `live` and `replay` are loaded when there is a session.

Nothing is pushed to a widget. A timer asks the feed for one `Frame`; the feed folds new events for at most its time
budget and reports what changed. So no backlog can build up, however fast an engine is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from lbench.engine.plan.plan import Plan
    from lbench.engine.session.view import RunView, SessionView

__all__ = [
    "BUDGET_S",
    "EngineControls",
    "Feed",
    "Frame",
    "FrameState",
    "NoFeed",
    "ReplayControls",
    "disk_trouble",
    "is_engine",
    "is_record",
    "never_begun",
    "now_of",
]

BUDGET_S = 0.03  # of folding per frame: what does not fit is folded in the next one

FrameState = Literal["none", "starting", "live", "replay", "paused", "done", "lost"]
FeedKind = Literal["none", "engine", "record"]


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame. `view` and its runs change only between frames, by their feed."""

    view: SessionView | None  # None: nothing has been started
    runs: list[RunView]  # of the newest comparison in the session, in the plan's order
    touched: Mapping[str, list[int]]  # by run: the invocations (rows) that began or ended since the last frame
    changed: bool  # anything but invocations, previews and samples changed
    epoch: int  # grows when the view starts over (another session, a seek back): caches are void
    state: FrameState
    now_s: Mapping[str, float]  # seconds since the start of each run that is under way
    behind: bool = False  # more is known than was folded
    pictured: bool = False  # a block of a preview came
    awaited_s: float | None = None  # seconds since a plan was sent that has no runs yet
    cancelling: bool = False  # the runs were cancelled, and the engine has not ended them yet
    problem: str | None = None  # what went wrong, and what to do
    folder: Path | None = None
    replay_s: float | None = None  # where a replay is, in seconds since the session's first run
    replay_length_s: float | None = None
    speed: float | None = None
    read_share: float | None = None  # of a record that is being read; None: all is read


class Feed(Protocol):
    """A source of frames."""

    kind: ClassVar[FeedKind]

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Fold new events for at most `budget_s`. Returns the state now."""
        ...

    def catch_up(self, budget_s: float = BUDGET_S) -> bool:
        """Fold new events for at most `budget_s`. Returns whether there are more."""
        ...

    def close(self) -> None:
        """Leave. Runs go on."""
        ...


class NoFeed:
    """The feed before the first run: an empty session."""

    kind: ClassVar[FeedKind] = "none"

    def __init__(self, problem: str | None = None) -> None:
        self._problem = problem

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        return Frame(
            view=None, runs=[], touched={}, changed=False, epoch=0, state="none", now_s={}, problem=self._problem
        )

    def catch_up(self, budget_s: float = BUDGET_S) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to leave."""


class EngineControls(Feed, Protocol):
    """A feed whose engine takes commands."""

    @property
    def over(self) -> bool:
        """Whether the engine has gone."""
        ...

    @property
    def paused(self) -> bool: ...

    @property
    def running(self) -> bool:
        """Whether a run is in progress or planned."""
        ...

    @property
    def cancelling(self) -> bool:
        """Whether what is in progress was cancelled."""
        ...

    @property
    def goes_on(self) -> bool:
        """Whether a run goes on after we leave."""
        ...

    @property
    def handing_over(self) -> bool:
        """Whether a plan was sent that the engine has not taken up yet."""
        ...

    @property
    def launched_here(self) -> bool:
        """Whether this process started the engine."""
        ...

    @property
    def folder(self) -> Path | None: ...

    @property
    def view(self) -> SessionView:
        """The session as far as it is known."""
        ...

    @property
    def refusal(self) -> str | None:
        """Why the newest plan was refused, or could not be begun."""
        ...

    @property
    def unsaved_view(self) -> SessionView | None:
        """The session in memory, if the disk has not taken all of its journal."""
        ...

    def command(self, name: str) -> None:
        """Send a command without fields: pause, resume, cancel, stop."""
        ...

    def start(self, plan: Plan) -> None:
        """Have a plan carried out."""
        ...

    def settle(self, limit_s: float) -> bool:
        """Wait until the newest plan is in the journal, or why it could not start; False: it is not in time."""
        ...


class ReplayControls(Feed, Protocol):
    """A feed that replays a record."""

    @property
    def source(self) -> Path | None:
        """The session's folder or the document, to export."""
        ...

    @property
    def length_s(self) -> float:
        """Seconds of the whole record."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the record was deleted since it was opened."""
        ...

    @property
    def whole_view(self) -> SessionView | None:
        """The session as it is in memory; None: not all of it is."""
        ...

    def toggle(self) -> None: ...

    def faster(self, by: int) -> None:
        """Change the speed by so many steps."""
        ...

    def step(self, share: float) -> None:
        """Move by a share of the record's length."""
        ...

    def go_to(self, at_s: float) -> None: ...


def is_engine(feed: Feed | None) -> TypeIs[EngineControls]:
    """Whether it takes commands. Asked this way, `live` is loaded only where there is an engine."""
    return feed is not None and feed.kind == "engine"


def is_record(feed: Feed | None) -> TypeIs[ReplayControls]:
    """Whether it can be replayed."""
    return feed is not None and feed.kind == "record"


def disk_trouble(view: SessionView) -> str | None:
    """The engine's warning that the journal cannot be written, until it can be."""
    warning = next((warning.text for warning in reversed(view.warnings) if warning.code == "disk"), None)
    return None if warning is None or "can be written again" in warning else warning


def never_begun(view: SessionView) -> str | None:
    """Why the plan could not start: for example nothing is deployed, or the data cannot be read."""
    if view.runs:
        return None
    return next((warning.text for warning in reversed(view.warnings) if warning.code == "failed"), None)


def now_of(view: SessionView, clock_s: float) -> dict[str, float]:
    """Seconds since the start of each run in progress. `clock_s`: epoch seconds."""
    from lbench.engine.model import epoch_s

    return {
        run.id: max(0.0, clock_s - epoch_s(run.started.started))
        for run in view.runs.values()
        if run.started is not None and run.ended is None and not run.interrupted
    }
