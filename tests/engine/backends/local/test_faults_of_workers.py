"""What the local backends promise when a task, or the whole worker, goes wrong."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys

import psutil
import pytest

from lbench.engine.backends.base import SIBLING_LOST
from lbench.engine.backends.local.backend import DEADLINE_EXCEEDED, WORKER_DIED
from lbench.errors import BackendError
from lbench.workloads.encoding import decode

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes by pidfd (Linux)")


async def gone(pid: int) -> None:
    """Wait until the process has ended, whoever's child it is, and leave its exit code to its parent."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = await asyncio.to_thread(select.select, [handle], [], [], 20)
    finally:
        os.close(handle)
    assert ready, f"process {pid} is still there"


async def works(backend, call) -> None:
    """All of its environments take calls."""
    outcomes = await asyncio.gather(
        *(backend.invoke(call("probe.noop", number=i)) for i in range(2 * backend.capacity))
    )
    assert [decode(outcome.result) for outcome in outcomes] == list(range(2 * backend.capacity))


# -- the task's own code


@pytest.mark.parametrize("name", ["threads", "processes"])
async def test_a_tasks_exception_is_one_line_with_its_own_frames(opened, call, name) -> None:
    async with opened(name) as backend:
        outcome = await backend.invoke(call("probe.fail", number=1, message="no such\nthing"))
        await works(backend, call)
    failure = outcome.failure
    assert (failure.kind, failure.type, failure.message) == ("error", "ValueError", "no such thing")
    assert not failure.retriable
    assert failure.log_tail.count("File ") == 1
    assert "in fail" in failure.log_tail
    assert outcome.result is None
    assert outcome.compute_ms is not None


@pytest.mark.parametrize(
    ("function", "arguments", "kind", "says"),
    [
        ("faults.odd", {}, "EncodingError", "an object cannot be sent"),
        ("faults.leave", {}, "SystemExit", "4"),
        ("faults.shy", {}, "Shy", "cannot be read"),
        ("faults.several_lines", {}, "ValueError", "first line second ? line"),
        ("probe.noop", {"nmber": 1}, "TypeError", "nmber"),
        ("probe.nop", {}, "UnknownNameError", "noop"),
        ("prob.noop", {}, "UnknownNameError", "prob.noop"),
    ],
)
async def test_whatever_a_task_does_to_fail_the_worker_goes_on(opened, call, function, arguments, kind, says) -> None:
    async with opened("processes") as backend:
        outcome = await backend.invoke(call(function, **arguments))
        assert outcome.failure.type == kind
        assert says in outcome.failure.message
        assert "\n" not in outcome.failure.message
        assert not outcome.failure.retriable
        await works(backend, call)
        assert len(backend.environments()) == 1


async def test_what_a_task_prints_or_reads_does_not_disturb_the_protocol(opened, call) -> None:
    async with opened("processes") as backend:
        outcome = await backend.invoke(call("faults.say", text="x" * 1000, times=500))
        assert decode(outcome.result) == 500
        assert decode((await backend.invoke(call("faults.read_input"))).result) == ""
        assert decode((await backend.invoke(call("faults.interrupt"))).result) == "still here"


# -- the worker


@pytest.mark.parametrize("name", ["sequential", "threads", "processes"])
async def test_a_killed_worker_fails_its_call_retriably_and_is_replaced(opened, call, hold, name) -> None:
    async with opened(name, 1) as backend:
        held = await hold(backend)
        os.kill(held.pid, signal.SIGKILL)
        outcome = await held.task
        assert outcome.failure.type == WORKER_DIED
        assert outcome.failure.retriable
        assert "was ended by SIGKILL" in outcome.failure.message
        await works(backend, call)
        first, second = backend.environments()
        assert second.id == f"{first.id}.1"
        assert first.ended_s <= second.created_s
        assert second.ended_s is None


@pytest.mark.parametrize(
    ("how", "says", "tail"),
    [
        ("exit", "ended with exit code 3", None),
        ("segfault", "was ended by SIGSEGV", "Segmentation fault"),
        ("closed", "ended with exit code 0", None),
    ],
)
async def test_a_worker_that_ends_itself_is_reported_with_its_exit(opened, call, how, says, tail) -> None:
    async with opened("processes", 2) as backend:
        outcome = await backend.invoke(call("faults.crash", how=how))
        assert outcome.failure.type == WORKER_DIED
        assert says in outcome.failure.message or how == "closed"
        assert tail is None or tail in outcome.failure.log_tail
        await works(backend, call)


async def test_calls_that_wait_are_run_by_the_worker_that_replaces(opened, call, hold) -> None:
    async with opened("sequential") as backend:
        held = await hold(backend)
        waiting = [asyncio.create_task(backend.invoke(call("probe.noop", number=i))) for i in range(3)]
        os.kill(held.pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*waiting)
    assert [(decode(outcome.result), outcome.environment) for outcome in outcomes] == [
        (0, "w0.1"),
        (1, "w0.1"),
        (2, "w0.1"),
    ]


async def test_an_idle_worker_that_is_killed_is_replaced_too(opened, call) -> None:
    async with opened("processes", 2) as backend:
        about = await backend.invoke(call("faults.meet_nobody"))
        os.kill(decode(about.result), signal.SIGKILL)
        await gone(decode(about.result))
        await backend.publish(None)  # waits for whom is being replaced
        outcomes = await asyncio.gather(*(backend.invoke(call("probe.noop", number=i)) for i in range(4)))
        assert all(outcome.failure is None or outcome.failure.type == WORKER_DIED for outcome in outcomes)
        await works(backend, call)
        assert {info.id for info in backend.environments()} == {"w0", "w1", f"{about.environment}.1"}


