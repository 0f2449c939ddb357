"""Reads Invoke's reply for a user's function as an `Outcome`, by the platform's REPORT line alone.

The function's return value is counted, not read. An error of the function is a measurement too: it is recorded as the
call's result. Where the service refused the call, or no reply came, nothing was measured: that is a failure like any other,
retried where that can help.
"""

from __future__ import annotations

import math
import re
from typing import Literal

import msgspec

from lbench.decoding import decode_with
from lbench.engine.backends.aws_client.invoke_api import Reply
from lbench.engine.backends.base import Failure, Outcome
from lbench.engine.backends.lambda_.outcomes import NO_ERROR_TEXT, FunctionError, is_timeout, log_text, read_platform
from lbench.engine.backends.lambda_.report_line import Report, parse_line

__all__ = ["read_call"]

# What Lambda's runtimes report where an environment's init failed (AWS documentation, "Lambda execution environment
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
# A log stream's name is its environment's (AWS documentation, "Viewing logs"); in a shared log group it has the function's.
_STREAM = re.compile(rb"\d{4}/\d\d/\d\d/(?:[\w-]+)?\[(?:\$LATEST|\d+)\][0-9a-f]{32}")


_function_error = msgspec.json.Decoder(FunctionError)


def read_call(reply: Reply, sent_s: float, result: bytes) -> Outcome:
    """Read a call's outcome; `result` stands for its result.

    Its start and end are placed inside the round trip: the time that is neither init nor the function's own duration is
    split evenly before and after.
    """
    outcome, tail, report = read_platform(reply)
    if outcome.failure is not None:
        return outcome
    outcome.result = result
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
    if b"INIT_REPORT" in tail or b"platform.initReport" in tail:  # an init that failed, or was repeated
        outcome.cold = outcome.cold or any(_is_init(line) for line in tail.split(b"\n"))
    return outcome


def _is_init(line: bytes) -> bool:
    report = parse_line(line)
    return report is not None and report.request_id is None


def _take(outcome: Outcome, report: Report, sent_s: float) -> None:
    arrived_s = outcome.returned_s
    assert arrived_s is not None
    outcome.compute_ms = report.duration_ms
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
        error = decode_with(_function_error, body)
    except msgspec.MsgspecError:
        error = FunctionError()
    kind = error.error_type or (report.error_type if report is not None else None) or "FunctionError"
    text = " ".join((error.error_message or NO_ERROR_TEXT).split())
    outcome: Literal["timeout", "error"] = "timeout" if is_timeout(kind, text, report) else "error"
    return Failure(outcome, kind, text, retriable=False, log_tail=log_text(tail))
