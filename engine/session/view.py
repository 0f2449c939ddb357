"""A session as readers see it: its journal's events folded into runs and columns, the same way for every reader.

Folding the two halves of a journal one after the other gives what folding the whole gives: a viewer may begin with
the file and go on with the live feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lbench.engine.journal.events import (
    Answered,
    Audited,
    ComparisonEnded,
    Dispatched,
    EnvironmentSeen,
    Event,
    Paused,
    Phase,
    Previewed,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
    Warned,
)
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.machine.fingerprint import MachineSample
from lbench.engine.model import Answer, LambdaEnvironment, RunStatus, Stage
from lbench.engine.session.block_process import blocks_of
from lbench.engine.session.blocks import Stretch
from lbench.engine.session.columns import STATUSES, Columns, Rows
from lbench.errors import SessionFileError
from lbench.workloads import registry

__all__ = ["RunView", "SessionView", "fold", "load_folder", "load_journal"]


_Row = TypeVar("_Row", Dispatched, Returned, Audited)


class RunView:
    """One run, as far as its journal has been read."""

    def __init__(self, planned: RunPlanned) -> None:
        self.planned = planned
        self.has_answer = registry.has_answer(planned.workload)  # `function` comes to none
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.answer: Answer | None = None
        self.stages: list[Stage] = []
        self.environments: dict[str, LambdaEnvironment] = {}
        self.samples: list[MachineSample] = []
        self.previews: list[Previewed] = []  # where the blocks of its preview lie
        self.columns = Columns()
        self.finished_tasks = 0  # tasks with a result, over all stages so far
        self.in_flight = 0
        self.failed_attempts = 0
        self.s3_put = 0
        self.s3_get = 0
        self.s3_bytes = 0  # put there
        self.comparison: str | None = None  # the id of that which it belongs to, once all of its runs have ended
        self.interrupted = False  # its engine is gone and it has no end
        self.paused = False  # while its clock ran, by a person or because the engine or the machine stood still

    @property
    def id(self) -> str:
        """The run's id, unique in its session."""
        return self.planned.run

    @property
    def status(self) -> RunStatus | None:
        """None while it is only planned."""
        if self.started is None and self.ended is None:
            return None
        if self.ended is None:
            return "interrupted" if self.interrupted else "running"
        if self.ended.status == "ok" and self.answer is not None and self.answer.ok is False:
            return "wrong_answer"
        return self.ended.status

    @property
    def notes(self) -> list[str]:
        """The conditions to show with its results."""
        return [*(self.started.notes if self.started else ()), *(self.ended.notes if self.ended else ())]

    @property
    def makespan_s(self) -> float | None:
        """The run's wall time, None until it has an answer."""
        return self.ended.makespan_s if self.ended is not None and self.ended.status == "ok" else None

    @property
    def counts(self) -> bool:
        """Whether its times are in the figures: it ended well, is no warm-up run, and was not paused."""
        return self.status == "ok" and not self.planned.warmup and not self.paused

    @property
    def stopped(self) -> bool:
        """Whether it came to no end of its own, as somebody stopped it, its budget was used up, or its engine died."""
        return self.status in (None, "running", "cancelled", "interrupted", "over_budget")

    @property
    def cold(self) -> bool | None:
        """Whether all environments that it reached were new; None: it does not apply, or is not known yet."""
        return self.planned.cold if self.ended is None or self.ended.cold is None else self.ended.cold

    @property
    def known_tasks(self) -> int:
        """Tasks of the stages that the job has yielded so far."""
        return sum(stage.tasks for stage in self.stages)

    def apply(self, event: Event) -> None:
        match event:
            case Dispatched():
                if event.n != len(self.columns):  # else one number could ask for all memory
                    raise SessionFileError(f"the session is damaged: invocation {event.n} of {self.id} is out of order")
                self._keep(self.columns.dispatch, event)
                self.in_flight += 1
            case Returned():
                if not 0 <= event.n < len(self.columns):
                    raise SessionFileError(f"the session is damaged: invocation {event.n} of {self.id} never began")
                self._keep(self.columns.finish, event)
                self.in_flight -= 1
                self.s3_put += event.s3_put
                self.s3_get += event.s3_get
                self.s3_bytes += event.s3_bytes
                if event.status == "ok":
                    self.finished_tasks += 1
                elif not self.has_answer and event.status in ("error", "timeout", "superseded"):
                    self.finished_tasks += 1  # of such a workload an error is a result
                    self.failed_attempts += event.status != "superseded"
                elif event.status != "superseded":  # its task has a result from another attempt
                    self.failed_attempts += 1
            case Audited():
                if not 0 <= event.n < len(self.columns):
                    raise SessionFileError(f"the session is damaged: invocation {event.n} of {self.id} never began")
                self._keep(self.columns.audit, event)
            case RunStarted():
                self.started = event
            case StageStarted():
                self.stages.append(Stage(event.index, event.at_s, None, event.tasks))
            case StageEnded():
                if not 0 <= event.index < len(self.stages):
                    raise SessionFileError(f"the session is damaged: stage {event.index} ends before it begins")
                old = self.stages[event.index]
                self.stages[event.index] = Stage(old.index, old.started_s, event.at_s, old.tasks)
            case EnvironmentSeen():
                self.environments[event.info.id] = event.info
            case Previewed():
                self.previews.append(event)
            case Sampled():
                self.samples.append(event.sample)
            case RunEnded():
                if event.status == "ok" and self.started is None:
                    raise SessionFileError(f"the session is damaged: run {self.id} ends before it begins")
                self.ended = event
                self.s3_put += event.s3_put
                self.s3_get += event.s3_get
                self.s3_bytes += event.s3_bytes
            case Answered():
                self.answer = event.answer
            case _:
                pass

    def take(self, rows: Rows) -> None:
        """Take what happened to many invocations; it must fit (`Columns.fits`)."""
        self.columns.take(rows)
        self.in_flight += rows.begun_count - len(rows.ended_rows)
        put, get, size = rows.s3
        self.s3_put += put
        self.s3_get += get
        self.s3_bytes += size
        if len(rows.ended_rows):
            counts = dict(
                zip(STATUSES, np.bincount(rows.ended["status"][1], minlength=len(STATUSES)).tolist(), strict=True)
            )
            results = ("ok",) if self.has_answer else ("ok", "error", "timeout", "superseded")
            self.finished_tasks += sum(counts[status] for status in results)
            self.failed_attempts += sum(counts.values()) - counts["ok"] - counts["superseded"]

    def _keep(self, put: Callable[[_Row], None], event: _Row) -> None:
        try:
            put(event)
        except OverflowError:
            raise SessionFileError(f"the session is damaged: a number of {self.id} has too many digits") from None

    def warm_compute_ms(self) -> Any:
        """Compute times (ms, float array) of the successful invocations that were no cold starts.

        To the microsecond, as documents have them: a report and one of its export give the same figures.
        """
        columns = self.columns
        times = columns["compute_ms"][(columns["status"] == STATUSES.index("ok")) & (columns["cold"] != 1)]
        return np.round(times[times == times].astype(np.float64), 3)  # without NaN: not measured

    def cold_starts(self) -> int | None:
        """How many invocations were cold; None where that does not apply."""
        cold = self.columns["cold"]
        return int((cold == 1).sum()) if (cold >= 0).any() else None


