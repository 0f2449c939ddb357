"""From what Invoke answered to an `Outcome`: results, the task's own errors, and everything that AWS can say instead.

Sources: botocore's model of Invoke (its error shapes), AWS's documentation on function errors, and the log lines in
`report`'s tests.
"""

from __future__ import annotations

import binascii
import contextlib
from collections.abc import Callable

import msgspec

from lbench.config.aws_errors import refusal_text
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

DEADLINE = "DeadlineExceeded"  # Failure.type of a task whose time was up
_WATCHDOG = ("exit status 124", "signal: alarm clock", "signal: SIGALRM")  # the handler's own, by either way
_PAUSE_S = 1.0  # an outage, be it the network's or the service's, is seldom over in a tenth of a second
NO_ERROR_TEXT = "the function failed without an error message"
_TAIL_KEPT = 2000  # characters of a log or a stack trace that are worth keeping

_FATAL_RUNTIME = {
    "Runtime.ImportModuleError": "the package lacks a module or was made for another platform",
    "Runtime.HandlerNotFound": "the package is not lbench's",
    "Runtime.MalformedHandlerName": "the function's handler setting is wrong",
    "Runtime.UserCodeSyntaxError": "the package is broken",
    "Runtime.MarshalError": "the handler's answer is no JSON",
    "Function.ResponseSizeTooLarge": "the result is too large to come back inline",
}
# Errors of statuses that are else worth another try, and that another try does not mend.
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
    400: "the request is not one that this endpoint understands",
    403: "the credentials may not invoke this function",
    404: "the function is not there: is it deployed, with this memory size, in this region?",
    413: "the arguments are too large to travel inline",
}
_SIGN_IN = "the credentials have expired, or are not valid here: sign in again (`aws sso login`), or get new keys"
_NAMED_REMEDIES = (
    {
        name: "let the caller and the function's role use the key, enable it, or take it off the function"
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
        "InvalidSignatureException": "this machine's clock or the secret key is wrong: `lbench doctor` looks at both",
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


class _Told(msgspec.Struct):
    lbench_failed: str | None
    answer: Answer


class _Marked(msgspec.Struct):
    lbench_mark: str
    request: str | None
    environment: str | None = None


_answer = msgspec.json.Decoder(Answer)
_function_error = msgspec.json.Decoder(_PythonError)
_refusal = msgspec.json.Decoder(_Refusal)
_told = msgspec.json.Decoder(_Told)
_marked = msgspec.json.Decoder(_Marked)


def lost(error: ConnectionLost) -> Outcome:
    """The outcome where no whole answer came: unless nothing was sent, whether the function ran is unknown."""
    message = str(error)
    if error.unsent:
        return Outcome(failure=Failure("error", UNREACHED, message, retriable=True, unrun=True, pause_s=_PAUSE_S))
    if error.timed_out:
        return Outcome(failure=Failure("timeout", "ReadTimeout", message, retriable=True))
    return Outcome(failure=Failure("error", "ConnectionLost", message, retriable=True, pause_s=_PAUSE_S))


def mixed_up(arrived_s: float, drop: Callable[[], None] | None) -> Outcome:
    """The outcome where the answer is another call's: its connection is a response behind and is given up."""
    if drop is not None:
        drop()
    message = "the answer of another call came on this connection"
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
    """The outcome (without times, and without a result that lies in S3) and the handler's own answer.

    An inline result is decoded from base64 here, at about 1 GB/s; what is inside it is the runner's to decode.
    """
    outcome, tail, report = read_platform(reply)
    if outcome.failure is not None:
        return outcome, None
    if reply.function_error:
        outcome.failure = _failed(reply, tail, report, deadline_s)
        outcome.environment, outcome.ended = reply.ended or _marked_in(tail, reply.request_id), reply.ended is not None
        return outcome, _told_in(tail, reply.request_id)
    try:
        answer = _answer.decode(reply.body)
    except msgspec.MsgspecError as error:
        outcome.failure = not_ours(error)
        return outcome, None
    take_result(answer, outcome)
    return outcome, answer


def read_queued(reply: Reply) -> Outcome | None:
    """The outcome where Lambda's queue did not take an event; None: it did."""
    if reply.status == 202:
        return None
    outcome = Outcome(returned_s=reply.arrived_s, connect_ms=reply.connect_ms, request_id=reply.request_id)
    outcome.failure = refused(reply)
    return outcome


def not_ours(error: Exception) -> Failure:
    """The failure where what came is no answer of the handler's."""
    return Failure("error", "BadAnswer", f"the answer is not lbench's: {error}", retriable=True)


def raised(error: _PythonError | TaskError) -> Failure:
    """What the task's own code raised."""
    kind, text = error.error_type or "FunctionError", " ".join((error.error_message or "").split())
    trace = trimmed("".join(_own_frames(error.stack_trace or []))) + f"{kind}: {text}"
    return Failure("error", kind, text, retriable=kind == "ObjectStoreError", log_tail=trace[-_TAIL_KEPT:])


def take_result(answer: Answer, outcome: Outcome) -> None:
    """Put an inline result into the outcome; one in S3 is fetched later."""
    if answer.result is not None:
        outcome.result = answer.result
    elif answer.result_at is None:
        message = "the answer has no result: is the function lbench's, and of this version?"
        outcome.failure = Failure("error", "BadAnswer", message, retriable=False)


def _told_in(tail: bytes, request_id: str | None) -> Answer | None:
    """What the handler printed when the task raised: which environment it was, and its times."""
    for line in reversed(tail.split(b"\n")):
        if line.startswith(b'{"lbench_failed":'):
            try:
                told = _told.decode(line)
            except msgspec.MsgspecError:
                continue
            if told.lbench_failed in (None, request_id):
                return told.answer
    return None


def _marked_in(tail: bytes, request_id: str | None) -> str | None:
    """The environment of a call that ended without a word: the handler's mark, if it is still in the log's tail.

    The first one counts: the handler prints before the task, which may imitate it.
    """
    for line in tail.split(b"\n"):
        if line.startswith(b'{"lbench_mark":'):
            with contextlib.suppress(msgspec.MsgspecError):
                marked = _marked.decode(line)
                if marked.request == request_id:
                    return marked.environment
    return None


def _failed(reply: Reply, tail: bytes, report: Report | None, deadline_s: float) -> Failure:
    """A function error. `Handled` and `Unhandled` tell nothing: AWS says `Unhandled` of a Python exception too."""
    try:
        error = _function_error.decode(reply.body)
    except msgspec.MsgspecError:
        error = _PythonError(error_message=NO_ERROR_TEXT)
    kind, text = error.error_type or "FunctionError", " ".join((error.error_message or "").split())
    log = log_text(tail)
    if error.stack_trace:  # only code that ran in the interpreter has one
        return raised(error)
    if is_timeout(kind, text, report):
        return Failure("timeout", kind, text or "the function timed out", retriable=True, log_tail=log)
    if kind == "Runtime.ExitError" and (
        text.endswith(_WATCHDOG) or (report and (report.duration_ms or 0) >= deadline_s * 1000)
    ):
        text = f"no result within the deadline of {deadline_s:g} s"
        return Failure("timeout", DEADLINE, text, retriable=True, log_tail=log)
    if kind in _FATAL_RUNTIME:
        return Failure("error", kind, f"{text} ({_FATAL_RUNTIME[kind]})", retriable=False, log_tail=log)
    if kind == "Runtime.OutOfMemory" or text.endswith("signal: killed"):
        text = f"{text or 'out of memory'}: give it more with --memory"
        return Failure("error", kind, text, retriable=True, log_tail=log)
    ours = kind.startswith(("Runtime.", "Sandbox.", "Extension."))
    return Failure("error", kind, text or kind, retriable=ours or kind == "ObjectStoreError", log_tail=log)


def is_timeout(error_type: str, text: str, report: Report | None) -> bool:
    """Whether Lambda ended the call at the function's timeout."""
    if error_type == "Sandbox.Timedout" or "Task timed out after" in text:
        return True
    return report is not None and report.status == "timeout"


def log_text(tail: bytes) -> str | None:
    """The end of the log that is worth keeping with a failure."""
    return tail[-_TAIL_KEPT:].decode("utf-8", "replace") or None


def _own_frames(stack: list[str]) -> list[str]:
    """The frames of the task's own code: what comes after the handler's."""
    ours = [n for n, frame in enumerate(stack) if 'workloads/functions.py"' in frame]
    return [line if line.endswith("\n") else line + "\n" for line in stack[ours[-1] + 1 if ours else 0 :]]


def refused(reply: Reply) -> Failure:
    """Why the service did not run the call."""
    try:
        said = _refusal.decode(reply.body)
    except msgspec.MsgspecError:
        said = _Refusal()
    kind = reply.error_type or f"HTTP {reply.status}"
    text = refusal_text(kind, said.message or said.Message or f"the endpoint answered {reply.status}")
    if reply.status == 429:
        after = reply.retry_after_s
        if after is None and said.retry_after is not None:
            after = _number(said.retry_after)
        message = f"{text} ({said.Reason})" if said.Reason else text
        return Failure("throttled", kind, message, retriable=True, retry_after_s=after, unrun=True)
    retriable = (reply.status >= 500 or reply.status in (408, 409, 410)) and kind not in _FATAL_REFUSALS
    if not retriable and (remedy := _NAMED_REMEDIES.get(kind) or _REMEDIES.get(reply.status)):
        text = f"{text}: {remedy}"
    # A 5xx without AWS's name for it may be somebody's on the way, behind whom the function runs.
    unrun = reply.error_type is not None or reply.status < 500
    return Failure("error", kind, text, retriable=retriable, unrun=unrun, pause_s=_PAUSE_S)


def _number(value: str | float) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
