"""Starts an engine for a sweep, follows it to its end, and reports the curves."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from lbench.cli.confirm import ask_about
from lbench.cli.follow import follow_to_end, saved_text, say
from lbench.cli.report import bound_lines
from lbench.cli.signals import StopSignals
from lbench.cli.streams import output_error
from lbench.cli.sweep_report import merged_document, print_sweep
from lbench.cli.sweep_run import Earlier, SweepMeasurement, earlier_sessions
from lbench.config.exit_codes import EXIT_BUDGET, EXIT_FAILED, SIGNAL_EXIT_CODES
from lbench.engine.export.files import encode, format_of, write
from lbench.engine.model import point_text
from lbench.engine.plan.sweep import SweepPlan
from lbench.engine.service.client import new_session_folder
from lbench.errors import InputError, LbenchError

__all__ = ["ask_for_sweep", "measure_sweep"]


def ask_for_sweep(sweep: SweepPlan, ask_above_usd: float, *, yes: bool) -> None:
    """Return if all points together are free or cheap, or if the user confirms them.

    Raises:
        InputError: the user declines, or no terminal can ask.
    """
    ask_about([sweep.at(point, "") for point in sweep.points], ask_above_usd, yes=yes)


def measure_sweep(
    sweep: SweepPlan,
    on_hangup: str,
    *,
    more: int,
    fresh: bool,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    predict: bool,
) -> int:
    """Measure a sweep; returns the exit code.

    Raises:
        InputError: no point could be measured.
        LbenchError: the session could not be written to `out`.
    """
    earlier = None if fresh else earlier_sessions(sweep, more)
    identity = sweep.new_id() if earlier is None else earlier.id
    lines = [_head(sweep), *bound_lines(sweep.at(sweep.points[-1], identity))]
    if earlier is not None:
        lines.append(_going_on(sweep, earlier))
    folder = new_session_folder()
    with StopSignals() as signals:
        measurement = follow_to_end(
            lambda progress: SweepMeasurement(folder, on_hangup, progress, sweep, identity, earlier, more),
            folder,
            signals,
            lines,
            quiet=quiet,
        )
        if measurement.left_alone(signals):
            say(f"the engine ends this point without a terminal; the session is in {folder}")
            return SIGNAL_EXIT_CODES[signal.SIGHUP]
        return _conclude(measurement, signals, folder, out=out, as_json=as_json, quiet=quiet, predict=predict)


def _going_on(sweep: SweepPlan, earlier: Earlier) -> str:
    added = [point for point in earlier.left if point not in sweep.points]
    grid = len(earlier.left) - len(added)
    what = f"{grid} of {len(sweep.points)} points are left" if grid else "its last points are to be added"
    if added:
        what += f"{', and' if grid else ':'} {', '.join(map(point_text, added))}"
    return f"goes on with a stopped sweep: {what} (--fresh begins anew)"


def _head(sweep: SweepPlan) -> str:
    axes = "; ".join(f"{axis.name} {', '.join(f'{value:g}' for value in axis.values)}" for axis in sweep.axes)
    return f"sweep over {axes}: {len(sweep.points)} points; at {point_text(sweep.points[-1])}:"


def _conclude(
    measurement: SweepMeasurement,
    signals: StopSignals,
    folder: Path,
    *,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    predict: bool,
) -> int:
    views = [view for view in measurement.views if view.header is not None and view.runs]
    if not any(view.started_runs for view in views):
        if signals.exit_code is None and measurement.failures:
            shutil.rmtree(folder, ignore_errors=True)
            point, why = next(iter(measurement.failures.items()))
            raise InputError(f"no point could be measured; {point}: {why}")
        say(f"nothing was measured; see {folder}")
        return EXIT_FAILED if signals.exit_code is None else signals.exit_code
    document = merged_document(views, predict=predict)
    content = encode(document, "json")
    unwritten: LbenchError | None = None
    if out is not None:
        try:
            write(out, encode(document, format_of(out)))
        except LbenchError as error:
            unwritten, out = error, None
    saved = saved_text(measurement.view, folder, content, out)
    if as_json:
        sys.stdout.buffer.write(content)
    else:
        print_sweep(views, document, measurement.failures, saved, predict=predict)
    if measurement.lost:
        say(f"the engine has died: its runs are marked interrupted, the results so far are in {folder}")
    elif output_error() is not None or (as_json and (not quiet or signals.exit_code is not None)):
        say(saved, prefix="")
    stopped = signals.exit_code is not None or measurement.lost
    if (stopped or measurement.over_budget) and (left := measurement.left_text()) is not None:
        how = "the same command goes on there" if stopped else "the same command with a larger --max-usd goes on there"
        say(f"the sweep was stopped, {left}; {how}")
    if unwritten is not None:
        say(str(unwritten))
    if signals.exit_code is not None:
        return signals.exit_code
    if measurement.over_budget:
        return EXIT_BUDGET
    runs = [run for view in views for run in view.runs.values()]
    failed = measurement.failures or any(run.status not in ("ok", "cancelled", "interrupted") for run in runs)
    return EXIT_FAILED if failed or unwritten is not None or measurement.lost else 0
