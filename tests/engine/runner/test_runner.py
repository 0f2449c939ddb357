from __future__ import annotations

import asyncio
import contextlib
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.backends.base import Outcome
from lbench.engine.journal.events import Dispatched, Returned, StageEnded, StageStarted
from lbench.engine.model import ErrorInfo
from lbench.engine.plan.policy import Policy, backoff_s
from lbench.engine.runner.job_steps import RunFailed, offload_to_thread
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.virtual_time import run_virtual
from lbench.errors import BackendError
from lbench.workloads.encoding import encode
from lbench.workloads.model import StageResults, Task


def drive(backend, sink, job, policy=None, during=None):
    """Run a job in virtual time; `during(runner)` runs beside it. Returns (answer, virtual seconds)."""

    async def main():
        runner = Runner("r1", backend, sink, policy or Policy())
        beside = None if during is None else asyncio.ensure_future(during(runner))
        try:
            return await runner.run(job), runner.elapsed_s
        finally:
            assert runner._stage is None or not (runner._stage._in_flight or runner._stage._timers)
            if beside is not None:
                await beside

    return run_virtual(main())


@pytest.fixture
def sink(fakes):
    return fakes.Sink()


# -- the straight way


def test_results_come_in_the_tasks_order_however_long_each_takes(fakes, sink):
    backend = fakes.Backend(lambda call: (10.0 - call.index, fakes.ok(call)), capacity=10)
    answer, seconds = drive(backend, sink, fakes.one_stage(10))
    assert answer == list(range(10))
    assert seconds == pytest.approx(10)
    assert sink.statuses() == ["ok"] * 10
    sink.assert_whole()


@pytest.mark.parametrize("concurrency", [1, 3, 7])
def test_concurrency_is_limited_by_the_backends_capacity(fakes, sink, concurrency):
    backend = fakes.Backend(capacity=concurrency)
    _, seconds = drive(backend, sink, fakes.one_stage(21))
    assert backend.most == concurrency
    assert seconds == pytest.approx(21 / concurrency)


def test_a_policy_can_lower_the_concurrency(fakes, sink):
    backend = fakes.Backend(capacity=8)
    drive(backend, sink, fakes.one_stage(16), Policy(concurrency=2))
    assert backend.most == 2


def test_concurrency_holds_through_retries_that_come_back_at_once(fakes, sink):
    script = {number: [(0.0, fakes.sibling())] * 5 + [(1.0, fakes.throttled())] * 2 for number in range(30)}
    backend = fakes.Backend(script, capacity=3)
    answer, _ = drive(backend, sink, fakes.one_stage(30))
    assert answer == list(range(30))
    assert backend.most == 3
    sink.assert_whole()


def test_a_job_gets_the_times_of_its_stage(fakes, sink):
    def job():
        return (yield [Task("fake.task", x=number) for number in range(6)])

    def measured(call):
        return Outcome(result=fakes.ok(call).result, compute_ms=600.0, init_ms=100.0 if call.index == 0 else None)

    answer, _ = drive(fakes.Backend(lambda call: (1.0, measured(call)), capacity=3), sink, job())
    assert isinstance(answer, StageResults) and answer == list(range(6))
    assert (answer.elapsed_s, answer.task_s, answer.places) == (pytest.approx(2), pytest.approx(0.6), 3)
    assert answer.overhead_s == pytest.approx(0.4)


def test_what_a_new_environment_takes_once_is_no_overhead_of_its_tasks(fakes, sink):
    def job():
        return (yield [Task("fake.task", x=number) for number in range(3)])

    def measured(call):
        result = fakes.ok(call).result
        return Outcome(result=result, compute_ms=600.0, connect_ms=100.0, init_ms=50.0, fetch_ms=30.0)

    answer, _ = drive(fakes.Backend(lambda call: (1.0, measured(call)), capacity=3), sink, job())
    assert (answer.task_s, answer.overhead_s) == (pytest.approx(0.6), pytest.approx(0.22))


