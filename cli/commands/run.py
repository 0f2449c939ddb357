"""`lbench run`: turns options into a plan, measures it, and exits with its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lbench.cli.plan_options import FILE, Output, output_options, plan_options

__all__ = ["command"]


@click.command()
@click.argument("workload", metavar="WORKLOAD")
@plan_options
@click.option("--force-cold", is_flag=True, help="function: make every call a cold start (changes one variable of it).")
@click.option(
    "--allow-update", is_flag=True, help="Required by --force-cold: allow a temporary change of the function."
)
@click.option("--no-predict", is_flag=True, help="Leave out the line of what AWS Lambda would take and cost.")
@click.option("--picture", metavar="FILE.png", type=FILE, help="Write the answer as a picture.")
@output_options
def command(
    workload: str,
    picture: Path | None,
    output: Output,
    force_cold: bool,
    allow_update: bool,
    **options: Any,
) -> None:
    """Measure WORKLOAD on several backends, check every answer, and compare time, steadiness and cost.

    WORKLOAD is one of `lbench workloads`, or a plain function of yours with --each, or a job in a Python file of yours: see
    `lbench new workload`.

    \b
    Examples:
      lbench run mandelbrot
      lbench run random_forest --data LoanStats3a.csv -b processes -b emulated:memory=3538
      lbench run mandelbrot -p size=2000 --repeats 5 -o result.json
      lbench run ./mine.py:simulate --each seed=0..99 -p points=1000
      lbench run ./mine.py:job -p n=10
      lbench run function -p name=my-function -p payload=@event.json -b lambda

    Settings of config.toml and LBENCH_* serve as defaults: see `lbench doctor`.
    """
    import msgspec

    from lbench.cli import function_run
    from lbench.cli.confirm import ask_about
    from lbench.cli.follow import measure
    from lbench.cli.plan_options import checked_out, plan_of_options
    from lbench.config.settings import on_hangup
    from lbench.engine.export.files import check_writable
    from lbench.engine.plan.validate import validate
    from lbench.errors import InputError

    backends = options["backends"]
    if workload == "function" and not backends:
        options["backends"] = backends = function_run.DEFAULT_BACKENDS
    plan, loaded = plan_of_options(workload, options)
    given = function_run.forced(plan.params, workload, force_cold=force_cold, allow_update=allow_update)
    plan = msgspec.structs.replace(plan, params=given, picture=None if picture is None else str(picture.absolute()))
    if workload == "function":
        plan = function_run.prepare(plan, backends, loaded)
    validate(plan)
    checked_out(output.file)
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise InputError(f"--picture must be a file name that ends in .png, got {picture}")
        check_writable(picture, "--picture")
    ask_about([plan], loaded.values.ask_above_usd, yes=options["yes"])
    code = measure(plan, on_hangup(loaded.values, "run"), output)
    click.get_current_context().exit(code)
