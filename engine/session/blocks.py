"""Reads a journal in blocks: what happened to thousands of invocations becomes columns at once.

Applying blocks gives the session that applying event by event gives. What columns cannot take at once (a damaged
journal, a number too large) is applied event by event, so that its error is the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from lbench.engine.journal.events import (
    Dispatched,
    Event,
    Previewed,
    Returned,
    Sampled,
    decode_event,
    decode_events,
)
from lbench.engine.journal.reader import check_first
from lbench.engine.session.columns import CODES, RETURNED, Rows, Values, dtype_of
from lbench.errors import SessionFileError

__all__ = [
    "BLOCK_BYTES",
    "Block",
    "Stretch",
    "block_spans",
    "checked",
    "journal_blocks",
    "read_block",
    "rows_of",
    "steps_of",
]

BLOCK_BYTES = 1 << 19
_LEAST = 64  # events of invocations; of fewer each is applied by itself
_OF_INVOCATIONS = {Dispatched, Returned}
_BEGUN = ("stage", "task", "attempt", "queued_s", "dispatched_s")
_DASHES = [8, 13, 18, 23]
_NOT_DASHES = [place for place in range(36) if place not in _DASHES]


class Stretch(msgspec.Struct, tag_field="event", tag="stretch"):
    """Events of invocations, one after the other."""

    rows: list[Rows]  # by run; empty: they can only be applied one by one
    count: int
    last: Dispatched | Returned
    kept: list[Dispatched | Returned] = []  # the events; empty: another process has read them
    place: tuple[str, int, int, int] | None = None  # then: the file, the bytes of the block, the stretch's number in it

    def events(self) -> list[Dispatched | Returned]:
        """The events themselves, for whoever cannot apply `rows`."""
        if self.place is None:
            return self.kept
        path, begin, end, number = self.place
        with Path(path).open("rb") as file:
            lines = lines_from(file, begin, end)
        stretches = [step for step in _steps_of(lines) or () if isinstance(step, Stretch)]
        return stretches[number].kept


class Block(msgspec.Struct):
    """Events in their order; those of invocations in stretches."""

    steps: list[Event | Stretch] | None  # None: some line is damaged
    begin: int  # the bytes of the file in which its lines begin
    end: int
    lines: int


def journal_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """A journal's events. A torn last line is dropped.

    Raises:
        SessionFileError: it is no journal, of a newer version, or damaged in the middle.
    """
    try:
        with path.open("rb") as file:
            check_first(path, file.readline())
            blocks = (read_block(file, *span) for span in block_spans(path, block_bytes))
            yield from checked(path, blocks)
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None


def block_spans(path: Path, block_bytes: int = BLOCK_BYTES) -> list[tuple[int, int]]:
    """The bytes of each block."""
    size = path.stat().st_size
    return [(begin, min(size, begin + block_bytes)) for begin in range(0, size, block_bytes)]


def read_block(file: IO[bytes], begin: int, end: int) -> Block:
    """The events of the lines that begin in these bytes."""
    lines = lines_from(file, begin, end)
    return Block(_steps_of(lines), begin, end, lines.count(b"\n"))


def checked(path: Path, blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, up to the first damaged line.

    Raises:
        SessionFileError: there is one.
    """
    number = 1
    for block in blocks:
        if block.steps is None:
            with path.open("rb") as file:
                yield from _line_by_line(path, lines_from(file, block.begin, block.end), number, block)
        else:
            yield block
        number += block.lines


def lines_from(file: IO[bytes], begin: int, end: int) -> bytes:
    """The whole lines that begin in these bytes."""
    before = min(begin, 1)
    file.seek(begin - before)
    content = file.read(end - begin + before)
    if begin:
        content = content[content.find(b"\n") + 1 :] if b"\n" in content else b""
    if content and not content.endswith(b"\n"):
        content += file.readline()
    return content if content.endswith(b"\n") else content[: content.rfind(b"\n") + 1]


def _line_by_line(path: Path, lines: bytes, number: int, block: Block) -> Iterator[Block]:
    events: list[Event | Stretch] = []
    for line in lines.split(b"\n")[:-1]:
        try:
            events.append(decode_event(line + b"\n"))
        except msgspec.MsgspecError as error:
            yield Block(events, block.begin, block.end, len(events))
            raise SessionFileError(f"{path} is damaged at line {number}: {error}") from None
        number += 1
    yield Block(events, block.begin, block.end, len(events))


