"""The ways an environment can end during an invocation, each with AWS's payload, status and log line."""

from __future__ import annotations

import json
import time
from typing import Literal

import msgspec

from lbench.engine.emulator.core.invocation import (
    TOO_LARGE_PAYLOAD,
    exit_payload,
    memory_payload,
    task_timed_out,
    timeout_payload,
)

__all__ = ["TOO_LARGE", "Ending", "exited", "init_failed", "not_started", "out_of_memory", "timed_out"]


class Ending(msgspec.Struct, frozen=True):
    """A failure of the platform, which the REPORT line names."""

    payload: bytes | bytearray
    error_type: str | None
    note: str = ""  # the platform's lines in the log
    status: Literal["timeout", "error"] = "error"


TOO_LARGE = Ending(TOO_LARGE_PAYLOAD, "Runtime.ExitError")


def timed_out(request_id: str, timeout_s: float) -> Ending:
    """The function's timeout has passed."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03d}Z"
    note = f"{moment} {request_id} {task_timed_out(timeout_s)}\n\n"
    return Ending(timeout_payload(request_id, timeout_s), None, note, "timeout")


def out_of_memory(request_id: str) -> Ending:
    """The environment has exceeded its memory."""
    return _noted(memory_payload(request_id), "Runtime.OutOfMemory")


def exited(request_id: str, code: int) -> Ending:
    """The process has ended without an answer; `code`: its exit code as Popen gives it."""
    return _noted(exit_payload(request_id, code), "Runtime.ExitError")


def init_failed(kind: str, payload: bytes | bytearray) -> Ending:
    """The runtime has reported that its init failed."""
    return Ending(payload, kind)


def not_started(problem: OSError) -> Ending:
    """The process of the second init cannot be started here."""
    payload = json.dumps({"errorType": "Runtime.ExitError", "errorMessage": str(problem)})
    return Ending(payload.encode(), "Runtime.ExitError")


def _noted(payload: bytes, kind: str) -> Ending:
    return Ending(payload, kind, f"{json.loads(payload)['errorMessage']}\n{kind}\n")
