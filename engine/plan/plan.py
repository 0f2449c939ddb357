"""The plan of one comparison: a workload with its parameters, and the backends to run it on."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.model import Schedule, Sweep
from lbench.workloads import parameters, registry
from lbench.workloads.model import Params

__all__ = [
    "LEAST_ROUNDS",
    "BackendChoice",
    "Plan",
    "fixed_repeats",
    "planned_runs",
    "resolve_params",
    "schedule_of",
    "settings_of",
]

LEAST_ROUNDS = 6  # of `--repeats auto`: fewer pairs have no 95 % interval
PAID_REPEATS = 3  # in place of auto where runs cost money


class BackendChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backend, its settings, and its label in the results."""

    name: str
    label: str
    settings: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison: a workload with its parameters, the backends, and how often each runs."""

    workload: str
    params: dict[str, Any] = {}
    seed: int = 1
    tasks: int | None = None
    backends: list[BackendChoice] = []
    repeats: int | Literal["auto"] = 3
    for_s: float = 60.0  # after so many seconds "auto" begins no other round
    warmup: int = 0
    cold_repeats: int = 0  # runs before all others, each in new environments
    schedule: Schedule | None = None  # None: `schedule_of` decides
    timeout_s: float = 300.0
    retries: int = 2
    keep_going: bool = False  # after a task has failed for good, run the other tasks of its stage before the run fails
    hedge: float | None = None  # quantile of a stage's durations above which a task gets a duplicate
    max_usd: float | None = None  # limit for the cost of all runs together; None: no limit
    audit: bool = False  # afterwards, replace estimated billed times by those in AWS's log
    batch: int | Literal["auto"] | None = None  # tasks that are handed over together
    data: str | None = None
    encoding: str | None = None  # of the data file's text; None: UTF-8, or UTF-16 by its byte order mark
    picture: str | None = None
    sweep: Sweep | None = None  # the plan measures one point of a sweep
    preview: bool = False  # record a growing preview for a screen; costs the driver some CPU


def settings_of(choice: BackendChoice) -> msgspec.Struct:
    """The typed settings of a choice that was parsed or validated.

    Raises:
        UnknownNameError: there is no such backend.
    """
    return msgspec.convert(choice.settings, catalog.settings_type(choice.name))


def schedule_of(plan: Plan) -> Schedule:
    """The plan's own schedule; else concurrent where this machine and others both take part, alternating otherwise.

    "Concurrent" by default means that AWS (or a cluster) runs beside this machine, whose backends alternate.
    """
    if plan.schedule is not None:
        return plan.schedule
    return (
        "concurrent"
        if len({catalog.shares_machine(choice.name, choice.settings) for choice in plan.backends}) > 1
        else "alternating"
    )


def fixed_repeats(plan: Plan) -> int | None:
    """The number of repeats where it is known before they run; None: a stop rule ends them (`measure.stop_rule`)."""
    if plan.repeats != "auto":
        return plan.repeats
    if any(catalog.is_paid(choice.name) for choice in plan.backends):
        return PAID_REPEATS
    # Where everything is simulated, a stop rule by the clock would make the number of repeats a matter of chance.
    simulated = bool(plan.backends) and all(catalog.origin(choice.name) == "simulated" for choice in plan.backends)
    return LEAST_ROUNDS + 1 if simulated else None


def planned_runs(plan: Plan) -> int:
    """Runs of each backend, at the least."""
    before = plan.cold_repeats + plan.warmup
    if (repeats := fixed_repeats(plan)) is not None:
        return before + repeats
    first_is_cold = not before and any(catalog.starts_cold(choice.name) for choice in plan.backends)
    return before + LEAST_ROUNDS + first_is_cold


def resolve_params(plan: Plan) -> Params:
    """The workload's parameters, with the plan's tasks and seed.

    Raises:
        InputError: an unknown workload or parameter, or a value out of range.
    """
    description = registry.describe(plan.workload)
    return parameters.parse(description.params, plan.params, tasks=plan.tasks, seed=plan.seed)
