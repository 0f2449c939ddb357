"""The feed of a running engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import msgspec

from lbench.analysis.engine_death import cause_of_death, death_text
from lbench.config.crash_log import saved_fault
from lbench.engine.journal.events import Event
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.plan.plan import Plan
from lbench.engine.service.client import Engine, Follower
from lbench.engine.session.view import SessionView
from lbench.errors import EngineLostError, LbenchError
from lbench.tui.feeds.feed import BUDGET_S, FeedKind, Frame, FrameState, disk_trouble, never_begun, now_of
from lbench.tui.feeds.fold import Fold

__all__ = ["EngineFeed"]

_GLANCE_S = 0.01  # between two looks at a journal that is waited for
_PLANNED = b'{"event":"planned"'  # how the line of a planned run begins
_FAILED = b'{"event":"warning","code":"failed"'  # and that of a plan that could not start


class EngineFeed:
    """An engine's journal as it grows. Opening takes half a second, so it happens in a thread of its own.

    There is no reading thread: each frame drains the socket. An engine keeps a bounded queue for each viewer, and tells
    one that fell behind to read the file again.
    """

    kind: ClassVar[FeedKind] = "engine"

    def __init__(self, opening: Callable[[], tuple[Follower, Engine | None]], folder: Path | None = None) -> None:
        """`opening` starts or finds the engine. It runs in a thread and may raise LbenchError."""
        self._fold = Fold()
        self._folder = folder
        self._lock = threading.Lock()
        self._commands: list[Callable[[Follower], None]] = []
        self._follower: Follower | None = None
        self.engine: Engine | None = None  # if this process has started it
        self._problem: str | None = None
        self._refusal: tuple[str, int] | None = None  # of the newest plan, and how many runs had ended then
        self._ended = False
        self._closed = False
        self.left_running = False  # a run was under way when we left
        self._sent_s = 0.0  # when the newest plan was sent
        self._awaited = 0  # runs that the journal tells once the newest plan was taken up
        self._failed_before = 0  # plans that could not be begun, before the newest
        self._cancelled = False  # what was started last
        self._rest: Iterator[Event] = iter(())
        self._thread = threading.Thread(target=self._open, args=(opening,), name="opening", daemon=True)
        self._thread.start()

    def _open(self, opening: Callable[[], tuple[Follower, Engine | None]]) -> None:
        try:
            follower, engine = opening()
        except Exception as error:
            with self._lock:
                self._problem = str(error) if isinstance(error, LbenchError | OSError) else saved_fault(error)
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
        if name == "cancel":
            self._cancelled = True
            self._fold.note_change()
        self._give(lambda follower: follower.command(name))

    def start(self, plan: Plan) -> None:
        """Have a plan run. The engine waits for further plans after it."""
        with self._lock:
            self._problem = self._refusal = None
        self._cancelled = False
        self._awaited = len(self._fold.view.runs) + 1
        self._sent_s = time.monotonic()
        self._fold.note_change()
        self._failed_before = len(self._failures())
        self._give(lambda follower: follower.start(plan, last=False))

    def _failures(self) -> list[str]:
        """Why plans could not start, in their order."""
        return [warning.text for warning in self._fold.view.warnings if warning.code == "failed"]

    def explore(self, plans: list[Plan], generation: int) -> None:
        """Have an interaction computed, in place of all before. Several plans run one after the other."""
        self._cancelled = False
        parsed_plans = [msgspec.to_builtins(plan) for plan in plans]
        with self._lock:
            self._problem = self._refusal = None
        if len(parsed_plans) == 1:
            self._give(lambda follower: follower.command("explore", plan=parsed_plans[0], generation=generation))
        else:
            self._give(lambda follower: follower.command("explore", plans=parsed_plans, generation=generation))

    def forget_ended(self, keep: int) -> None:
        """Forget the ended interactions but the newest: exploring for an hour makes thousands."""
        self._fold.forget_ended(keep)

    @property
    def listening(self) -> bool:
        return self._follower is not None and not self._ended

    def _give(self, command: Callable[[Follower], None]) -> None:
        with self._lock:
            if self._follower is None:
                self._commands.append(command)
            else:
                command(self._follower)

    @property
    def over(self) -> bool:
        return self._ended

    @property
    def paused(self) -> bool:
        return self._fold.view.paused

    @property
    def folder(self) -> Path | None:
        return self._folder

    @property
    def running(self) -> bool:
        view = self._fold.view
        if self._ended or view.end is not None:
            return False
        return len(view.runs) < self._awaited or any(run.ended is None for run in view.runs.values())

    @property
    def cancelling(self) -> bool:
        return self._cancelled and self.running

    @property
    def view(self) -> SessionView:
        return self._fold.view

    @property
    def unsaved_view(self) -> SessionView | None:
        view = self._fold.view
        return view if any(warning.code == "disk" for warning in view.warnings) else None

    @property
    def launched_here(self) -> bool:
        return self.engine is not None

    @property
    def goes_on(self) -> bool:
        return self.left_running or (self._follower is not None and self.running)

    @property
    def handing_over(self) -> bool:
        """Whether a plan was sent that the engine has not taken up: leaving now would lose it."""
        return not self._ended and not self._closed and len(self._fold.view.runs) < self._awaited

    def settle(self, limit_s: float) -> bool:
        """Wait until the newest plan is in the journal, or why it could not start; False: it is not in time.

        Takes no lock and reads the file alone.

        A starting engine listens after half a second; the thread that opens it goes on meanwhile.
        """
        end = time.monotonic() + limit_s
        counter = _PlanCounter(self._folder)
        while self.handing_over:
            counter.read()
            if counter.planned >= self._awaited or counter.failed > self._failed_before:
                break
            if time.monotonic() >= end:
                return False
            time.sleep(_GLANCE_S)
        return True

    # -- frames

    def frame(self, budget_s: float = BUDGET_S) -> Frame:
        """Drain the socket and fold. Returns the state now."""
        behind = self.catch_up(budget_s)
        follower, view = self._follower, self._fold.view
        if len(view.runs) < self._awaited and len(failures := self._failures()) > self._failed_before:
            self._refused(failures[-1])
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
            awaited_s=time.monotonic() - self._sent_s if len(view.runs) < self._awaited and not over else None,
            cancelling=self.cancelling,
            problem=self._problem or self.refusal or disk_trouble(view) or never_begun(view),
            folder=self._folder,
        )

    def catch_up(self, budget_s: float = BUDGET_S) -> bool:
        """Drain the socket and fold. Returns whether there is more."""
        follower = self._follower
        if follower is None or self._ended:
            return False
        behind = not self._drain(follower, budget_s)
        if problems := follower.problems():
            self._refused(problems[-1])
        return behind

    @property
    def _runs_ended(self) -> int:
        return sum(run.ended is not None for run in self._fold.view.runs.values())

    @property
    def refusal(self) -> str | None:
        """Why the newest plan was refused, until another run ends."""
        return self._refusal[0] if self._refusal is not None and self._refusal[1] == self._runs_ended else None

    def _refused(self, why: str) -> None:
        """The newest plan will have no runs."""
        self._refusal = (why, self._runs_ended)
        self._awaited = 0
        self._fold.note_change()

    def _drain(self, follower: Follower, budget_s: float) -> bool:
        """Returns whether all events were folded."""
        end = time.perf_counter() + budget_s
        while True:
            left = end - time.perf_counter()
            try:
                if left <= 0 or not self._fold.take_for(self._rest, left):
                    return False
                before = self._fold.view.events
                self._rest = follower.receive(0.0)
                if not self._fold.take_for(self._rest, left):
                    return False
            except EngineLostError:
                if self.running and self._problem is None:  # else what it has measured is all there
                    self._problem = self._death()
                self._ended = True
                return True
            except (LbenchError, msgspec.MsgspecError, OSError) as error:
                self._ended = True
                self._problem = f"the journal cannot be followed: {error}"
                return True
            if self._fold.view.events == before:
                return True

    def _death(self) -> str:
        text = death_text(None if self.engine is None else self.engine.process.poll())
        cause = cause_of_death(self._fold.view) or (f"its log is {self._folder}/engine.log" if self._folder else None)
        return text if cause is None else f"{text}; {cause}"

    def close(self) -> None:
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


class _PlanCounter:
    """Counts the planned runs and the plans that failed in a journal's file, reading on from where it stopped."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / JOURNAL_NAME
        self._offset = 0
        self.planned = self.failed = 0

    def read(self) -> None:
        """Count what the whole lines say that have come since."""
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    if line.endswith(b"\n"):
                        self._offset += len(line)
                        self.planned += line.startswith(_PLANNED)
                        self.failed += line.startswith(_FAILED)
        except OSError:
            pass  # not yet there
