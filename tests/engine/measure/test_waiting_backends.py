"""A backend that waits for its turn takes no CPU from the one that is measured."""

from __future__ import annotations

import asyncio
import contextlib

import psutil

from lbench.engine.backends.base import Call
from lbench.engine.plan.open_backend import open_backend
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.workloads.encoding import encode

WAITING = ("sequential", "loop", "threads:concurrency=2", "processes:concurrency=2", "emulated:concurrency=2")
WATCHED_S = 3.0


def cpu_s(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def test_open_backends_that_wait_take_less_than_two_percent_of_a_core() -> None:
    """Workers wait in a read, environments are frozen, the emulator, its guardian and the embedded S3 have no work."""
    plan = Plan("kmeans", backends=[parse_backend(text, {}) for text in WAITING])
    async with contextlib.AsyncExitStack() as stack:
        for choice in plan.backends:
            backend = await stack.enter_async_context(open_backend(choice, plan))
            if choice.name != "loop":
                task = encode(["probe.noop", {"number": 1}])
                calls = (Call(task, 0, index, 0, 60.0) for index in range(backend.capacity))
                outcomes = await asyncio.gather(*map(backend.invoke, calls))
                assert all(outcome.failure is None for outcome in outcomes)
        await asyncio.sleep(1.0)  # what an environment does after its answer, and the end of a process's start
        processes = psutil.Process().children(recursive=True)
        assert len(processes) >= 8
        before = cpu_s(processes)
        await asyncio.sleep(WATCHED_S)
        used_s = cpu_s(processes) - before
    assert used_s < 0.02 * WATCHED_S, f"{len(processes)} waiting processes used {used_s:.3f} s in {WATCHED_S:g} s"