def _steps_of(lines: bytes) -> list[Event | Stretch] | None:
    """The events of whole lines; None: one is damaged."""
    try:
        return steps_of(decode_events(lines))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def steps_of(events: list[Event]) -> list[Event | Stretch]:
    """Previews and samples change nothing of an invocation, so they may go before the stretch around them."""
    if set(map(type, events)) <= _OF_INVOCATIONS:
        return _stretch(events)  # type: ignore[arg-type]
    steps: list[Event | Stretch] = []
    stretch: list[Dispatched | Returned] = []
    for event in events:
        if isinstance(event, Dispatched | Returned):
            stretch.append(event)
            continue
        if not isinstance(event, Previewed | Sampled):
            steps += _stretch(stretch)
            stretch = []
        steps.append(event)
    return steps + _stretch(stretch)


def _stretch(events: list[Dispatched | Returned]) -> list[Event | Stretch]:
    if len(events) < _LEAST:
        return [*events]
    runs = {event.run for event in events}
    by_run = dict.fromkeys(runs, events)
    if len(runs) > 1:
        by_run = {run: [] for run in runs}
        for event in events:
            by_run[event.run].append(event)
    try:
        rows = [rows_of(run, own) for run, own in by_run.items()]
    except (OverflowError, ValueError):
        rows = []
    return [Stretch(rows, len(events), events[-1], events)]


def rows_of(run: str, events: list[Dispatched | Returned]) -> Rows:
    """The columns of one run's events.

    Raises:
        ValueError: they make no sense in this order, or end an invocation twice.
        OverflowError: a number is too large for its column.
    """
    begins = np.array([type(event) is Dispatched for event in events])
    begun = _columns(Dispatched, itertools.compress(events, begins.tolist()))
    ended = _columns(Returned, itertools.compress(events, (~begins).tolist()))
    ended_rows = np.array(ended["n"], np.int64)
    if begun["n"]:
        first = begun["n"][0]
        limits = first + np.cumsum(begins)[~begins]
        in_order = (np.array(begun["n"], np.int64) == np.arange(first, first + len(begun["n"]))).all()
        if first < 0 or not in_order or (ended_rows >= limits).any():
            raise ValueError("out of order")
    else:
        first = int(ended_rows.max()) + 1
    if (ended_rows < 0).any() or not np.diff(np.sort(ended_rows)).all():
        raise ValueError("ended twice")
    environments = [name for name in dict.fromkeys([event.environment for event in events]) if name is not None]
    codes: dict[str | None, int] = {name: code for code, name in enumerate(environments)}
    codes[None] = -1
    uuids = _uuids(ended["request_id"])
    return Rows(
        run=run,
        first=first,
        begun=_packed(begun, _BEGUN),
        begun_count=len(begun["n"]),
        ended_rows=ended_rows,
        ended=_packed(ended, RETURNED),
        environments=environments,
        begun_environments=np.array([codes[name] for name in begun["environment"]], np.int64),
        ended_environments=np.array([codes[name] for name in ended["environment"]], np.int64),
        hedge_of=_known(begun, "hedge_of"),
        errors=_known(ended, "error"),
        log_tails=_known(ended, "log_tail"),
        uuids=uuids,
        request_ids=[*ended["request_id"]] if uuids is None else [],
        s3=(sum(ended["s3_put"]), sum(ended["s3_get"]), sum(ended["s3_bytes"])),
    )


def _columns(kind: type[Dispatched | Returned], events: Iterable[Dispatched | Returned]) -> dict[str, tuple[Any, ...]]:
    """The values of each field, transposed at once: an attribute of each event by itself takes three times as long."""
    rows = [*map(astuple, events)]
    columns = zip(*rows, strict=True) if rows else itertools.repeat(())
    return dict(zip(kind.__struct_fields__, columns, strict=False))


def _known(columns: dict[str, tuple[Any, ...]], name: str) -> list[tuple[int, Any]]:
    """The values of a field that few events have, with their invocations."""
    values = columns[name]
    if values.count(None) == len(values):
        return []
    return [(n, value) for n, value in zip(columns["n"], values, strict=True) if value is not None]


def _packed(columns: dict[str, tuple[Any, ...]], names: Iterable[str]) -> dict[str, Values]:
    """The columns in which any row has a value."""
    found: dict[str, Values] = {}
    for name in names:
        values = columns[name]
        if not values or (values[0] is None and values.count(None) == len(values)):
            continue
        try:
            cells, there = _cells(name, values), None
        except (TypeError, KeyError):  # None is no cell
            there = np.array([value is not None for value in values])
            cells = _cells(name, [value for value in values if value is not None])
        if cells.dtype.kind == "f" and (missing := np.isnan(cells)).any():
            there = ~missing
            cells = cells[there]
        found[name] = there, cells
    return found


def _cells(name: str, values: Sequence[Any]) -> NDArray[Any]:
    """Values as a column has them; of floats, NaN for None."""
    codes = CODES.get(name)
    return np.fromiter(values if codes is None else map(codes.__getitem__, values), dtype_of(name), len(values))


def _uuids(ids: tuple[str | None, ...]) -> Values | None:
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
