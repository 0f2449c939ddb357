"""`lbench tune`: memory x tasks on Lambda, the Pareto front of time against dollars, and three picks."""

from __future__ import annotations

from typing import Any

import click

from lbench.cli.plan_options import Output, output_options, plan_options

__all__ = ["command"]

_DECIDED = ("repeats", "for", "warmup", "cold_repeats", "schedule")  # by tune itself: refused, and not in its help


@click.command()
@click.argument("workload", metavar="WORKLOAD")
@click.option(
    "--over",
    multiple=True,
    metavar="memory|tasks=V1,V2,...",
    help="Candidates (default: memory 512, 885, 1769 and 3538 MB; a quarter, half, all and twice the usual tasks).",
)
@click.option("--fresh", is_flag=True, help="Start over, even if a stopped tuning could go on.")
@plan_options
@output_options
def command(workload: str, over: tuple[str, ...], fresh: bool, output: Output, **options: Any) -> None:
    """Find the memory size and the number of tasks of WORKLOAD on Lambda that are fastest, cheapest, and both in balance.

    At most 20 runs, 4 of each candidate that is tried; a model of time and dollars chooses the next. Before each its
    expected cost is shown. A tuning that was stopped goes on where it was: give the same command again.

    \b
    Examples:
      lbench tune mandelbrot -p size=1000
      lbench tune random_forest -b lambda --over memory=1769,3538 --max-usd 0.50
    """
    from lbench.cli.plan_options import checked_out, plan_of_options
    from lbench.cli.tune_run import ask_for_tuning, measure_tuning, tune_plan
    from lbench.config.settings import on_hangup
    from lbench.errors import InputError

    for name in _DECIDED:
        if options[name] is not None:
            raise InputError(
                f"--{name.replace('_', '-')} does not apply to tune, which decides itself what it runs and how often"
            )
    plan, loaded = plan_of_options(workload, options, ("emulated",))
    tune = tune_plan(plan, over)
    checked_out(output.file)
    ask_for_tuning(tune, loaded.values.ask_above_usd, yes=options["yes"])
    code = measure_tuning(tune, on_hangup(loaded.values, "run"), output, fresh=fresh)
    click.get_current_context().exit(code)


for option in command.params:  # of those that `run` and `sweep` have, too
    if isinstance(option, click.Option):
        option.hidden = option.name in _DECIDED
        if option.name == "backends":
            option.help = "Backend to tune on: emulated (default), simulated or lambda."
        if option.name == "memory":
            option.help = "Only this memory size (default: the candidates of --over)."
