"""Reads Invoke's reply as an `Outcome`: results, the task's own errors, and every other response of AWS.

Sources: botocore's model of Invoke (its error shapes), AWS's documentation on function errors, and the log lines in
`report`'s tests.
"""

from __future__ import annotations

import binascii
import contextlib
from collections.abc import Callable

import msgspec

from lbench.config.aws_errors import CLOCK_TEXT, refusal_text
from lbench.decoding import decode_with
from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.base import UNREACHED, Failure, Outcome
from lbench.engine.backends.lambda_.report_line import Report, last_report
from lbench.workloads.own.tracebacks import trimmed
from lbench.workloads.wire import Answer, TaskError

__all__ = [
    "DEADLINE",
    "NO_ERROR_TEXT",
    "FunctionError",
    "is_timeout",
    "log_text",
    "lost",
    "mixed_up",
    "not_ours",
    "raised",
    "read_platform",
    "read_queued",
    "read_reply",
    "refused",
    "take_result",
]

DEADLINE = "DeadlineExceeded"  # Failure.type of a task that reached its deadline
_WATCHDOG = (
    "exit status 124",
    "signal: alarm clock",
    "signal: SIGALRM",
)  # the handler's watchdog, in both of its forms
_KILLED = "signal: killed"
_ROOM = 0.9  # of the memory
_PAUSE_S = 1.0  # an outage of network or service seldom ends within a tenth of a second
NO_ERROR_TEXT = "the function failed without an error message"
_TAIL_KEPT = 2000  # characters of a log or a stack trace that are kept

_FATAL_RUNTIME = {
    "Runtime.ImportModuleError": "the package lacks a module, or was made for another platform",
    "Runtime.HandlerNotFound": "the package is not lbench's",
    "Runtime.MalformedHandlerName": "the function's handler setting is wrong",
    "Runtime.UserCodeSyntaxError": "the package is broken",
    "Runtime.MarshalError": "the handler's result is not JSON",
    "Function.ResponseSizeTooLarge": "the result is too large to come back inline",
}
# Errors that a retry does not fix, although their status is usually worth one.
_FATAL_REFUSALS = frozenset(
    (
        "CodeArtifactUserDeletedException",
        "CodeArtifactUserFailedException",
        "DurableExecutionAlreadyStartedException",
        "EC2AccessDeniedException",
        "InvalidRuntimeException",
        "InvalidSecurityGroupIDException",
        "InvalidSubnetIDException",
        "InvalidZipFileException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "RuntimeVersionDeletedException",
    )
)
_REMEDIES = {
    400: "this endpoint does not understand the request",
    403: "the credentials lack the permission lambda:InvokeFunction for it",
    404: "the function does not exist: is it deployed, with this memory size, in this region?",
    413: "the arguments are too large for one request",
}
_SIGN_IN = "the credentials have expired, or are not valid here: sign in again (`aws sso login`), or get new keys"
_NAMED_REMEDIES = (
    {
        name: "let the caller and the function's role use the key, enable it, or remove it from the function"
        for name in (
            "KMSAccessDeniedException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
        )
    }
    | {
        name: "run `lbench deploy` again"
        for name in (
            "CodeArtifactUserDeletedException",
            "CodeArtifactUserFailedException",
            "InvalidRuntimeException",
            "InvalidZipFileException",
            "RuntimeVersionDeletedException",
        )
    }
    | {
        "ExpiredTokenException": _SIGN_IN,
        "ExpiredToken": _SIGN_IN,
        "UnrecognizedClientException": _SIGN_IN,
        "InvalidClientTokenId": _SIGN_IN,
        "InvalidSignatureException": "does the secret key belong to the access key? run `aws configure`",
    }
)


class FunctionError(msgspec.Struct, rename="camel"):
    """A function's error as all of Lambda's runtimes report it."""

    error_message: str | None = None
    error_type: str | None = None


class _PythonError(FunctionError, rename="camel"):
    stack_trace: list[str] | None = None


class _Refusal(msgspec.Struct):
    message: str | None = None
    Message: str | None = None
    Reason: str | None = None
    retry_after: str | float | None = msgspec.field(default=None, name="retryAfterSeconds")


class _FailedLine(msgspec.Struct):
    lbench_failed: str | None
    answer: Answer


class _MarkLine(msgspec.Struct):
    lbench_mark: str
    request: str | None
    environment: str | None = None


_answer = msgspec.json.Decoder(Answer)
_function_error = msgspec.json.Decoder(_PythonError)
_refusal = msgspec.json.Decoder(_Refusal)
_failed_line = msgspec.json.Decoder(_FailedLine)
_mark_line = msgspec.json.Decoder(_MarkLine)