def test_a_task_that_reports_more_than_its_round_trip_has_no_overhead(fakes, sink):
    def job():
        return (yield [Task("fake.task", x=1)])

    measured = Outcome(result=encode(1), compute_ms=1400.0)
    answer, _ = drive(fakes.Backend(lambda call: (1.0, measured)), sink, job())
    assert (answer.task_s, answer.overhead_s) == (pytest.approx(1.4), 0.0)


def test_a_stage_gets_the_results_of_the_one_before(fakes, sink):
    def job():
        first = yield [Task("fake.task", x=number) for number in range(5)]
        second = yield [Task("fake.task", x=number * 10) for number in first]
        third = yield [Task("fake.task", x=sum(second))]
        return third[0]

    answer, _ = drive(fakes.Backend(), sink, job())
    assert answer == 100
    assert [event.tasks for event in sink.of(StageStarted)] == [5, 5, 1]
    assert [event.index for event in sink.of(StageEnded)] == [0, 1, 2]
    assert [event.stage for event in sink.of(Dispatched)] == [0] * 5 + [1] * 5 + [2]
    sink.assert_whole()


def test_an_empty_stage_gives_an_empty_list_and_the_job_goes_on(fakes, sink):
    def job():
        nothing = yield []
        something = yield [Task("fake.task", x=1)]
        return nothing, something

    answer, _ = drive(fakes.Backend(), sink, job())
    assert answer == ([], [1])
    assert [event.tasks for event in sink.of(StageEnded) and sink.of(StageStarted)] == [0, 1]


def test_a_job_that_yields_no_stage_only_answers(fakes, sink):
    def job():
        return 42
        yield []

    assert drive(fakes.Backend(), sink, job()) == (42, 0)
    assert sink.events == []


def test_times_are_recorded_from_the_runs_zero(fakes, sink):
    def deed(call):
        now_s = asyncio.get_running_loop().time()
        outcome = fakes.ok(call)
        outcome.started_s, outcome.finished_s, outcome.returned_s = now_s + 0.25, now_s + 0.75, now_s + 1.0
        return 1.0, outcome

    async def main():
        await asyncio.sleep(1000)
        runner = Runner("r1", fakes.Backend(deed, capacity=1), sink, Policy())
        await asyncio.sleep(5)
        runner.start_clock()
        await runner.run(fakes.one_stage(2))

    run_virtual(main())
    second = sink.of(Returned)[1]
    assert (second.started_s, second.finished_s, second.returned_s) == (1.25, 1.75, 2.0)
    assert [event.dispatched_s for event in sink.of(Dispatched)] == [0.0, 1.0]
    assert [event.queued_s for event in sink.of(Dispatched)] == [0.0, 0.0]


def test_a_response_at_time_zero_is_not_an_unknown_time(fakes, sink):
    def deed(call):
        outcome = fakes.ok(call)
        outcome.returned_s = 0.0
        return 3.0, outcome

    drive(fakes.Backend(deed), sink, fakes.one_stage(1))
    assert sink.of(Returned)[0].returned_s == 0.0


def test_unmeasured_fields_are_absent(fakes, sink):
    drive(fakes.Backend(), sink, fakes.one_stage(1))
    event = sink.of(Returned)[0]
    for name in ("started_s", "finished_s", "connect_ms", "init_ms", "fetch_ms", "compute_ms", "billed_ms", "cold"):
        assert getattr(event, name) is None, name


# -- failures


def test_a_failed_attempt_is_retried_as_often_as_the_policy_allows(fakes, sink):
    backend = fakes.Backend({1: [(1.0, fakes.failed())] * 2})
    answer, _ = drive(backend, sink, fakes.one_stage(3), Policy(retries=2))
    assert answer == [0, 1, 2]
    assert sorted(sink.statuses()) == ["error", "error", "ok", "ok", "ok"]
    assert [event.attempt for event in sink.of(Dispatched) if event.task == 1] == [0, 1, 2]
    sink.assert_whole()


