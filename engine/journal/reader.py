"""Reads a journal up to its last whole line. A damaged journal and a file that is not a journal have different errors."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lbench.decoding import decode_with
from lbench.engine.journal.events import JOURNAL_VERSION, Event, decode_event
from lbench.errors import SessionFileError, utf8

__all__ = ["Head", "check_first", "cut_lines", "is_journal", "read_events"]

_EVENT = b'{"event"'
_FIRST_BYTES = _EVENT + b':"session"'


class Head(msgspec.Struct):
    """The format and the version at the head of a journal or document."""

    format: str = ""
    version: int = 0


_head_decoder = msgspec.json.Decoder(Head)


def is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does, which any other reader may then refuse.

    Raises:
        SessionFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return utf8(file.read(64)).lstrip().startswith(_EVENT)
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None


def cut_lines(buffer: bytearray) -> bytes:
    """Remove the whole lines from `buffer` and return them; a torn last line stays."""
    end = buffer.rfind(b"\n") + 1
    whole = bytes(buffer[:end])
    del buffer[:end]
    return whole


def read_events(path: Path) -> Iterator[Event]:
    """All events of a journal. A torn last line is dropped.

    Raises:
        SessionFileError: it is no journal, of a newer version, or damaged in the middle.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
            check_first(path, first)
            for number, line in enumerate(itertools.chain((first,), file), 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    event = decode_event(line)
                except msgspec.MsgspecError as error:
                    raise SessionFileError(f"{path} is damaged at line {number}: {error}") from None
                yield event
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None


def check_first(path: Path, line: bytes) -> None:
    """Check that a file with this first line is a journal, or may become one.

    Raises:
        SessionFileError: it is not a journal, or of a newer version.
    """
    head = Head()
    line = utf8(line)
    if not line.endswith(b"\n"):
        if line.startswith(_FIRST_BYTES[: len(line)]):
            return
    else:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            head = decode_with(_head_decoder, line)
    if head.format != "lbench.journal":
        raise SessionFileError(f"{path} is not an lbench journal")
    if head.version > JOURNAL_VERSION:
        raise SessionFileError(f"{path} was written by a newer lbench (journal version {head.version}): upgrade lbench")
