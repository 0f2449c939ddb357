"""The job of a simulated run: the job itself where its tasks are known or computed, else a recorded run's stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbench.engine.backends import catalog
from lbench.engine.backends.settings import SimulatedSettings
from lbench.engine.measure.setup import Common
from lbench.engine.plan.function import is_function
from lbench.engine.plan.plan import BackendChoice, Plan, settings_of
from lbench.errors import BackendError, InputError, count_text
from lbench.workloads import registry
from lbench.workloads.model import Job, Limits

if TYPE_CHECKING:
    from lbench.engine.backends.simulated.backend import SimulatedBackend

__all__ = ["SimulatedJob", "refuse_unknown", "simulated_job"]


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """A job in virtual time."""

    steps: Job
    computed: bool  # whether its answer is
    check: str | None = None  # why its answer cannot be checked
    notes: list[str] = field(default_factory=list)
    batched: bool = False  # whether its tasks are batches already


def refuse_unknown(plan: Plan, limits: Limits) -> None:
    """Refuse a plan whose simulated backends would have nothing to replay. `limits`: of its job.

    Raises:
        InputError: no run of this work is recorded, and the plan records none.
    """
    chosen = [choice for choice in plan.backends if _replays(choice, plan)]
    measured = any(catalog.origin(choice.name) != "simulated" and choice.name != "loop" for choice in plan.backends)
    if not chosen or measured:
        return
    from lbench.engine.measure.stage_replay import find_recording

    if find_recording(plan, limits, 1.0) is None:
        raise InputError(_nothing(chosen[0].label, plan))


def simulated_job(job: Common, choice: BackendChoice, backend: SimulatedBackend) -> SimulatedJob:
    """The job for one run.

    Raises:
        BackendError: there is no recorded run to replay.
    """
    from lbench.engine.backends.simulated.task_loads import replay
    from lbench.engine.measure.stage_replay import find_recording

    if not _replays(choice, job.plan):
        steps = job.workload.job(job.params, job.data)
        settings = settings_of(choice)
        assert isinstance(settings, SimulatedSettings)
        if settings.answers == "compute":
            return SimulatedJob(steps, computed=True)
        return SimulatedJob(steps, computed=False, check="not computed: what these tasks return is known beforehand")
    found = find_recording(job.plan, job.limits, backend.core_ratio)
    if found is None:
        raise BackendError(_nothing(choice.label, job.plan))
    if found.import_s is not None:
        backend.imports(found.import_s * backend.core_ratio)
    return SimulatedJob(
        replay(found.stages),
        computed=False,
        check="not computed: replayed",
        notes=[f"replayed: {found.text}"],
        batched=found.batched,
    )


def _replays(choice: BackendChoice, plan: Plan) -> bool:
    from lbench.engine.backends.simulated.task_loads import known_workload

    settings = settings_of(choice)
    if not isinstance(settings, SimulatedSettings) or is_function(plan):
        return False
    return settings.answers == "replay" and not known_workload(plan.workload, plan.params)


def _nothing(label: str, plan: Plan) -> str:
    tasks = "" if plan.tasks is None else f" in {count_text(plan.tasks, 'task')}"
    return (
        f"{label} has no recorded run of {registry.describe(plan.workload).name} with these parameters{tasks} to replay: "
        "record one with -b sequential first, or compute the answers with --answers compute"
    )