def test_a_task_that_always_fails_fails_the_run_with_its_index_and_reason(fakes, sink):
    backend = fakes.Backend({1: [(1.0, fakes.failed(type_="OSError"))] * 9})
    with pytest.raises(RunFailed, match=r"^task 1 failed after 3 attempts: OSError: it went error$"):
        drive(backend, sink, fakes.one_stage(3), Policy(retries=2))
    sink.assert_whole()


def test_a_failure_that_is_not_retriable_fails_the_run_at_once(fakes, sink):
    backend = fakes.Backend({0: [(1.0, fakes.failed(type_="ValueError", retriable=False))]}, seconds=50)
    with pytest.raises(RunFailed, match=r"^task 0 failed: ValueError: it went error$"):
        drive(backend, sink, fakes.one_stage(8), Policy(retries=5))
    assert sorted(sink.statuses()) == ["cancelled"] * 3 + ["error"]  # capacity 4: its neighbours were abandoned
    sink.assert_whole()


def test_no_retries_means_one_attempt(fakes, sink):
    with pytest.raises(RunFailed, match="task 0 failed: Boom"):
        drive(fakes.Backend({0: [(1.0, fakes.failed())]}), sink, fakes.one_stage(1), Policy(retries=0))
    assert len(sink.of(Dispatched)) == 1


def test_a_missed_deadline_is_a_timeout_and_is_retried(fakes, sink):
    backend = fakes.Backend({0: [(1e9, Outcome())]})
    backend.start_allowance_s = 5.0
    answer, seconds = drive(backend, sink, fakes.one_stage(2), Policy(timeout_s=30.0, retries=1))
    assert answer == [0, 1]
    assert 35 <= seconds < 37
    first = next(event for event in sink.of(Returned) if event.status != "ok")
    assert (first.status, first.error.type, first.error.message) == (
        "timeout",
        "DeadlineExceeded",
        "no result within the deadline of 30 s",
    )
    assert backend.cancelled == 1  # the attempt that was given up does not run on
    sink.assert_whole()


def test_a_backend_that_breaks_down_ends_the_run_with_its_message_and_a_whole_record(fakes, sink):
    backend = fakes.Backend({2: [(1.0, BackendError("the workers cannot be started: no memory"))]})
    with pytest.raises(BackendError, match="no memory"):
        drive(backend, sink, fakes.one_stage(9))
    assert "error" in sink.statuses()
    sink.assert_whole()


def test_a_bug_in_a_backend_ends_the_run_in_one_line_and_a_whole_record(fakes, sink):
    backend = fakes.Backend({0: [(1.0, KeyError("lane"))]})
    with pytest.raises(RunFailed, match=r"^KeyError: 'lane'$"):
        drive(backend, sink, fakes.one_stage(9))
    broken = [event for event in sink.of(Returned) if event.status == "error"]
    assert [(event.error, event.environment) for event in broken] == [
        (ErrorInfo("KeyError", "'lane'", retriable=False), "e0")
    ]
    sink.assert_whole()


def test_neighbours_lost_with_a_replaced_worker_run_again_without_counting(fakes, sink):
    backend = fakes.Backend({0: [(1.0, fakes.sibling())] * 20})
    answer, seconds = drive(backend, sink, fakes.one_stage(1), Policy(retries=0))
    assert answer == [0]
    assert seconds == pytest.approx(21)  # at once: nothing is overloaded
    sink.assert_whole()


def test_a_task_that_is_lost_with_its_neighbours_for_ever_fails_the_run(fakes, sink):
    backend = fakes.Backend(lambda call: (1.0, fakes.sibling()))
    with pytest.raises(RunFailed, match="SiblingLost"):
        drive(backend, sink, fakes.one_stage(1))


# -- throttles


def test_throttles_lose_no_task_and_do_not_count_as_retries(fakes, sink):
    backend = fakes.Backend({number: [(0.01, fakes.throttled())] * 6 for number in range(50)}, capacity=50)
    answer, _ = drive(backend, sink, fakes.one_stage(50), Policy(retries=0))
    assert answer == list(range(50))
    assert sink.statuses().count("throttled") == 300
    sink.assert_whole()


