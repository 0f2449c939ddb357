"""What the journal holds of an attempt, and what its backend gets: each field, and the order of both. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lbench.engine.backends.base import Failure, Outcome
from lbench.engine.journal.events import Dispatched, Returned, StageEnded, StageStarted
from lbench.engine.model import ErrorInfo
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.encoding import encode
from lbench.workloads.functions import BATCH
from lbench.workloads.model import StageResults, Task

MEASURES: dict[str, Any] = {
    "connect_ms": 1.0,
    "init_ms": 2.0,
    "fetch_ms": 3.0,
    "compute_ms": 4.0,
    "billed_ms": 5,
    "billed_source": "report",
    "memory_mb": 6,
    "max_memory_mb": 7,
    "request_bytes": 8,
    "response_bytes": 9,
    "via_s3": True,
    "peak_rss_mb": 10,
    "printed_bytes": 11,
}


@pytest.fixture
def sink(fakes: Any) -> Any:
    return fakes.Sink()


def drive(backend: Any, sink: Any, job: Any, policy: Policy | None = None, during: Any = None, **options: Any) -> Any:
    """Run a job 100 s after its loop began; returns the answer and the runner."""

    async def main() -> Any:
        await asyncio.sleep(100)
        runner = Runner("r1", backend, sink, policy or Policy(backoff_base_s=0.0), **options)
        beside = None if during is None else asyncio.ensure_future(during(runner))
        try:
            return await runner.run(job), runner
        finally:
            if beside is not None:
                await beside

    return run_virtual(main())


def returned(n: int, status: Any, at_s: float, **more: Any) -> Returned:
    """The end of an attempt of which the backend measured nothing."""
    return Returned("r1", n, status, at_s, "e0", via_s3=False, **more)


def two_stages(fakes: Any) -> Any:
    yield fakes.tasks(1)
    return (yield fakes.tasks(2))


def test_all_that_a_backend_measured_is_recorded_from_the_run_s_zero(fakes: Any, sink: Any) -> None:
    def deed(call: Any) -> Any:
        outcome = Outcome(result=encode(1), environment="mine", cold=True, **MEASURES)
        outcome.s3_requests, outcome.s3_bytes, outcome.request_id = {"put": 1, "get": 2}, 12, "id"
        outcome.started_s, outcome.finished_s, outcome.returned_s = 100.25, 100.75, 101.5
        return 2.0, outcome

    drive(fakes.Backend(deed), sink, fakes.one_stage(1))
    assert sink.of(Returned) == [
        Returned(
            run="r1",
            n=0,
            status="ok",
            returned_s=1.5,
            environment="mine",
            cold=True,
            started_s=0.25,
            finished_s=0.75,
            s3_put=1,
            s3_get=2,
            s3_bytes=12,
            request_id="id",
            **MEASURES,
        )
    ]


def test_the_record_of_a_run_with_a_retry_is_complete(fakes: Any, sink: Any) -> None:
    failure = Failure("error", "Boom", "it went wrong", True, log_tail="a line", unrun=True)
    backend = fakes.Backend({1: [(0.5, Outcome(failure=failure))]}, capacity=1)
    drive(backend, sink, two_stages(fakes))
    assert sink.events == [
        StageStarted("r1", 0, 1, 0.0),
        Dispatched("r1", 0, 0, 0, 0, 0.0, 0.0, "e0"),
        returned(0, "ok", 1.0),
        StageEnded("r1", 0, 1.0),
        StageStarted("r1", 1, 2, 1.0),
        Dispatched("r1", 1, 1, 0, 0, 1.0, 1.0, "e0"),
        Dispatched("r1", 2, 1, 1, 0, 1.0, 2.0, "e0"),
        returned(1, "ok", 2.0),
        returned(2, "error", 2.5, log_tail="a line", error=ErrorInfo("Boom", "it went wrong", True, True)),
        Dispatched("r1", 3, 1, 1, 1, 2.5, 2.5, "e0"),
        returned(3, "ok", 3.5),
        StageEnded("r1", 1, 3.5),
    ]


def test_a_stage_has_its_own_time_and_the_places_that_the_policy_leaves_it(fakes: Any, sink: Any) -> None:
    def job() -> Any:
        yield fakes.tasks(1)
        return (yield fakes.tasks(4))

    found, _ = drive(fakes.Backend(capacity=8), sink, job(), Policy(concurrency=2))
    assert isinstance(found, StageResults)
    assert (found.elapsed_s, found.places, found.task_s, found.overhead_s) == (2.0, 2, None, None)


def test_a_backend_gets_each_call_with_its_number_its_deadline_and_the_run_s_name(fakes: Any, sink: Any) -> None:
    limits = []

    def deed(call: Any) -> Any:
        limits.append(call.limit.when() - asyncio.get_running_loop().time())
        return 1.0, fakes.failed() if (call.stage, call.index, call.attempt) == (1, 1, 0) else fakes.ok(call)

    backend = fakes.Backend(deed, capacity=1)
    backend.start_allowance_s = 5.0
    drive(backend, sink, two_stages(fakes), Policy(timeout_s=30.0, backoff_base_s=0.0))
    calls = [call for _, call in backend.calls]
    assert [(call.stage, call.index, call.attempt, call.number) for call in calls] == [
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (1, 1, 0, 2),
        (1, 1, 1, 3),
    ]
    assert [call.task for call in calls] == [encode(["fake.task", {"x": number}]) for number in (0, 0, 1, 1)]
    assert limits == [35.0] * 4  # what an environment may take to start is added
    for call in calls:
        assert (call.run, call.deadline_s, call.interactive, call.begin) == ("r1", 30.0, False, None)
        assert call.may_wait is False and call.detached is None
        assert call.may_fetch(10**12)


def test_a_batch_is_recorded_with_the_number_of_its_tasks(fakes: Any, sink: Any) -> None:
    def job() -> Any:
        yield [Task(BATCH, calls=[["fake.task", {}]] * 3, store=None), Task("fake.task", x=1)]

    drive(fakes.Backend(), sink, job())
    assert [event.batch for event in sink.of(Returned)] == [3, None]


@pytest.mark.parametrize(
    ("colds", "places", "cold"),
    [
        ([None, None], 2, None),
        ([True, True], 2, True),
        ([True, False], 2, False),
        ([False, True], 2, False),
        ([False], 1, False),
        ([True, None], 2, False),  # of one of two environments nobody knows
        ([True, False], 1, True),  # its second call in the environment that was new
    ],
)
def test_a_run_is_cold_where_all_its_environments_were_new(
    fakes: Any, sink: Any, colds: list[bool | None], places: int, cold: bool | None
) -> None:
    def deed(call: Any) -> Any:
        outcome = fakes.ok(call)
        outcome.environment, outcome.cold = f"e{call.index % places}", colds[call.index]
        return 1.0, outcome

    _, runner = drive(fakes.Backend(deed, capacity=places), sink, fakes.one_stage(len(colds)))
    assert runner.attempts.cold is cold
    assert runner.attempts.environments == {f"e{number}" for number in range(places)}
    assert [event.cold for event in sink.of(Returned)] == colds


def test_an_environment_that_is_known_late_replaces_nothing_that_was_placed(fakes: Any, sink: Any) -> None:
    def deed(call: Any) -> Any:
        outcome = fakes.ok(call)
        outcome.environment = "other"
        return 1.0, outcome

    _, runner = drive(fakes.Backend(deed), sink, fakes.one_stage(1))
    assert [event.environment for event in sink.events if isinstance(event, Dispatched | Returned)] == ["e0", "other"]
    assert runner.attempts.environments == {"e0", "other"}


def test_the_next_call_goes_out_before_the_last_one_is_recorded(fakes: Any, sink: Any) -> None:
    """The driver's record of one call costs the next one no time."""
    backend = fakes.Backend(capacity=1)
    drive(backend, sink, fakes.one_stage(3))
    order = [(type(event).__name__, event.n) for event in sink.events if isinstance(event, Dispatched | Returned)]
    assert order == [
        ("Dispatched", 0),
        ("Dispatched", 1),
        ("Returned", 0),
        ("Dispatched", 2),
        ("Returned", 1),
        ("Returned", 2),
    ]
    assert backend.most == 1


