"""The plan of a recorded comparison, so that the set-up offers what is on the screen."""

from __future__ import annotations

from typing import Any

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params
from lbench.engine.session.view import RunView
from lbench.errors import LbenchError
from lbench.workloads import registry

__all__ = ["offered_plan"]


def offered_plan(runs: list[RunView], last: Plan | None = None) -> Plan | None:
    """A plan that would measure the same again; None: its workload or its backends are not known here.

    A record holds no path of a data file, so the plan has none. Of an own workload it holds the file's name alone: `last`,
    the plan that was started here last, gives the folder and what else is not recorded if it has that name; else the
    folder is the current one. Whether such a workload can be used shows once it is read.
    """
    if not runs or runs[0].planned.interaction is not None:
        return None
    first = runs[0].planned
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        groups.setdefault(run.planned.label, []).append(run)
    repeats = [run.planned for run in next(iter(groups.values()))]
    pricing = next((run.started.pricing for run in runs if run.started is not None), None)
    try:
        plan = msgspec.structs.replace(
            _base(first.workload, first.params, first.tasks, last),
            params=first.params,
            seed=first.seed,
            backends=[_choice(label, group) for label, group in groups.items()],
            repeats=max(1, sum(not one.warmup for one in repeats)),
            warmup=sum(one.warmup for one in repeats),
            schedule=first.schedule,
            max_usd=None if pricing is None or pricing.max_usd is None else float(pricing.max_usd),
        )
        if plan.workload in registry.all_names():
            resolve_params(plan)
    except (LbenchError, ValueError):
        return None
    return plan


def _base(workload: str, params: dict[str, Any], tasks: int | None, last: Plan | None) -> Plan:
    """The plan with the fields that no record holds."""
    if workload in registry.all_names():
        return Plan(workload=workload, tasks=tasks)
    if last is not None and registry.without_folder(last.workload) == workload:
        return msgspec.structs.replace(last, sweep=None)
    # The number of tasks of a plain function is that of its values.
    return Plan(workload=workload, tasks=None if "each" in params else tasks)


def _choice(label: str, group: list[RunView]) -> BackendChoice:
    """Raises InputError: the backend is not known."""
    name = group[0].planned.backend
    known = catalog.settings_type(name).__struct_fields__
    settings = next((run.started.settings for run in group if run.started is not None), {})
    return BackendChoice(name=name, label=label, settings={key: settings[key] for key in known if key in settings})
