"""Reads a journal in blocks: what happened to thousands of invocations becomes columns at once.

Applying blocks gives the session that applying event by event gives. What columns cannot take at once (a damaged
journal, a number too large) is applied event by event, so that its error is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lbench.engine.journal.events import (
    Dispatched,
    Event,
    Previewed,
    Returned,
    RunStarted,
    Sampled,
    SessionStarted,
    decode_event,
)
from lbench.engine.journal.reader import check_first
from lbench.engine.model import check_times
from lbench.engine.session.columns import CODES, Rows, Values, dtype_of
from lbench.errors import SessionFileError, visible_json

__all__ = ["Block", "Stretch", "journal_blocks", "rows_of"]

_BLOCK_BYTES = 1 << 19
_LEAST = 64  # events of invocations; of fewer each is applied by itself
_OF_INVOCATIONS = {Dispatched, Returned}
_DASHES = [8, 13, 18, 23]
_NOT_DASHES = [place for place in range(36) if place not in _DASHES]


class Stretch(msgspec.Struct):
    """Events of invocations, one after the other."""

    events: list[Dispatched | Returned]
    rows: list[Rows]  # the same by run; empty: they can only be applied one by one


class Block(msgspec.Struct):
    """Events in their order; those of invocations in stretches."""

    steps: list[Event | Stretch]
    end: int  # bytes of the file up to here


_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def journal_blocks(path: Path, block_bytes: int = _BLOCK_BYTES) -> Iterator[Block]:
    """A journal's events. A torn last line is dropped.

    Raises:
        SessionFileError: it is no journal, of a newer version, or damaged in the middle.
    """
    try:
        with path.open("rb") as file:
            rest = file.readline()
            check_first(path, rest)
            number, end = 1, 0
            while True:
                chunk = file.read(block_bytes)
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                lines = whole + newline
                end += len(lines)
                count = lines.count(b"\n")
                steps = _steps_of(lines, count)
                if steps is None:
                    yield from _line_by_line(path, lines, number, end)
                else:
                    yield Block(steps, end)
                number += count
                if not chunk:
                    return
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None


def _steps_of(lines: bytes, count: int) -> list[Event | Stretch] | None:
    """The events of so many whole lines; None: one is damaged."""
    if not lines.isascii() or b"\\" in lines or b"\x7f" in lines:
        visible = b"\n".join(map(visible_json, lines.split(b"\n")))
    else:
        visible = lines
    try:
        events = _decoder.decode_lines(visible)
        return _steps(events) if len(events) == count else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _line_by_line(path: Path, lines: bytes, number: int, end: int) -> Iterator[Block]:
    events: list[Event | Stretch] = []
    for line in lines.splitlines(keepends=True) if b"\r" not in lines else re.findall(rb"[^\n]*\n", lines):
        try:
            events.append(decode_event(line))
        except msgspec.MsgspecError as error:
            yield Block(events, end)
            raise SessionFileError(f"{path} is damaged at line {number}: {error}") from None
        number += 1
    yield Block(events, end)


def _steps(events: list[Event]) -> list[Event | Stretch]:
    """Previews and samples change nothing of an invocation, so they may go before the stretch around them.

    Raises:
        msgspec.ValidationError: a time is none.
    """
    if set(map(type, events)) <= _OF_INVOCATIONS:
        return _stretch(events)  # type: ignore[arg-type]
    steps: list[Event | Stretch] = []
    stretch: list[Dispatched | Returned] = []
    for event in events:
        if isinstance(event, Dispatched | Returned):
            stretch.append(event)
            continue
        if isinstance(event, SessionStarted | RunStarted):
            check_times([event.created if isinstance(event, SessionStarted) else event.started])
        if not isinstance(event, Previewed | Sampled):
            steps += _stretch(stretch)
            stretch = []
        steps.append(event)
    return steps + _stretch(stretch)


def _stretch(events: list[Dispatched | Returned]) -> list[Event | Stretch]:
    if len(events) < _LEAST:
        return [*events]
    by_run: dict[str, list[Dispatched | Returned]] = {run: [] for run in {event.run: None for event in events}}
    if len(by_run) == 1:
        by_run = dict.fromkeys(by_run, events)
    else:
        for event in events:
            by_run[event.run].append(event)
    try:
        rows = [rows_of(run, own) for run, own in by_run.items()]
    except (OverflowError, ValueError):
        rows = []
    return [Stretch(events, rows)]


def rows_of(run: str, events: list[Dispatched | Returned]) -> Rows:
    """The columns of one run's events.

    Raises:
        ValueError: they make no sense in this order, or end an invocation twice.
        OverflowError: a number is too large for its column.
    """
    begun = [event for event in events if type(event) is Dispatched]
    ended = [event for event in events if type(event) is Returned]
    numbers = np.array([event.n for event in begun], dtype=np.int64)
    ended_rows = np.array([event.n for event in ended], dtype=np.int64)
    if begun:
        first = begun[0].n
        begins = np.array([type(event) is Dispatched for event in events])
        limits = first + np.cumsum(begins)[~begins]
        if first < 0 or (numbers != np.arange(first, first + len(begun))).any() or (ended_rows >= limits).any():
            raise ValueError("out of order")
    else:
        first = int(ended_rows.max()) + 1
    if (ended_rows < 0).any() or len(np.unique(ended_rows)) < len(ended_rows):
        raise ValueError("ended twice")
    known = dict.fromkeys([event.environment for event in events])
    environments = [name for name in known if name is not None]
    codes: dict[str | None, int] = {name: code for code, name in enumerate(environments)}
    codes[None] = -1
    ids = [event.request_id for event in ended]
    uuids = _uuids(ids)
    return Rows(
        run=run,
        first=first,
        begun=_packed(
            stage=[event.stage for event in begun],
            task=[event.task for event in begun],
            attempt=[event.attempt for event in begun],
            queued_s=[event.queued_s for event in begun],
            dispatched_s=[event.dispatched_s for event in begun],
        ),
        begun_count=len(begun),
        ended_rows=ended_rows,
        ended=_measured(ended),
        environments=environments,
        begun_environments=np.array([codes[event.environment] for event in begun], dtype=np.int64),
        ended_environments=np.array([codes[event.environment] for event in ended], dtype=np.int64),
        hedge_of=[(event.n, event.hedge_of) for event in begun if event.hedge_of is not None],
        errors=[(event.n, event.error) for event in ended if event.error is not None],
        log_tails=[(event.n, event.log_tail) for event in ended if event.log_tail is not None],
        uuids=uuids,
        request_ids=ids if uuids is None else [],
        s3=(
            sum([event.s3_put for event in ended]),
            sum([event.s3_get for event in ended]),
            sum([event.s3_bytes for event in ended]),
        ),
    )


def _measured(ended: list[Returned]) -> dict[str, Values]:
    """The columns of `RETURNED`. Written out: an attribute by its name takes four times as long."""
    return _packed(
        status=[event.status for event in ended],
        returned_s=[event.returned_s for event in ended],
        cold=[event.cold for event in ended],
        started_s=[event.started_s for event in ended],
        finished_s=[event.finished_s for event in ended],
        connect_ms=[event.connect_ms for event in ended],
        init_ms=[event.init_ms for event in ended],
        fetch_ms=[event.fetch_ms for event in ended],
        compute_ms=[event.compute_ms for event in ended],
        billed_ms=[event.billed_ms for event in ended],
        billed_source=[event.billed_source for event in ended],
        memory_mb=[event.memory_mb for event in ended],
        max_memory_mb=[event.max_memory_mb for event in ended],
        request_bytes=[event.request_bytes for event in ended],
        response_bytes=[event.response_bytes for event in ended],
        via_s3=[event.via_s3 for event in ended],
        peak_rss_mb=[event.peak_rss_mb for event in ended],
        batch=[event.batch for event in ended],
        printed_bytes=[event.printed_bytes for event in ended],
    )


def _packed(**columns: list[Any]) -> dict[str, Values]:
    """The columns in which any row has a value."""
    found: dict[str, Values] = {}
    for name, values in columns.items():
        missing = values.count(None)
        if missing == len(values):
            continue
        there = None
        if missing:
            there = np.array([value is not None for value in values])
            values = [value for value in values if value is not None]
        if (codes := CODES.get(name)) is not None:
            values = [codes[value] for value in values]
        found[name] = there, np.fromiter(values, dtype_of(name), len(values))
    return found


def _uuids(ids: list[str | None]) -> Values | None:
    """All ids as UUIDs; None: one is not written as such."""
    texts = [text for text in ids if text is not None]
    joined = "".join(texts)
    if any([len(text) != 36 for text in texts]) or not joined.isascii():
        return None
    cells = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(-1, 36)
    digits = cells[:, _NOT_DASHES]
    hexadecimal = ((digits >= 48) & (digits <= 57)) | ((digits >= 97) & (digits <= 102))
    if not (cells[:, _DASHES] == 45).all() or not hexadecimal.all():
        return None
    there = None if len(texts) == len(ids) else np.array([text is not None for text in ids])
    return there, np.frombuffer(bytes.fromhex(joined.replace("-", "")), dtype="V16")
