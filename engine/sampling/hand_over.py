"""What handing over one task costs, measured by tasks that do nothing, with full records as in any run."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from lbench.engine.backends.base import Backend
from lbench.engine.journal.writer import Journal
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import offload_to_thread
from lbench.engine.runner.runner import Runner
from lbench.workloads import registry
from lbench.workloads.probe import ProbeParams

__all__ = ["hand_over_s"]

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
