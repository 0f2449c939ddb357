"""Progress on stderr while an engine measures: none, plain lines, or drawn (`live`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from signal import Signals
from typing import Self

from lbench.analysis.format import seconds_text
from lbench.analysis.progress import Outlook, outlooks
from lbench.engine.billing.live_bills import RunningBills
from lbench.engine.cost.format import usd_short
from lbench.engine.journal.events import Answered, Event, RunEnded, RunStarted, Warned
from lbench.engine.model import point_text
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import count_text

__all__ = ["PlainProgress", "Progress", "current_runs", "place_text"]

_PROGRESS_S = 5.0  # between two lines on the same run
_PHASE_S = 1.0  # a shorter phase is not shown


class Progress:
    """Shows nothing (`--quiet`); the base of the others."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, lines: list[str]) -> None:
        """Show lines before the first event."""
        for line in lines:
            self._write(line)

    def event(self, event: Event, view: SessionView) -> None:
        """Show an event, which the view has already: here warnings and wrong answers."""
        if isinstance(event, Warned) and event.code != "failed":  # it ends the session, and its end names it
            self._write(f"warning: {event.text}")
        elif isinstance(event, Answered) and event.answer.ok is False:
            self._write(f"{place_text(view.runs[event.run], view)}: ✘ its answer is wrong ({event.answer.check})")

    def draw(self, view: SessionView, now_s: Mapping[str, float]) -> None:
        """Show the time that has passed; `now_s`: seconds since the start of each run."""

    def stopping(self, signal: Signals) -> None:
        """Show that a signal has asked the engine to stop."""
        self._write("stopping; press Ctrl-C again to end at once" if signal == Signals.SIGINT else "stopping")

    def note(self, line: str) -> None:
        self._write(line)

    def close(self) -> None:
        """Restore the terminal."""

    def _write(self, line: str) -> None:
        pass


class PlainProgress(Progress):
    """Prints a line when a run starts or ends, and one every few seconds between."""

    def __init__(self) -> None:
        self._printed_s: dict[str, float] = {}  # label: when its last line was written
        self._bill = RunningBills()
        self._phase: tuple[str, float] | None = None  # its text and its start; infinity once it is printed

    def event(self, event: Event, view: SessionView) -> None:
        """Print starts and ends, too."""
        if isinstance(event, RunStarted):
            run = view.runs[event.run]
            self._printed_s[run.planned.label] = time.monotonic()
            count = "" if run.planned.tasks is None else f"{count_text(run.planned.tasks, 'task')}, "
            self._write(f"{place_text(run, view)}: started, {count}{event.capacity} at once")
        elif isinstance(event, RunEnded):
            if event.status == "cancelled" and view.runs[event.run].started is None:
                return  # their number is reported at the end
            self._write(_end_text(view.runs[event.run], view))
        else:
            super().event(event, view)

    def draw(self, view: SessionView, now_s: Mapping[str, float]) -> None:
        """Print the progress of long runs and phases."""
        clock_s = time.monotonic()
        self._draw_phase(view.phase, clock_s)
        running = [run for run in view.runs.values() if run.status == "running"]
        if not any(clock_s - self._printed_s.get(run.planned.label, 0.0) >= _PROGRESS_S for run in running):
            return
        known = {outlook.label: outlook for outlook in outlooks(current_runs(view), now_s, self._bill)}
        for run in running:
            label = run.planned.label
            if clock_s - self._printed_s.get(label, 0.0) >= _PROGRESS_S:
                self._printed_s[label] = clock_s
                self._write(f"{place_text(run, view)}: {_outlook_text(known[label])}")

    def _draw_phase(self, phase: str | None, clock_s: float) -> None:
        if phase is None:
            self._phase = None
        elif self._phase is None or self._phase[0] != phase:
            self._phase = (phase, clock_s)
        elif clock_s - self._phase[1] >= _PHASE_S:
            self._write(f"{phase} ...")
            self._phase = (phase, float("inf"))

    def _write(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def place_text(run: RunView, view: SessionView) -> str:
    """The name of a run: "processes 2/3", "processes, warm-up 1/1", in a sweep "n_trees=8: processes 2/3"."""
    planned = run.planned
    count = sum(
        (other.planned.label, other.planned.warmup, other.planned.sweep)
        == (planned.label, planned.warmup, planned.sweep)
        for other in view.runs.values()
    )
    point = "" if planned.sweep is None else f"{point_text(planned.sweep.point)}: "
    return f"{point}{planned.label}{', warm-up' if planned.warmup else ''} {planned.repeat + 1}/{count}"


def current_runs(view: SessionView) -> list[RunView]:
    """All runs; of a sweep those of the point under way."""
    runs = list(view.runs.values())
    point = runs[-1].planned.sweep if runs else None
    return runs if point is None else [run for run in runs if run.planned.sweep == point]


def _end_text(run: RunView, view: SessionView) -> str:
    assert run.ended is not None
    if run.ended.makespan_s is not None:
        return f"{place_text(run, view)}: ✔ {seconds_text(run.ended.makespan_s)}"
    why = f": {run.ended.error}" if run.ended.error else ""
    return f"{place_text(run, view)}: {'■' if run.stopped else '✘'} {run.ended.status.replace('_', ' ')}{why}"


def _outlook_text(outlook: Outlook) -> str:
    parts = [f"{outlook.tasks_done}/{outlook.tasks or '?'} tasks"]
    if outlook.elapsed_s is not None:
        parts.append(seconds_text(outlook.elapsed_s))
    if outlook.left_s is not None:
        parts.append(f"about {seconds_text(outlook.left_s)} left")
    if outlook.usd is not None:
        where = "" if outlook.origin == "measured" else f" on AWS ({outlook.origin} here)"
        parts.append(f"{usd_short(outlook.usd, assumed=outlook.assumed)} so far{where}")
    if outlook.failed_attempts:
        parts.append(f"{count_text(outlook.failed_attempts, 'attempt')} failed")
    return ", ".join(parts)
