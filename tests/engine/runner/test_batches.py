"""Batches: the same answer with fewer hand-overs, in the tasks' order."""

from __future__ import annotations

from typing import Any

import pytest

from lbench.engine.runner.batches import batch_for, batched, tasks_in
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import BATCH, STORE_MARK, call, run_batch, task_function
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


@pytest.mark.parametrize(("count", "first"), [(15, 15), (16, 8)])
def test_auto_measures_where_at_least_as_many_tasks_are_left(count: int, first: int) -> None:
    _, stages = carried_out(batched(job([count]), "auto"))
    assert len(stages[0]) == first and stages[0] == [None] * first


def test_a_job_gets_the_times_of_a_single_task_not_of_a_batch() -> None:
    seen = []

    def steps() -> Any:
        found = yield [Task("batchtest.twice", x=number) for number in range(12)]
        seen.append((list(found), found.elapsed_s, found.task_s, found.overhead_s, found.places))
        return found

    carried_out(batched(steps(), 4), task_s=0.25, overhead_s=0.125)
    carried_out(batched(steps(), 1), task_s=0.25, overhead_s=0.125)
    carried_out(batched(steps(), 4), task_s=None, overhead_s=None)
    values = [2 * number for number in range(12)]
    assert seen == [(values, 1.0, 0.25, 0.125, 2), (values, 1.0, 0.25, 0.125, 2), (values, 1.0, None, None, 2)]


def test_results_without_times_leave_the_tasks_alone() -> None:
    """A job that is run in one piece gives plain lists."""
    seen = []

    def watched() -> Any:
        found = yield [Task("batchtest.twice", x=number) for number in range(40)]
        seen.append((found.elapsed_s, found.task_s, found.overhead_s, found.places))
        return [list(found)]

    steps = batched(watched(), "auto")
    sizes, results = [], None
    while True:
        try:
            tasks = next(steps) if results is None else steps.send(results)
        except StopIteration as end:
            assert end.value == [[2 * number for number in range(40)]]
            break
        sizes.append([tasks_in(task) for task in tasks])
        results = [call(task.function, task.arguments) for task in tasks]
    assert sizes == [[None] * 8, [None] * 32]
    assert seen == [(0.0, None, None, 1)]


def test_a_batch_without_a_store_has_none_and_a_mark_in_each_place_of_one() -> None:
    def steps(**more: Any) -> Any:
        return (yield [Task("batchtest.stored", x=n, values=1, **more) for n in range(2)])

    (plain,) = next(batched(steps(store=None), 2))
    assert plain.arguments == {
        "calls": [["batchtest.stored", {"x": n, "values": 1, "store": None}] for n in range(2)],
        "store": None,
    }
    (marked,) = next(batched(steps(store=RUN_STORE), 2))
    assert marked.arguments["calls"] == [
        ["batchtest.stored", {"x": n, "values": 1, "store": STORE_MARK}] for n in range(2)
    ]
