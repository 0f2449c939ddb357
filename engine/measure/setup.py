"""Prepares what the runs of a plan have in common, and records the planned runs before any begins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.backends.lambda_.preflight import Survey
from lbench.engine.journal.events import Phase, RunPlanned
from lbench.engine.journal.writer import Journal
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params, schedule_of
from lbench.engine.plan.prepared_job import Prepared, keep
from lbench.workloads import registry
from lbench.workloads.model import Limits, Workload
from lbench.workloads.parameters import settable

__all__ = ["DATA_NAME", "Common", "PlannedRun", "apart", "plan_runs", "prepare"]

DATA_NAME = "data.lbds"  # the data set's file in the session's folder


@dataclass(slots=True)
class Common(Prepared):
    """The job of a plan, as all its runs use it."""

    plan: Plan
    found: dict[str, Survey | None] = field(default_factory=dict)  # by the backend's label: what is deployed on AWS

    @property
    def limits(self) -> Limits:
        """The most that one run asks of a backend."""
        return self.workload.limits(self.params)

    def ephemeral_mb(self, label: str) -> int | None:
        """The size of /tmp of the deployed function; None: the default."""
        found = self.found.get(label)
        return None if found is None else found.deployment.ephemeral_mb


@dataclass(slots=True)
class PlannedRun:
    """A run before it begins."""

    id: str
    choice: BackendChoice
    repeat: int
    warmup: bool


async def prepare(plan: Plan, folder: Path, journal: Journal) -> Common:
    """Load the workload and its data, and write the data set to a file in `folder`.

    Raises:
        LbenchError: the workload or its data cannot be used.
    """
    description = registry.describe(plan.workload)
    params = resolve_params(plan)
    journal.write(Phase("loading the workload" if description.data is None else "loading the data"))
    path = None if plan.data is None else Path(plan.data)

    def load() -> tuple[Workload[Any], Any]:
        workload = registry.load(description)
        return workload, workload.load(params, path, plan.encoding)

    workload, data = await asyncio.to_thread(load)
    info = published = None
    if data is not None:
        data, info, published = await asyncio.to_thread(keep, data, folder / DATA_NAME)
    # From here on everything runs this very code, even if the user's file changes meanwhile.
    pinned = msgspec.structs.replace(plan, workload=description.pinned)
    return Common(description, workload, params, data, info, published, pinned)


def plan_runs(plan: Plan, job: Common, numbers: Iterator[int], journal: Journal) -> list[list[PlannedRun]]:
    """Number and record all runs; returns a group for each backend."""
    groups: list[list[PlannedRun]] = []
    for choice in plan.backends:
        group = []
        for number in range(-plan.warmup, plan.repeats):
            warmup = number < 0
            repeat = number + plan.warmup if warmup else number
            group.append(PlannedRun(f"r{next(numbers)}", choice, repeat, warmup))
        groups.append(group)
    schedule = schedule_of(plan)
    limits = job.limits
    for run in itertools.chain.from_iterable(groups):
        journal.write(
            RunPlanned(
                run=run.id,
                workload=job.description.name,
                params=settable(job.params),
                seed=plan.seed,
                backend=run.choice.name,
                label=run.choice.label,
                origin="emulated" if run.choice.name == "emulated" else "measured",
                repeat=run.repeat,
                warmup=run.warmup,
                schedule=schedule,
                tasks=limits.tasks if limits.sure else None,
            )
        )
    return groups


def apart(groups: list[list[PlannedRun]]) -> tuple[list[list[PlannedRun]], list[list[PlannedRun]]]:
    """The groups that share this machine's cores, and the others."""
    here = [group for group in groups if catalog.shares_machine(group[0].choice.name)]
    return here, [group for group in groups if group not in here]
