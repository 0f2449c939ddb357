"""What the Invoke API answers, in AWS's shapes: errors by name and status, and the payloads of functions that failed.

Names and statuses are those of the Invoke operation in botocore's model; texts are AWS's where they are
known.
"""

from __future__ import annotations

import base64
import json
import signal
from typing import Any

from lbench.engine.emulator.http1 import Exchange
from lbench.engine.emulator.report import Report, tail

__all__ = [
    "REQUEST_LIMIT",
    "RESPONSE_LIMIT",
    "TOO_LARGE_PAYLOAD",
    "Invocation",
    "error",
    "exit_payload",
    "reply_json",
    "task_timed_out",
    "timeout_payload",
]

REQUEST_LIMIT = 6_291_456  # bytes: 6 MiB, "InvokeFunction"
RESPONSE_LIMIT = 6_291_556  # bytes: AWS gives a response 100 bytes more (its own error text names this number)

TOO_LARGE_PAYLOAD = (
    b'{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).",'
    b'"errorType":"Function.ResponseSizeTooLarge"}'
)


def reply_json(exchange: Exchange, request_id: str, value: Any) -> None:
    """Answer a control-plane request."""
    exchange.reply(200, json.dumps(value).encode(), f"x-amzn-RequestId: {request_id}\r\n")


def error(
    exchange: Exchange,
    request_id: str,
    status: int,
    name: str,
    message: str,
    *,
    retry_after_s: int | None = None,
    **more: str,
) -> None:
    """Answer with an error of AWS's: the name in a header, the text in the body."""
    headers = f"x-amzn-RequestId: {request_id}\r\nx-amzn-ErrorType: {name}\r\n"
    if retry_after_s is not None:
        headers += f"Retry-After: {retry_after_s}\r\n"
    body = {"Type": "User" if status < 500 else "Service", "message": message, **more}
    exchange.reply(status, json.dumps(body).encode(), headers)


def task_timed_out(timeout_s: float) -> str:
    """AWS's sentence for it."""
    return f"Task timed out after {timeout_s:.2f} seconds"


def timeout_payload(request_id: str, timeout_s: float) -> bytes:
    """The payload when the function's timeout has passed."""
    text = f"RequestId: {request_id} Error: {task_timed_out(timeout_s)}"
    return json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": text}, separators=(",", ":")).encode()


def exit_payload(request_id: str, code: int) -> bytes:
    """The payload when the environment's process has ended without an answer; `code` as Popen gives it."""
    if code == 0:
        how = "Runtime exited without providing a reason"
    elif code > 0:
        how = f"Runtime exited with error: exit status {code}"
    else:
        names: dict[int, str] = {
            signal.SIGKILL: "killed",
            signal.SIGSEGV: "segmentation fault",
            signal.SIGABRT: "aborted",
        }
        how = f"Runtime exited with error: signal: {names.get(-code, str(-code))}"
    message = f"RequestId: {request_id} Error: {how}"
    return json.dumps({"errorType": "Runtime.ExitError", "errorMessage": message}, separators=(",", ":")).encode()


class Invocation:
    """One Invoke on its way through an environment."""

    __slots__ = (
        "arn",
        "client_context",
        "delivered_s",
        "event",
        "exchange",
        "request_id",
        "trace_id",
        "wants_tail",
    )

    def __init__(
        self,
        exchange: Exchange,
        request_id: str,
        arn: str,
        event: bytes | bytearray,
        *,
        wants_tail: bool = False,
        client_context: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        self.exchange = exchange
        self.request_id = request_id
        self.arn = arn
        self.event = event
        self.wants_tail = wants_tail
        self.client_context = client_context  # JSON
        self.trace_id = trace_id
        self.delivered_s: float | None = None  # on the loop's clock; None: the runtime has not got it yet

    def answer(self, payload: bytes | bytearray, *, failed: bool, log: tuple[bytes, bytes, Report] | None) -> None:
        """Tell the caller how it went (a function's failure has status 200 as well)."""
        headers = f"x-amzn-RequestId: {self.request_id}\r\nX-Amz-Executed-Version: $LATEST\r\n"
        if failed:
            headers += "X-Amz-Function-Error: Unhandled\r\n"  # AWS's word for all that Python's runtime reports
        if log is not None:
            headers += f"X-Amz-Log-Result: {base64.b64encode(tail(*log)).decode()}\r\n"
        self.exchange.reply(200, payload, headers)
