"""Every response of AWS, and the outcome that the runner gets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.base import Failure
from lbench.engine.backends.lambda_.outcomes import lost, read_reply

ID = "6cf4d88d-e881-46c6-a41b-102ddc6dc141"
REPORT = (
    f"REPORT RequestId: {ID}\tDuration: %s ms\tBilled Duration: 7 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\t\n"
)


def reply(body: Any, *, tail: str = REPORT % "6.10", error: str | None = None) -> Reply:
    log = base64.b64encode(tail.encode())
    return Reply(200, json.dumps(body).encode(), 5.0, request_id=ID, function_error=error, log_result=log)


def failure(body: Any, **more: Any) -> Failure:
    outcome, _ = read_reply(reply(body, error="Unhandled", **more), deadline_s=2.0)
    assert outcome.result is None and outcome.failure is not None
    return outcome.failure


def test_a_result_is_decoded_and_the_bill_is_the_reports() -> None:
    body = {
        "environment": "e",
        "cold": True,
        "received": 1.0,
        "sent": 2.0,
        "result": base64.b64encode(b"abc").decode(),
    }
    outcome, answer = read_reply(reply(body), deadline_s=2.0)
    assert outcome.result == b"abc" and outcome.failure is None
    assert (outcome.billed_ms, outcome.billed_source, outcome.memory_mb, outcome.max_memory_mb) == (
        7,
        "report",
        128,
        9,
    )
    assert answer is not None and answer.environment == "e"


def test_what_the_task_raised_is_its_error_and_is_not_tried_again() -> None:
    stack = [
        '  File "/x/lbench/lambda_src/handler.py", line 9, in handle\n    _run()\n',
        '  File "/x/lbench/workloads/functions.py", line 50, in call\n    return function()\n',
        '  File "/x/mine.py", line 3, in work\n    raise ValueError("no")\n',
    ]
    printed = {"lbench_failed": ID, "answer": {"environment": "e", "cold": False, "received": 1.0, "sent": 2.0}}
    tail = f"START\n{json.dumps(printed, separators=(',', ':'))}\nEND\n{REPORT % '6.10'}"
    body = {"errorMessage": "no", "errorType": "ValueError", "stackTrace": stack}
    outcome, answer = read_reply(reply(body, error="Unhandled", tail=tail), deadline_s=2.0)
    failed = outcome.failure
    assert failed is not None
    assert (failed.kind, failed.type, failed.message, failed.retriable) == (
        "error",
        "ValueError",
        "no",
        False,
    )
    assert failed.log_tail == stack[2] + "ValueError: no"
    assert answer is not None and answer.environment == "e"


@pytest.mark.parametrize("how", ["exit status 124", "signal: alarm clock", "signal: SIGALRM"])
def test_the_watchdogs_end_is_a_timeout(how: str) -> None:
    text = f"RequestId: {ID} Error: Runtime exited with error: {how}"
    failed = failure({"errorType": "Runtime.ExitError", "errorMessage": text})
    assert (failed.kind, failed.type, failed.retriable) == ("timeout", "DeadlineExceeded", True)
    assert failed.message == "no result within the deadline of 2 s"


def test_an_exit_at_the_deadline_is_a_timeout_however_it_is_worded() -> None:
    text = f"RequestId: {ID} Error: Runtime exited with error: signal: something"
    failed = failure({"errorType": "Runtime.ExitError", "errorMessage": text}, tail=REPORT % "2003.10")
    assert failed.kind == "timeout"


@pytest.mark.parametrize(("used", "kind", "says"), [(38, "timeout", "deadline"), (1760, "error", "--memory")])
def test_a_kill_at_the_deadline_in_a_new_environment_is_no_lack_of_memory(used: int, kind: str, says: str) -> None:
    """The start of the environment is not in the duration."""
    text = f"RequestId: {ID} Error: Runtime exited with error: signal: killed"
    line = f"REPORT RequestId: {ID}\tDuration: 1544.41 ms\tBilled Duration: 2264 ms\tMemory Size: 1769 MB\t"
    line += f"Max Memory Used: {used} MB\tInit Duration: 718.87 ms\t\n"
    failed = failure({"errorType": "Runtime.ExitError", "errorMessage": text}, tail=line)
    assert failed.kind == kind and says in failed.message


@pytest.mark.parametrize(
    ("kind", "text", "expected", "retriable"),
    [
        ("Sandbox.Timedout", "RequestId: x Error: Task timed out after 3.00 seconds", "timeout", True),
        (None, "2026-01-01T00:00:00.000Z x Task timed out after 3.00 seconds", "timeout", True),
        ("Runtime.ExitError", "RequestId: x Error: Runtime exited with error: exit status 3", "error", True),
        ("Runtime.ExitError", "RequestId: x Error: Runtime exited with error: signal: killed", "error", True),
        ("Runtime.OutOfMemory", "RequestId: x Error: out of memory", "error", True),
        ("Runtime.ImportModuleError", "Unable to import module 'handler'", "error", False),
        ("Function.ResponseSizeTooLarge", "Response payload size exceeded", "error", False),
    ],
)
def test_how_an_environment_can_end(kind: str | None, text: str, expected: str, retriable: bool) -> None:
    failed = failure({"errorType": kind, "errorMessage": text})
    assert (failed.kind, failed.retriable) == (expected, retriable)
    assert "\n" not in failed.message
    if "memory" in text or "killed" in text:
        assert "--memory" in failed.message


def mark(request: str, environment: str) -> str:
    return json.dumps({"lbench_mark": "a/r1/0", "request": request, "environment": environment}, separators=(",", ":"))


@pytest.mark.parametrize(
    ("lines", "environment"),
    [
        ([mark(ID, "mine"), mark(ID, "imitated"), "{}"], "mine"),
        ([mark("another", "before"), '{"lbench_mark":', mark(ID, "mine")], "mine"),
        ([f"x{mark(ID, 'mine')}"], None),
        (["printed much, and so pushed it out of the tail"], None),
    ],
)
def test_the_environment_of_a_call_without_a_response_is_known_by_its_mark_alone(
    lines: list[str], environment: str | None
) -> None:
    body = {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {ID} Error: Runtime exited"}
    log = "\n".join([*lines, REPORT % "6.10"])
    outcome, answer = read_reply(reply(body, error="Unhandled", tail=log), deadline_s=2.0)
    assert (outcome.environment, outcome.ended, answer) == (environment, False, None)


def test_a_users_error_that_looks_like_the_platforms_is_the_users() -> None:
    failed = failure({"errorType": "TimeoutError", "errorMessage": "Task timed out after 1", "stackTrace": ["x"]})
    assert (failed.kind, failed.retriable) == ("error", False)


def test_s3_out_of_reach_in_the_environment_is_tried_again() -> None:
    assert failure({"errorType": "ObjectStoreError", "errorMessage": "S3", "stackTrace": ["x"]}).retriable


def test_a_throttle_says_when_to_come_back() -> None:
    body = b'{"message":"Rate Exceeded.","Reason":"ConcurrentInvocationLimitExceeded","retryAfterSeconds":"7"}'
    outcome, _ = read_reply(Reply(429, body, 1.0, error_type="TooManyRequestsException"), 2.0)
    failed = outcome.failure
    assert failed is not None
    assert (failed.kind, failed.retriable, failed.retry_after_s) == ("throttled", True, 7.0)
    assert "ConcurrentInvocationLimitExceeded" in failed.message


@pytest.mark.parametrize(
    ("status", "kind", "retriable"),
    [
        (500, "ServiceException", True),
        (502, "EC2ThrottledException", True),
        (502, "InvalidZipFileException", False),
        (502, "KMSAccessDeniedException", False),
        (503, None, True),
        (409, "ResourceConflictException", True),
        (400, "InvalidParameterValueException", False),
        (403, "AccessDeniedException", False),
        (404, "ResourceNotFoundException", False),
        (413, "RequestTooLargeException", False),
    ],
)
def test_refusals_are_retriable_or_fatal_by_status_and_name(status: int, kind: str | None, retriable: bool) -> None:
    outcome, _ = read_reply(Reply(status, b'{"Message":"why"}', 1.0, error_type=kind), 2.0)
    failed = outcome.failure
    assert failed is not None and failed.kind == "error"
    assert failed.retriable is retriable
    assert failed.message.startswith("why")
    assert ": " in failed.message or status not in (400, 403, 404, 413)


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b'{"environment":1}'])
def test_an_answer_that_is_not_ours_is_an_error(body: bytes) -> None:
    outcome, answer = read_reply(Reply(200, body, 1.0), 2.0)
    assert outcome.failure is not None and outcome.failure.type == "BadAnswer" and answer is None


def test_a_lost_answer_may_be_tried_again() -> None:
    failed = lost(ConnectionLost("reset")).failure
    assert failed is not None and failed.retriable and failed.kind == "error" and not failed.unrun
    timed_out = lost(ConnectionLost("late", timed_out=True)).failure
    assert timed_out is not None and timed_out.kind == "timeout" and not timed_out.unrun


def test_a_call_that_was_never_sent_never_ran() -> None:
    unsent = lost(ConnectionLost("did not accept a connection in time", unsent=True)).failure
    assert unsent is not None and unsent.unrun and unsent.not_accepted and unsent.retriable
