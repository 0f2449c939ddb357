"""Reads a letter of the handler, or an HTTP API's response, as an `Outcome`: both lack Invoke's headers."""

from __future__ import annotations

import msgspec

from lbench.decoding import decode_with
from lbench.engine.backends.aws_client.connection import Response
from lbench.engine.backends.base import Failure, Outcome
from lbench.engine.backends.lambda_.outcomes import DEADLINE, not_ours, raised, take_result
from lbench.workloads.wire import Answer, Letter

__all__ = ["read_front", "read_letter"]

_NEARLY = 0.95  # of the front's timeout: its clock starts a little after ours
_FRONT_REMEDIES = {
    403: "the credentials lack the permission execute-api:Invoke",
    404: "it has no such route; run `lbench deploy --http-api` again",
    413: "the arguments are too large for one request",
}

_letter = msgspec.json.Decoder(Letter)


def read_letter(
    letter: bytes | memoryview, arrived_s: float, connect_ms: float | None
) -> tuple[Outcome, Answer | None]:
    """Like `read_reply`, for an answer in a letter. It does not contain the billed time."""
    outcome = Outcome(returned_s=arrived_s, connect_ms=connect_ms, response_bytes=len(letter))
    try:
        parsed = decode_with(_letter, letter)
    except msgspec.MsgspecError as error:
        outcome.failure = not_ours(error)
        return outcome, None
    outcome.request_id = parsed.request_id
    if parsed.error is None:
        take_result(parsed.answer, outcome)
    else:
        outcome.failure = raised(parsed.error)
    return outcome, parsed.answer


def read_front(
    response: Response, elapsed_s: float, timeout_s: float, deadline_s: float
) -> tuple[Outcome, Answer | None]:
    """Like `read_reply`, for a response of an HTTP API, which reports only a status for a failure.

    API Gateway answers its timeout and a throttle alike (503), so the elapsed time distinguishes them.

    Args:
        response: the response of the front (the HTTP API).
        elapsed_s: seconds since the request was sent.
        timeout_s: the front's timeout.
        deadline_s: the task's deadline.
    """
    if response.status == 200:
        return read_letter(response.body, response.arrived_s, response.connect_ms)
    outcome = Outcome(returned_s=response.arrived_s, connect_ms=response.connect_ms, response_bytes=len(response.body))
    status = response.status
    if status == 503 and elapsed_s >= timeout_s * _NEARLY:
        text = (
            f"the HTTP API timed out after {timeout_s:g} s, while the function continues: "
            "use --transport direct or event"
        )
        outcome.failure = Failure("timeout", "FrontTimeout", text, retriable=False)
    elif status in (429, 503):
        outcome.failure = Failure(
            "throttled", f"Front{status}", "the HTTP API or the function is throttled", retriable=True, unrun=True
        )
    elif status == 500 and elapsed_s >= deadline_s:
        text = f"no result within the deadline of {deadline_s:g} s"
        outcome.failure = Failure("timeout", DEADLINE, text, retriable=True)
    elif status >= 500:
        text = f"the function failed, and the HTTP API does not report why ({status}): use --transport direct to see it"
        outcome.failure = Failure("error", f"Front{status}", text, retriable=True)
    else:
        remedy = _FRONT_REMEDIES.get(status, "is it lbench's own?")
        text = f"the HTTP API refused the call ({status}): {remedy}"
        outcome.failure = Failure("error", f"Front{status}", text, retriable=False, unrun=True)
    return outcome, None
