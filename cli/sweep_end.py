"""The end of a sweep or a tuning: its document and its report, what is left of it, and the exit code."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from lbench.analysis.resumption import joined
from lbench.cli.documents import document_of
from lbench.cli.follow import follow_to_end, report, say
from lbench.cli.plan_options import Output
from lbench.cli.progress import Progress
from lbench.cli.signals import StopSignals
from lbench.cli.sweep_run import PointsMeasurement
from lbench.config.exit_codes import EXIT_BUDGET, EXIT_FAILED, SIGNAL_EXIT_CODES
from lbench.engine.model import Document
from lbench.engine.service.client import new_session_folder
from lbench.engine.session.view import SessionView
from lbench.errors import InputError

__all__ = ["measure_points"]

_Points = TypeVar("_Points", bound=PointsMeasurement)


def measure_points(
    make: Callable[[Path, Progress], _Points],
    lines: list[str],
    show: Callable[[_Points, SessionView, Document, str], None],
    output: Output,
    *,
    what: str,
    point: str,
) -> int:
    """Measure the points that `make` begins in a new session, and report them with those of earlier sessions.

    Args:
        make: the measurement, of its folder and progress.
        lines: the text before it.
        show: prints the report: of the session that holds all points, its document, and where it is saved.
        output: what becomes of the results; `predict` is of the document.
        what: "sweep" or "tuning", in messages.
        point: what it measures one of.

    Returns:
        The exit code.

    Raises:
        InputError: no point could be measured.
    """
    folder = new_session_folder()
    with StopSignals() as signals:
        measurement = follow_to_end(lambda progress: make(folder, progress), folder, signals, lines, quiet=output.quiet)
        if measurement.left_alone(signals):
            say(f"the engine ends this {point} without a terminal; the session is in {folder}")
            return SIGNAL_EXIT_CODES[signal.SIGHUP]
        views = [view for view in measurement.views if view.header is not None and view.runs]
        if not any(view.started_runs for view in views):
            return _nothing(measurement, signals, folder, what, point)
        whole = joined(views)
        document = document_of(whole, predict=output.predict)
        shown = partial(show, measurement, whole, document)
        unwritten = report(measurement, document, folder, shown, signals.exit_code, output)
        stopped = signals.exit_code is not None or measurement.lost
        if (stopped or measurement.over_budget) and (left := measurement.left_text()) is not None:
            how = "the same command" if stopped else "the same command with a larger --max-usd"
            say(f"the {what} was stopped, {left}; {how} goes on there")
        if unwritten is not None:
            say(str(unwritten))
        if signals.exit_code is not None:
            return signals.exit_code
        if measurement.over_budget:
            return EXIT_BUDGET
        failed = measurement.failures or any(
            run.status not in ("ok", "cancelled", "interrupted") for run in whole.runs.values()
        )
        return EXIT_FAILED if failed or unwritten is not None or measurement.lost else 0


def _nothing(measurement: PointsMeasurement, signals: StopSignals, folder: Path, what: str, point: str) -> int:
    """The exit code where no run has begun."""
    if signals.exit_code is None and measurement.failures:
        shutil.rmtree(folder, ignore_errors=True)
        first, why = next(iter(measurement.failures.items()))
        raise InputError(f"no {point} could be measured; {first}: {why}")
    if signals.exit_code is None and measurement.over_budget:
        say(
            f"nothing was measured: --max-usd stopped the {what} before its first {point}; give a larger one; see {folder}"
        )
        return EXIT_BUDGET
    say(f"nothing was measured; see {folder}")
    return EXIT_FAILED if signals.exit_code is None else signals.exit_code
