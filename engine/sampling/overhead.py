"""Measures the overhead of handing over a task, by tasks that do nothing, with full records as in any run.

`hand_overs` measures the backends of this machine and keeps the figures for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lbench._version import __version__
from lbench.config.folders import cache_folder, write_whole
from lbench.engine.backends.base import Backend
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.fingerprint import cpu_model, usable_cores
from lbench.engine.plan.open_backend import open_backend
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import offload_to_thread
from lbench.engine.runner.runner import Runner
from lbench.engine.sampling.model import SAMPLE_PREFIX
from lbench.workloads import registry
from lbench.workloads.probe import ProbeParams

__all__ = ["BACKENDS", "hand_over_s", "hand_overs"]

BACKENDS = ("sequential", "threads", "processes", "emulated")
_TASKS = 200
_ROUNDS = 3
_WARM = 20  # for each place


async def hand_over_s(backend: Backend, folder: Path, tasks: int = _TASKS) -> float:
    """Seconds of one place's time that a task costs besides its computing, all places busy: the best of a few rounds."""
    workload = registry.load(registry.describe("probe"))
    with tempfile.TemporaryDirectory(prefix="probe-", dir=folder) as own:
        journal = Journal(Path(own))
        try:
            best_s = math.inf
            for number, count in enumerate((_WARM * backend.capacity, *[tasks] * _ROUNDS)):
                params = ProbeParams(tasks=count)
                runner = Runner(f"r{number}", backend, journal, Policy(), offload=offload_to_thread)
                runner.start_clock()
                await runner.run(workload.job(params, None))
                if number:
                    best_s = min(best_s, runner.elapsed_s)
        finally:
            await journal.sync()
            journal.close()
    return best_s * min(backend.capacity, tasks) / tasks


def hand_overs(names: Sequence[str] = BACKENDS, *, fresh: bool = False) -> dict[str, float]:
    """Seconds by backend (of `BACKENDS`), measured where they are not kept for this machine.

    Raises:
        LbenchError: a backend cannot be opened.
        OSError: there is no room for the records.
    """
    machine = f"{cpu_model()}, {usable_cores():g} cores, Python {platform.python_version()}, lbench {__version__}"
    path = cache_folder("samples") / "hand_over.json"
    kept: dict[str, float] = {}
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(path.read_bytes(), type=_Kept)
        kept = found.seconds if found.machine == machine else {}
    missing = [name for name in names if fresh or name not in kept]
    if missing:
        kept |= asyncio.run(_measure(missing))
        with contextlib.suppress(OSError):
            write_whole(path, msgspec.json.encode(_Kept(machine, kept)))
    return {name: kept[name] for name in names}


class _Kept(msgspec.Struct, frozen=True):
    machine: str
    seconds: dict[str, float]


async def _measure(names: Sequence[str]) -> dict[str, float]:
    plan = Plan(workload="probe", backends=[parse_backend(name, {}) for name in names])
    found = {}
    with tempfile.TemporaryDirectory(prefix=SAMPLE_PREFIX) as folder:
        for choice in plan.backends:
            async with open_backend(choice, plan) as backend:
                found[choice.name] = await hand_over_s(backend, Path(folder))
    return found
