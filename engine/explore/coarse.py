"""Coarse first: what somebody waits for is drawn roughly before it is drawn well, in one run.

A workload that can (`Workload.interactive`) gives the parameters of a coarser job beside its own. The tasks of that job's
first stage are dispatched before all others; the job itself never sees their results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lbench.engine.explore.previews import LivePreviews
from lbench.engine.plan.prepared_job import Prepared
from lbench.workloads.model import Job, Previewer, Task

__all__ = ["CoarseFirst"]


class CoarseFirst:
    """A job as it is run while somebody explores; `tasks` are the coarse ones, none where there is no coarser job."""

    def __init__(self, job: Prepared, places: int) -> None:
        """`places`: how many tasks run at once."""
        self.params, self._coarser = job.workload.interactive(job.params, places)
        self.tasks: list[Task] = []
        if self._coarser is not None:
            self.tasks = next(job.workload.job(self._coarser, job.data))
        self._job = job

    @property
    def notes(self) -> list[str]:
        """What is worth telling with the results, because of it."""
        return [f"coarse first: its first {len(self.tasks)} tasks draw every few points"] if self.tasks else []

    def steps(self) -> Job:
        """The job itself, whose first stage begins with the coarse tasks."""
        steps = self._job.workload.job(self.params, self._job.data)
        return _merged(steps, self.tasks) if self.tasks else steps

    def drawer(self, previews: LivePreviews) -> Callable[[int, int, Task, Any], None] | None:
        """What is told of each result, for a picture; the coarse ones have one of their own. None: there is none."""
        fine: Previewer | None = self._job.workload.previewer(self.params, self._job.data)
        if fine is None:
            return None
        first: Previewer | None = self._job.workload.previewer(self._coarser, self._job.data) if self.tasks else None
        coarse = len(self.tasks)

        def draw(stage: int, index: int, task: Task, result: Any) -> None:
            previewer = first if first is not None and stage == 0 and index < coarse else fine
            previews.add(previewer, stage, index, task, result)

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
