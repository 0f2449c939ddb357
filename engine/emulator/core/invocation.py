"""An invocation and its reply in AWS's shapes: Invoke's headers, and the payloads of failed functions.

Texts are AWS's where they are known.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from typing import Any

from lbench.config.limits import limits
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.faults import Fate
from lbench.engine.emulator.core.log import Report, tail
from lbench.engine.emulator.http.server import Exchange

__all__ = [
    "EVENT_LIMIT",
    "REQUEST_LIMIT",
    "RESPONSE_LIMIT",
    "TOO_LARGE_PAYLOAD",
    "Invocation",
    "Log",
    "exit_payload",
    "memory_payload",
    "reply_json",
    "task_timed_out",
    "timeout_payload",
]

REQUEST_LIMIT = limits().payload_max_bytes
RESPONSE_LIMIT = limits().response_max_bytes
EVENT_LIMIT = limits().event_max_bytes

TOO_LARGE_PAYLOAD = (
    b'{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).",'
    b'"errorType":"Function.ResponseSizeTooLarge"}'
)

Log = tuple[bytes, bytes, Report]  # output of the init, output of the invocation, figures

# Go's names, as AWS's supervisor is written in Go
_SIGNALS: dict[int, str] = {
    signal.SIGABRT: "aborted",
    signal.SIGALRM: "alarm clock",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGHUP: "hangup",
    signal.SIGILL: "illegal instruction",
    signal.SIGINT: "interrupt",
    signal.SIGKILL: "killed",
    signal.SIGPIPE: "broken pipe",
    signal.SIGQUIT: "quit",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGTERM: "terminated",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}


def reply_json(exchange: Exchange, request_id: str, value: Any, status: int = 200) -> None:
    """Reply to a control-plane request."""
    exchange.reply(status, json.dumps(value).encode(), f"x-amzn-RequestId: {request_id}\r\n")


def task_timed_out(timeout_s: float) -> str:
    """AWS's sentence for a timeout."""
    return f"Task timed out after {timeout_s:.2f} seconds"


def timeout_payload(request_id: str, timeout_s: float) -> bytes:
    """The payload after the function's timeout."""
    return _payload("Sandbox.Timedout", request_id, task_timed_out(timeout_s))


def exit_payload(request_id: str, code: int) -> bytes:
    """The payload after a process that ended without an answer; `code`: its exit code as Popen gives it."""
    if code == 0:
        how = "Runtime exited without providing a reason"
    elif code > 0:
        how = f"Runtime exited with error: exit status {code}"
    else:
        how = f"Runtime exited with error: signal: {_SIGNALS.get(-code, str(-code))}"
    return _payload("Runtime.ExitError", request_id, how)


def memory_payload(request_id: str) -> bytes:
    """The payload after a kill for too much memory."""
    return _payload("Runtime.OutOfMemory", request_id, "Runtime exited with error: signal: killed")


def _payload(kind: str, request_id: str, text: str) -> bytes:
    payload = {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {text}"}
    return json.dumps(payload, separators=(",", ":")).encode()


class Invocation:
    """One Invoke request through its environment; its caller waits on a connection."""

    __slots__ = (
        "arn",
        "client_context",
        "delivered_s",
        "ended_in",
        "event",
        "exchange",
        "fate",
        "request_id",
        "shared",
        "tenant_id",
        "trace_id",
        "version",
        "wants_tail",
    )

    def __init__(
        self,
        exchange: Exchange | None,
        request_id: str,
        arn: str,
        event: bytes | bytearray,
        *,
        version: str = "$LATEST",
        wants_tail: bool = False,
        client_context: str | None = None,
        trace_id: str | None = None,
        tenant_id: str | None = None,
    ) -> None:
        self.exchange = exchange
        self.request_id = request_id
        self.arn = arn
        self.event = event
        self.version = version
        self.wants_tail = wants_tail
        self.client_context = client_context  # JSON
        self.trace_id = trace_id
        self.tenant_id = tenant_id
        self.shared = False  # whether it counts against the unreserved concurrency
        self.delivered_s: float | None = None  # on the loop's clock; None: not received by the runtime
        self.ended_in: str | None = None  # the environment that ended with it
        self.fate: Fate | None = None  # injected faults; None: its reply is sent at once

    def answer(self, payload: bytes | bytearray, *, failed: str | None, log: Log | None) -> None:
        """Reply to the caller, after the delay that is injected. `failed`: `Unhandled` or `Handled`."""
        if self.exchange is None:  # the second run of an injected duplicate: nobody waits for its reply
            return
        if self.fate is None:
            self.reply(payload, failed, log)
        else:
            asyncio.get_running_loop().call_later(self.fate.back_s, self._reply_or_lose, payload, failed, log)

    def _reply_or_lose(self, payload: bytes | bytearray, failed: str | None, log: Log | None) -> None:
        assert self.exchange is not None and self.fate is not None
        if self.fate.lost:
            self.exchange.drop()
            return
        self.exchange.twice = self.fate.duplicate
        self.reply(payload, failed, log)

    def reply(self, payload: bytes | bytearray, failed: str | None, log: Log | None) -> None:
        """Send the result as Invoke's reply; a function's error has status 200 too."""
        assert self.exchange is not None
        headers = f"x-amzn-RequestId: {self.request_id}\r\nX-Amz-Executed-Version: {self.version}\r\n"
        if self.trace_id is not None:
            headers += f"X-Amzn-Trace-Id: {self.trace_id}\r\n"
        if failed is not None:
            headers += f"X-Amz-Function-Error: {failed}\r\n"
        if self.ended_in is not None:  # not AWS's: it shows which environment ended, and when
            headers += f"X-Lbench-Ended: {self.ended_in}\r\n"
        if log is not None:
            headers += f"X-Amz-Log-Result: {base64.b64encode(tail(*log, version=self.version)).decode()}\r\n"
        self.exchange.reply(200, payload, headers)

    def refuse(self, refusal: Refusal) -> None:
        """Reply at once that it was not run."""
        if self.exchange is not None:
            refusal.reply(self.exchange, self.request_id)