def test_a_throttled_task_waits_ever_longer_with_jitter_up_to_a_cap():
    policy = Policy(backoff_base_s=0.1, backoff_cap_s=20.0)
    rng = random.Random(7)
    for failures in range(1, 60):
        ceiling = min(20.0, 0.1 * 2 ** (failures - 1))
        waits = [backoff_s(policy, failures, rng) for _ in range(200)]
        assert 0 <= min(waits) < 0.1 * ceiling
        assert 0.9 * ceiling < max(waits) <= ceiling


def test_the_service_may_ask_for_a_longer_wait_but_not_beyond_the_cap(fakes, sink):
    backend = fakes.Backend({0: [(0.0, fakes.throttled(after=7.0)), (0.0, fakes.throttled(after=3600.0))]})
    drive(backend, sink, fakes.one_stage(1), Policy(backoff_cap_s=20.0))
    moments = [moment for moment, _ in backend.calls]
    assert moments[1] - moments[0] == pytest.approx(7.0)
    assert moments[2] - moments[1] == pytest.approx(20.0)


def test_a_throttled_task_keeps_its_place_while_it_waits(fakes, sink):
    backend = fakes.Backend({0: [(0.0, fakes.throttled(after=15.0))]}, capacity=2)
    _, seconds = drive(backend, sink, fakes.one_stage(31))
    assert seconds == pytest.approx(23.0)  # 15 s with one place for the others, then two for the 16 that are left
    assert [event.task for event in sink.of(Dispatched)][:17] == [*range(16), 0]


def test_a_failed_task_leaves_its_place_to_others_while_it_waits(fakes, sink):
    policy = Policy(backoff_base_s=20.0, backoff_cap_s=20.0)
    backend = fakes.Backend({0: [(0.0, fakes.failed())]}, capacity=1)
    drive(backend, sink, fakes.one_stage(3), policy)
    assert [event.task for event in sink.of(Dispatched)] == [0, 1, 2, 0]


def test_a_task_that_is_always_throttled_fails_the_run_after_a_time(fakes, sink):
    backend = fakes.Backend(lambda call: (0.0, fakes.throttled()))

    async def main():
        runner = Runner("r1", backend, sink, Policy(timeout_s=100.0))
        with pytest.raises(RunFailed, match="all throttled for 400 s: TooManyRequestsException"):
            await runner.run(fakes.one_stage(2))
        return runner.elapsed_s

    assert 400 < run_virtual(main()) < 430
    sink.assert_whole()


def test_a_network_that_is_down_for_a_while_costs_no_attempt_and_no_place(fakes, sink):
    down_s = 20.0
    backend = fakes.Backend(
        lambda call: (0.01, fakes.unreached() if asyncio.get_running_loop().time() < down_s else fakes.ok(call)),
        capacity=10,
    )
    answer, seconds = drive(backend, sink, fakes.one_stage(30), Policy(retries=0))
    assert answer == list(range(30)) and down_s < seconds < 3 * down_s
    assert {event.task for event in sink.of(Dispatched) if event.dispatched_s < down_s} == set(range(10))
    assert {event.error.type for event in sink.of(Returned) if event.status == "error"} == {"Unreached"}
    sink.assert_whole()


def test_a_network_that_stays_down_fails_the_run_after_a_time(fakes, sink):
    backend = fakes.Backend(lambda call: (0.0, fakes.unreached()))
    with pytest.raises(RunFailed, match="never reached the service for 400 s: Unreached"):
        drive(backend, sink, fakes.one_stage(2), Policy(timeout_s=100.0))


def test_an_outage_of_the_service_is_waited_for_longer_than_a_task_s_own_failure(fakes, sink):
    waits = []
    for pause_s in (None, 1.0):
        backend = fakes.Backend(lambda call, s=pause_s: (0.0, fakes.failed(pause_s=s)), capacity=50)
        with pytest.raises(RunFailed):
            drive(backend, fakes.Sink(), fakes.one_stage(50), Policy(retries=5, keep_going=True))
        waits.append(max(moment for moment, _ in backend.calls))
    assert waits[1] == pytest.approx(10 * waits[0])


