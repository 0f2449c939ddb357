"""Where a session on the screen comes from: an engine that is running, or a record. All are folded once per frame.

Nothing is pushed to a widget. A timer asks the feed for one `Frame`; the feed folds what has come since, for at most
its budget of time, and says what changed. So no backlog of messages can build up, however fast an engine is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from lbench.engine.client import Engine, Follower
from lbench.engine.events import Dispatched, Event, Returned, RunPlanned
from lbench.engine.plan import Plan
from lbench.engine.session import RunView, SessionView
from lbench.errors import EngineLostError, LbenchError

__all__ = ["BUDGET_S", "EngineFeed", "Feed", "Fold", "Frame", "FrameState", "NoFeed", "epoch_s"]

BUDGET_S = 0.03  # of folding per frame: what does not fit is folded in the next one

FrameState = Literal["none", "starting", "live", "replay", "paused", "done", "lost"]


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What one frame shows. `view` and its runs change only between frames, and only by their feed."""

    view: SessionView
    runs: list[RunView]  # of the newest comparison in the session, in the plan's order
    touched: Mapping[str, list[int]]  # by run: the invocations (rows) that began or ended since the last frame
    changed: bool  # anything but invocations was told
    epoch: int  # grows when the view was begun anew (another session, a seek back): caches are void
    state: FrameState
    now_s: Mapping[str, float]  # seconds since the start of each run that is under way
    behind: bool = False  # more is known than was folded: the next frame should come soon
    problem: str | None = None  # what went wrong, and what to do
    folder: Path | None = None
    replay_s: float | None = None  # where a replay is, in seconds since the session's first run
    replay_length_s: float | None = None
    speed: float | None = None


class Feed(Protocol):
    """A source of frames."""

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Fold what is there, for at most so long, and say what it is now."""
        ...

    def close(self) -> None:
        """Leave. What is running goes on."""
        ...


class Fold:
    """A session's view as it grows, with what changed since it was last asked."""

    def __init__(self) -> None:
        self.view = SessionView()
        self.epoch = 0
        self.newest: list[str] = []  # ids of the runs that were planned together last
        self._touched: dict[str, list[int]] = {}
        self._changed = True
        self._planning = False

    def reset(self) -> None:
        """Begin anew, for a seek back or another session."""
        epoch = self.epoch + 1
        self.__init__()  # type: ignore[misc]
        self.epoch = epoch

    def take(self, event: Event) -> None:
        """Fold one event."""
        self.view.apply(event)
        if isinstance(event, Dispatched | Returned):
            self._touched.setdefault(event.run, []).append(event.n)
            return
        self._changed = True
        if isinstance(event, RunPlanned):
            if not self._planning:
                self.newest = []
            self.newest.append(event.run)
            self._planning = True
        else:
            self._planning = False

    def take_for(self, events: Iterator[Event], budget_s: float) -> bool:
        """Fold events until they run out (True) or the time is up (False)."""
        end = time.perf_counter() + budget_s
        take = self.take
        for count, event in enumerate(events):
            take(event)
            if not count & 63 and time.perf_counter() > end:
                return False
        return True

    def frame(self, state: FrameState, now_s: Mapping[str, float], **more: Any) -> Frame:
        """What there is; from here on, changes count anew."""
        runs = self.view.runs
        told = Frame(
            view=self.view,
            runs=[runs[run] for run in self.newest],
            touched=self._touched,
            changed=self._changed,
            epoch=self.epoch,
            state=state,
            now_s=now_s,
            **more,
        )
        self._touched = {}
        self._changed = False
        return told

    def note_change(self) -> None:
        """Something outside the journal changed (a state): the next frame is drawn whole."""
        self._changed = True


