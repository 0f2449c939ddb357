"""The log of one invocation, in AWS's text format: START, what the function wrote, END, REPORT.

The format is that of real lines (2025 and later): tabs between the fields, milliseconds with two decimals, and
the init duration billed (AWS, since 2025-08-01).
"""

from __future__ import annotations

import json
import time
from typing import Any, Literal

import msgspec

from lbench.config.limits import limits
from lbench.engine.cost.charges import billed_ms

__all__ = ["TAIL_BYTES", "Report", "ended", "init_report", "tail"]

TAIL_BYTES = limits().log_tail_max_bytes  # of X-Amz-Log-Result


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one invocation's REPORT line."""

    request_id: str
    duration_ms: float
    memory_mb: int
    max_memory_mb: int
    init_ms: float | None = None  # None: a warm start
    status: Literal["timeout", "error"] | None = None
    error_type: str | None = None
    system_level: str | None = None  # None: the log is text; else JSON, from this level on

    def line(self) -> bytes:
        """The REPORT line with its newline."""
        fields = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {billed_ms(self.duration_ms, self.init_ms)} ms",
            f"Memory Size: {self.memory_mb} MB",
            f"Max Memory Used: {self.max_memory_mb} MB",
        ]
        if self.init_ms is not None:
            fields.append(f"Init Duration: {self.init_ms:.2f} ms")
        if self.status is not None:
            fields.append(f"Status: {self.status}")
        if self.error_type is not None:
            fields.append(f"Error Type: {self.error_type}")
        return ("\t".join(fields) + "\t\n").encode()

    def event(self) -> bytes:
        """The platform.report event of a log in JSON, with its newline."""
        metrics: dict[str, float] = {
            "durationMs": round(self.duration_ms, 3),
            "billedDurationMs": billed_ms(self.duration_ms, self.init_ms),
            "memorySizeMB": self.memory_mb,
            "maxMemoryUsedMB": self.max_memory_mb,
        }
        if self.init_ms is not None:
            metrics["initDurationMs"] = round(self.init_ms, 3)
        record = {"requestId": self.request_id, "metrics": metrics, "status": self.status or "success"}
        if self.error_type is not None:
            record["errorType"] = self.error_type
        return _event("platform.report", record)


def tail(init_output: bytes, output: bytes, report: Report, *, version: str = "$LATEST") -> bytes:
    """The last 4 KB of the log; the REPORT line is always its last line."""
    if report.system_level is not None:
        parts = [ended(init_output), ended(output)]
        if report.system_level != "WARN":
            parts.insert(1, _event("platform.start", {"requestId": report.request_id, "version": version}))
        if report.system_level != "WARN" or report.status is not None:
            parts.append(report.event())
        return b"".join(parts)[-TAIL_BYTES:]
    request_id = report.request_id.encode()
    parts = [
        ended(init_output),
        b"START RequestId: %b Version: %b\n" % (request_id, version.encode()),
        ended(output),
        b"END RequestId: %b\n" % request_id,
        report.line(),
    ]
    return b"".join(parts)[-TAIL_BYTES:]


def _event(kind: str, record: dict[str, Any]) -> bytes:
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    return json.dumps({"time": moment, "type": kind, "record": record}, separators=(",", ":")).encode() + b"\n"


def ended(output: bytes) -> bytes:
    """The output with a newline at its end."""
    return output if not output or output.endswith(b"\n") else output + b"\n"


def init_report(duration_s: float, phase: Literal["init", "invoke"], status: str, error_type: str | None) -> bytes:
    """The line of a failed init; `phase`: whether it ran before the invocation or within its time."""
    line = f"INIT_REPORT Init Duration: {duration_s * 1000:.2f} ms\tPhase: {phase}\tStatus: {status}"
    return (line + (f"\tError Type: {error_type}" if error_type else "") + "\n").encode()
