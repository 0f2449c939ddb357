"""Starts an engine process for a plan, follows it to its end, and reports the results."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from lbench.cli.console import is_live_terminal
from lbench.cli.documents import document_of
from lbench.cli.live import LiveProgress
from lbench.cli.plan_options import Output
from lbench.cli.progress import PlainProgress, Progress
from lbench.cli.report import bound_lines, failures, print_report
from lbench.cli.signals import StopSignals
from lbench.cli.streams import output_error
from lbench.config.exit_codes import EXIT_BUDGET, EXIT_FAILED, SIGNAL_EXIT_CODES
from lbench.engine.export.files import encode, format_of, write
from lbench.engine.export.rescue import journal_is_whole, rescue, why_incomplete
from lbench.engine.journal.events import Event, RunStarted
from lbench.engine.model import Document
from lbench.engine.plan.plan import Plan
from lbench.engine.service.client import Engine, Follower, new_session_folder
from lbench.engine.session.view import SessionView
from lbench.errors import EngineLostError, InputError, LbenchError

__all__ = ["Measurement", "code_of", "follow_to_end", "measure", "open_progress", "report", "say"]

_WAIT_S = 0.1  # for events; the longest delay of a signal or a frame
_CANCEL_AGAIN_S = 1.0
_ENGINE_END_S = 10.0
_KILLED_END_S = 1.0


class Measurement:
    """An engine that carries out plans and is followed to its end; this class sends it one plan."""

    def __init__(self, folder: Path, on_hangup: str, progress: Progress, plan: Plan) -> None:
        self.view = SessionView()
        self.lost = False  # the engine exited without an end event
        self.exit_code: int | None = None  # of the engine's process, where it ended by itself
        self.refusal: str | None = None
        self._folder = folder
        self._on_hangup = on_hangup
        self._progress = progress
        self._plan = plan
        self._clocks: dict[str, float] = {}  # run: this process's clock when its start arrived

    def begin(self, follower: Follower) -> None:
        follower.start(self._plan, last=True)

    def proceed(self, follower: Follower) -> None:
        """Called often: send the next plan when it is time for it."""

    def refused(self, follower: Follower, problem: str) -> None:
        """The engine has refused a plan."""
        self.refusal = problem
        follower.command("stop")

    def stopping(self, follower: Follower) -> None:
        """Ask the engine to stop; repeated, because it drops a command that arrives before the plan has started."""
        follower.command("cancel")

    def follow(self, signals: StopSignals) -> None:
        """Follow until the engine has ended; a signal asks it to stop."""
        engine = Engine(self._folder, on_hangup=self._on_hangup)
        try:
            follower = Follower(self._folder, engine.socket)
            try:
                follower.follow()
                self.begin(follower)
                self._listen(follower, signals)
            finally:
                follower.close()
            if self.left_alone(signals):
                engine.let_go()
                return
            self.exit_code = engine.wait(_ENGINE_END_S)
            if self.exit_code is None:
                raise EngineLostError(f"the engine (process {engine.process.pid}) does not exit: see {self._folder}")
        except KeyboardInterrupt:
            engine.let_go()
            engine.process.terminate()  # the engine stops its children and saves the results
            raise
        except EngineLostError:
            self.exit_code = engine.wait(0)
            engine.let_go()
            engine.process.terminate()
            engine.wait(_KILLED_END_S)
            self._gone()

    def _listen(self, follower: Follower, signals: StopSignals) -> None:
        cancelled_s: float | None = None  # when the engine was last asked to stop
        while True:
            now_s = time.monotonic()
            if signals.first is not None:
                if self.left_alone(signals):
                    return  # the engine finishes by itself
                if cancelled_s is None or now_s - cancelled_s >= _CANCEL_AGAIN_S:
                    if cancelled_s is None:
                        self._progress.stopping(signals.first)
                    self.stopping(follower)
                    cancelled_s = now_s
            try:
                for event in follower.receive(_WAIT_S):
                    self.take(event)
            except EngineLostError:
                self._drawn()
                if self.view.end is None and self.refusal is None:
                    self._gone()
                return
            for problem in follower.problems():
                self.refused(follower, problem)
            if signals.first is None:
                self.proceed(follower)
            self._drawn()

    def take(self, event: Event) -> None:
        self.view.apply(event)
        if isinstance(event, RunStarted):
            self._clocks[event.run] = time.monotonic()
        self._progress.event(event, self.view)

    def _drawn(self) -> None:
        now_s = time.monotonic()
        self._progress.draw(self.view, {run: now_s - start for run, start in self._clocks.items()})

    def _gone(self) -> None:
        self.lost = True
        self.view.engine_gone()

    def left_alone(self, signals: StopSignals) -> bool:
        """Whether the terminal was closed and the engine finishes anyway."""
        return signals.first == signal.SIGHUP and self._on_hangup == "finish"


def open_progress(*, quiet: bool) -> Progress:
    """The progress that suits standard error."""
    if quiet:
        return Progress()
    return LiveProgress() if is_live_terminal(sys.stderr) else PlainProgress()


_Followed = TypeVar("_Followed", bound=Measurement)


def follow_to_end(
    make: Callable[[Progress], _Followed], folder: Path, signals: StopSignals, lines: list[str], *, quiet: bool
) -> _Followed:
    """Follow the measurement that `make` begins in `folder`, showing `lines` and its progress; returns it at its end.

    Raises:
        InputError: the plan cannot start; the folder is removed.
        EngineLostError: no engine started; the folder is removed.
        SystemExit: stopped at once by a second Ctrl-C; the folder stays, and its place is printed.
    """
    with open_progress(quiet=quiet) as progress:
        progress.begin(lines)
        measurement = make(progress)
        try:
            measurement.follow(signals)
        except KeyboardInterrupt:
            progress.close()
            say(f"stopped at once; the results so far are in {folder}")
            sys.exit(SIGNAL_EXIT_CODES[signal.SIGINT])
        except (InputError, EngineLostError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return measurement


def measure(plan: Plan, on_hangup: str, output: Output) -> int:
    """Measure a valid plan; returns the exit code.

    Raises:
        InputError: the plan cannot start; nothing was recorded.
        LbenchError: the session could not be written to its file.
    """
    lines = bound_lines(plan)  # also refuses a region without prices
    folder = new_session_folder()
    with StopSignals() as signals:
        measurement = follow_to_end(
            lambda progress: Measurement(folder, on_hangup, progress, plan), folder, signals, lines, quiet=output.quiet
        )
        if measurement.left_alone(signals):
            say(f"the engine continues without a terminal; the session is in {folder}")
            return SIGNAL_EXIT_CODES[signal.SIGHUP]
        return _conclude(measurement, signals, folder, output)


def _conclude(measurement: Measurement, signals: StopSignals, folder: Path, output: Output) -> int:
    view = measurement.view
    interrupted = signals.exit_code
    refusal = measurement.refusal or _failure_before_any_run(view)
    if refusal is not None and interrupted is None:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(refusal)
    if view.header is None:
        say(f"nothing was measured; see {folder}")
        return EXIT_FAILED if interrupted is None else interrupted
    document = document_of(view, predict=output.predict)
    if output.quiet:
        for line in failures(view):
            say(line, prefix="")
    if interrupted is None and view.end is not None and not view.end.complete and view.end.reason:
        say(f"{view.end.reason} ({folder})")
    show = partial(print_report, view, document, predict=output.predict)
    unwritten = report(measurement, document, folder, show, interrupted, output)
    if unwritten is not None:
        say(str(unwritten))
    if interrupted is not None:
        return interrupted
    return EXIT_FAILED if unwritten is not None or measurement.lost else code_of(view)


def report(
    measurement: Measurement,
    document: Document,
    folder: Path,
    show: Callable[[str], None],
    interrupted: int | None,
    output: Output,
) -> LbenchError | None:
    """Write the document to its file, and print it or `show` the report; returns why the file was not written.

    `show` gets the text that says where the session is.
    """
    content = encode(document, "json")
    out, unwritten = output.file, None
    if out is not None:
        try:
            write(out, encode(document, format_of(out)))
        except LbenchError as error:
            unwritten, out = error, None
    saved = _saved_text(measurement.view, folder, content, out)
    if output.as_json:
        sys.stdout.buffer.write(content)
    else:
        show(saved)
    if measurement.lost:
        from lbench.analysis.engine_death import cause_of_death, death_text

        how = death_text(measurement.exit_code)
        say(f"{how}; its runs are marked interrupted, the results so far are in {folder}")
        if (cause := cause_of_death(measurement.view)) is not None:
            say(cause, prefix="")
    elif output_error() is not None or (output.as_json and (not output.quiet or interrupted is not None)):
        say(saved, prefix="")
    return unwritten


def code_of(view: SessionView) -> int:
    """The exit code of a measurement."""
    if view.over_budget:
        return EXIT_BUDGET
    return 0 if _all_right(view) else EXIT_FAILED


def _failure_before_any_run(view: SessionView) -> str | None:
    """Why the plan could not start, for example unreadable data."""
    if view.runs or view.end is None or view.end.complete:
        return None
    return next((warning.text for warning in view.warnings if warning.code == "failed"), None)


def _all_right(view: SessionView) -> bool:
    """Whether every run has a right answer; without a reference: an answer equal to the others."""
    if not view.complete or not view.runs:
        return False
    answers = [run.answer for run in view.runs.values() if run.has_answer]
    if any(run.status != "ok" for run in view.runs.values()) or None in answers:
        return False
    open_digests = {answer.digest for answer in answers if answer is not None and answer.ok is None} - {""}
    return len(open_digests) <= 1


def _saved_text(view: SessionView, folder: Path, content: bytes, out: Path | None) -> str:
    """The place of the session; a session whose journal is incomplete is written elsewhere."""
    places = [str(folder)] + ([str(out)] if out is not None else [])
    if journal_is_whole(view, folder):
        return f"session {folder.name} in {' and '.join(places)}"
    if out is not None and format_of(out) == "json":
        return f"{why_incomplete(view, folder)}: the complete session is in {out}"
    return rescue(view, folder, content)


def say(line: str, prefix: str = "lbench: ") -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{prefix}{line}\n")
