"""Runs one task of each workload of a package in a clean emulated environment, before the package is uploaded.

This finds libraries that are missing or do not load in seconds, and not in the account.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lbench.config.manifest import read_manifest
from lbench.engine.backends.base import Backend, Call
from lbench.engine.backends.lambda_.emulated import open_emulated
from lbench.engine.backends.lambda_.package import why_not_here
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.machine import fingerprint as machine
from lbench.engine.plan.prepared_job import keep
from lbench.errors import BackendError, WorkloadError
from lbench.workloads import parameters, registry
from lbench.workloads.encoding import encode
from lbench.workloads.model import Task
from lbench.workloads.objects import RUN_STORE
from lbench.workloads.own.snapshot import pinned_name

__all__ = ["try_package"]

_DEADLINE_S = 120.0
_MEMORY_MB = 3008  # enough for any import; speed does not matter here


async def try_package(path: Path) -> str | None:
    """Import the package and run one task of each of its workloads; returns None, or why that is impossible here.

    Must run on the main thread's loop: it starts an emulator.

    Raises:
        InputError: the file is not a package.
        BackendError: a task failed; the message contains the task's own error.
    """
    manifest = await asyncio.to_thread(read_manifest, path)
    reason = why_not_here(manifest)
    if reason is not None:
        return reason
    settings = EmulatedSettings(package=str(path), concurrency=1, memory=_MEMORY_MB)
    folder = Path(tempfile.mkdtemp(prefix="lbench-try-"))
    try:
        async with contextlib.AsyncExitStack() as stack:
            try:
                backend = await stack.enter_async_context(
                    open_emulated(settings, usable_cores=machine.usable_cores(), memory_bytes=machine.memory_bytes())
                )
            except BackendError as error:  # the machine's fault: no task has run yet
                return str(error)
            for number, name in enumerate(manifest.workloads):
                own = manifest.own.get(name)
                known = name if own is None else pinned_name(own.digest, own.file, own.function)
                try:
                    task, data = await asyncio.to_thread(_first_task, known)
                except WorkloadError as error:
                    return f"{name} needs parameters or data of its own ({error})"
                await _try(backend, name, number, task, data, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _first_task(name: str) -> tuple[Task, Any]:
    """Return the first task of a workload's smallest job, and the job's data."""
    description = registry.describe(name)
    given = dict(description.trial)
    tasks = given.pop("tasks", None)
    params = parameters.parse(description.params, given, tasks=tasks)
    workload = registry.load(description)
    data = workload.load(params, None)
    for stage in workload.job(params, data):
        if stage:
            return stage[0], data
        break
    raise WorkloadError("the first stage of its smallest job has no task")


async def _try(backend: Backend, name: str, number: int, task: Task, data: Any, folder: Path) -> None:
    published = None
    if data is not None:
        _, _, published = await asyncio.to_thread(keep, data, folder / f"{number}.lbds")
    await backend.publish(published)
    arguments = {  # the objects are deleted with the emulator's S3
        key: backend.temporary(f"try-{number}") if value is RUN_STORE else value
        for key, value in task.arguments.items()
    }
    outcome = await backend.invoke(
        Call(task=encode([task.function, arguments]), stage=0, index=number, attempt=0, deadline_s=_DEADLINE_S)
    )
    if outcome.failure is not None:
        failure = outcome.failure
        raise BackendError(
            f"the package does not work: {name}: {failure.type}: {failure.message}; nothing was uploaded"
        )
