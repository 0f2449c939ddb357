"""Calls that wait in an environment behind another, at a backend of three lanes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lbench.engine.backends.base import Call, LooksAhead, Outcome
from lbench.engine.journal.events import Dispatched, Returned
from lbench.engine.model import ErrorInfo
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.virtual_time import run_virtual

Lanes = Callable[..., Any]


@pytest.fixture
def lanes(fakes: Any) -> Lanes:
    """`lanes(ahead, ...)`: a backend whose calls take the lane with the fewest calls, and run there one by one."""

    class Backend(fakes.Backend):  # type: ignore[misc,name-defined]
        def __init__(self, ahead: int, *, capacity: int = 3, script: Any = None, early_s: float = 0.0) -> None:
            super().__init__(script, capacity=capacity)
            self.ahead = ahead
            self.most_waiting = 0
            self.dropped: list[int] = []  # indices of tasks whose call ends in its lane's queue, once each
            self._early_s = early_s
            self._lanes: list[list[Call]] = [[] for _ in range(capacity)]
            self._moved = asyncio.Event()

        @property
        def waiting(self) -> int:
            return sum(max(0, len(lane) - 1) for lane in self._lanes)

        async def invoke(self, call: Call) -> Outcome:
            number = min(range(self.capacity), key=lambda n: len(self._lanes[n]))
            lane = self._lanes[number]
            lane.append(call)
            self.calls.append((asyncio.get_running_loop().time(), call))
            self.most_waiting = max(self.most_waiting, self.waiting)
            assert call.may_wait or len(lane) == 1
            try:
                while lane[0] is not call:
                    await self._moved.wait()
                if call.index in self.dropped:
                    self.dropped.remove(call.index)
                    return Outcome()
                if call.begin is not None:
                    call.begin(asyncio.get_running_loop().time() - self._early_s)
                call.placed(f"e{number}")
                seconds, outcome = self._deed(call)
                await asyncio.sleep(seconds)
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome
            finally:
                lane.remove(call)
                self._moved.set()
                self._moved = asyncio.Event()

    assert isinstance(Backend(1), LooksAhead)
    return Backend


@pytest.fixture
def sink(fakes: Any) -> Any:
    return fakes.Sink()


def drive(backend: Any, sink: Any, job: Any, policy: Policy | None = None, during: Any = None, **options: Any) -> Any:
    async def main() -> Any:
        runner = Runner("r1", backend, sink, policy or Policy(), **options)
        beside = None if during is None else asyncio.ensure_future(during(runner))
        try:
            return await runner.run(job)
        finally:
            assert runner._stage is None or not runner._stage._in_flight
            if beside is not None:
                await beside

    return run_virtual(main())


@pytest.mark.parametrize(("ahead", "waiting"), [(0, 0), (1, 1), (2, 2), (3, 3), (100, 100)])
def test_as_many_calls_wait_as_the_backend_allows_but_for_the_last(
    fakes: Any, sink: Any, lanes: Lanes, ahead: int, waiting: int
) -> None:
    backend = lanes(ahead)
    assert drive(backend, sink, fakes.one_stage(30)) == list(range(30))
    assert backend.most_waiting == min(waiting, 30 - 3 - 3)  # three run; as many as there are lanes never wait
    assert sink.statuses() == ["ok"] * 30
    assert [event.dispatched_s for event in sink.of(Dispatched)] == [float(n // 3) for n in range(30)]
    assert {event.attempt for event in sink.of(Dispatched)} == {0}
    assert [call.may_wait for _, call in backend.calls].count(True) > 0 or ahead == 0
    assert not any(call.may_wait for _, call in backend.calls if call.index >= 27)
    sink.assert_whole()


def test_where_calls_may_wait_an_attempt_begins_when_the_backend_says_so(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(2, capacity=1)
    drive(backend, sink, fakes.one_stage(5))
    assert all(call.begin is not None and call.number == -1 for _, call in backend.calls)
    assert [moment for moment, _ in backend.calls] == [0.0, 0.0, 0.0, 1.0, 4.0]  # the last one takes a free lane
    assert sink.of(Dispatched) == [Dispatched("r1", n, 0, n, 0, 0.0, float(n), "e0") for n in range(5)]
    assert [(event.n, event.returned_s) for event in sink.of(Returned)] == [(n, n + 1.0) for n in range(5)]


def test_an_attempt_begins_at_once_where_no_call_may_wait(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(0)
    drive(backend, sink, fakes.one_stage(5))
    assert [call.begin for _, call in backend.calls] == [None] * 5
    assert [call.number for _, call in backend.calls] == list(range(5))


def test_no_attempt_begins_before_its_call_was_made(fakes: Any, sink: Any, lanes: Lanes) -> None:
    drive(lanes(1, capacity=1, early_s=0.5), sink, fakes.one_stage(4))
    assert [event.dispatched_s for event in sink.of(Dispatched)] == [0.0, 0.5, 1.5, 3.0]


def test_a_backend_of_this_kind_keeps_the_deadlines_itself(fakes: Any, sink: Any, lanes: Lanes) -> None:
    for ahead in (0, 2):
        backend = lanes(ahead, script={0: [(500.0, fakes.ok_as("late"))]})
        assert drive(backend, fakes.Sink(), fakes.one_stage(1), Policy(timeout_s=1.0)) == ["late"]
        assert backend.calls[0][1].limit is None and backend.calls[0][1].deadline_s == 1.0


@pytest.mark.parametrize(
    ("policy", "options"),
    [(Policy(concurrency=2), {}), (Policy(hedge=0.9), {}), (Policy(), {"detached": set()})],
    ids=["fewer places", "hedging", "interactive"],
)
def test_no_call_waits_where_a_later_choice_may_be_better(
    fakes: Any, sink: Any, lanes: Lanes, policy: Policy, options: Any
) -> None:
    backend = lanes(5)
    backend.on_cancel = "stop"
    assert drive(backend, sink, fakes.one_stage(30), policy, **options) == list(range(30))
    assert not any(call.may_wait or call.begin for _, call in backend.calls)


def test_a_policy_of_as_many_places_as_there_are_changes_nothing(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(2)
    drive(backend, sink, fakes.one_stage(9), Policy(concurrency=3))
    assert backend.most_waiting == 2


def test_a_call_whose_environment_ended_while_it_waited_goes_out_again_and_first(
    fakes: Any, sink: Any, lanes: Lanes
) -> None:
    backend = lanes(1, capacity=1)
    backend.dropped = [2, 2]  # twice, each time with another call behind it
    assert drive(backend, sink, fakes.one_stage(8)) == list(range(8))
    assert [(event.task, event.attempt) for event in sink.of(Dispatched)] == [(n, 0) for n in (0, 1, 3, 4, 2, 5, 6, 7)]
    assert [call.index for _, call in backend.calls].count(2) == 3
    sink.assert_whole()


def test_a_task_that_is_tried_again_counts_its_attempts_where_calls_wait(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(1, script={1: [(1.0, fakes.failed()), (1.0, fakes.failed())]}, capacity=1)
    drive(backend, sink, fakes.one_stage(6), Policy(backoff_base_s=0.0))
    assert [call.attempt for _, call in backend.calls if call.index == 1] == [0, 1, 2]
    assert [event.attempt for event in sink.of(Dispatched) if event.task == 1] == [0, 1, 2]


def test_a_cancel_records_an_end_for_what_has_begun_only(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(2, capacity=2)

    async def during(runner: Runner) -> None:
        await asyncio.sleep(0.5)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(backend, sink, fakes.one_stage(20), during=during)
    assert len(backend.calls) == 4
    assert sink.of(Returned) == [Returned("r1", n, "cancelled", 0.5, f"e{n}") for n in range(2)]
    sink.assert_whole()


def test_a_bug_of_the_backend_is_recorded_for_the_call_that_has_begun(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(1, capacity=1, script={0: [(1.0, KeyError("lane"))]})
    with pytest.raises(RunFailed, match=r"^KeyError: 'lane'$"):
        drive(backend, sink, fakes.one_stage(9))
    first = sink.of(Returned)[0]
    assert (first.n, first.status, first.environment) == (0, "error", "e0")
    assert first.error == ErrorInfo("KeyError", "'lane'", False)
    sink.assert_whole()


def test_a_pause_holds_calls_back_that_would_wait(fakes: Any, sink: Any, lanes: Lanes) -> None:
    backend = lanes(2, capacity=1)

    async def during(runner: Runner) -> None:
        await asyncio.sleep(0.5)
        runner.pause()
        await asyncio.sleep(99.5)
        assert len(backend.calls) == 3  # the one that ran and the two that had gone out
        runner.resume()

    assert drive(backend, sink, fakes.one_stage(10), during=during) == list(range(10))
    assert [event.dispatched_s for event in sink.of(Dispatched)][:5] == [0.0, 1.0, 2.0, 100.0, 101.0]
