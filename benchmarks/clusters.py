"""What handing tasks to Dask's workers costs, with full records, against Dask's own `client.map`.

Both sides use the same scheduler and the same two workers of this machine, over TLS.

python benchmarks/clusters.py [PAIRS]
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from pairs import PairedRatios, figure

from lbench.engine.backends.cluster.backend import ClusterBackend
from lbench.engine.backends.cluster.dask import DaskWorkers
from lbench.engine.backends.settings import DaskSettings
from lbench.engine.journal.writer import Journal
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.runner import Runner
from lbench.workloads.model import Job, Task

__all__ = ["run"]

_WORKERS, _NOOPS, _SLEEPS, _SLEEP_S = 2, 10_000, 1000, 0.01


def _noops() -> Job:
    return (yield [Task("probe.noop", number=number) for number in range(_NOOPS)])


def _sleeps() -> Job:
    return (yield [Task("probe.sleep", number=number, seconds=_SLEEP_S) for number in range(_SLEEPS)])


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Two figures, and the driver's CPU time of an invocation."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(pairs, Path(folder)))


async def _run(pairs: int, folder: Path) -> list[dict[str, Any]]:
    workers = DaskWorkers(DaskSettings(), workers=_WORKERS)
    backend = ClusterBackend(workers, workload="probe")
    journal = Journal(folder)
    try:
        async with backend:
            client = workers.client
            cpu_s: list[float] = []
            numbers = itertools.count(1)

            async def ours(job: Callable[[], Job]) -> float:
                await backend.publish(None)
                runner = Runner(f"r{next(numbers)}", backend, journal, Policy())
                cpu, began_s = time.process_time(), runner.start_clock()
                await runner.run(job())
                cpu_s.append(time.process_time() - cpu)
                return asyncio.get_running_loop().time() - began_s

            async def theirs(function: Callable[[float], Any], arguments: Sequence[float]) -> float:
                began_s = time.perf_counter()
                await client.gather(client.map(function, arguments, pure=False))
                return time.perf_counter() - began_s

            await ours(_sleeps)  # imports
            await theirs(abs, range(_WORKERS))
            cpu_s.clear()
            noops = await _pairs(pairs, lambda: ours(_noops), lambda: theirs(abs, range(_NOOPS)))
            each_ms = sorted(cpu_s)[len(cpu_s) // 2] / _NOOPS * 1000
            sleeps = await _pairs(
                pairs, lambda: ours(_sleeps), lambda: theirs(time.sleep, [_SLEEP_S] * _SLEEPS)
            )  # fmt: skip
    finally:
        journal.close()
    return [
        figure(
            f"{_NOOPS:,} no-ops on dask ({each_ms:.2f} ms of driver CPU each)", noops, at_most=1.3, of="client.map's"
        ),
        figure(f"{_SLEEPS:,} tasks of 10 ms on dask", sleeps, at_most=1 / 0.95, of="client.map's time"),
    ]


async def _pairs(
    count: int, ours: Callable[[], Awaitable[float]], theirs: Callable[[], Awaitable[float]]
) -> PairedRatios:
    """As `pairs.alternate`, on a loop."""
    first: list[float] = []
    second: list[float] = []
    for number in range(count):
        sides = [(ours, first), (theirs, second)]
        for side, times in sides if number % 2 == 0 else reversed(sides):
            times.append(await side())
    return PairedRatios(tuple(first), tuple(second))


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=1))
