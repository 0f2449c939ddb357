"""`lbench sweep`: one workload along one or two axes; curves, crossings, and when a rented machine is cheaper."""

from __future__ import annotations

from typing import Any

import click

from lbench.cli.plan_options import Output, output_options, plan_options

__all__ = ["command"]


@click.command()
@click.argument("workload", metavar="WORKLOAD")
@click.option(
    "--over",
    multiple=True,
    metavar="NAME=V1,V2,...|A..BxF",
    help="What to vary: a parameter, workers, memory or tasks; once or twice. A..BxF multiplies by F.",
)
@click.option(
    "--more", metavar="N", help="Points to add where two curves cross (default: 2 in a range A..BxF, else 0)."
)
@click.option("--fresh", is_flag=True, help="Start over, even if a stopped sweep could go on.")
@plan_options
@click.option("--no-predict", is_flag=True, help="Leave out the curve of what AWS Lambda would take and cost.")
@output_options
def command(
    workload: str,
    over: tuple[str, ...],
    more: str | None,
    fresh: bool,
    output: Output,
    **options: Any,
) -> None:
    """Measure WORKLOAD along one or two axes, and find where one backend overtakes another, in time and in dollars.

    A sweep that was stopped goes on where it was: give the same command again. A point that fails fails alone.

    \b
    Examples:
      lbench sweep random_forest --over n_trees=1..128x2
      lbench sweep mandelbrot --over workers=1,2,4,8 -b processes
      lbench sweep mandelbrot --over size=500..4000x2 --over workers=1,2 -b processes -b emulated
    """
    from lbench.cli.plan_options import checked_out, plan_of_options, whole_number
    from lbench.cli.sweep_follow import ask_for_sweep, measure_sweep
    from lbench.config.settings import on_hangup
    from lbench.engine.plan.sweep import sweep_plan
    from lbench.errors import InputError

    plan, loaded = plan_of_options(workload, options)
    sweep = sweep_plan(plan, over)
    added = 2 if more is None and any(axis.is_range for axis in sweep.axes) else 0
    if more is not None:
        added = whole_number("--more", more)
        if not 0 <= added <= 100:
            raise InputError(f"--more must be from 0 to 100, got {more}")
    checked_out(output.file)
    ask_for_sweep(sweep, loaded.values.ask_above_usd, yes=options["yes"])
    code = measure_sweep(sweep, on_hangup(loaded.values, "run"), output, more=added, fresh=fresh)
    click.get_current_context().exit(code)
