"""Calls that run on after a cancel: the journal has the end of each, with what was billed."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from lbench.engine.backends.base import Outcome
from lbench.engine.explore.warm_pool import WarmPool
from lbench.engine.journal.events import Returned
from lbench.engine.model import ErrorInfo
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.attempt import Attempts
from lbench.engine.runner.retry import Pending
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.encoding import encode
from lbench.workloads.model import Task


@pytest.fixture
def sink(fakes):
    return fakes.Sink()


def billed(fakes, ms):
    outcome = fakes.ok_as("late")
    outcome.billed_ms = ms
    return outcome


def task(index=0):
    return Pending(index, Task("fake.task", x=index), encode(["fake.task", {"x": index}]), 0.0)


class Remote:
    """Attempts of an interactive run at a backend that cannot stop a call."""

    def __init__(self, fakes, sink, script, timeout_s=1.0) -> None:
        self.backend = fakes.Backend(script)
        self.pool = WarmPool(Path(), None)
        policy = Policy(timeout_s=timeout_s)
        self.attempts = Attempts("r1", self.backend, sink, policy, self.pool.detached)

    def begin(self, index=0):
        return asyncio.ensure_future(self.attempts.make(task(index), 0, None))

    async def cancel(self, attempt) -> None:
        attempt.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await attempt


def ends(sink):
    return [(event.n, event.status, event.billed_ms, event.returned_s) for event in sink.of(Returned)]


def test_a_cancelled_call_is_recorded_with_its_own_bill_after_an_earlier_one_timed_out(fakes, sink):
    answered = asyncio.Event()

    async def main():
        remote = Remote(fakes, sink, {0: [(5.0, billed(fakes, 5000))]})
        await remote.begin()  # times out, and runs on
        remote.backend.invoke = at_once
        second = remote.begin(1)
        await asyncio.sleep(0.5)
        answered.set()
        await asyncio.sleep(0)  # it has answered, and the attempt has not woken up yet
        await remote.cancel(second)
        await asyncio.sleep(10)

    async def at_once(call):
        await answered.wait()
        return billed(fakes, 7)

    run_virtual(main())
    assert ends(sink) == [(0, "timeout", None, 1.0), (1, "superseded", 7, 1.5)]


def test_the_outcome_of_a_cancelled_call_is_recorded_when_it_ends(fakes, sink):
    broken = fakes.failed()
    broken.failure.log_tail = "Traceback"
    script = {0: [(4.0, billed(fakes, 4000))], 1: [(3.0, broken)], 2: [(2.0, ValueError("no"))]}

    async def main():
        remote = Remote(fakes, sink, script, timeout_s=60.0)
        begun = [remote.begin(index) for index in range(3)]
        await asyncio.sleep(1)
        for attempt in begun:
            await remote.cancel(attempt)
        assert not sink.of(Returned)
        assert remote.attempts.environments == {"e0", "e1", "e2"}
        await asyncio.sleep(10)

    run_virtual(main())
    assert ends(sink) == [(2, "error", None, 2.0), (1, "error", None, 3.0), (0, "superseded", 4000, 4.0)]
    returned = {event.n: event for event in sink.of(Returned)}
    assert returned[1].log_tail == "Traceback"
    assert returned[2].error == ErrorInfo("ValueError", "no", retriable=False)
    assert [returned[n].environment for n in range(3)] == ["e0", "e1", "e2"]


def test_a_call_that_runs_when_the_backends_are_closed_is_recorded_as_cancelled(fakes, sink):
    async def main():
        remote = Remote(fakes, sink, {0: [(50.0, Outcome())]}, timeout_s=60.0)
        attempt = remote.begin()
        await asyncio.sleep(1)
        await remote.cancel(attempt)
        await remote.pool._end_detached(2.0)
        await asyncio.sleep(0)

    run_virtual(main())
    assert ends(sink) == [(0, "cancelled", None, 3.0)]
    assert [event.environment for event in sink.of(Returned)] == ["e0"]
