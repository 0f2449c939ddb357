"""The job's own steps in the driver: what each costs, where its store is filled in, and what is said where one fails."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lbench.engine.backends.base import Outcome
from lbench.engine.plan.policy import Policy
from lbench.engine.runner import job_steps
from lbench.engine.runner.job_steps import (
    Answer,
    EndedStage,
    JobSteps,
    RunFailed,
    inline,
    offload_to_thread,
    stage_results,
)
from lbench.engine.runner.runner import Runner
from lbench.engine.virtual_time import run_virtual
from lbench.errors import WorkloadError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import StageResults, Task
from lbench.workloads.objects import RUN_STORE, Place


def run(backend: Any, sink: Any, job: Any, **options: Any) -> Any:
    async def main() -> Any:
        return await Runner("r1", backend, sink, Policy(), **options).run(job)

    return run_virtual(main())


def test_each_kind_of_step_is_added_up_in_its_own_time(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()  # each look at the clock is a second later
    monkeypatch.setattr(job_steps, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))

    def job() -> Any:
        yield fakes.tasks(1)
        yield fakes.tasks(1)

    async def main() -> JobSteps:
        runner = Runner("r1", fakes.Backend(), fakes.Sink(), Policy())
        await runner.run(job())
        return runner.steps

    steps = run_virtual(main())
    assert (steps.merge_s, steps.encode_s, steps.decode_s) == (3.0, 2.0, 2.0)


def test_the_times_of_a_stage_are_medians() -> None:
    found = stage_results(["a", "b", "c"], [(1.0, 30.0), (9.0, 20.0), (2.0, 90.0)], elapsed_s=5.0, places=4)
    assert isinstance(found, StageResults) and found == ["a", "b", "c"]
    assert (found.task_s, found.overhead_s, found.elapsed_s, found.places) == (2.0, 30.0, 5.0, 4)
    nothing = stage_results([], [], elapsed_s=5.0, places=4)
    assert (nothing, nothing.task_s, nothing.overhead_s) == ([], None, None)


async def test_a_step_gets_its_arguments_here_and_in_a_thread() -> None:
    def where(*given: int) -> Any:
        return given, threading.current_thread() is threading.main_thread()

    assert await inline(where, 1, 2) == ((1, 2), True)
    assert await offload_to_thread(where, 1, 2) == ((1, 2), False)


async def test_a_job_goes_from_stage_to_stage_to_its_answer() -> None:
    def job() -> Any:
        first = yield [Task("fake.task", x=1)]
        return list(first), first.elapsed_s, first.places

    steps, begun = JobSteps(inline), job()
    stage = await steps.advance(begun, None)
    assert isinstance(stage, tuple)
    assert [task.arguments for task in stage[0]] == [{"x": 1}] and stage[1] == [encode(["fake.task", {"x": 1}])]
    assert await steps.advance(begun, EndedStage([encode(7)], [], 2.5, 3)) == Answer(([7], 2.5, 3))


def test_the_run_s_store_is_filled_in_where_an_argument_asks_for_it(fakes: Any) -> None:
    asked: list[None] = []

    def store() -> Place:
        asked.append(None)
        return Place(folder="here")

    def job() -> Any:
        return (yield [Task("fake.task", x=1), Task("fake.task", x=2, store=RUN_STORE)])

    backend = fakes.Backend()
    assert run(backend, fakes.Sink(), job(), store=store) == [1, 2]
    arguments = [decode(call.task)[1] for _, call in backend.calls]
    assert arguments == [{"x": 1}, {"x": 2, "store": {"folder": "here"}}]
    assert len(asked) == 1  # by the only task that has such an argument


def test_a_store_is_made_for_no_task_that_does_not_ask(fakes: Any) -> None:
    def store() -> Place:
        raise AssertionError("nobody asked for it")

    assert run(fakes.Backend(), fakes.Sink(), fakes.one_stage(2), store=store) == [0, 1]


@pytest.mark.parametrize(
    ("nonsense", "text"),
    [
        (42, "the job must yield lists of tasks, not int"),
        ((Task("a.b"),), "the job must yield lists of tasks, not tuple"),
        ([Task("a.b"), 1], "the job must yield lists of tasks, not list"),
    ],
)
def test_a_job_that_yields_something_else_is_an_error_that_names_it(fakes: Any, nonsense: Any, text: str) -> None:
    def job() -> Any:
        yield nonsense

    with pytest.raises(RunFailed) as caught:
        run(fakes.Backend(), fakes.Sink(), job())
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad merge"), "the job itself failed: ValueError: bad merge"),
        (WorkloadError("3 rows are too few"), "3 rows are too few"),
    ],
)
def test_a_job_that_raises_is_named_with_its_exception(fakes: Any, error: Exception, text: str) -> None:
    def job() -> Any:
        yield fakes.tasks(1)
        raise error

    with pytest.raises(RunFailed) as caught:
        run(fakes.Backend(), fakes.Sink(), job())
    assert str(caught.value) == text


def test_what_cannot_travel_is_named_with_its_direction(fakes: Any) -> None:
    def job() -> Any:
        yield [Task("fake.task", x=object())]

    with pytest.raises(RunFailed, match=r"^a task's arguments cannot be sent: \S"):
        run(fakes.Backend(), fakes.Sink(), job())
    with pytest.raises(RunFailed, match=r"^a result cannot be read: \S"):
        run(fakes.Backend({0: [(1.0, Outcome(result=b"\xc1"))]}), fakes.Sink(), fakes.one_stage(1))