def test_a_result_that_came_with_the_failure_of_another_task_is_a_result(fakes: Any, sink: Any) -> None:
    """The stage's end cancels what is in flight; a call that has its result is only being recorded."""
    script = {0: [(1.0, fakes.failed(retriable=False))]}
    with pytest.raises(RunFailed):
        drive(fakes.Backend(script, capacity=2), sink, fakes.one_stage(2))
    assert sink.statuses() == ["error", "ok"]
    sink.assert_whole()


def test_each_result_is_handed_on_once_with_its_stage_and_task(fakes: Any, sink: Any) -> None:
    seen: list[Any] = []
    drive(
        fakes.Backend({1: [(0.5, fakes.failed())]}, capacity=1),
        sink,
        two_stages(fakes),
        on_result=lambda stage, index, task, result: seen.append((stage, index, task.arguments, result)),
    )
    assert seen == [(0, 0, {"x": 0}, encode(0)), (1, 0, {"x": 0}, encode(0)), (1, 1, {"x": 1}, encode(1))]


def test_a_failure_that_is_itself_the_result_ends_the_task(fakes: Any, sink: Any) -> None:
    failed = fakes.failed()
    failed.result = encode("an error is what was to be measured")
    answer, _ = drive(fakes.Backend({0: [(1.0, failed)]}), sink, fakes.one_stage(1), Policy(retries=5))
    assert answer == ["an error is what was to be measured"] and sink.statuses() == ["error"]


