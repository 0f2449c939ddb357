"""From a letter of the handler's, or the few words of an HTTP API, to an `Outcome`: what has none of Invoke's headers."""

from __future__ import annotations

import msgspec

from lbench.engine.backends.aws_client.connection import Response
from lbench.engine.backends.base import Failure, Outcome
from lbench.engine.backends.lambda_.outcomes import DEADLINE, not_ours, raised, take_result
from lbench.workloads.wire import Answer, Letter

__all__ = ["read_front", "read_letter"]

_NEARLY = 0.95  # of the front's patience: its clock starts a little after ours
_FRONT_REMEDIES = {
    403: "the credentials may not call it (execute-api:Invoke)",
    404: "it has no such route: deploy again with `lbench deploy --http-api`",
    413: "the arguments are too large to travel inline",
}

_letter = msgspec.json.Decoder(Letter)


def read_letter(
    letter: bytes | memoryview, arrived_s: float, connect_ms: float | None
) -> tuple[Outcome, Answer | None]:
    """As `read_reply`, of an answer that came as a letter. What was billed is not in it."""
    outcome = Outcome(returned_s=arrived_s, connect_ms=connect_ms, response_bytes=len(letter))
    try:
        told = _letter.decode(letter)
    except msgspec.MsgspecError as error:
        outcome.failure = not_ours(error)
        return outcome, None
    outcome.request_id = told.request_id
    if told.error is None:
        take_result(told.answer, outcome)
    else:
        outcome.failure = raised(told.error)
    return outcome, told.answer


def read_front(
    response: Response, elapsed_s: float, timeout_s: float, deadline_s: float
) -> tuple[Outcome, Answer | None]:
    """As `read_reply`, of what came through an HTTP API: it tells a status, and of a failure nothing else.

    API Gateway's own words are the same for its time-out and for a throttle (503), so the time tells them apart.

    Args:
        response: the front's.
        elapsed_s: since it was sent.
        timeout_s: when the front gives up.
        deadline_s: the task's.
    """
    if response.status == 200:
        return read_letter(response.body, response.arrived_s, response.connect_ms)
    outcome = Outcome(returned_s=response.arrived_s, connect_ms=response.connect_ms, response_bytes=len(response.body))
    status = response.status
    if status == 503 and elapsed_s >= timeout_s * _NEARLY:
        text = (
            f"the HTTP API front gives up after {timeout_s:g} s, while the function runs on unheard: "
            "use --transport direct or event"
        )
        outcome.failure = Failure("timeout", "FrontTimeout", text, retriable=False)
    elif status in (429, 503):
        outcome.failure = Failure(
            "throttled", f"Front{status}", "the HTTP API front or the function is full", retriable=True, unrun=True
        )
    elif status == 500 and elapsed_s >= deadline_s:
        text = f"no result within the deadline of {deadline_s:g} s"
        outcome.failure = Failure("timeout", DEADLINE, text, retriable=True)
    elif status >= 500:
        text = (
            f"the function failed, and the HTTP API front does not tell how ({status}): use --transport direct to see"
        )
        outcome.failure = Failure("error", f"Front{status}", text, retriable=True)
    else:
        remedy = _FRONT_REMEDIES.get(status, "is it lbench's?")
        text = f"the HTTP API front refused the call ({status}): {remedy}"
        outcome.failure = Failure("error", f"Front{status}", text, retriable=False, unrun=True)
    return outcome, None