def test_a_task_can_be_throttled_for_long_while_others_are_accepted(fakes, sink):
    def deed(call):  # one at a time, 100 s each; the rest is turned away
        return (0.001, fakes.throttled()) if busy() else (100.0, fakes.ok(call))

    def busy():
        return backend.running > 1 and any(True for _ in sink.of(Dispatched))

    backend = fakes.Backend(deed, capacity=4)
    answer, seconds = drive(backend, sink, fakes.one_stage(30), Policy(timeout_s=150.0, retries=0))
    assert answer == list(range(30))
    assert seconds > 1000
    sink.assert_whole()


def test_an_hour_of_throttles_takes_a_moment_and_is_the_same_each_time(fakes):
    """A thousand tasks; the service takes ten a second."""

    def once(seed):
        taken = []

        def deed(call):
            now_s = asyncio.get_running_loop().time()
            while taken and taken[0] < now_s - 36.0:
                taken.pop(0)
            if len(taken) >= 10:
                return 0.001, fakes.throttled()
            taken.append(now_s)
            return 0.5, fakes.ok(call)

        sink = fakes.Sink()
        backend = fakes.Backend(deed, capacity=20)
        answer, seconds = drive(backend, sink, fakes.one_stage(1000), Policy(seed=seed))
        assert answer == list(range(1000))
        sink.assert_whole()
        return seconds, sink.as_json()

    first, again, other = once(1), once(1), once(2)
    assert first[0] >= 3564  # 1000 tasks, 10 every 36 s
    assert first == again
    assert first[1] != other[1]


# -- cancel and pause


def test_cancel_in_mid_stage_dispatches_nothing_more_and_records_what_was_running(fakes, sink):
    backend = fakes.Backend(capacity=3)

    async def during(runner):
        await asyncio.sleep(1.5)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(backend, sink, fakes.one_stage(30), during=during)
    assert sink.statuses() == ["ok"] * 3 + ["cancelled"] * 3
    assert backend.cancelled == 3 and backend.running == 0
    assert all(event.returned_s == pytest.approx(1.5) for event in sink.of(Returned)[3:])
    assert sorted(event.environment for event in sink.of(Returned)[3:]) == ["e0", "e1", "e2"]
    assert [event.environment for event in sorted(sink.of(Returned)[3:], key=lambda event: event.n)] == [
        event.environment for event in sink.of(Dispatched)[3:]
    ]
    assert sink.of(StageEnded) == []
    sink.assert_whole()


def test_cancel_while_tasks_wait_for_their_backoff_leaves_no_timer(fakes, sink):
    backend = fakes.Backend(lambda call: (0.0, fakes.throttled(after=19.0)))

    async def during(runner):
        await asyncio.sleep(5)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(backend, sink, fakes.one_stage(10), during=during)
    assert len(backend.calls) == 4
    sink.assert_whole()


def test_cancel_before_the_run_dispatches_nothing(fakes, sink):
    async def main():
        runner = Runner("r1", fakes.Backend(), sink, Policy())
        runner.cancel()
        await runner.run(fakes.one_stage(3))

    with pytest.raises(RunCancelled):
        run_virtual(main())
    assert sink.of(Dispatched) == []


async def test_cancel_while_the_job_itself_computes_is_heard_before_the_next_stage(fakes, sink):
    computing, go_on = threading.Event(), threading.Event()

    def job():
        yield fakes.tasks(2)
        computing.set()
        go_on.wait(30)
        yield fakes.tasks(2)

    runner = Runner("r1", fakes.Backend(seconds=0), sink, Policy(), offload=offload_to_thread)
    run = asyncio.ensure_future(runner.run(job()))
    await asyncio.to_thread(computing.wait, 30)
    runner.cancel()
    go_on.set()
    with pytest.raises(RunCancelled):
        await run
    assert len(sink.of(Dispatched)) == 2
    sink.assert_whole()


