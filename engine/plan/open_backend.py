"""Makes the backend of a choice in a plan. The modules of each kind are imported only when it is chosen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from lbench.engine.backends.catalog import shares_machine
from lbench.engine.backends.region import region_of
from lbench.engine.backends.settings import (
    AwsSettings,
    ClusterSettings,
    DaskSettings,
    EmulatedSettings,
    ExecutorSettings,
    LambdaSettings,
    LocalSettings,
    SequentialSettings,
    SimulatedSettings,
)
from lbench.engine.machine import fingerprint as machine
from lbench.engine.plan.function import function_params, is_function
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params, schedule_of, settings_of
from lbench.errors import BackendError, InputError
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
    if isinstance(settings, ClusterSettings):
        await _check_store(choice, settings, plan)
        await _try_cluster(settings)
    if not isinstance(settings, AwsSettings) or is_function(plan):
        return None
    from lbench.engine.backends.lambda_.preflight import survey

    return await survey(
        settings, workload=plan.workload, timeout_s=plan.timeout_s, tasks=at_once, sharers=_sharers(settings, plan)
    )


async def _check_store(choice: BackendChoice, settings: ClusterSettings, plan: Plan) -> None:
    if settings.store is not None:
        from lbench.engine.backends.cluster.shared_store import check_store

        await check_store(settings.store, choice.label)
    elif not shares_machine(choice.name, choice.settings):
        described = registry.describe(plan.workload)
        requests = registry.limits(described, resolve_params(plan)).s3_requests
        if requests or (requests is None and described.code is not None):
            raise InputError(
                f"{choice.label}: the tasks of {described.name} exchange objects: name a folder that all workers share, "
                "store=/path, or a bucket, store=s3://bucket/prefix"
            )


async def _try_cluster(settings: ClusterSettings) -> None:
    """Look whether a cluster can be used.

    Raises:
        InputError: it cannot; the message says what to do.
    """
    if isinstance(settings, ExecutorSettings):
        from lbench.engine.backends.cluster.executor import try_factory

        await try_factory(settings.factory)
        return
    assert isinstance(settings, DaskSettings)
    from lbench.engine.backends.cluster.dask import check_dask, look_at_cluster

    check_dask(settings)
    if not settings.starts_cluster:
        try:
            await look_at_cluster(settings)
        except BackendError as error:
            raise InputError(str(error)) from None


def _open_cluster(settings: ClusterSettings, workload: str) -> Backend:
    from lbench.engine.backends.cluster.backend import ClusterBackend, Workers
    from lbench.engine.backends.cluster.shared_store import shared_store

    workers: Workers
    if isinstance(settings, DaskSettings):
        from lbench.engine.backends.cluster.dask import DaskWorkers

        workers = DaskWorkers(settings, workers=settings.concurrency or max(1, math.floor(machine.usable_cores())))
    else:
        from lbench.engine.backends.cluster.executor import ExecutorWorkers

        assert isinstance(settings, ExecutorSettings)
        workers = ExecutorWorkers(settings.factory, settings.concurrency)
    secret = ("ca", "cert", "key")  # where the keys lie is nobody's business
    recorded = {name: value for name, value in msgspec.to_builtins(settings).items() if name not in secret}
    return ClusterBackend(
        workers,
        workload=workload,
        blas_threads=settings.blas_threads,
        store=None if settings.store is None else shared_store(settings.store),
        settings=recorded,
        concurrency=settings.concurrency,
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
    if isinstance(settings, ClusterSettings):
        return _open_cluster(settings, plan.workload)
    from lbench.engine.backends.local.backend import open_local

    assert isinstance(settings, LocalSettings | SequentialSettings)
    backend = open_local(choice.name, settings, math.ceil(cores), preload=plan.workload)
    if cores != math.ceil(cores) and backend.capacity == math.ceil(cores) > 1:
        # One worker fewer would leave a part of the quota unused.
        backend.notes.append(f"{backend.capacity} workers share a quota of {cores:g} cores")
    return backend


def _simulated(settings: SimulatedSettings, plan: Plan) -> Backend:
    from lbench.config.folders import cache_folder
    from lbench.engine.backends.simulated.answers import Computer
    from lbench.engine.backends.simulated.backend import SimulatedBackend, model_of
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
    from lbench.config.limits import fits_inline

    described = registry.describe(plan.workload)
    if plan.batch is not None:
        return True
    if described.code is not None or described.data is not None:
        return True
    largest_bytes = registry.limits(described, resolve_params(plan)).largest_bytes
    return largest_bytes is None or not fits_inline(largest_bytes)