class SessionView:
    """A session, as far as its journal has been read."""

    def __init__(self) -> None:
        self.header: SessionStarted | None = None
        self.runs: dict[str, RunView] = {}
        self.warnings: list[Warned] = []
        self.comparisons: list[ComparisonEnded] = []
        self.phase: str | None = None  # what the engine does outside any run's clock
        self.paused = False
        self.end: SessionEnded | None = None
        self.events = 0

    def apply(self, event: Event) -> None:
        self.events += 1
        match event:
            case Dispatched() | Returned():
                self._run(event.run).apply(event)
            case SessionStarted():
                self.header = event
            case RunPlanned():
                self.runs[event.run] = RunView(event)
            case Phase():
                self.phase = event.text or None
            case Paused():
                self.paused = event.paused
            case Warned():
                self.warnings.append(event)
                if event.code == "paused" and event.run in self.runs:
                    self.runs[event.run].paused = True
            case ComparisonEnded():
                self.comparisons.append(event)
                for name in event.runs:
                    if name in self.runs:
                        self.runs[name].comparison = event.id
            case SessionEnded():
                self.end = event
            case _:
                self._run(event.run).apply(event)

    def apply_stretch(self, stretch: Stretch) -> None:
        """Take what happened to many invocations."""
        runs = self.runs
        if stretch.rows and all(rows.run in runs and runs[rows.run].columns.fits(rows) for rows in stretch.rows):
            for rows in stretch.rows:
                runs[rows.run].take(rows)
            self.events += stretch.count
        else:
            for event in stretch.events():
                self.apply(event)

    def _run(self, run: str) -> RunView:
        try:
            return self.runs[run]
        except KeyError:
            raise SessionFileError(
                f"the session is damaged: an event names run {run!r}, which was not planned"
            ) from None

    def engine_gone(self) -> None:
        """Mark runs without an end as interrupted: no engine holds the journal."""
        for run in self.runs.values():
            run.interrupted = run.started is not None and run.ended is None

    @property
    def started_runs(self) -> list[RunView]:
        """The runs whose clock has started, in their order."""
        return [run for run in self.runs.values() if run.started is not None]

    @property
    def complete(self) -> bool:
        """Whether the engine has carried out its whole plan."""
        return self.end is not None and self.end.complete

    @property
    def over_budget(self) -> bool:
        """Whether a run was stopped because its budget was used up."""
        return any(run.status == "over_budget" for run in self.runs.values())


def fold(events: Iterable[Event], view: SessionView | None = None) -> SessionView:
    """Apply events in their order to `view` (a new one by default)."""
    view = view if view is not None else SessionView()
    for event in events:
        view.apply(event)
    return view


def load_folder(folder: Path) -> SessionView:
    """The session recorded in a folder, whether its engine is running or not.

    Raises:
        SessionFileError: there is no readable journal.
    """
    return load_journal(folder / JOURNAL_NAME)


def load_journal(path: Path) -> SessionView:
    """The session of a journal; its open runs are interrupted unless an engine holds the folder.

    Raises:
        SessionFileError: it cannot be read.
    """
    view = SessionView()
    for block in blocks_of(path):
        for step in block.steps or ():
            if isinstance(step, Stretch):
                view.apply_stretch(step)
            else:
                view.apply(step)
    if not is_live(path.parent):
        view.engine_gone()
    return view