def test_an_outcome_that_comes_in_spite_of_a_cancel_is_recorded_and_changes_nothing(fakes, sink):
    class Stubborn(fakes.Backend):
        async def invoke(self, call):
            try:
                return await super().invoke(call)
            except asyncio.CancelledError:
                return fakes.throttled(after=10.0) if call.index % 2 else fakes.ok(call)

    async def during(runner):
        await asyncio.sleep(0.5)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(Stubborn(capacity=4), sink, fakes.one_stage(8), during=during)
    assert sorted(sink.statuses()) == ["ok", "ok", "throttled", "throttled"]
    sink.assert_whole()


def test_a_paused_run_finishes_what_runs_and_dispatches_again_when_resumed(fakes, sink):
    async def during(runner):
        await asyncio.sleep(0.5)
        runner.pause()
        await asyncio.sleep(99.5)
        assert len(sink.of(Dispatched)) == 2 and sink.statuses() == ["ok", "ok"]
        runner.resume()

    answer, seconds = drive(fakes.Backend(capacity=2), sink, fakes.one_stage(4), during=during)
    assert answer == [0, 1, 2, 3]
    assert seconds == pytest.approx(101)
    sink.assert_whole()


def test_a_retry_that_falls_due_while_paused_waits(fakes, sink):
    backend = fakes.Backend({0: [(0.0, fakes.throttled(after=2.0))]}, capacity=1)

    async def during(runner):
        await asyncio.sleep(1)
        runner.pause()
        await asyncio.sleep(49)
        runner.resume()

    answer, seconds = drive(backend, sink, fakes.one_stage(1), during=during)
    assert answer == [0]
    assert seconds == pytest.approx(51)


def test_a_paused_run_can_be_cancelled(fakes, sink):
    async def during(runner):
        runner.pause()
        await asyncio.sleep(10)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(fakes.Backend(capacity=2), sink, fakes.one_stage(4), during=during)
    assert sink.statuses() == ["ok", "ok"]


# -- jobs that are no jobs


@pytest.mark.parametrize("nonsense", [42, "tasks", [1, 2], None, (Task("a.b"),), {"a": 1}])
def test_a_job_must_yield_lists_of_tasks(fakes, sink, nonsense):
    def job():
        yield nonsense

    with pytest.raises(RunFailed, match="the job must yield lists of tasks"):
        drive(fakes.Backend(), sink, job())


@pytest.mark.parametrize(
    "error", [ValueError("bad merge"), RecursionError("deep"), SystemExit(3), StopAsyncIteration()]
)
def test_a_job_that_raises_fails_its_run_only(fakes, sink, error):
    def job():
        yield fakes.tasks(2)
        raise error

    with pytest.raises(RunFailed, match=f"the job itself failed: {type(error).__name__}"):
        drive(fakes.Backend(), sink, job())
    sink.assert_whole()


def test_a_job_that_is_no_generator_fails_its_run_in_one_line(fakes, sink):
    with pytest.raises(RunFailed, match="the job itself failed: TypeError"):
        drive(fakes.Backend(), sink, [fakes.tasks(2)])


def test_arguments_that_cannot_travel_fail_the_run_before_anything_is_dispatched(fakes, sink):
    def job():
        yield [Task("fake.task", x=object())]

    with pytest.raises(RunFailed, match="a task's arguments cannot be sent"):
        drive(fakes.Backend(), sink, job())
    assert sink.events == []


def test_a_result_that_cannot_be_read_fails_the_run(fakes, sink):
    backend = fakes.Backend({0: [(1.0, Outcome(result=b"\xc1"))]})
    with pytest.raises(RunFailed, match="a result cannot be read"):
        drive(backend, sink, fakes.one_stage(1))
    sink.assert_whole()


