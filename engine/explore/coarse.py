"""Coarse first: a run draws a coarse picture before the fine one.

`Workload.interactive` may return the parameters of a coarser job. The tasks of its first stage are dispatched before all
others; the job itself never gets their results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lbench.engine.journal.previews import PreviewWriter
from lbench.engine.plan.prepared_job import Prepared
from lbench.workloads.model import Job, Previewer, Task

__all__ = ["CoarseFirst"]


class CoarseFirst:
    """An interactive job; `tasks` are its coarse ones, none where the workload has no coarser job."""

    def __init__(self, job: Prepared, places: int) -> None:
        """`places`: the number of tasks that run at once."""
        self.params, self._coarser = job.workload.interactive(job.params, places)
        self.tasks: list[Task] = []
        if self._coarser is not None:
            self.tasks = next(job.workload.job(self._coarser, job.data))
        self._job = job

    @property
    def notes(self) -> list[str]:
        """Conditions to show with the results."""
        if not self.tasks:
            return []
        first = "task draws" if len(self.tasks) == 1 else f"{len(self.tasks)} tasks draw"
        return [f"coarse first: its first {first} every few points"]

    def steps(self) -> Job:
        """The steps of the job, with the coarse tasks at the beginning of its first stage."""
        steps = self._job.workload.job(self.params, self._job.data)
        return _merged(steps, self.tasks) if self.tasks else steps

    def drawer(self, run: str, previews: PreviewWriter) -> Callable[[int, int, Task, Any], None] | None:
        """A function that draws each result of a run, coarse and fine apart; None: the workload has no picture."""
        fine: Previewer | None = self._job.workload.previewer(self.params, self._job.data)
        if fine is None:
            return None
        rough: Previewer | None = self._job.workload.previewer(self._coarser, self._job.data) if self.tasks else None
        coarse = len(self.tasks)

        def draw(stage: int, index: int, task: Task, result: Any) -> None:
            previewer = rough if rough is not None and stage == 0 and index < coarse else fine
            previews.add(run, previewer, stage, index, task, result)

        return draw


def _merged(steps: Job, coarse: list[Task]) -> Job:
    try:
        tasks = next(steps)
        results = list((yield coarse + tasks))[len(coarse) :]
        while True:
            tasks = steps.send(results)
            results = yield tasks
    except StopIteration as end:
        return end.value