def lost(error: ConnectionLost) -> Outcome:
    """The outcome without a complete response. Whether the function ran is unknown, unless nothing was sent."""
    message = str(error)
    if error.unsent:
        return Outcome(failure=Failure("error", UNREACHED, message, retriable=True, unrun=True, pause_s=_PAUSE_S))
    if error.timed_out:
        return Outcome(failure=Failure("timeout", "ReadTimeout", message, retriable=True))
    return Outcome(failure=Failure("error", "ConnectionLost", message, retriable=True, pause_s=_PAUSE_S))


def mixed_up(arrived_s: float, drop: Callable[[], None] | None) -> Outcome:
    """The outcome where the response belongs to another call; its connection is out of step and is closed."""
    if drop is not None:
        drop()
    message = "the response of another call came on this connection"
    return Outcome(returned_s=arrived_s, failure=Failure("error", "MixedAnswer", message, retriable=True))


def read_platform(reply: Reply) -> tuple[Outcome, bytes, Report | None]:
    """Read what Lambda itself says of a call, whatever the function is: a refusal, the log's tail, the REPORT line."""
    outcome = Outcome(
        returned_s=reply.arrived_s,
        connect_ms=reply.connect_ms,
        request_id=reply.request_id,
        response_bytes=len(reply.body),
    )
    if reply.status != 200:
        outcome.failure = refused(reply)
        return outcome, b"", None
    try:
        tail = binascii.a2b_base64(reply.log_result) if reply.log_result else b""
    except binascii.Error:
        tail = b""
    report = last_report(tail, reply.request_id) if tail else None
    if report is not None:
        outcome.billed_ms = report.billed_ms
        outcome.billed_source = None if report.billed_ms is None else "report"
        outcome.memory_mb, outcome.max_memory_mb = report.memory_mb, report.max_memory_mb
        outcome.init_ms = report.restore_ms if report.init_ms is None else report.init_ms
        outcome.cold = outcome.init_ms is not None
    return outcome, tail, report


def read_reply(reply: Reply, deadline_s: float) -> tuple[Outcome, Answer | None]:
    """The outcome (without times, and without a result in S3) and the handler's own answer.

    An inline result is decoded from base64 here, at about 1 GB/s; the runner decodes its content.
    """
    outcome, tail, report = read_platform(reply)
    if outcome.failure is not None:
        return outcome, None
    if reply.function_error:
        outcome.failure = _failed(reply, tail, report, deadline_s)
        outcome.environment, outcome.ended = (
            reply.ended or _environment_in(tail, reply.request_id),
            reply.ended is not None,
        )
        return outcome, _answer_in(tail, reply.request_id)
    try:
        answer = decode_with(_answer, reply.body)
    except msgspec.MsgspecError as error:
        outcome.failure = not_ours(error)
        return outcome, None
    take_result(answer, outcome)
    return outcome, answer


def read_queued(reply: Reply) -> Outcome | None:
    """The outcome of an event that Lambda's queue refused; None: it was accepted."""
    if reply.status == 202:
        return None
    outcome = Outcome(returned_s=reply.arrived_s, connect_ms=reply.connect_ms, request_id=reply.request_id)
    outcome.failure = refused(reply)
    return outcome


def not_ours(error: Exception) -> Failure:
    """The failure where a response is not the handler's."""
    return Failure("error", "BadAnswer", f"the function's result is not lbench's: {error}", retriable=True)


def raised(error: _PythonError | TaskError) -> Failure:
    """The failure for an exception of the task's own code."""
    kind, text = error.error_type or "FunctionError", " ".join((error.error_message or "").split())
    trace = trimmed("".join(_own_frames(error.stack_trace or []))) + f"{kind}: {text}"
    return Failure("error", kind, text, retriable=kind == "ObjectStoreError", log_tail=trace[-_TAIL_KEPT:])


def take_result(answer: Answer, outcome: Outcome) -> None:
    """Put an inline result into the outcome; a result in S3 is fetched later."""
    if answer.result is not None:
        outcome.result = answer.result
    elif answer.result_at is None:
        message = "the function's response has no result: is it lbench's, and of this version?"
        outcome.failure = Failure("error", "BadAnswer", message, retriable=False)


def _answer_in(tail: bytes, request_id: str | None) -> Answer | None:
    """The answer that the handler printed when the task raised: its environment and times."""
    for line in reversed(tail.split(b"\n")):
        if line.startswith(b'{"lbench_failed":'):
            try:
                failed = decode_with(_failed_line, line)
            except msgspec.MsgspecError:
                continue
            if failed.lbench_failed in (None, request_id):
                return failed.answer
    return None


