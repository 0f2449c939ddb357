"""Folding a journal in blocks gives what folding event by event gives, also of a damaged one."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Audited,
    Dispatched,
    Event,
    Previewed,
    Returned,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionStarted,
    StageStarted,
    encode_lines,
)
from lbench.engine.journal.reader import read_events
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.model import ErrorInfo, Measures, Pricing
from lbench.engine.session.block_process import journal_blocks_apart
from lbench.engine.session.blocks import BLOCK_BYTES, Block, Stretch, journal_blocks, rows_of
from lbench.engine.session.columns import RETURNED, STATUSES
from lbench.engine.session.view import SessionView, fold
from lbench.errors import SessionFileError

UUID = "01234567-89ab-cdef-0123-456789abcdef"


def folded(blocks: Iterable[Block]) -> SessionView:
    view = SessionView()
    for block in blocks:
        for step in block.steps or ():
            if isinstance(step, Stretch):
                view.apply_stretch(step)
            else:
                view.apply(step)
    return view


def shown(view: SessionView) -> Any:
    """All that a view knows."""
    runs = {}
    for run in view.runs.values():
        columns = run.columns
        kept = {name: value for name, value in vars(run).items() if name != "columns"}
        aside = {name: value for name, value in vars(columns).items() if name not in ("_arrays", "_ready")}
        cells = {name: columns[name].tobytes() for name in columns._arrays}
        runs[run.id] = {**kept, **aside, "cells": cells}
    return {**vars(view), "runs": runs}


def history(seed: int, invocations: int, runs: int) -> list[Event]:
    """A journal of runs at the same time, with everything that an invocation may have."""
    rng = random.Random(seed)
    events: list[Event] = [
        SessionStarted(
            "s", "näme \\ \x9b", "2026-01-01T00:00:00Z", "0", Environment(), "lbench.journal", JOURNAL_VERSION
        )
    ]
    names = [f"r{number}" for number in range(runs)]
    for name in names:
        workload = rng.choice(["probe", "function"])
        events.append(RunPlanned(name, workload, {}, 1, "lambda", "lambda", "emulated", 0, False, "isolated"))
        events.append(RunStarted(name, "2026-01-01T00:00:01Z", 0.5, {}, None, False, "d", None, Pricing()))
        events.append(StageStarted(name, 0, invocations, 0.0))
    counts = dict.fromkeys(names, 0)
    open_rows: list[tuple[str, int]] = []
    for number in range(invocations):
        name = rng.choice(names)
        n = counts[name]
        counts[name] += 1
        environment = rng.choice([None, "e1", "e2"])
        hedge_of = n - 1 if n and not rng.randrange(20) else None
        events.append(Dispatched(name, n, 0, number, rng.randrange(3), 0.5, number * 0.5, environment, hedge_of))
        open_rows.append((name, n))
        while open_rows and rng.random() < 0.55:
            events.append(_returned(rng, *open_rows.pop(rng.randrange(len(open_rows)))))
        if not rng.randrange(100):
            events.append(Sampled(name, MachineSample(0.0, load=1.0)))
        if not rng.randrange(30):
            events.append(Previewed(name, 0, number, 0, 10))
        if not rng.randrange(150):
            events.append(Audited(name, rng.randrange(n + 1), 7, request_id=rng.choice([None, UUID, "odd"])))
    return events


def _returned(rng: random.Random, name: str, n: int) -> Returned:
    status: Any = rng.choice(["ok"] * 8 + list(STATUSES))
    values: dict[str, Any] = {
        "environment": None if rng.random() < 0.1 else f"e{rng.randrange(40)}",
        "cold": rng.choice([None, True, False]),
        "started_s": rng.choice([None, rng.random()]),
        "finished_s": rng.choice([None, rng.random()]),
        "compute_ms": rng.choice([None, rng.random() * 100]),
        "init_ms": rng.choice([None, rng.random() * 100]),
        "billed_ms": rng.choice([None, rng.randrange(10_000)]),
        "billed_source": rng.choice([None, "report", "estimated"]),
        "request_bytes": rng.choice([None, 2**40 + 1]),  # no float of 32 bits
        "via_s3": rng.choice([None, True, False]),
        "s3_put": rng.randrange(3),
        "s3_get": rng.randrange(3),
        "s3_bytes": rng.randrange(3),
        "request_id": rng.choice([UUID, None] if rng.random() < 0.8 else [UUID, "no uuid", "é" * 36, UUID.upper()]),
    }
    if status not in ("ok", "superseded"):
        values["error"] = ErrorInfo("E", "a\nmessage \x1b]0;", True, rng.random() < 0.5)
        values["log_tail"] = rng.choice([None, "tail"])
    return Returned(name, n, status, 1.0 + n, **values)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), runs=st.integers(1, 4), block_bytes=st.sampled_from([500, 20_000, 1 << 19]))
def test_blocks_give_the_session_that_single_events_give(
    tmp_path: Path, seed: int, runs: int, block_bytes: int
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_lines(history(seed, 400, runs)) + b'{"event":"torn')
    assert shown(folded(journal_blocks(path, block_bytes))) == shown(fold(read_events(path)))


def test_processes_read_what_one_reads(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_lines(history(1, 5000, 3)) + b'{"event":"torn')
    assert path.stat().st_size > 2 * BLOCK_BYTES
    assert shown(folded(journal_blocks_apart(path))) == shown(fold(read_events(path)))
    events = list(read_events(path))
    changed = [events[0], *events[2:]]  # its first run was never planned
    path.write_bytes(encode_lines(changed))
    for blocks in (journal_blocks_apart(path), journal_blocks(path)):
        with pytest.raises(SessionFileError, match="which was not planned"):
            folded(blocks)
    path.write_bytes(encode_lines(events) + b"no event\n")
    with pytest.raises(SessionFileError, match=f"is damaged at line {len(events) + 1}:"):
        folded(journal_blocks_apart(path))


def test_a_reader_whose_processes_cannot_start_reads_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_lines(history(2, 300, 1)))
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert shown(folded(journal_blocks_apart(path))) == shown(fold(read_events(path)))


def test_a_sound_journal_is_taken_by_its_columns(tmp_path: Path) -> None:
    """Event by event gives the same, and takes ten times as long."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_lines(history(4, 500, 2)))
    view = SessionView()
    stretches = 0
    for block in journal_blocks(path):
        for step in block.steps or ():
            if not isinstance(step, Stretch):
                view.apply(step)
                continue
            stretches += 1
            assert step.count == len(step.events()) and step.last == step.events()[-1]
            assert step.rows and all(view.runs[rows.run].columns.fits(rows) for rows in step.rows)
            view.apply_stretch(step)
    assert stretches > 1


