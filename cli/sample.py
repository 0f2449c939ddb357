"""Options and the start of commands that run a sample of a job on this machine: `check` and `estimate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lbench.cli.options import setting_options
from lbench.cli.plan_options import DATA_OPTION, OF_A_PLAN, number, plan_of_options

if TYPE_CHECKING:
    from lbench.engine.plan.plan import Plan
    from lbench.engine.sampling.model import Sample
    from lbench.engine.simulation.parameters import LambdaModel

__all__ = ["sample_for", "sample_options", "with_kernels"]

_LONGEST_S = 3600.0
_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter; repeatable."),
    click.option("--each", multiple=True, metavar="NAME=VALUES", help="Of a plain function: a task for each value."),
    click.option("--tasks", metavar="N|auto", help="Tasks of the first stage (default auto: the workload chooses)."),
    DATA_OPTION,
    click.option("--encoding", metavar="NAME", help="Text encoding of the data file (default: UTF-8)."),
    setting_options("seed"),
    click.option("--for", "limit", metavar="SECONDS", help="Run tasks here for so long at most (default 6)."),
)
# What a plan has besides, and a sample has no use for: as if not given.
_UNUSED: dict[str, Any] = (
    dict.fromkeys(OF_A_PLAN)
    | {"backends": ("sequential",)}
    | dict.fromkeys(("audit", "keep_going", "yes", "any_versions"), False)
)


def sample_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which job, and for how long to sample it."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def sample_for(workload: str, options: dict[str, Any], *, watch: bool, fresh: bool) -> tuple[Sample, Plan]:
    """Run the sample that the options ask for; with the plan of its job.

    Raises:
        InputError: an option or the job cannot be used.
    """
    from lbench.cli.notice import notice
    from lbench.cli.signals import exit_on_signals
    from lbench.engine.plan.validate import validate
    from lbench.engine.sampling.client import LIMIT_S, take_sample
    from lbench.errors import InputError
    from lbench.workloads import registry
    from lbench.workloads.function import WORKLOAD_NAME

    if workload == WORKLOAD_NAME:
        raise InputError("function is deployed already: measure it with `lbench run function`")
    options = dict(options)
    limit_s = _limit(options.pop("limit"))
    plan, _ = plan_of_options(workload, _UNUSED | options)
    validate(plan)
    limit_s = LIMIT_S if limit_s is None else limit_s
    shown = registry.without_folder(plan.workload)
    with exit_on_signals(), notice(f"running a sample of {shown} here, its tasks for at most {limit_s:g} s"):
        sample = take_sample(
            plan.workload,
            plan.params,
            tasks=plan.tasks,
            seed=plan.seed,
            data=plan.data,
            encoding=plan.encoding,
            limit_s=limit_s,
            watch=watch,
            fresh=fresh,
        )
    return sample, plan


def with_kernels(model: LambdaModel) -> LambdaModel:
    """The model with what the kernels say of this machine's cores; where it is busy they say nothing."""
    import dataclasses
    from datetime import date

    from lbench.analysis.core_ratio import kernel_ratios, measured_core_ratio
    from lbench.cli.notice import notice
    from lbench.config.kernels import published_seconds
    from lbench.engine.sampling.kernels import kernel_times

    with notice("measuring a core of this machine"):
        times = kernel_times()
    if times is None:
        return model
    there = {name: seconds for name, (seconds, _) in published_seconds("x86_64", times.python).items()}
    measured = date.fromisoformat(times.created[:10])
    ratio = measured_core_ratio(model.core_ratio, kernel_ratios(times.seconds, there), measured)
    return dataclasses.replace(model, core_ratio=ratio)


def _limit(text: str | None) -> float | None:
    from lbench.errors import InputError

    seconds = number("--for", text)
    if seconds is not None and not 0 < seconds <= _LONGEST_S:
        raise InputError(f"--for must be above 0 and at most {_LONGEST_S:,.0f} seconds, got {text}")
    return seconds
