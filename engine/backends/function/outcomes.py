"""From what Invoke answered of somebody's own function to an `Outcome`: by the platform's REPORT line alone.

What the function returned is counted, not read. An error of the function is what was to be measured: it is recorded, and is
the call's result. Where the service refused the call, or no answer came, there is nothing to measure: that is a failure like
any other, and tried again where that can help.
"""

from __future__ import annotations

import math
import re

import msgspec

from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.base import Failure, Outcome
from lbench.engine.backends.lambda_.outcomes import refused, tail_of
from lbench.engine.backends.lambda_.report_line import Report, last_report, parse_line

__all__ = ["read_call"]

# What Lambda's runtimes report where an environment's init has failed (AWS documentation, "Lambda execution environment
# lifecycle"; the runtimes' own sources): the call was a cold start, and its REPORT has no Init Duration.
_INIT_ERRORS = frozenset(
    f"Runtime.{name}"
    for name in (
        "BadFunctionCode",
        "HandlerNotFound",
        "ImportModuleError",
        "InvalidEntrypoint",
        "MalformedHandlerName",
        "UserCodeSyntaxError",
    )
)
_TAIL_KEPT = 2000  # characters of a log that are worth keeping
# A log stream's name is its environment's (AWS documentation, "Viewing logs"); in a shared log group it has the function's.
_STREAM = re.compile(rb"\d{4}/\d\d/\d\d/(?:[\w-]+)?\[(?:\$LATEST|\d+)\][0-9a-f]{32}")


class _FunctionError(msgspec.Struct):
    """As all of Lambda's runtimes report one."""

    errorMessage: str | None = None
    errorType: str | None = None


_function_error = msgspec.json.Decoder(_FunctionError)


def read_call(reply: Reply, sent_s: float, result: bytes) -> Outcome:
    """How a call went; `result` is what stands for its result.

    The moments of its start and end are placed into the round trip: what of it is neither init nor the function's own
    duration is taken to be half before and half after.
    """
    outcome = Outcome(
        returned_s=reply.arrived_s,
        connect_ms=reply.connect_ms,
        request_id=reply.request_id,
        response_bytes=len(reply.body),
    )
    if reply.status != 200:
        outcome.failure = refused(reply)
        return outcome
    outcome.result = result
    tail = tail_of(reply)
    report = last_report(tail, reply.request_id) if tail else None
    if report is not None:
        _take(outcome, report, sent_s)
    stream = _STREAM.findall(tail)
    if stream:
        outcome.environment = stream[-1].decode()
    if reply.ended is not None:
        outcome.environment, outcome.ended = reply.ended, True
    if reply.function_error:
        outcome.failure = _failed(reply.body, tail, report)
        if outcome.failure.type in _INIT_ERRORS:
            outcome.cold = True
    if b"INIT_REPORT" in tail or b"platform.initReport" in tail:  # an init that failed, or was begun once more
        outcome.cold = outcome.cold or any(_is_init(line) for line in tail.split(b"\n"))
    return outcome


def _is_init(line: bytes) -> bool:
    report = parse_line(line)
    return report is not None and report.request_id is None


def _take(outcome: Outcome, report: Report, sent_s: float) -> None:
    arrived_s = outcome.returned_s
    assert arrived_s is not None
    outcome.cold = report.init_ms is not None or report.restore_ms is not None
    outcome.init_ms = report.init_ms if report.init_ms is not None else report.restore_ms
    outcome.compute_ms = report.duration_ms
    outcome.billed_ms = report.billed_ms
    outcome.billed_source = None if report.billed_ms is None else "report"
    outcome.memory_mb, outcome.max_memory_mb = report.memory_mb, report.max_memory_mb
    if outcome.billed_ms is None and report.duration_ms is not None:
        outcome.billed_ms = math.ceil(report.duration_ms + (report.init_ms or 0.0))
        outcome.billed_source = "estimated"
    if report.duration_ms is not None:
        taken_s = (report.duration_ms + (outcome.init_ms or 0.0)) / 1000
        spare_s = max(0.0, arrived_s - sent_s - taken_s)
        outcome.finished_s = max(sent_s, arrived_s - spare_s / 2)
        outcome.started_s = max(sent_s, outcome.finished_s - report.duration_ms / 1000)


def _failed(body: bytes, tail: bytes, report: Report | None) -> Failure:
    try:
        error = _function_error.decode(body)
    except msgspec.MsgspecError:
        error = _FunctionError()
    kind = error.errorType or (report.error_type if report is not None else None) or "FunctionError"
    text = " ".join((error.errorMessage or "the function failed and did not say how").split())
    late = kind == "Sandbox.Timedout" or "Task timed out after" in text or (report and report.status == "timeout")
    log = tail[-_TAIL_KEPT:].decode("utf-8", "replace") or None
    return Failure("timeout" if late else "error", kind, text, retriable=False, log_tail=log)
