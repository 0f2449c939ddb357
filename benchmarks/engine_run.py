"""One job through the engine's own path (runner, journal, backend), without the command line around it.

The records are written as in any session: the figures of lbench include them. The backend stays open
between the runs, as a peer's pool does.

    with EngineRun("probe", ProbeParams(tasks=1000), "processes") as engine:
        seconds, answer = engine.once()
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lbench.engine.backends.base import Published
from lbench.engine.backends.local.backend import open_local
from lbench.engine.backends.settings import LocalSettings
from lbench.engine.journal.writer import Journal
from lbench.engine.machine import fingerprint as machine
from lbench.engine.measure.run_store import RunStore
from lbench.engine.plan.policy import Policy
from lbench.engine.plan.prepared_job import keep
from lbench.engine.runner.job_steps import offload_to_thread
from lbench.engine.runner.runner import Runner
from lbench.workloads import registry
from lbench.workloads.model import Params

__all__ = ["EngineRun", "run_once"]


class EngineRun:
    """A workload with its parameters on an open local backend; `data` is its data set, if it reads one."""

    def __init__(
        self,
        workload: str,
        params: Params,
        backend_name: str,
        concurrency: int | None = None,
        *,
        path: Path | None = None,
    ) -> None:
        """`path`: the file that the workload reads."""
        self.params = params
        self.workload = registry.load(registry.describe(workload))
        self.data = self.workload.load(params, path)
        self._backend = open_local(
            backend_name,
            LocalSettings(concurrency=concurrency),
            max(1, int(machine.usable_cores())),
            preload=workload,
        )
        self._stack = contextlib.ExitStack()
        self._runs = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lbench-benchmark-")))
            self._loop = stack.enter_context(asyncio.Runner())
            self._loop.run(self._backend.__aenter__())
            stack.callback(lambda: self._loop.run(self._backend.__aexit__(None, None, None)))
            self._journal = self._loop.run(self._open_journal())
            stack.callback(lambda: self._loop.run(self._close_journal()))
            self._loop.run(self._backend.publish(self._published()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def once(self) -> tuple[float, Any]:
        """Run the job; its makespan (s) and its answer."""
        return self._loop.run(self._once())

    def events(self) -> list[dict[str, Any]]:
        """The last run's events, as the journal has them."""
        lines = (self._folder / "events.jsonl").read_bytes().splitlines()
        return [event for event in map(json.loads, lines) if event.get("run") == f"r{self._runs}"]

    async def _once(self) -> tuple[float, Any]:
        self._runs += 1
        run = f"r{self._runs}"
        temporary = RunStore(self._backend, self._folder, run)
        runner = Runner(run, self._backend, self._journal, Policy(), offload=offload_to_thread, store=temporary.place)
        steps = self.workload.job(self.params, self.data)
        await asyncio.to_thread(gc.collect)
        gc.freeze()
        try:
            runner.start_clock()
            answer = await runner.run(steps)
            seconds = runner.elapsed_s
        finally:
            gc.unfreeze()
            await temporary.clear()
        await self._journal.sync()
        return seconds, answer

    async def _open_journal(self) -> Journal:
        return Journal(self._folder)

    async def _close_journal(self) -> None:
        self._journal.close()

    def _published(self) -> Published | None:
        return None if self.data is None else keep(self.data, self._folder / "data.lbds")[2]


def run_once(workload: str, params: Params, backend_name: str, concurrency: int | None = None) -> float:
    """Open, run once, close; the makespan (s)."""
    with EngineRun(workload, params, backend_name, concurrency) as engine:
        return engine.once()[0]
