"""When a task is tried again, after how long, and what is said of one that has failed for good."""

from __future__ import annotations

import random

import pytest

from lbench.engine.backends.base import SIBLING_LOST, UNREACHED, Failure
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.failure_text import failure_line, user_call
from lbench.engine.runner.retry import Pending
from lbench.workloads.model import Task


class Longest(random.Random):
    """Jitter that always draws the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        return b


POLICY = Policy(timeout_s=100.0, retries=2, backoff_base_s=0.5, backoff_cap_s=3.0)
ERROR = Failure("error", "Boom", "no", True)
THROTTLED = Failure("throttled", "TooMany", "full", True)
SIBLING = Failure("error", SIBLING_LOST, "a neighbour's process was replaced", True)


def pending() -> Pending:
    return Pending(3, Task("fake.task", x=1), b"", 0.0)


def wait(task: Pending, failure: Failure, now_s: float = 0.0, accepted_s: float = 0.0) -> float | None:
    return task.wait_before_retry(failure, POLICY, Longest(), now_s=now_s, accepted_s=accepted_s)


def test_a_new_task_has_no_past() -> None:
    task = pending()
    state = {name: getattr(task, name) for name in Pending.__slots__ if name != "task"}
    assert state == {
        "attempts": 0,
        "done": False,
        "encoded": b"",
        "failures": 0,
        "hedge_of": None,
        "hedged": False,
        "hold": None,
        "in_flight": set(),
        "index": 3,
        "keeps_place": False,
        "queued_s": 0.0,
        "siblings": 0,
        "throttled_since_s": None,
        "throttles": 0,
    }


def test_a_failed_task_waits_twice_as_long_each_time_and_gives_up_after_its_retries() -> None:
    task = pending()
    assert [wait(task, ERROR) for _ in range(3)] == [0.5, 1.0, None]


def test_what_is_not_retriable_is_given_up_at_once() -> None:
    assert wait(pending(), Failure("error", "Boom", "no", False)) is None


def test_an_outage_has_a_first_wait_of_its_own() -> None:
    task = pending()
    outage = Failure("error", "Boom", "no", True, pause_s=1.25)
    assert [wait(task, outage) for _ in range(2)] == [1.25, 2.5]
    unreached = pending()
    assert [wait(unreached, Failure("error", UNREACHED, "no", True, pause_s=2.0)) for _ in range(2)] == [2.0, 3.0]


def test_a_throttled_task_waits_up_to_the_cap_and_counts_no_failure() -> None:
    task = pending()
    assert [wait(task, THROTTLED) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert (task.failures, task.throttles) == (0, 5)
    assert wait(task, ERROR) == 0.5  # its first failure


@pytest.mark.parametrize(("asked_s", "waited_s"), [(None, 0.5), (0.2, 0.5), (2.0, 2.0), (60.0, 3.0)])
def test_a_service_that_asks_for_a_longer_wait_gets_it_up_to_the_cap(asked_s: float | None, waited_s: float) -> None:
    assert wait(pending(), Failure("throttled", "TooMany", "full", True, retry_after_s=asked_s)) == waited_s


@pytest.mark.parametrize(
    ("first_s", "accepted_s", "now_s", "gives_up"),
    [
        (10.0, 0.0, 410.0, False),  # 300 s and a deadline of 100 s
        (10.0, 0.0, 410.5, True),
        (10.0, 50.0, 450.0, False),  # since it accepted another call
        (10.0, 50.0, 450.5, True),
    ],
)
def test_throttling_is_borne_for_300_s_and_a_deadline(
    first_s: float, accepted_s: float, now_s: float, gives_up: bool
) -> None:
    task = pending()
    assert wait(task, THROTTLED, first_s) is not None
    assert (wait(task, THROTTLED, now_s, accepted_s) is None) is gives_up


def test_an_answer_between_two_throttles_starts_the_time_anew() -> None:
    task = pending()
    wait(task, THROTTLED, 10.0)
    wait(task, ERROR, 20.0)
    assert task.throttled_since_s is None
    assert wait(task, THROTTLED, 500.0) is not None
    assert task.throttled_since_s == 500.0


def test_a_task_lost_with_its_neighbours_is_run_again_at_once_a_hundred_times() -> None:
    task = pending()
    assert [wait(task, SIBLING) for _ in range(101)] == [0.0] * 100 + [None]
    assert task.failures == 0


@pytest.mark.parametrize(
    ("failure", "attempts", "text"),
    [
        (ERROR, 1, "task 3 failed: Boom: no"),
        (ERROR, 2, "task 3 failed after 2 attempts: Boom: no"),
        (THROTTLED, 7, "task 3 failed after 7 attempts, all throttled for 400 s: TooMany: full"),
        (THROTTLED, 1, "task 3 failed, all throttled for 400 s: TooMany: full"),
        (
            Failure("error", UNREACHED, "refused", True),
            2,
            "task 3 failed after 2 attempts, never reached the service for 400 s: Unreached: refused",
        ),
    ],
)
def test_a_task_that_failed_for_good_is_described_with_its_attempts(failure: Failure, attempts: int, text: str) -> None:
    task = pending()
    task.attempts = attempts
    assert task.why_it_failed(failure, POLICY) == text


TRACEBACK = 'Traceback\n  File "mine.py", line 9, in fit\nValueError: no'


@pytest.mark.parametrize(
    ("task", "log_tail", "text"),
    [
        (Task("probe.spin", number=1), TRACEBACK, "task 4 failed twice: Boom: no"),
        (Task("mine:fit", degree=3), None, "task 4, fit(degree=3), failed twice: Boom: no"),
        (
            Task("mine:fit", degree=3),
            TRACEBACK,
            "task 4, fit(degree=3), failed twice: Boom: no (mine.py, line 9 in fit)",
        ),
        (
            Task("recorded.call", given=[{"~": "name", "v": "mine:fit"}, [3], {"n": 2}]),
            TRACEBACK,
            "task 4, fit(3, n=2), failed twice: Boom: no (mine.py, line 9 in fit)",
        ),
        (
            Task("whole.run", workload="/cache/own/" + "0" * 32 + "/mine:fit"),
            TRACEBACK,
            "task 4 failed twice: Boom: no (mine.py, line 9 in fit)",
        ),
        (Task("whole.run", workload="mandelbrot"), TRACEBACK, "task 4 failed twice: Boom: no"),
    ],
)
def test_a_failed_call_of_the_users_own_is_named_with_its_place(task: Task, log_tail: str | None, text: str) -> None:
    failure = Failure("error", "Boom", "no", True, log_tail=log_tail)
    assert failure_line(task, 4, " twice", failure) == text


def test_a_users_own_call_that_misses_a_file_or_a_module_has_the_remedy() -> None:
    failure = Failure("error", "FileNotFoundError", "no", False)
    assert "name them in include" in failure_line(Task("mine:fit", degree=3), 4, "", failure)
    module = Failure("error", "ModuleNotFoundError", "No module named 'helper.deep'", False)
    assert "'helper.deep': if helper is a file of yours, name it: include = ['helper.py']" in failure_line(
        Task("mine:fit", degree=3), 4, "", module
    )
    assert failure_line(Task("probe.spin", number=1), 4, "", failure) == "task 4 failed: FileNotFoundError: no"


def test_a_pool_inside_a_task_has_the_reason_why_lambda_cannot_start_it() -> None:
    failure = Failure("error", "OSError", "[Errno 38] Function not implemented", False)
    line = failure_line(Task("mine:fit", degree=3), 4, "", failure)
    assert "[Errno 38] Function not implemented: Lambda has no semaphores" in line


def test_tasks_of_built_in_workloads_are_no_calls_of_the_users() -> None:
    assert user_call(Task("probe.spin", number=1)) is None
    assert user_call(Task("mine:fit", degree=3)) == "fit(degree=3)"
