"""A session as a Perfetto trace: each run a group of tracks, each environment a track, each invocation a slice.

The format is TrackEvent, written as protobuf (perfetto.dev/docs/reference/trace-packet-proto). Inside an invocation's slice
lie its init, fetch and compute; a counter shows how many ran at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count

from lbench.engine.model import Document, Invocation, Run

__all__ = ["perfetto_trace"]

# Field numbers of perfetto.protos.
_PACKET = 1  # Trace
_TIMESTAMP, _SEQUENCE, _TRACK_EVENT, _FLAGS, _DESCRIPTOR = 8, 10, 11, 13, 60  # TracePacket
_UUID, _NAME, _PARENT, _COUNTER = 1, 2, 5, 8  # TrackDescriptor
_ANNOTATION, _TYPE, _TRACK, _CATEGORY, _EVENT_NAME, _VALUE = 4, 9, 11, 22, 23, 30  # TrackEvent
_INT_VALUE, _TEXT_VALUE, _ANNOTATION_NAME = 4, 6, 10  # DebugAnnotation
_BEGIN, _END, _COUNT = 1, 2, 4
_CLEARED = 1


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode("utf-8", "replace"))


def perfetto_trace(document: Document) -> bytes:
    """The trace of all runs that have begun; it opens in ui.perfetto.dev."""
    runs = [run for run in document.runs if run.invocations]
    begins = [datetime.fromisoformat(run.started).timestamp() for run in runs]
    uuids = count(1)
    packets: list[bytes] = []
    for run, begin in zip(runs, begins, strict=True):
        packets += _run(run, begin - min(begins), uuids)
    first = _number(_SEQUENCE, 1) + _number(_FLAGS, _CLEARED)
    return b"".join(_bytes(_PACKET, packet) for packet in [first, *packets])


def _run(run: Run, zero_s: float, uuids: Iterator[int]) -> Iterator[bytes]:
    group = next(uuids)
    kind = f"warm-up {run.repeat}" if run.warmup else f"repeat {run.repeat}"
    yield _track(group, f"{run.workload} on {run.label}, {kind} ({run.origin})")
    lanes: dict[str, list[tuple[float, float, Invocation]]] = {}
    for one in run.invocations:
        span = _span(one)
        if span is not None:
            lanes.setdefault(one.environment or "not placed", []).append((*span, one))
    ends: list[tuple[float, int]] = []
    for name, spans in lanes.items():
        spans.sort(key=lambda span: span[:2])
        for number, lane in enumerate(_apart(spans)):
            track = next(uuids)
            yield _track(track, name if not number else f"{name} ({number + 1})", group)
            for begin_s, end_s, one in lane:
                yield from _slices(one, zero_s, begin_s, end_s, track)
                ends += [(begin_s, 1), (end_s, -1)]
    counter = next(uuids)
    described = _number(_UUID, counter) + _text(_NAME, "running at once") + _number(_PARENT, group)
    yield _packet(_bytes(_DESCRIPTOR, described + _bytes(_COUNTER, b"")))
    running = 0
    for at_s, change in sorted(ends):
        running += change
        event = _number(_TYPE, _COUNT) + _number(_TRACK, counter) + _number(_VALUE, running)
        yield _event(zero_s + at_s, event)


def _span(one: Invocation) -> tuple[float, float] | None:
    """From its init to its end; None where neither is known."""
    begin_s = one.dispatched_s if one.started_s is None else one.started_s - (one.init_ms or 0.0) / 1000
    end_s = one.returned_s if one.finished_s is None else one.finished_s
    if begin_s is None or end_s is None:
        return None
    begin_s = max(0.0, begin_s)
    return begin_s, max(begin_s, end_s)


def _apart(spans: Iterable[tuple[float, float, Invocation]]) -> list[list[tuple[float, float, Invocation]]]:
    """Lanes in which no slice overlaps another: Perfetto nests those that do."""
    lanes: list[list[tuple[float, float, Invocation]]] = []
    for begin_s, end_s, one in spans:
        # Less than a microsecond is the rounding of clocks.
        lane = next((lane for lane in lanes if lane[-1][1] <= begin_s + 1e-6), None)
        if lane is None:
            lanes.append([(begin_s, end_s, one)])
        else:
            begin_s = max(begin_s, lane[-1][1])
            lane.append((begin_s, max(begin_s, end_s), one))
    return lanes


def _slices(one: Invocation, zero_s: float, begin_s: float, end_s: float, track: int) -> Iterator[bytes]:
    notes: dict[str, str | int | None] = {
        "stage": one.stage,
        "attempt": one.attempt,
        "billed_ms": one.billed_ms,
        "status": one.status,
        "cold": "yes" if one.cold else None,
        "error": one.error.message if one.error else None,
    }
    name = f"task {one.task}" if one.status == "ok" else f"task {one.task} {one.status}"
    yield _begin(zero_s + begin_s, track, name, notes)
    at_s = begin_s
    for phase, ms in (("init", one.init_ms), ("fetch", one.fetch_ms), ("compute", one.compute_ms)):
        if ms is None or ms <= 0:
            continue
        until_s = min(end_s, at_s + ms / 1000)
        yield _begin(zero_s + at_s, track, phase, {})
        yield _end(zero_s + until_s, track)
        at_s = until_s
    yield _end(zero_s + end_s, track)


def _track(uuid: int, name: str, parent: int | None = None) -> bytes:
    inside = _number(_UUID, uuid) + _text(_NAME, name)
    return _packet(_bytes(_DESCRIPTOR, inside if parent is None else inside + _number(_PARENT, parent)))


def _begin(at_s: float, track: int, name: str, notes: dict[str, str | int | None]) -> bytes:
    event = _number(_TYPE, _BEGIN) + _number(_TRACK, track) + _text(_CATEGORY, "lbench") + _text(_EVENT_NAME, name)
    for key, value in notes.items():
        if value is not None:
            field = _number(_INT_VALUE, value) if isinstance(value, int) else _text(_TEXT_VALUE, value)
            event += _bytes(_ANNOTATION, _text(_ANNOTATION_NAME, key) + field)
    return _event(at_s, event)


def _end(at_s: float, track: int) -> bytes:
    return _event(at_s, _number(_TYPE, _END) + _number(_TRACK, track))


def _event(at_s: float, event: bytes) -> bytes:
    return _packet(_number(_TIMESTAMP, round(at_s * 1e9)) + _bytes(_TRACK_EVENT, event))


def _packet(inside: bytes) -> bytes:
    return inside + _number(_SEQUENCE, 1)
