"""The plan of one comparison: a workload with its parameters, and the backends to run it on."""

from __future__ import annotations

from typing import Any

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.model import Schedule
from lbench.workloads import parameters, registry
from lbench.workloads.model import Params

__all__ = ["BackendChoice", "Plan", "resolve_params", "schedule_of", "settings_of"]


class BackendChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backend, its settings as given, and what it is called in the results."""

    name: str
    label: str
    settings: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison: a workload with its parameters, over backends, so many times."""

    workload: str
    params: dict[str, Any] = {}
    seed: int = 1
    tasks: int | None = None
    backends: list[BackendChoice] = []
    repeats: int = 3
    warmup: int = 0
    schedule: Schedule | None = None  # None: as `schedule_of` says; what shares this machine is isolated all the same
    timeout_s: float = 300.0
    retries: int = 2
    keep_going: bool = False  # run a stage's other tasks after one has failed for good; the run fails then
    hedge: float | None = None  # the quantile of a stage's durations beyond which a task is issued once more
    max_usd: float | None = None  # what all runs together may cost; None: no limit
    audit: bool = False  # afterwards, replace estimates of billed time by what AWS's log says
    data: str | None = None
    picture: str | None = None
    preview: bool = False  # record a growing preview for a screen; it costs the driver some CPU


def settings_of(choice: BackendChoice) -> msgspec.Struct:
    """The typed settings of a choice that was parsed or validated.

    Raises:
        UnknownNameError: there is no such backend.
    """
    return msgspec.convert(choice.settings, catalog.settings_type(choice.name))


def schedule_of(plan: Plan) -> Schedule:
    """The plan's own; else concurrent where AWS runs beside this machine, and isolated where it is only one of the two."""
    if plan.schedule is not None:
        return plan.schedule
    return "concurrent" if len({catalog.shares_machine(choice.name) for choice in plan.backends}) > 1 else "isolated"


def resolve_params(plan: Plan) -> Params:
    """The workload's parameters with the run's own in them.

    Raises:
        InputError: an unknown workload or parameter, or a value out of range.
    """
    description = registry.describe(plan.workload)
    return parameters.parse(description.params, plan.params, tasks=plan.tasks, seed=plan.seed)
