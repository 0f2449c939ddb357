"""A trace for Perfetto: environments are tracks, slices nest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lbench.engine.export.document import document
from lbench.engine.export.perfetto import perfetto_trace
from lbench.engine.session.view import fold
from tests.session_events import session_events


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message, read by the format's own rules."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            size = varint()
            yield key >> 3, message[at : at + size]
            at += size


def test_environments_are_tracks_of_their_run_and_slices_nest() -> None:
    calls: list[dict[str, Any]] = [
        {"environment": f"e{n % 2}", "started_s": 0.2 + n // 2, "finished_s": 0.9 + n // 2, "cold": n < 2}
        | {"init_ms": 100.0 if n < 2 else None, "fetch_ms": 50.0, "compute_ms": 600.0}
        for n in range(6)
    ]
    calls.append({"status": "timeout", "returned_s": 2.5})
    view = fold(session_events({"processes": [4.0, 4.0]}, invocations=calls))
    packets = [dict(fields(packet)) for field, packet in fields(perfetto_trace(document(view))) if field == 1]
    tracks = [dict(fields(packet[60])) for packet in packets if 60 in packet]
    names = {track[1]: track[2].decode() for track in tracks}
    groups = [track for track in tracks if 5 not in track]
    assert len(groups) == 2
    assert "probe on processes, repeat 0" in names[groups[0][1]]
    inside = [names[track[1]] for track in tracks if track.get(5) == groups[0][1]]
    assert sorted(inside) == ["e0", "e1", "not placed", "running at once"]
    open_slices: dict[int, list[str]] = {}
    last: dict[int, int] = {}
    seen = set()
    for packet in packets:
        if 11 not in packet:
            continue
        event = dict(fields(packet[11]))
        track, at = event[11], packet[8]
        assert at >= last.get(track, 0)
        last[track] = at
        if event[9] == 1:
            open_slices.setdefault(track, []).append(event[23].decode())
            seen.add(tuple(open_slices[track]))
        elif event[9] == 2:
            open_slices[track].pop()
        else:
            assert names[track] == "running at once"
    assert not any(open_slices.values())
    assert {("task 0",), ("task 0", "init"), ("task 0", "compute"), ("task 6 timeout",)} <= seen
    assert max(len(path) for path in seen) == 2