def test_rows_that_only_end_fit_where_all_of_them_have_begun() -> None:
    begun: list[Dispatched | Returned] = [Dispatched("r0", n, 0, n, 0, 0.0, 0.0) for n in range(4)]
    columns = fold([*history(6, 0, 1), *begun]).runs["r0"].columns
    ends: list[Dispatched | Returned] = [Returned("r0", n, "ok", 1.0) for n in (0, 2)]
    assert columns.fits(rows_of("r0", ends))
    assert not columns.fits(rows_of("r0", [*ends, Returned("r0", 4, "ok", 1.0)]))
    assert columns.fits(rows_of("r0", [Dispatched("r0", 4, 0, 4, 0, 0.0, 0.0)]))
    assert not columns.fits(rows_of("r0", [Dispatched("r0", 3, 0, 4, 0, 0.0, 0.0)]))


@pytest.mark.parametrize(
    ("ids", "known"),
    [
        ([UUID, UUID], True),
        ([UUID, None], True),
        ([UUID[:-1], UUID + "0"], False),  # as long as two
        ([UUID.replace("9", ":")], False),  # the character after 9
        ([UUID.replace("f", "g")], False),
        ([UUID.replace("-", "0")], False),
    ],
)
def test_request_ids_are_packed_where_all_are_uuids(ids: list[str | None], known: bool) -> None:
    rows = rows_of("r0", [Returned("r0", n, "ok", 1.0, request_id=text) for n, text in enumerate(ids)])
    assert (rows.uuids is not None, rows.request_ids) == (known, [] if known else ids)


def test_what_stands_before_the_damage_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = history(7, 100, 1)
    path.write_bytes(encode_lines(events))
    before = list(read_events(path))
    path.write_bytes(encode_lines(events) + b"no event\n" + encode_lines(events[1:]))
    found: list[Any] = []
    with pytest.raises(SessionFileError, match=f"is damaged at line {len(events) + 1}:"):
        for block in journal_blocks(path):
            found += block.steps or ()
    assert found == before


def _damages() -> list[tuple[str, Any]]:
    def line(*events: Event) -> bytes:
        return encode_lines(list(events))

    return [
        ("an unknown run", line(Returned("r9", 0, "ok", 1.0))),
        ("a number that was left out", line(Dispatched("r0", 10**6, 0, 0, 0, 0.0, 0.0))),
        ("an end without a beginning", line(Returned("r0", 10**6, "ok", 1.0))),
        ("a negative number", line(Returned("r0", -1, "ok", 1.0))),
        ("too many digits", line(Returned("r0", 0, "ok", 1.0, billed_ms=2**40))),
        ("far too many digits", line(Returned("r0", 10**30, "ok", 1.0))),
        ("half a line", b'{"event":"returned"\n'),
        ("an empty line", b"\n"),
        ("no text", b"\xff\xfe\n"),
        ("two on a line", line(Sampled("r0", MachineSample(0.0))).replace(b"\n", b"") * 2 + b"\n"),
        ("a time that is none", line(RunStarted("r0", "noon", 0.5, {}, None, False, "d", None, Pricing()))),
    ]


@pytest.mark.parametrize(("name", "line"), _damages(), ids=[name for name, _ in _damages()])
def test_a_damaged_journal_is_refused_with_the_same_words(tmp_path: Path, name: str, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    lines = encode_lines(history(3, 300, 2)).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:400], line, *lines[400:]]))
    with pytest.raises(SessionFileError) as expected:
        fold(read_events(path))
    with pytest.raises(SessionFileError) as found:
        folded(journal_blocks(path))
    assert str(found.value) == str(expected.value)


def test_an_invocation_that_ends_twice_is_as_its_events_tell(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = history(5, 200, 1)
    again = [msg for msg in events if isinstance(msg, Returned)][:80]
    path.write_bytes(encode_lines([*events, *again, *again]))
    assert shown(folded(journal_blocks(path))) == shown(fold(read_events(path)))


def test_every_measure_has_a_column() -> None:
    values: dict[str, Any] = dict.fromkeys(Measures.__struct_fields__, 1) | {"billed_source": "report", "via_s3": True}
    ended = Returned("r", 0, "ok", 1.0, "e", True, 0.5, 0.75, **values)
    rows = rows_of("r", [Dispatched("r", 0, 0, 0, 0, 0.0, 0.0), ended])
    assert sorted(rows.ended) == sorted(RETURNED)
    assert all(np.isfinite(array).all() for _, array in rows.ended.values())
