"""Groups the tasks of a job into batches that travel and run together (`--batch`): fewer hand-overs, the same answer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

from lbench.workloads.functions import BATCH, STORE_MARK
from lbench.workloads.model import Job, StageResults, Task
from lbench.workloads.objects import RUN_STORE

__all__ = ["batch_for", "batched", "tasks_in"]

_EFFICIENCY = 0.95  # of a place's time, the share that tasks compute
_PILOTS = 8  # tasks that are handed over one by one first, to measure them
_WAVES = 4  # batches for each place at the least, so that the places end together
_LARGEST = 10_000


def tasks_in(task: Task) -> int | None:
    """The number of tasks in a batch; None: it is no batch."""
    return len(task.arguments["calls"]) if task.function == BATCH else None


def batch_for(task_s: float | None, overhead_s: float | None, waiting: int, places: int) -> int:
    """The batch at which computing takes 95 % of a place's time, but no larger than keeps all places busy.

    Args:
        task_s: a task's computing; None: not known.
        overhead_s: what handing over one batch costs besides.
        waiting: tasks that are to be run.
        places: tasks that can run at once.
    """
    if task_s is None or overhead_s is None:
        return 1
    wanted = math.ceil(_EFFICIENCY / (1 - _EFFICIENCY) * overhead_s / max(task_s, 1e-7))
    return max(1, min(wanted, waiting // (places * _WAVES), _LARGEST))


def batched(job: Job, size: int | Literal["auto"]) -> Job:
    """The same job, whose stages consist of batches of its tasks in their order.

    "auto" runs the first tasks of the job one by one and chooses the size by them, and by each stage for the next.
    """
    measured: StageResults | None = None
    results: StageResults | None = None
    while True:
        try:
            tasks = next(job) if results is None else job.send(results)
        except StopIteration as end:
            return end.value
        started: list[Any] = []
        if size == "auto" and measured is None and len(tasks) >= 2 * _PILOTS:
            measured = _results((yield tasks[:_PILOTS]))
            started, tasks = list(measured), tasks[_PILOTS:]
        number = 1 if size == "auto" else size
        if size == "auto" and measured is not None:
            number = batch_for(measured.task_s, measured.overhead_s, len(tasks), measured.places)
        groups = [tasks[at : at + number] for at in range(0, len(tasks), number)]
        returned = yield (tasks if number == 1 else [_batch(group) for group in groups])
        flat = list(returned) if number == 1 else list(itertools.chain.from_iterable(returned))
        times = _results(returned)
        results = StageResults(
            started + flat,
            elapsed_s=times.elapsed_s,
            task_s=None if times.task_s is None else times.task_s / number,
            overhead_s=times.overhead_s,
            places=times.places,
        )
        measured = results


def _results(returned: Sequence[Any]) -> StageResults:
    if isinstance(returned, StageResults):
        return returned
    return StageResults(returned, elapsed_s=0.0, task_s=None, overhead_s=None, places=1)


def _batch(tasks: list[Task]) -> Task:
    """One task that runs these. The run's store is filled in once, at the top, where the driver looks for it."""
    stored = any(value is RUN_STORE for task in tasks for value in task.arguments.values())
    calls = [
        [task.function, {name: STORE_MARK if value is RUN_STORE else value for name, value in task.arguments.items()}]
        for task in tasks
    ]
    return Task(BATCH, calls=calls, store=RUN_STORE if stored else None)
