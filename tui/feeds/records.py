"""Records as timed events: a session's journal, or an exported document."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from lbench.engine.export.document_events import document_events, document_length_s
from lbench.engine.journal.events import (
    Dispatched,
    Event,
    Returned,
    RunEnded,
    RunStarted,
    SessionStarted,
    StageEnded,
    StageStarted,
    decode_event,
)
from lbench.engine.journal.reader import is_journal, read_events
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.model import epoch_s
from lbench.engine.session.block_process import blocks_of, reads_apart
from lbench.engine.session.blocks import Block, steps_of
from lbench.errors import LbenchError, SessionFileError

__all__ = ["Clock", "Source", "Timed", "timed"]

Timed = tuple[float, Event]


class Source:
    """A record that can be read from its beginning any number of times."""

    def __init__(
        self,
        path: Path | None,
        events: Callable[[], Iterator[Event]],
        length_s: Callable[[], float] | None = None,
        blocks: Callable[[], Iterator[Block]] | None = None,
        *,
        apart: bool = False,
    ) -> None:
        """Reading `events` may raise LbenchError, as may `length_s`, which only a replay needs.

        `blocks`: the same events in blocks, which are folded faster; a replay needs each event at its time. `apart`: other
        processes read them.
        """
        self.path = path
        self.events = events
        self.blocks = blocks
        self.apart = apart
        self._length_s = length_s

    def length_s(self) -> float:
        """Seconds from the record's beginning to its last event.

        Raises:
            LbenchError: the record cannot be read.
        """
        if self._length_s is not None:
            return self._length_s()
        return _span_s(timed(self.events()))

    @classmethod
    def of(cls, path: Path) -> Source:
        """A session's folder, its journal, or an exported document."""
        if path.is_dir():
            path = path / JOURNAL_NAME
        journal = path.name == JOURNAL_NAME
        with contextlib.suppress(SessionFileError):  # what reads its events tells why
            journal = journal or is_journal(path)
        if journal:
            events, length_s = lambda: read_events(path), lambda: _journal_length_s(path)
            return cls(path, events, length_s, lambda: blocks_of(path), apart=reads_apart(path))
        return cls(path, lambda: document_events(path), lambda: document_length_s(path), lambda: _document_blocks(path))


_AT_ONCE = 1024  # events of a document in a block


def _document_blocks(path: Path) -> Iterator[Block]:
    """A document's events in blocks. The number of its invocations shows how far it is read.

    Raises:
        SessionFileError: as `document_events`.
    """
    events = document_events(path)
    try:
        content = path.read_bytes()
        size, expected = len(content), 2 * content.count(b'"dispatched_s"')
        del content
    except OSError:
        size = expected = 0  # reading it tells why
    batch: list[Event] = []
    count = 0
    try:
        for event in events:
            batch.append(event)
            if len(batch) == _AT_ONCE:
                count += len(batch)
                yield Block(steps_of(batch), 0, size * count // max(count, expected), 0)
                batch = []
    except LbenchError:
        yield Block(steps_of(batch), 0, 0, 0)
        raise
    yield Block(steps_of(batch), 0, size, 0)


_TELLING = tuple(b'{"event":"' + name + b'"' for name in (b"session", b"started", b"ended"))
_TAIL = 256  # lines: the last thing that happened is among them


def _span_s(events: Iterator[Timed]) -> float:
    """Seconds from the first event to the last."""
    times = [at for at, _ in events]
    return max(times) - times[0] if times else 0.0


def _journal_length_s(path: Path) -> float:
    """A journal's length without decoding most of its lines."""
    head: list[bytes] = []
    tail: deque[bytes] = deque(maxlen=_TAIL)
    try:
        with path.open("rb") as file:
            for line in file:
                (head if line.startswith(_TELLING) else tail).append(line)
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return _span_s(timed(decode_event(line) for line in [*head, *tail] if line.endswith(b"\n")))
    except msgspec.MsgspecError as error:
        raise SessionFileError(f"{path} is damaged: {error}") from None


class Clock:
    """The epoch second of each event. An event without a time gets that of the one before."""

    def __init__(self) -> None:
        self._zero: dict[str, float] = {}
        self._now = 0.0

    def at(self, event: Event) -> float:
        zero, now = self._zero, self._now
        match event:
            case SessionStarted():
                now = epoch_s(event.created)
            case RunStarted():
                now = zero[event.run] = epoch_s(event.started)
            case Dispatched():
                now = zero.get(event.run, now) + event.dispatched_s
            case Returned():
                now = zero.get(event.run, now) + event.returned_s
            case StageStarted() | StageEnded():
                now = zero.get(event.run, now) + event.at_s
            case RunEnded():
                now = max(now, zero[event.run] + (event.makespan_s or 0.0)) if event.run in zero else now
            case _:
                pass
        self._now = now
        return now


def timed(events: Iterator[Event]) -> Iterator[Timed]:
    """Each event with its epoch second."""
    clock = Clock()
    for event in events:
        yield clock.at(event), event
