"""Short tasks wait in the workers, one behind another: nothing in the record shows it but the time that they save."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.local import backend as local
from lbench.engine.backends.local.backend import LocalBackend, open_local
from lbench.engine.backends.settings import LocalSettings
from lbench.engine.journal.events import Dispatched, Returned
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.workloads.model import Task

TASKS = 300


@pytest.fixture(params=["sequential", "processes", "threads"])
async def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalBackend]:
    monkeypatch.setattr(local, "_SHORT_MS", 1e9)  # whatever else this machine does meanwhile
    concurrency = 1 if request.param == "sequential" else 2
    async with open_local(request.param, LocalSettings(concurrency=concurrency), 2, preload="probe") as opened:
        yield opened


async def run(backend: LocalBackend, sink: Any, tasks: list[Task], **policy: Any) -> Any:
    def job() -> Any:
        return (yield tasks)

    return await Runner("r1", backend, sink, Policy(**policy)).run(job())


def ran(sink: Any) -> dict[str, list[tuple[Any, Any]]]:
    """The attempts that began in each environment, in the order of their starts; the record is whole."""
    sink.assert_whole()
    ends = {event.n: event for event in sink.of(Returned)}
    found = defaultdict(list)
    for event in sink.of(Dispatched):
        found[event.environment].append((event, ends[event.n]))
    for pairs in found.values():
        pairs.sort(key=lambda pair: pair[0].dispatched_s)
    return found


def waited(sink: Any) -> int:
    """How many attempts began with the end of the one before them: they had waited in the worker."""
    return sum(
        later[0].dispatched_s == earlier[1].finished_s
        for pairs in ran(sink).values()
        for earlier, later in itertools.pairwise(pairs)
    )


async def test_calls_wait_in_the_workers_and_are_recorded_from_their_turn_on(backend: LocalBackend, fakes: Any) -> None:
    sink = fakes.Sink()
    tasks = [Task("probe.spin", number=number, seconds=0.001) for number in range(TASKS)]
    assert await run(backend, sink, tasks) == list(range(TASKS))
    assert sink.statuses() == ["ok"] * TASKS and {event.attempt for event in sink.of(Dispatched)} == {0}
    for pairs in ran(sink).values():
        for begun, ended in pairs:
            assert begun.queued_s <= begun.dispatched_s <= ended.started_s <= ended.finished_s <= ended.returned_s
        for (_, earlier), (begun, _) in itertools.pairwise(pairs):
            assert begun.dispatched_s >= earlier.finished_s  # one at a time
    assert waited(sink) > TASKS / 2
    assert len(ran(sink)) == backend.capacity


async def test_who_waits_behind_a_task_that_ends_its_process_has_not_begun(
    backend: LocalBackend, fakes: Any, tmp_path: Path
) -> None:
    crashes = {40: tmp_path / "a", 100: tmp_path / "b", 101: tmp_path / "c"}
    tasks = [
        Task("probe.crash_once", number=number, marker=str(crashes[number]))
        if number in crashes
        else Task("probe.spin", number=number, seconds=0.001)
        for number in range(TASKS)
    ]
    sink = fakes.Sink()
    assert await run(backend, sink, tasks, backoff_base_s=0.0) == list(range(TASKS))
    failed = {event.n for event in sink.of(Returned) if event.status == "error"}
    by_task = defaultdict(list)
    for event in sink.of(Dispatched):
        by_task[event.task].append(event)
    for task, attempts in by_task.items():
        assert [event.attempt for event in attempts] == list(range(len(attempts))), task
        assert [event.n in failed for event in attempts] == [True] * (len(attempts) - 1) + [False]
        # On `threads` a neighbour in the same process is lost while it runs: that is an attempt.
        assert len(attempts) == (2 if task in crashes else 1) or backend.name == "threads"
    assert waited(sink) > 0


async def test_a_deadline_counts_from_a_task_s_own_start(backend: LocalBackend, fakes: Any) -> None:
    sink = fakes.Sink()
    tasks = [Task("probe.sleep", number=number, seconds=600 if number == 50 else 0.001) for number in range(100)]
    with pytest.raises(RunFailed, match="no result within the deadline of 4 s") as failure:
        await run(backend, sink, tasks, timeout_s=4.0, retries=0, keep_going=True)
    assert "task 50" in str(failure.value)
    statuses = defaultdict(list)
    ends = {event.n: event.status for event in sink.of(Returned)}
    for event in sink.of(Dispatched):
        statuses[event.task].append(ends[event.n])
    assert statuses.pop(50) == ["timeout"]
    assert all(found[-1] == "ok" for found in statuses.values()) and len(statuses) == 99
    assert all(len(found) == 1 for found in statuses.values()) or backend.name == "threads"
    sink.assert_whole()


def cancel_after(sink: Any, count: int, runner: Runner) -> None:
    """Cancel the run when so many attempts have ended."""
    write = sink.write

    def note(event: Any) -> None:
        write(event)
        if len(sink.of(Returned)) == count:
            runner.cancel()

    sink.write = note


async def test_a_cancel_leaves_a_whole_record_and_a_backend_that_works(backend: LocalBackend, fakes: Any) -> None:
    sink = fakes.Sink()
    tasks = [Task("probe.sleep", number=number, seconds=0.005) for number in range(TASKS)]

    def job() -> Any:
        return (yield tasks)

    runner = Runner("r1", backend, sink, Policy())
    running = asyncio.ensure_future(runner.run(job()))
    cancel_after(sink, 20, runner)
    with pytest.raises(RunCancelled):
        await running
    sink.assert_whole()
    assert set(sink.statuses()) <= {"ok", "cancelled"}
    again = fakes.Sink()
    await backend.publish(None)
    assert await run(backend, again, tasks[:20]) == list(range(20))
    assert again.statuses() == ["ok"] * 20


@pytest.mark.parametrize("policy", [{"hedge": 0.9}, {"concurrency": 1}])
async def test_no_call_waits_where_the_runner_must_choose_later(backend: LocalBackend, fakes: Any, policy: Any) -> None:
    sink = fakes.Sink()
    tasks = [Task("probe.spin", number=number, seconds=0.001) for number in range(60)]
    assert await run(backend, sink, tasks, **policy) == list(range(60))
    assert waited(sink) == 0 or (backend.capacity == 1 and "concurrency" in policy)


async def test_no_call_waits_behind_long_tasks(fakes: Any) -> None:
    async with open_local("processes", LocalSettings(concurrency=2), 2, preload="probe") as backend:
        assert backend.ahead == 0
        await run(backend, fakes.Sink(), [Task("probe.spin", number=0, seconds=0.0001)] * 5)
        sink = fakes.Sink()
        await run(backend, sink, [Task("probe.sleep", number=number, seconds=0.03) for number in range(10)])
        assert backend.ahead == 0 and waited(sink) <= 2
        await backend.publish(None)
        assert backend.ahead == 0


async def test_the_last_tasks_take_the_first_free_worker(backend: LocalBackend, fakes: Any) -> None:
    """The last ones never wait: as many as there are workers."""
    sink = fakes.Sink()
    await run(backend, sink, [Task("probe.spin", number=number, seconds=0.001) for number in range(40)])
    last = {event.task for event in sink.of(Dispatched)} - set(range(40 - backend.capacity))
    ends = {event.finished_s for event in sink.of(Returned)}
    assert not [event for event in sink.of(Dispatched) if event.task in last and event.dispatched_s in ends]