def test_a_sample_that_its_backend_discards_is_superseded(fakes: Any, sink: Any) -> None:
    def deed(call: Any) -> Any:
        outcome = fakes.ok(call)
        outcome.discarded = True
        return 1.0, outcome

    answer, _ = drive(fakes.Backend(deed), sink, fakes.one_stage(1))
    assert answer == [0] and sink.statuses() == ["superseded"]


def test_a_cancel_is_recorded_at_its_time_and_says_so(fakes: Any, sink: Any) -> None:
    async def during(runner: Runner) -> None:
        await asyncio.sleep(0.5)
        runner.cancel()

    with pytest.raises(RunCancelled, match=r"^the run was cancelled$"):
        drive(fakes.Backend(capacity=1), sink, fakes.one_stage(2), during=during)
    assert sink.of(Returned) == [Returned("r1", 0, "cancelled", 0.5, "e0")]


def test_a_cancel_before_the_run_says_so_too(fakes: Any, sink: Any) -> None:
    async def main() -> None:
        runner = Runner("r1", fakes.Backend(), sink, Policy())
        runner.resume()  # nothing to dispatch yet
        runner.cancel()
        await runner.run(fakes.one_stage(3))

    with pytest.raises(RunCancelled, match=r"^the run was cancelled$"):
        run_virtual(main())
    assert sink.events == []


def test_a_cancel_while_the_job_makes_tasks_dispatches_none_of_them(fakes: Any, sink: Any) -> None:
    runners: list[Runner] = []

    async def main() -> None:
        runners.append(Runner("r1", fakes.Backend(), sink, Policy()))
        await runners[0].run(job())

    def job() -> Any:
        yield fakes.tasks(1)
        runners[0].cancel()
        yield fakes.tasks(1)

    with pytest.raises(RunCancelled):
        run_virtual(main())
    assert len(sink.of(Dispatched)) == 1


def test_a_backend_that_grows_gets_more_calls_at_once(fakes: Any, sink: Any) -> None:
    class Growing(fakes.Backend):  # type: ignore[misc,name-defined]
        workers = 1

        def on_growth(self) -> None:
            """Replaced by the runner."""

        def worker_seconds(self, since_s: float, until_s: float) -> float:
            return until_s - since_s

    backend = Growing(capacity=1)

    async def during(runner: Runner) -> None:
        await asyncio.sleep(0.5)
        backend.capacity = 4
        backend.on_growth()

    drive(backend, sink, fakes.one_stage(8), during=during)
    assert backend.most == 4
    assert [event.dispatched_s for event in sink.of(Dispatched)] == [0.0, 0.5, 0.5, 0.5, 1.0, 1.5, 1.5, 1.5]


def test_no_place_is_taken_while_a_run_is_paused_even_where_one_ends(fakes: Any, sink: Any) -> None:
    async def during(runner: Runner) -> None:
        await asyncio.sleep(1.5)
        runner.pause()
        await asyncio.sleep(8.5)
        runner.resume()

    drive(fakes.Backend(capacity=2), sink, fakes.one_stage(5), during=during)
    assert [event.dispatched_s for event in sink.of(Dispatched)] == [0.0, 0.0, 1.0, 1.0, 10.0]


@pytest.mark.parametrize("error", [OSError("broken"), SystemError()])
def test_a_bug_in_a_backend_is_named_with_its_type(fakes: Any, sink: Any, error: Exception) -> None:
    with pytest.raises(RunFailed) as caught:
        drive(fakes.Backend({0: [(1.0, error)]}, capacity=1), sink, fakes.one_stage(2))
    assert str(caught.value) == f"{type(error).__name__}: {error}"
    assert sink.of(Returned) == [returned(0, "error", 1.0, error=ErrorInfo(type(error).__name__, str(error), False))]


@pytest.mark.parametrize(("log_tail", "recorded"), [(None, "fit(degree=3)\n"), ("a line", "fit(degree=3)\na line")])
def test_the_log_of_a_failed_call_of_the_users_own_begins_with_the_call(
    fakes: Any, sink: Any, log_tail: str | None, recorded: str
) -> None:
    def job() -> Any:
        yield [Task("mine:fit", degree=3)]

    failed = Outcome(failure=Failure("error", "Boom", "no", False, log_tail=log_tail))
    with pytest.raises(RunFailed):
        drive(fakes.Backend({0: [(1.0, failed)]}), sink, job())
    assert [event.log_tail for event in sink.of(Returned)] == [recorded]
