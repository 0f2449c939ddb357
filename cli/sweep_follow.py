"""Starts an engine for a sweep, follows it to its end, and reports the curves."""

from __future__ import annotations

from lbench.analysis.format import place_number
from lbench.cli.confirm import ask_about
from lbench.cli.plan_options import Output
from lbench.cli.report import bound_lines
from lbench.cli.sweep_end import measure_points
from lbench.cli.sweep_report import print_sweep
from lbench.cli.sweep_run import Earlier, SweepMeasurement, points_left, refuse_unreplayable, stopped_sweep
from lbench.engine.model import point_text
from lbench.engine.plan.sweep import SweepPlan
from lbench.errors import count_text

__all__ = ["ask_for_sweep", "measure_sweep"]


def ask_for_sweep(sweep: SweepPlan, ask_above_usd: float, *, yes: bool) -> None:
    """Return if all points together are free or cheap, or if the user confirms them.

    Raises:
        InputError: the user declines, or no terminal can ask.
    """
    ask_about([sweep.at(point, "") for point in sweep.points], ask_above_usd, yes=yes)


def measure_sweep(sweep: SweepPlan, on_hangup: str, output: Output, *, more: int, fresh: bool) -> int:
    """Measure a sweep; returns the exit code.

    Raises:
        InputError: no point could be measured.
    """
    refuse_unreplayable([sweep.at(point, "") for point in sweep.points])
    earlier = None if fresh else stopped_sweep(sweep, more)
    identity = sweep.new_id() if earlier is None else earlier.id
    lines = [_head(sweep), *bound_lines(sweep.at(sweep.points[-1], identity))]
    if earlier is not None:
        lines.append(_going_on(sweep, earlier))
    return measure_points(
        lambda folder, progress: SweepMeasurement(folder, on_hangup, progress, sweep, identity, earlier, more),
        lines,
        lambda measurement, view, document, saved: print_sweep(
            view, document, measurement.failures, saved, predict=output.predict
        ),
        output,
        what="sweep",
        point="point",
    )


def _going_on(sweep: SweepPlan, earlier: Earlier) -> str:
    left = points_left(sweep, earlier.views)
    added = [point for point in left if point not in sweep.points]
    grid = len(left) - len(added)
    what = (
        f"{grid} of {count_text(len(sweep.points), 'point')} {'is' if grid == 1 else 'are'} left"
        if grid
        else "its last points are to be added"
    )
    if added:
        what += f"{', and' if grid else ':'} {', '.join(map(point_text, added))}"
    return f"goes on with a stopped sweep: {what} (--fresh starts over)"


def _head(sweep: SweepPlan) -> str:
    axes = "; ".join(f"{axis.name} {', '.join(map(place_number, axis.values))}" for axis in sweep.axes)
    return f"sweep over {axes}: {count_text(len(sweep.points), 'point')}; at {point_text(sweep.points[-1])}:"