async def test_the_jobs_own_time_is_counted_apart_from_the_encoding(fakes, sink):
    runner = Runner("r1", fakes.Backend(seconds=0), sink, Policy(), offload=offload_to_thread)
    await runner.run(fakes.one_stage(50))
    assert runner.steps.merge_s > 0 and runner.steps.encode_s > 0 and runner.steps.decode_s > 0


def test_s3_requests_of_all_attempts_are_counted(fakes, sink):
    def deed(call):
        outcome = fakes.ok(call) if call.attempt else fakes.failed()
        outcome.s3_requests = {"put": 1, "get": 2}
        return 1.0, outcome

    drive(fakes.Backend(deed), sink, fakes.one_stage(3))
    assert sum(event.s3_put for event in sink.of(Returned)) == 6
    assert sum(event.s3_get for event in sink.of(Returned)) == 12


# -- a storm of faults

_DURATIONS = st.sampled_from([0.0, 0.001, 0.5, 1.0, 29.0])
_FAULTS = st.sampled_from(["error", "throttled", "asked", "sibling", "timeout", "hang", "swallowed"])
_STORM = st.lists(st.lists(st.tuples(_DURATIONS, _FAULTS), max_size=6), min_size=1, max_size=12)


def _storm_backend(fakes, storm, capacity):
    outcomes = {
        "error": fakes.failed,
        "throttled": fakes.throttled,
        "asked": lambda: fakes.throttled(after=3.0),
        "sibling": fakes.sibling,
        "timeout": lambda: fakes.failed("timeout", "DeadlineExceeded"),
        "hang": lambda: fakes.failed(),
        "swallowed": lambda: Outcome(result=encode(None)),  # a result, only not the usual one
    }
    script = {
        index: [(1e6 if fault == "hang" else seconds, outcomes[fault]()) for seconds, fault in faults]
        for index, faults in enumerate(storm)
    }
    return fakes.Backend(script, capacity=capacity)


@settings(max_examples=150, deadline=None)
@given(storm=_STORM, capacity=st.integers(1, 6), stages=st.integers(1, 3), seed=st.integers(0, 3))
def test_whatever_happens_no_task_is_lost_and_none_is_counted_twice(fakes, storm, capacity, stages, seed):
    sink = fakes.Sink()
    backend = _storm_backend(fakes, storm, capacity)

    def job():
        for _ in range(stages):
            results = yield fakes.tasks(len(storm))
        return results

    answer, _ = drive(backend, sink, job(), Policy(timeout_s=30.0, retries=6, seed=seed))
    for index, (result, faults) in enumerate(zip(answer, storm, strict=True)):
        assert result == (None if any(fault == "swallowed" for _, fault in faults) else index)
    sink.assert_whole()
    succeeded = [(event.stage, event.task) for event in sink.of(Dispatched) if _status_of(sink, event.n) == "ok"]
    assert sorted(succeeded) == [(stage, task) for stage in range(stages) for task in range(len(storm))]
    assert backend.most <= capacity and backend.running == 0
    for stage in range(stages):
        for task in range(len(storm)):
            attempts = [e.attempt for e in sink.of(Dispatched) if (e.stage, e.task) == (stage, task)]
            assert attempts == list(range(len(attempts)))


@settings(max_examples=60, deadline=None)
@given(storm=_STORM, capacity=st.integers(1, 6), after_s=st.floats(0, 40), retries=st.integers(0, 2))
def test_a_cancel_in_any_moment_of_a_storm_leaves_a_whole_record(fakes, storm, capacity, after_s, retries):
    sink = fakes.Sink()
    backend = _storm_backend(fakes, storm, capacity)

    async def during(runner):
        await asyncio.sleep(after_s)
        runner.cancel()

    with contextlib.suppress(RunCancelled, RunFailed):
        drive(backend, sink, fakes.one_stage(len(storm)), Policy(timeout_s=30.0, retries=retries), during=during)
    sink.assert_whole()
    assert backend.running == 0


def _status_of(sink, n):
    return next(event.status for event in sink.of(Returned) if event.n == n)
