"""A task that failed for good: the run stops there, or its stage is run to its end first. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from lbench.engine.backends.base import Call, Failure, Outcome
from lbench.engine.journal.events import Returned, StageStarted
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.failure_text import failures_line
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import Runner
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.model import Task


def failing(fakes: Any, *indices: int, retriable: bool = False) -> Any:
    def deed(call: Call) -> tuple[float, Outcome]:
        return (1.0, fakes.failed(retriable=retriable) if call.index in indices else fakes.ok(call))

    return fakes.Backend(deed, capacity=2)


def outcome_of(backend: Any, sink: Any, job: Any, **policy: Any) -> str:
    async def main() -> str:
        runner = Runner("r1", backend, sink, Policy(**policy))
        with pytest.raises(RunFailed) as caught:
            await runner.run(job)
        assert runner._stage is None or not (runner._stage._in_flight or runner._stage._timers)
        return str(caught.value)

    return run_virtual(main())


def test_a_run_stops_at_its_first_failure_unless_it_keeps_going(fakes: Any) -> None:
    first, second = fakes.Sink(), fakes.Sink()
    assert outcome_of(failing(fakes, 1), first, fakes.one_stage(6)) == "task 1 failed: Boom: it went error"
    assert sorted(first.statuses()) == ["cancelled", "error", "ok"]  # the third took the place of the one that was ok
    message = outcome_of(failing(fakes, 1), second, fakes.one_stage(6), keep_going=True)
    assert message == "1 of 6 tasks failed: task 1 failed: Boom: it went error"
    assert sorted(second.statuses()) == ["error"] + ["ok"] * 5
    second.assert_whole()


def test_the_error_counts_failed_tasks_and_names_the_first(fakes: Any) -> None:
    sink = fakes.Sink()
    message = outcome_of(failing(fakes, 0, 3, 5, retriable=True), sink, fakes.one_stage(6), keep_going=True, retries=1)
    assert message.startswith("3 of 6 tasks failed; the first to fail: task ") and "after 2 attempts" in message
    assert sorted(sink.statuses()) == ["error"] * 6 + ["ok"] * 3


def test_no_stage_follows_one_with_a_failed_task(fakes: Any) -> None:
    def job() -> Any:
        yield fakes.tasks(2)
        yield fakes.tasks(2)

    sink = fakes.Sink()
    outcome_of(failing(fakes, 1), sink, job(), keep_going=True)
    assert len(sink.of(StageStarted)) == 1


def test_the_error_shows_a_users_task_as_its_call(fakes: Any) -> None:
    def job() -> Any:
        yield [Task("mine:fit", degree=3, name="x" * 500)]

    failure = Failure("error", "ValueError", "no", False, log_tail='  File "mine.py", line 9, in fit\nValueError: no')
    backend = fakes.Backend(lambda call: (1.0, Outcome(failure=failure)))
    sink = fakes.Sink()
    message = outcome_of(backend, sink, job())
    assert message.startswith("task 0, fit(degree=3, name='xxx") and len(message) < 200
    assert message.endswith("failed: ValueError: no (mine.py, line 9 in fit)")
    (ended,) = sink.of(Returned)
    assert ended.log_tail.startswith("fit(degree=3, name='xxx")
    assert ended.log_tail.endswith('\n  File "mine.py", line 9, in fit\nValueError: no')


def test_of_several_failed_tasks_the_first_is_named():
    assert failures_line(["task 3 failed: A"], 40) == "1 of 40 tasks failed: task 3 failed: A"
    several = ["task 3 failed: A", "task 1 failed: B", *["task 9 failed: C"] * 998]
    assert failures_line(several, 2000) == "1,000 of 2,000 tasks failed; the first to fail: task 3 failed: A"
