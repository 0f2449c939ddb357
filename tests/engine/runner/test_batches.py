"""Batches: the same answer with fewer hand-overs, in the tasks' order."""

from __future__ import annotations

from typing import Any

import pytest

from lbench.engine.runner.batches import batch_for, batched, tasks_in
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import BATCH, call, run_batch, task_function
from lbench.workloads.model import StageResults, Task
from lbench.workloads.objects import RUN_STORE


@task_function("batchtest.twice")
def twice(x: int) -> int:
    return 2 * x


@task_function("batchtest.stored")
def stored(x: int, store: Any, values: Any) -> Any:
    return [x, store]


def job(counts: list[int]) -> Any:
    """A stage of so many tasks after the other; the answer has all their results."""
    found = []
    for count in counts:
        found.append(list((yield [Task("batchtest.twice", x=number) for number in range(count)])))
    return found


def carried_out(steps: Any, *, task_s: float | None = 0.001, overhead_s: float | None = 0.001) -> tuple[Any, list[Any]]:
    """Run a job in place; returns the answer and the sizes of what was handed over, by stage."""
    stages, results = [], None
    while True:
        try:
            tasks = next(steps) if results is None else steps.send(results)
        except StopIteration as end:
            return end.value, stages
        stages.append([tasks_in(task) for task in tasks])
        values = [call(*decode(encode([task.function, task.arguments]))) for task in tasks]
        size = max((tasks_in(task) or 1 for task in tasks), default=1)
        computing = None if task_s is None else size * task_s
        results = StageResults(values, elapsed_s=1.0, task_s=computing, overhead_s=overhead_s, places=2)


@pytest.mark.parametrize("size", [2, 3, 7, 100, "auto"])
@pytest.mark.parametrize("counts", [[], [0], [1], [5], [16, 1, 40], [300]])
def test_the_answer_is_the_same_in_the_same_order(size: Any, counts: list[int]) -> None:
    answer, stages = carried_out(batched(job(counts), size))
    assert answer == [[2 * number for number in range(count)] for count in counts]
    if size != "auto":
        assert [sum(sizes) for sizes in stages] == counts
        assert all(one == size for sizes in stages for one in sizes[:-1])


def test_auto_measures_a_few_tasks_first_and_keeps_what_it_has_learned() -> None:
    _, stages = carried_out(batched(job([1000, 1000]), "auto"), task_s=0.001, overhead_s=0.001)
    assert stages[0] == [None] * 8  # one by one
    assert stages[1] == [19] * 52 + [4]  # 19 ms of computing for 1 ms of handing over: 95 %
    assert stages[2] == [19] * 52 + [12]


def test_auto_leaves_long_tasks_alone() -> None:
    _, stages = carried_out(batched(job([100]), "auto"), task_s=1.0, overhead_s=0.001)
    assert [len(stage) for stage in stages] == [8, 92] and stages[1] == [None] * 92


@pytest.mark.parametrize(
    ("task_s", "overhead_s", "waiting", "places", "size"),
    [
        (0.0004, 0.0006, 10_000, 2, 29),
        (0.0004, 0.0006, 100, 2, 12),  # four batches for each place, so that they end together
        (0.0, 0.0006, 10**9, 1, 10_000),
        (1.0, 0.0006, 1000, 2, 1),
        (None, 0.0006, 1000, 2, 1),
        (0.1, None, 1000, 2, 1),
        (0.001, 0.001, 3, 8, 1),
    ],
)
def test_the_size_reaches_95_percent_and_keeps_all_places_busy(
    task_s: float | None, overhead_s: float | None, waiting: int, places: int, size: int
) -> None:
    assert batch_for(task_s, overhead_s, waiting, places) == size


def test_tasks_of_a_batch_get_the_runs_store() -> None:
    import numpy as np

    def steps() -> Any:
        return (yield [Task("batchtest.stored", x=n, store=RUN_STORE, values=np.arange(3)) for n in range(3)])

    (batch,) = next(batched(steps(), 3))
    assert batch.function == BATCH and batch.arguments["store"] is RUN_STORE
    place = {"folder": "here"}
    assert run_batch(batch.arguments["calls"], place) == [[0, place], [1, place], [2, place]]