def _environment_in(tail: bytes, request_id: str | None) -> str | None:
    """The environment of a call without a response, by the handler's mark, if that is still in the log's tail.

    The first mark counts: the handler prints it before the task runs, which may imitate it.
    """
    for line in tail.split(b"\n"):
        if line.startswith(b'{"lbench_mark":'):
            with contextlib.suppress(msgspec.MsgspecError):
                mark = decode_with(_mark_line, line)
                if mark.request == request_id:
                    return mark.environment
    return None


def _failed(reply: Reply, tail: bytes, report: Report | None, deadline_s: float) -> Failure:
    """The failure of a function error. AWS reports `Unhandled` for a Python exception too, so that is not used."""
    try:
        error = decode_with(_function_error, reply.body)
    except msgspec.MsgspecError:
        error = _PythonError(error_message=NO_ERROR_TEXT)
    kind, text = error.error_type or "FunctionError", " ".join((error.error_message or "").split())
    log = log_text(tail)
    if error.stack_trace:  # only an exception of Python code has one
        return raised(error)
    if is_timeout(kind, text, report):
        return Failure("timeout", kind, text or "the function timed out", retriable=True, log_tail=log)
    if kind == "Runtime.ExitError" and (text.endswith(_WATCHDOG) or _is_at_deadline(text, report, deadline_s)):
        text = f"no result within the deadline of {deadline_s:g} s"
        return Failure("timeout", DEADLINE, text, retriable=True, log_tail=log)
    if kind in _FATAL_RUNTIME:
        return Failure("error", kind, f"{text} ({_FATAL_RUNTIME[kind]})", retriable=False, log_tail=log)
    if kind == "Runtime.OutOfMemory" or text.endswith(_KILLED):
        text = f"{text or 'out of memory'}: raise --memory"
        return Failure("error", kind, text, retriable=True, log_tail=log)
    ours = kind.startswith(("Runtime.", "Sandbox.", "Extension."))
    return Failure("error", kind, text or kind, retriable=ours or kind == "ObjectStoreError", log_tail=log)


def _is_at_deadline(text: str, report: Report | None, deadline_s: float) -> bool:
    """Whether the process ended when the deadline was over. The watchdog kills where a task has stopped itself."""
    if report is None:
        return False
    ran_ms = report.duration_ms or 0.0
    has_room = (report.max_memory_mb or 0) < _ROOM * (report.memory_mb or 0)
    if text.endswith(_KILLED) and has_room:  # not for lack of memory
        ran_ms += report.init_ms or 0.0  # of an environment that was restarted within the call
    return ran_ms >= deadline_s * 1000


def is_timeout(error_type: str, text: str, report: Report | None) -> bool:
    """Whether Lambda ended the call at the function's timeout."""
    if error_type == "Sandbox.Timedout" or "Task timed out after" in text:
        return True
    return report is not None and report.status == "timeout"


def log_text(tail: bytes) -> str | None:
    """The end of the log that is worth keeping with a failure."""
    return tail[-_TAIL_KEPT:].decode("utf-8", "replace") or None


def _own_frames(stack: list[str]) -> list[str]:
    """The frames of the task's own code: those after the handler's."""
    ours = [n for n, frame in enumerate(stack) if 'workloads/functions.py"' in frame]
    return [line if line.endswith("\n") else line + "\n" for line in stack[ours[-1] + 1 if ours else 0 :]]


def refused(reply: Reply) -> Failure:
    """The failure of a call that the service refused."""
    try:
        refusal = decode_with(_refusal, reply.body)
    except msgspec.MsgspecError:
        refusal = _Refusal()
    kind = reply.error_type or f"HTTP {reply.status}"
    text = refusal_text(kind, refusal.message or refusal.Message or f"the endpoint responded {reply.status}")
    if reply.status == 429:
        after = reply.retry_after_s
        if after is None and refusal.retry_after is not None:
            after = _number(refusal.retry_after)
        message = f"{text} ({refusal.Reason})" if refusal.Reason else text
        return Failure("throttled", kind, message, retriable=True, retry_after_s=after, unrun=True)
    retriable = (reply.status >= 500 or reply.status in (408, 409, 410)) and kind not in _FATAL_REFUSALS
    if text != CLOCK_TEXT and not retriable and (remedy := _NAMED_REMEDIES.get(kind) or _REMEDIES.get(reply.status)):
        text = f"{text}: {remedy}"
    # A 5xx without an AWS error name may come from a proxy, and the function may run behind it.
    unrun = reply.error_type is not None or reply.status < 500
    return Failure("error", kind, text, retriable=retriable, unrun=unrun, pause_s=_PAUSE_S)


def _number(value: str | float) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
