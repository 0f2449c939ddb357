"""Makes the backend of a choice in a plan. The modules of each kind are imported only when it is chosen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lbench.engine.backends.placement import region_of
from lbench.engine.backends.settings import (
    AwsSettings,
    EmulatedSettings,
    LambdaSettings,
    LocalSettings,
    SequentialSettings,
    SimulatedSettings,
)
from lbench.engine.machine import fingerprint as machine
from lbench.engine.plan.function import function_params, is_function
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params, schedule_of, settings_of
from lbench.workloads import registry

if TYPE_CHECKING:
    from lbench.engine.backends.base import Backend
    from lbench.engine.backends.lambda_.preflight import Survey

__all__ = ["open_backend", "survey_choice"]


async def survey_choice(choice: BackendChoice, plan: Plan, at_once: int | None) -> Survey | None:
    """Look up what a choice needs on AWS, before any run begins; None for a backend on this machine.

    `at_once` is the most tasks that the job can have under way, where that is known.

    Raises:
        InputError: the backend cannot be used; nothing has run.
    """
    settings = settings_of(choice)
    if not isinstance(settings, AwsSettings) or is_function(plan):
        return None
    from lbench.engine.backends.lambda_.preflight import survey

    return await survey(
        settings, workload=plan.workload, timeout_s=plan.timeout_s, tasks=at_once, sharers=_sharers(settings, plan)
    )


def _sharers(settings: AwsSettings, plan: Plan) -> int:
    """The number of backends of a plan that share the quota of this region at the same time."""
    if schedule_of(plan) != "concurrent":
        return 1
    every = [settings_of(one) for one in plan.backends]
    return sum(isinstance(one, AwsSettings) and region_of(one) == region_of(settings) for one in every)


def open_backend(choice: BackendChoice, plan: Plan, found: Survey | None = None) -> Backend:
    """Make the backend of a choice; `async with` opens it. `found` is the result of `survey_choice`."""
    settings = settings_of(choice)
    cores = machine.usable_cores()
    if is_function(plan):
        from lbench.engine.backends.function.backend import open_function

        assert isinstance(settings, LambdaSettings)
        return open_function(settings, function_params(plan), timeout_s=plan.timeout_s)
    if isinstance(settings, AwsSettings):
        from lbench.engine.backends.lambda_.aws import AwsBackend

        assert found is not None
        return AwsBackend(settings, found)
    if isinstance(settings, EmulatedSettings):
        from lbench.engine.backends.lambda_.emulated import open_emulated

        return open_emulated(
            settings,
            usable_cores=cores,
            memory_bytes=machine.memory_bytes(),
            preload=plan.workload,
            objects=_may_need_objects(plan),
        )
    if isinstance(settings, SimulatedSettings):
        return _simulated(settings, plan)
    from lbench.engine.backends.local.backend import open_local

    assert isinstance(settings, LocalSettings | SequentialSettings)
    backend = open_local(choice.name, settings, math.ceil(cores), preload=plan.workload)
    if cores != math.ceil(cores) and backend.capacity == math.ceil(cores) > 1:
        # One worker fewer would leave a part of the quota unused.
        backend.notes.append(f"{backend.capacity} workers share a quota of {cores:g} cores")
    return backend


def _simulated(settings: SimulatedSettings, plan: Plan) -> Backend:
    from lbench.config.folders import cache_folder
    from lbench.engine.backends.simulated.backend import SimulatedBackend, model_of
    from lbench.engine.backends.simulated.computed import Computer
    from lbench.engine.machine.code_digest import code_digest

    computer = None
    if settings.answers == "compute":
        computer = Computer(
            cache_folder("tasks"),
            preload=plan.workload,
            versions=code_digest(registry.describe(plan.workload).code),
            deadline_s=plan.timeout_s,
            core_ratio=model_of(settings).core_ratio.median,
            threads=settings.threads,
        )
    return SimulatedBackend(settings, seed=plan.seed, computer=computer)


def _may_need_objects(plan: Plan) -> bool:
    """Whether an argument or a result may be too large to travel with its call."""
    from lbench.engine.backends.lambda_.transport import fits_inline

    described = registry.describe(plan.workload)
    if plan.batch is not None:
        return True
    if described.code is not None or described.data is not None:
        return True
    largest_bytes = registry.limits(described, resolve_params(plan)).largest_bytes
    return largest_bytes is None or not fits_inline(largest_bytes)
