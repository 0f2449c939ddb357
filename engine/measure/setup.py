"""Prepares what the runs of a plan have in common, and records the planned runs before any begins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from lbench.engine.backends import catalog
from lbench.engine.backends.lambda_.preflight import Survey
from lbench.engine.journal.events import Phase, RunPlanned
from lbench.engine.journal.writer import Journal
from lbench.engine.plan.plan import BackendChoice, Plan, planned_runs, resolve_params, schedule_of
from lbench.engine.plan.prepared_job import Prepared, keep
from lbench.workloads import registry
from lbench.workloads.model import Limits, Workload
from lbench.workloads.parameters import settable

__all__ = ["DATA_NAME", "Common", "PlannedRun", "PlannedRuns", "prepare"]

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
    cold: bool = False  # in new environments, whatever ran before
    round: int | None = None


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


class PlannedRuns:
    """The runs of a plan by backend. Each is recorded as planned before any of its round begins."""

    def __init__(self, plan: Plan, job: Common, numbers: Iterator[int], journal: Journal) -> None:
        """Plan all runs whose number is known; `--repeats auto` adds further rounds."""
        self.by_label: dict[str, list[PlannedRun]] = {choice.label: [] for choice in plan.backends}
        self._plan = plan
        self._job = job
        self._numbers = numbers
        self._journal = journal
        for choice in plan.backends:
            for _ in range(planned_runs(plan)):
                self.add(choice)

    def add(self, choice: BackendChoice) -> None:
        """Plan another run of this backend: first its cold repeats, then warm-up runs, then the others."""
        plan, group = self._plan, self.by_label[choice.label]
        number = len(group)
        warmup = 0 <= number - plan.cold_repeats < plan.warmup
        repeat = number - plan.cold_repeats if warmup else sum(not run.warmup for run in group)
        schedule = schedule_of(plan)
        if plan.schedule is None and catalog.shares_machine(choice.name, choice.settings):
            schedule = "alternating"  # beside AWS or a cluster
        run = PlannedRun(
            id=f"r{next(self._numbers)}",
            choice=choice,
            repeat=repeat,
            warmup=warmup,
            cold=number < plan.cold_repeats,
            round=None if schedule == "isolated" else number,
        )
        group.append(run)
        limits = self._job.limits
        self._journal.write(
            RunPlanned(
                run=run.id,
                workload=self._job.description.name,
                params=settable(self._job.params),
                seed=plan.seed,
                backend=choice.name,
                label=choice.label,
                origin=catalog.origin(choice.name),
                repeat=run.repeat,
                warmup=run.warmup,
                schedule=schedule,
                tasks=1 if choice.name == "loop" else limits.tasks if limits.sure and not plan.batch else None,
                cold=True if run.cold else None,
                round=run.round,
                sweep=plan.sweep,
            )
        )
