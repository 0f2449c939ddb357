"""Hedging in virtual time: a straggler is issued once more, and the first answer wins."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.journal.events import Dispatched, Returned
from lbench.engine.plan.policy import Policy, most_hedges
from lbench.engine.runner.hedging import Hedger
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.model import Task


def drive(backend, sink, job, policy, during=None):
    async def main():
        runner = Runner("r1", backend, sink, policy)
        beside = None if during is None else asyncio.ensure_future(during(runner))
        try:
            return await runner.run(job), runner.elapsed_s
        finally:
            assert runner._stage is None or not (runner._stage._in_flight or runner._stage._timers)
            if beside is not None:
                await beside

    return run_virtual(main())


HEDGED = Policy(hedge=0.95, retries=0)


@pytest.fixture
def sink(fakes):
    return fakes.Sink()


def hedges(sink):
    return [event for event in sink.of(Dispatched) if event.hedge_of is not None]


def test_a_straggler_gets_a_duplicate_and_the_first_answer_wins(fakes, sink):
    backend = fakes.Backend({7: [(100.0, fakes.ok_as("late")), (1.0, fakes.ok_as("double"))]}, capacity=20)
    answer, seconds = drive(backend, sink, fakes.one_stage(20), HEDGED)
    assert answer == [*range(7), "double", *range(8, 20)]
    assert seconds == pytest.approx(2.0, abs=0.01)  # from the moment at which it was longer under way than the others
    double = hedges(sink)[0]
    straggler = next(event for event in sink.of(Dispatched) if event.task == 7 and event.hedge_of is None)
    assert (double.hedge_of, double.task, double.attempt) == (straggler.n, 7, 1)
    ends = {event.n: event.status for event in sink.of(Returned)}
    assert (ends[double.n], ends[straggler.n]) == ("ok", "superseded")
    assert backend.cancelled == 1
    sink.assert_whole()


def test_the_duplicate_is_superseded_when_the_straggler_wins(fakes, sink):
    backend = fakes.Backend({7: [(2.5, fakes.ok_as("first")), (50.0, fakes.ok_as("double"))]}, capacity=20)
    answer, _ = drive(backend, sink, fakes.one_stage(20), HEDGED)
    assert answer[7] == "first"
    assert Counter(sink.statuses()) == {"ok": 20, "superseded": 1}
    sink.assert_whole()


def test_a_late_straggler_is_recorded_as_superseded_with_its_bill(fakes, sink):
    late = fakes.ok_as("late")
    late.billed_ms = 4000
    script = {7: [(9.0, late), (1.0, fakes.ok_as("double"))]}
    answer, _ = drive(fakes.Backend(script, capacity=3), sink, fakes.one_stage(30), HEDGED)
    assert answer[7] == "double"
    loser = next(event for event in sink.of(Returned) if event.status == "superseded")
    assert loser.billed_ms == 4000
    sink.assert_whole()


def test_hedging_waits_for_five_results_and_half_of_the_stage(fakes, sink):
    backend = fakes.Backend(lambda call: (1.0 if call.index < 9 else 30.0, fakes.ok(call)), capacity=20)
    drive(backend, sink, fakes.one_stage(20), HEDGED)
    assert not hedges(sink)
    few = fakes.Sink()
    backend = fakes.Backend(lambda call: (1.0 if call.index else 30.0, fakes.ok(call)), capacity=20)
    drive(backend, few, fakes.one_stage(5), HEDGED)
    assert not hedges(few)


def test_without_a_quantile_there_is_no_hedging(fakes, sink):
    backend = fakes.Backend({7: [(100.0, fakes.ok_as("late"))]}, capacity=20)
    _, seconds = drive(backend, sink, fakes.one_stage(20), Policy())
    assert seconds == pytest.approx(100) and not hedges(sink)


def test_tasks_of_equal_length_are_not_hedged(fakes, sink):
    drive(fakes.Backend(capacity=7), sink, fakes.one_stage(100), Policy(hedge=0.5))
    assert not hedges(sink)


def test_at_most_one_task_in_twenty_is_hedged(fakes, sink):
    backend = fakes.Backend(lambda call: (1.0 if call.index < 60 else 30.0, fakes.ok(call)), capacity=100)
    drive(backend, sink, fakes.one_stage(100), HEDGED)
    assert len(hedges(sink)) == 5


def test_a_failed_duplicate_leaves_the_task_to_the_straggler(fakes, sink):
    script = {7: [(9.0, fakes.ok_as("first")), (0.5, fakes.failed(retriable=False))]}
    answer, seconds = drive(fakes.Backend(script, capacity=20), sink, fakes.one_stage(20), HEDGED)
    assert answer[7] == "first" and seconds == pytest.approx(9)
    sink.assert_whole()


def test_a_failed_straggler_leaves_the_task_to_its_duplicate(fakes, sink):
    script = {7: [(1.5, fakes.failed(retriable=False)), (3.0, fakes.ok_as("double"))]}
    answer, _ = drive(fakes.Backend(script, capacity=20), sink, fakes.one_stage(20), HEDGED)
    assert answer[7] == "double"
    sink.assert_whole()


def test_a_task_whose_two_attempts_fail_is_retried(fakes, sink):
    script = {7: [(1.5, fakes.failed()), (3.0, fakes.failed()), (0.1, fakes.ok_as("third"))]}
    answer, _ = drive(fakes.Backend(script, capacity=20), sink, fakes.one_stage(20), Policy(hedge=0.95, retries=1))
    assert answer[7] == "third"
    with pytest.raises(RunFailed, match="task 7 failed after 2 attempts"):
        drive(fakes.Backend(script, capacity=20), fakes.Sink(), fakes.one_stage(20), HEDGED)


def test_a_duplicate_waits_for_a_place_and_goes_before_new_tasks(fakes, sink):
    backend = fakes.Backend({0: [(1000.0, fakes.ok_as("late"))]}, capacity=2)
    drive(backend, sink, fakes.one_stage(40), HEDGED)
    assert backend.most == 2
    double = hedges(sink)[0]
    assert double.task == 0 and double.n < 39  # new tasks were still waiting
    assert sink.statuses().count("superseded") == 1


def test_no_duplicate_is_sent_while_the_run_is_paused(fakes, sink):
    backend = fakes.Backend({7: [(30.0, fakes.ok_as("first"))]}, capacity=20)

    async def during(runner):
        await asyncio.sleep(0.5)
        runner.pause()
        await asyncio.sleep(20)
        assert not hedges(sink)
        runner.resume()

    answer, seconds = drive(backend, sink, fakes.one_stage(20), HEDGED, during)
    assert seconds == pytest.approx(21.5)
    assert len(hedges(sink)) == 1 and answer[7] == 7


def test_a_cancel_records_straggler_and_duplicate(fakes, sink):
    backend = fakes.Backend({7: [(1e3, fakes.ok_as("a")), (1e3, fakes.ok_as("b"))]}, capacity=20)

    async def during(runner):
        await asyncio.sleep(5)
        runner.cancel()

    with pytest.raises(RunCancelled):
        drive(backend, sink, fakes.one_stage(20), HEDGED, during)
    assert sink.statuses().count("cancelled") == 2
    sink.assert_whole()


def test_the_durations_of_one_stage_do_not_count_in_the_next(fakes, sink):
    def job():
        yield [Task("fake.task", x=number) for number in range(20)]
        return (yield [Task("fake.task", x=number) for number in range(20)])

    def deed(call):
        return (1.0 if call.stage == 0 else 10.0), fakes.ok(call)

    drive(fakes.Backend(deed, capacity=20), sink, job(), HEDGED)
    assert not hedges(sink)


@st.composite
def worlds(draw):
    count = draw(st.integers(1, 80))
    capacity = draw(st.integers(1, 30))
    seed = draw(st.integers(0, 2**32))
    faults = draw(st.sampled_from([0.0, 0.1, 0.4]))
    slow = draw(st.sampled_from([0.0, 0.05, 0.5]))
    return count, capacity, seed, faults, slow, draw(st.sampled_from([0.5, 0.9, 0.95, 0.99]))


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_each_task_counts_once_and_at_most_five_per_cent_are_hedged(fakes, world):
    count, capacity, seed, faults, slow, quantile = world
    import random

    rng = random.Random(seed)

    def deed(call):
        seconds = rng.uniform(0.5, 1.5) * (rng.uniform(3, 50) if rng.random() < slow else 1)
        if rng.random() < faults:
            return seconds, rng.choice([fakes.failed(), fakes.throttled(), fakes.sibling()])
        return seconds, fakes.ok(call)

    sink = fakes.Sink()
    seen = []

    async def main():
        runner = Runner(
            "r1",
            fakes.Backend(deed, capacity=capacity),
            sink,
            Policy(hedge=quantile, retries=50, timeout_s=900),
            on_result=lambda stage, index, task, result: seen.append((stage, index)),
        )

        def job():
            first = yield fakes.tasks(count)
            second = yield fakes.tasks(count // 2)
            return first, second

        return await runner.run(job())

    first, second = run_virtual(main())
    assert first == list(range(count)) and second == list(range(count // 2))
    sink.assert_whole()
    wanted = [(0, index) for index in range(count)] + [(1, index) for index in range(count // 2)]
    assert sorted(seen) == wanted
    tasks = {event.n: (event.stage, event.task) for event in sink.of(Dispatched)}
    won = [tasks[event.n] for event in sink.of(Returned) if event.status == "ok"]
    assert sorted(won) == wanted
    doubled = [(event.stage, event.task) for event in hedges(sink)]
    assert len(set(doubled)) == len(doubled)
    assert len(doubled) <= max(1, (count + count // 2) // 20)
    for stage, size in ((0, count), (1, count // 2)):
        assert sum(one[0] == stage for one in doubled) <= max(1, size // 20)
    ends = {event.n: event for event in sink.of(Returned)}
    begins = {event.n: event for event in sink.of(Dispatched)}
    for double in hedges(sink):
        straggler = begins[double.hedge_of]
        assert (straggler.stage, straggler.task) == (double.stage, double.task)
        assert straggler.dispatched_s < double.dispatched_s < ends[straggler.n].returned_s
        returned = sum(
            end.status == "ok" and begins[end.n].stage == double.stage and end.returned_s <= double.dispatched_s
            for end in ends.values()
        )
        assert returned >= max(5, (count if double.stage == 0 else count // 2) / 2)


@given(st.lists(st.floats(0.001, 1e4), min_size=5, max_size=300), st.floats(0.5, 0.999))
def test_the_straggler_limit_is_the_quantile_of_the_durations(durations, quantile):
    hedger = Hedger(quantile)
    hedger.begin_stage(2 * len(durations))
    for duration in durations:
        hedger.returned(duration)
    limit = hedger.limit_s
    assert limit in durations
    assert sum(duration <= limit for duration in durations) >= quantile * len(durations) - 1e-9


@pytest.mark.parametrize(("tasks", "most"), [(1, 1), (19, 1), (20, 1), (39, 1), (40, 2), (100, 5), (100_000, 5000)])
def test_at_most_five_per_cent_are_hedged_and_at_least_one(tasks, most):
    assert most_hedges(tasks) == most


# -- the moments of a duplicate, to the millisecond


def slow_seventh(fakes, seconds=100.0, **outcome):
    """20 tasks of 1 s at once, of which the seventh takes longer."""

    def deed(call):
        found = fakes.ok(call)
        for name, value in outcome.items():
            setattr(found, name, value)
        return (seconds if call.index == 7 and not call.attempt else 1.0), found

    return fakes.Backend(deed, capacity=20)


def test_a_duplicate_goes_out_a_millisecond_after_the_quantile_was_passed(fakes, sink):
    _, seconds = drive(slow_seventh(fakes), sink, fakes.one_stage(20), HEDGED)
    (double,) = hedges(sink)
    assert (double.queued_s, double.dispatched_s) == (pytest.approx(1.001, abs=1e-9), pytest.approx(1.001, abs=1e-9))
    assert seconds == pytest.approx(2.001, abs=1e-9)


def test_a_task_that_returns_within_that_millisecond_gets_no_duplicate(fakes, sink):
    drive(slow_seventh(fakes, 1.0005), sink, fakes.one_stage(20), HEDGED)
    assert not hedges(sink)


def test_the_time_to_fetch_a_result_is_no_part_of_a_duration(fakes, sink):
    drive(slow_seventh(fakes, collected_s=0.75), sink, fakes.one_stage(20), HEDGED)
    (double,) = hedges(sink)
    assert double.dispatched_s == 1.0  # it was a straggler after 0.251 s, which is known from the tenth result on


def test_a_call_that_has_ended_and_fetches_its_result_gets_no_duplicate(fakes, sink):
    def deed(call):
        if call.index == 7:
            call.arrived()
        return (9.0 if call.index == 7 else 1.0), fakes.ok(call)

    drive(fakes.Backend(deed, capacity=20), sink, fakes.one_stage(20), HEDGED)
    assert not hedges(sink)


def test_the_limit_falls_when_later_tasks_are_quicker(fakes, sink):
    """12 tasks of 10 s, then 11 of 0.1 s: the 45 % quantile falls from 10 s to 0.1 s while one task is under way."""

    def deed(call):
        if call.index == 12 and not call.attempt:
            return 100.0, fakes.ok(call)
        return (10.0 if call.index < 12 else 0.1), fakes.ok(call)

    drive(fakes.Backend(deed, capacity=12), sink, fakes.one_stage(24), Policy(hedge=0.45))
    (double,) = hedges(sink)
    assert (double.task, double.dispatched_s) == (12, pytest.approx(10.101, abs=1e-9))


def test_an_attempt_that_begins_later_is_watched_from_its_own_start(fakes, sink):
    def deed(call):
        return (50.0 if call.index == 25 and not call.attempt else 1.0), fakes.ok(call)

    drive(fakes.Backend(deed, capacity=2), sink, fakes.one_stage(40), Policy(hedge=0.95))
    (double,) = hedges(sink)
    begun = next(event for event in sink.of(Dispatched) if event.task == 25)
    assert (begun.dispatched_s, double.task, double.queued_s) == (12.0, 25, pytest.approx(13.001, abs=1e-9))
    assert double.dispatched_s == 14.0  # the next free place


def test_a_duplicate_that_found_no_place_in_time_is_not_counted(fakes, sink):
    """A task returns while its duplicate waits: the only duplicate of the stage is there for a later straggler."""

    def deed(call):
        if call.index == 0:
            return 10.5, fakes.ok(call)
        return (60.0 if call.index == 15 and not call.attempt else 1.0), fakes.ok(call)

    drive(fakes.Backend(deed, capacity=2), sink, fakes.one_stage(20), HEDGED)
    assert [event.task for event in hedges(sink)] == [15]
    assert Counter(sink.statuses()) == {"ok": 20, "superseded": 1}


def test_a_stage_has_duplicates_of_its_own_within_those_of_the_run(fakes, sink):
    def job():
        yield fakes.tasks(20)
        return (yield fakes.tasks(20))

    def deed(call):
        return (30.0 if call.index == 7 and not call.attempt else 1.0), fakes.ok(call)

    _, seconds = drive(fakes.Backend(deed, capacity=20), sink, job(), HEDGED)
    assert [(event.stage, event.dispatched_s) for event in hedges(sink)] == [
        (0, pytest.approx(1.001, abs=1e-9)),
        (1, pytest.approx(3.002, abs=1e-9)),
    ]
    assert seconds == pytest.approx(4.002, abs=1e-9)


def test_two_stages_of_ten_share_one_duplicate(fakes, sink):
    def job():
        yield fakes.tasks(10)
        return (yield fakes.tasks(10))

    def deed(call):
        return (30.0 if call.index == 7 and not call.attempt else 1.0), fakes.ok(call)

    _, seconds = drive(fakes.Backend(deed, capacity=20), sink, job(), HEDGED)
    assert [event.stage for event in hedges(sink)] == [0]
    assert seconds == pytest.approx(2.001 + 30, abs=1e-9)


def test_a_straggler_that_failed_may_be_tried_again_and_is_not_hedged_twice(fakes, sink):
    script = {7: [(2.5, fakes.failed()), (0.5, fakes.failed()), (30.0, fakes.ok_as("third"))]}
    policy = Policy(hedge=0.95, retries=3, backoff_base_s=0.0)
    answer, seconds = drive(fakes.Backend(script, capacity=20), sink, fakes.one_stage(20), policy)
    assert answer[7] == "third" and len(hedges(sink)) == 1
    assert seconds == pytest.approx(32.5, abs=1e-9)


def test_the_quantile_is_computed_again_after_two_per_cent_more_durations():
    hedger = Hedger(0.5)
    hedger.begin_stage(400)
    for _ in range(199):
        hedger.returned(1.0)
        assert hedger.limit_s is None
    hedger.returned(1.0)
    assert hedger.limit_s == 1.0
    for _ in range(3):
        hedger.returned(0.5)
        assert hedger.limit_s == 1.0  # the next is at 204
    hedger.returned(0.5)
    limits = []
    for _ in range(300):
        limits.append(hedger.limit_s)
        hedger.returned(0.5)
    assert limits[-1] == 0.5 and limits.index(0.5) in range(
        190, 206
    )  # as many quick ones as slow ones, give or take 2 %


def test_a_small_stage_computes_its_quantile_with_each_duration():
    hedger = Hedger(0.95)
    hedger.begin_stage(10)
    found = []
    for duration in (5.0, 4.0, 3.0, 2.0, 1.0, 6.0, 7.0):
        hedger.returned(duration)
        found.append(hedger.limit_s)
    assert found == [None, None, None, None, 5.0, 6.0, 7.0]


def test_issued_duplicates_are_counted_for_the_stage_and_for_the_run():
    hedger = Hedger(0.95)
    hedger.begin_stage(40)
    assert not hedger.spent
    hedger.issued()
    assert not hedger.spent
    hedger.issued()
    assert hedger.spent
    hedger.withdrawn()
    assert not hedger.spent
    hedger.issued()
    hedger.begin_stage(19)  # 59 tasks may have 2
    assert hedger.spent
    hedger.begin_stage(1)  # 60 may have 3, and each stage one
    assert not hedger.spent
    hedger.issued()
    assert hedger.spent