async def test_a_replaced_worker_has_the_data_again(opened, call, hold, tmp_path) -> None:
    import numpy as np

    from lbench.engine.backends.base import Published
    from lbench.workloads.dataset import Dataset, write_dataset

    path = tmp_path / "data"
    digest = write_dataset(Dataset({"x": np.arange(4)}, source="a test", rows=4, columns=1), path)
    async with opened("processes") as backend:
        await backend.publish(Published(path, digest, path.stat().st_size))
        held = await hold(backend)
        os.kill(held.pid, signal.SIGKILL)
        await held.task
        outcome = await backend.invoke(call("faults.total"))
    assert decode(outcome.result) == [6, False]
    assert outcome.fetch_ms is not None


@pytest.mark.parametrize("session", [False, True], ids=["in its group", "in a session of its own"])
async def test_what_a_task_had_started_ends_with_its_worker(opened, call, hold, session) -> None:
    async with opened("processes") as backend:
        left = decode((await backend.invoke(call("faults.leave_child", session=session))).result)
        held = await hold(backend)
        os.kill(held.pid, signal.SIGKILL)
        await held.task
        await gone(left)
        left = decode((await backend.invoke(call("faults.leave_child", session=session))).result)
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


# -- cancel and deadline


@pytest.mark.parametrize("name", ["sequential", "threads", "processes"])
async def test_a_cancelled_call_stops_its_process_and_the_backend_takes_the_next(opened, call, hold, name) -> None:
    async with opened(name, 1) as backend:
        held = await hold(backend)
        held.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held.task
        await gone(held.pid)
        await works(backend, call)


async def test_a_call_beyond_its_deadline_times_out_and_can_be_tried_again(opened, call, hold) -> None:
    async with opened("processes", 2) as backend:
        held = await hold(backend, deadline_s=0.5)
        outcome = await held.task
        assert (outcome.failure.kind, outcome.failure.type) == ("timeout", DEADLINE_EXCEEDED)
        assert outcome.failure.retriable
        await gone(held.pid)
        await works(backend, call)


async def test_siblings_of_a_cancelled_thread_are_lost_not_failed(opened, call, hold) -> None:
    async with opened("threads", 3) as backend:
        held = [await hold(backend) for _ in range(3)]
        held[1].task.cancel()
        outcomes = [await held[0].task, await held[2].task]
        assert [outcome.failure.type for outcome in outcomes] == [SIBLING_LOST] * 2
        assert all(outcome.failure.retriable for outcome in outcomes)
        await works(backend, call)


async def test_cancelling_all_calls_of_a_run_replaces_each_process_once(opened, call, hold) -> None:
    async with opened("threads", 2) as backend:
        held = [await hold(backend) for _ in range(2)]
        for one in held:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in held), return_exceptions=True)
        await works(backend, call)
        assert [info.id for info in backend.environments()] == ["t0", "t1", "t0.1", "t1.1"]


async def test_a_caller_that_gives_up_waiting_takes_no_environment_with_it(opened, call, hold) -> None:
    async with opened("processes") as backend:
        held = await hold(backend)
        waiting = [asyncio.create_task(backend.invoke(call("probe.noop", number=i))) for i in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        os.kill(held.pid, signal.SIGKILL)
        await held.task
        waiting[1].cancel()
        assert decode((await waiting[2]).result) == 2
        await works(backend, call)
        assert len(backend.environments()) == 2


async def test_calls_running_when_the_backend_closes_fail(opened, hold) -> None:
    async with opened("processes") as backend:
        held = await hold(backend)
    assert (await held.task).failure.type == WORKER_DIED


# -- workers that never come


async def test_a_worker_that_cannot_start_breaks_the_backend_with_its_last_words(opened, monkeypatch) -> None:
    monkeypatch.setenv("LBENCH_TEST_NO_START", "1")
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(BackendError, match=r"failed 3 times to start: no start today$"):
        async with opened("processes", 2):
            pass
    assert {child.pid for child in psutil.Process().children()} <= before


async def test_a_workload_that_cannot_be_imported_is_one_line(opened) -> None:
    with pytest.raises(BackendError, match=r"cannot set up a worker of .*: ModuleNotFoundError: No module named"):
        async with opened("threads", preload="nothing_of_that_name"):
            pass


_ENGINE = """
import asyncio, sys, psutil
from lbench.engine.backends.base import Call
from lbench.engine.backends.local.backend import open_local
from lbench.engine.backends.settings import LocalSettings
from lbench.workloads.encoding import encode

async def main():
    async with open_local(sys.argv[1], LocalSettings(concurrency=2), 2) as backend:
        task = encode(["probe.spawn", {"number": 1, "seconds": 600}])  # in a session of its own
        await backend.invoke(Call(task, stage=0, index=0, attempt=0, deadline_s=60))
        print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize(("name", "workers"), [("threads", 1), ("processes", 2)])
async def test_workers_and_what_they_have_started_end_with_a_killed_engine(name, workers) -> None:
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", _ENGINE, name, stdout=subprocess.PIPE)
    pids = [int(pid) for pid in (await engine.stdout.readline()).split()]
    assert len(pids) == workers + 2  # their guardian, and what the task has started
    engine.kill()
    for pid in pids:
        await gone(pid)
    await engine.wait()
