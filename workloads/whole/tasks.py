"""The task that computes a whole answer."""

from __future__ import annotations

from typing import Any

from lbench.workloads import parameters, registry
from lbench.workloads.functions import task_function
from lbench.workloads.model import Job, Params, Task

__all__ = ["WHOLE_TASK", "run", "whole_job"]

WHOLE_TASK = "whole.run"


def whole_job(workload: str, params: Params) -> Job:
    """A job of this one task. `workload`: its pinned name."""
    task = Task(WHOLE_TASK, workload=workload, params=parameters.settable(params), tasks=params.tasks, seed=params.seed)
    (answer,) = yield [task]
    return answer


@task_function(WHOLE_TASK)
def run(workload: str, params: dict[str, Any], tasks: int | None, seed: int, data: Any) -> Any:
    """The answer in one piece."""
    description = registry.describe(workload)
    typed = parameters.parse(description.params, params, tasks=tasks, seed=seed)
    return registry.load(description).loop(typed, data)