class NoFeed:
    """Before the first run: an empty session."""

    def __init__(self, problem: str | None = None) -> None:
        self._fold = Fold()
        self._problem = problem

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Always the same."""
        return self._fold.frame("none", {}, problem=self._problem)

    def close(self) -> None:
        """Nothing to leave."""


class EngineFeed:
    """An engine's journal as it grows. Opening takes half a second, so it happens in a thread of its own.

    There is no reading thread: each frame drains the socket. An engine keeps a bounded queue for each viewer, and tells
    one that fell behind to read the file again.
    """

    def __init__(self, opening: Callable[[], tuple[Follower, Engine | None]], folder: Path | None = None) -> None:
        """`opening` starts or finds the engine; it runs in a thread, and may raise LbenchError."""
        self._fold = Fold()
        self._folder = folder
        self._lock = threading.Lock()
        self._commands: list[Callable[[Follower], None]] = []
        self._follower: Follower | None = None
        self.engine: Engine | None = None  # if this process has started it
        self._problem: str | None = None
        self._ended = False
        self._closed = False
        self.left_running = False  # a run was under way when we left
        self._awaited = 0  # runs that the journal tells once the newest plan was taken up
        self._rest: Iterator[Event] = iter(())
        self._thread = threading.Thread(target=self._open, args=(opening,), name="opening", daemon=True)
        self._thread.start()

    def _open(self, opening: Callable[[], tuple[Follower, Engine | None]]) -> None:
        try:
            follower, engine = opening()
        except (LbenchError, OSError) as error:
            with self._lock:
                self._problem = str(error)
                self._ended = True
            return
        follower.follow()
        with self._lock:
            self.engine = engine
            self._follower = follower
            for command in self._commands:
                command(follower)
            self._commands.clear()
            if self._closed:
                self._leave()

    # -- commands

    def command(self, name: str) -> None:
        """Give the engine a command without fields: pause, resume, cancel, stop."""
        self._give(lambda follower: follower.command(name))

    def start(self, plan: Plan) -> None:
        """Have a plan carried out; the engine waits for further ones after it."""
        with self._lock:
            self._problem = None
        self._awaited = len(self._fold.view.runs) + 1
        self._give(lambda follower: follower.start(plan, last=False))

    def _give(self, command: Callable[[Follower], None]) -> None:
        with self._lock:
            if self._follower is None:
                self._commands.append(command)
            else:
                command(self._follower)

    @property
    def over(self) -> bool:
        """Whether the engine has gone."""
        return self._ended

    @property
    def paused(self) -> bool:
        """Whether dispatch stands still."""
        return self._fold.view.paused

    @property
    def folder(self) -> Path | None:
        """The session's."""
        return self._folder

    @property
    def running(self) -> bool:
        """Whether a run is under way or to come."""
        view = self._fold.view
        if self._ended or view.end is not None:
            return False
        return len(view.runs) < self._awaited or any(run.ended is None for run in view.runs.values())

    @property
    def goes_on(self) -> bool:
        """Whether a run goes on without us, if we leave now or have left."""
        return self.left_running or (self._follower is not None and self.running)

    # -- frames

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Drain the socket, fold, and say what it is now."""
        follower = self._follower
        behind = False
        if follower is not None and not self._ended:
            behind = not self._drain(follower, budget_s)
            if told := follower.problems():
                self._problem = told[-1]
                self._awaited = 0
                self._fold.note_change()
        view = self._fold.view
        over = self._ended and not behind
        if over and view.end is None:
            view.engine_gone()
            self._fold.note_change()
        state: FrameState = "starting" if follower is None and not over else "live"
        if over:
            state = "done" if view.end is not None else "lost"
        elif view.paused:
            state = "paused"
        return self._fold.frame(
            state,
            now_of(view, time.time()),
            behind=behind,
            problem=self._problem or disk_trouble(view),
            folder=self._folder,
        )

    def _drain(self, follower: Follower, budget_s: float) -> bool:
        """Whether all that has come was folded."""
        end = time.perf_counter() + budget_s
        while True:
            left = end - time.perf_counter()
            if left <= 0 or not self._fold.take_for(self._rest, left):
                return False
            before = self._fold.view.events
            self._rest = follower.receive(0.0)
            try:
                if not self._fold.take_for(self._rest, left):
                    return False
            except EngineLostError as error:
                self._ended = True
                if self._fold.view.end is None and self._problem is None:
                    self._problem = f"{error}: its log is {self._folder}/engine.log" if self._folder else str(error)
                return True
            except (LbenchError, msgspec.MsgspecError, OSError) as error:
                self._ended = True
                self._problem = f"the journal cannot be followed: {error}"
                return True
            if self._fold.view.events == before:
                return True

    def close(self) -> None:
        """Leave: the engine does as `on_hangup` says."""
        with self._lock:
            self._closed = True
            self.left_running = self.goes_on
            self._leave()

    def _leave(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None
            self._ended = True
        if self.engine is not None:
            self.engine.let_go()


def disk_trouble(view: SessionView) -> str | None:
    """What the engine says of a disk that does not take the journal, until it takes it again."""
    told = next((warning.text for warning in reversed(view.warnings) if warning.code == "disk"), None)
    return None if told is None or "can be written again" in told else told


def epoch_s(started: str) -> float:
    """A journal's ISO 8601 time as seconds since 1970."""
    return datetime.fromisoformat(started).timestamp()


def now_of(view: SessionView, clock_s: float) -> dict[str, float]:
    """Seconds since the start of each run that is under way, by a clock that tells epoch seconds."""
    return {
        run.id: max(0.0, clock_s - epoch_s(run.started.started))
        for run in view.runs.values()
        if run.started is not None and run.ended is None and not run.interrupted
    }
