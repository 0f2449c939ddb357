"""Parses the REPORT and INIT_REPORT lines of Lambda's log, in text and in JSON form.

The tail that Invoke returns is the last 4 KB of the log, the application's own output among it, which may imitate a
REPORT line. The platform writes its line after the function has ended, so the last one with the right request id is
the true one. Output of the application without a line end precedes it on the same line: a text REPORT has its END line in
between, a JSON one is searched for inside the line.
"""

from __future__ import annotations

import re

import msgspec

from lbench.decoding import decode_with

__all__ = ["Report", "last_report", "parse_line"]


class Report(msgspec.Struct, frozen=True):
    """One line; absent fields are None. `request_id` is None for INIT_REPORT, which names no request."""

    request_id: str | None
    duration_ms: float | None = None
    billed_ms: int | None = None
    memory_mb: int | None = None
    max_memory_mb: int | None = None
    init_ms: float | None = None
    restore_ms: float | None = None
    billed_restore_ms: int | None = None
    status: str | None = None  # "timeout", "error"; None in the text form: success
    error_type: str | None = None
    phase: str | None = None  # INIT_REPORT's: "init" or "invoke"


_FIELD = re.compile(
    rb"(Billed Restore Duration|Billed Duration|Restore Duration|Init Duration|Duration|Memory Size|Max Memory Used"
    rb"|Phase|Status|Error Type): *([^\s]+)"
)
_NUMBERS = {
    b"Duration": ("duration_ms", float),
    b"Billed Duration": ("billed_ms", int),
    b"Memory Size": ("memory_mb", int),
    b"Max Memory Used": ("max_memory_mb", int),
    b"Init Duration": ("init_ms", float),
    b"Restore Duration": ("restore_ms", float),
    b"Billed Restore Duration": ("billed_restore_ms", int),
}
_TEXTS = {b"Status": "status", b"Error Type": "error_type", b"Phase": "phase"}


class _Metrics(msgspec.Struct, rename="camel"):
    duration_ms: float | None = None
    billed_duration_ms: float | None = None
    memory_size_mb: int | None = msgspec.field(default=None, name="memorySizeMB")
    max_memory_used_mb: int | None = msgspec.field(default=None, name="maxMemoryUsedMB")
    init_duration_ms: float | None = None
    restore_duration_ms: float | None = None
    billed_restore_duration_ms: float | None = None


class _Record(msgspec.Struct, rename="camel"):
    request_id: str | None = None
    metrics: _Metrics = msgspec.field(default_factory=_Metrics)
    status: str | None = None
    error_type: str | None = None
    phase: str | None = None


class _Line(msgspec.Struct):
    type: str
    record: _Record


_json = msgspec.json.Decoder(_Line)


def parse_line(line: bytes) -> Report | None:
    """Parse one line of a log; None: it is not a report."""
    line = line.strip()
    if line.endswith(b"}"):
        return _parse_json(line)
    if line.startswith(b"REPORT RequestId: "):
        request_id: str | None = line[18:].split(None, 1)[0].decode("utf-8", "replace")
    elif line.startswith(b"INIT_REPORT "):
        request_id = None
    else:
        return None
    values: dict[str, float | int | str] = {}
    try:
        for name, text in _FIELD.findall(line):
            if name in _NUMBERS:
                field, number = _NUMBERS[name]
                values[field] = number(text.removesuffix(b"ms"))
            else:
                values[_TEXTS[name]] = text.decode("utf-8", "replace")
    except ValueError:  # cut short, or an imitation
        return None
    return Report(request_id, **values)  # type: ignore[arg-type]


def _parse_json(line: bytes) -> Report | None:
    if b'"platform.' not in line:
        return None
    try:
        read = decode_with(_json, line)
    except msgspec.MsgspecError:
        begin = line.rfind(b'{"time":')
        return _parse_json(line[begin:]) if begin > 0 else None
    if read.type not in ("platform.report", "platform.initReport"):
        return None
    record, metrics = read.record, read.record.metrics
    begun = read.type == "platform.report"

    def whole(value: float | None) -> int | None:
        return None if value is None else int(value)

    return Report(
        request_id=record.request_id if begun else None,
        duration_ms=metrics.duration_ms if begun else None,
        billed_ms=whole(metrics.billed_duration_ms),
        memory_mb=metrics.memory_size_mb,
        max_memory_mb=metrics.max_memory_used_mb,
        init_ms=metrics.init_duration_ms if begun else metrics.duration_ms,
        restore_ms=metrics.restore_duration_ms,
        billed_restore_ms=whole(metrics.billed_restore_duration_ms),
        status=None if record.status == "success" else record.status,
        error_type=record.error_type,
        phase=record.phase,
    )


def last_report(tail: bytes, request_id: str | None) -> Report | None:
    """The REPORT of this request in the log's tail; with no request id, the last REPORT there is."""
    for line in reversed(tail.split(b"\n")):
        report = parse_line(line)
        if report is not None and report.request_id is not None and request_id in (None, report.request_id):
            return report
    return None
