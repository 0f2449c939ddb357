"""The sessions of a sweep or a tuning that was stopped and resumed: each holds the points that it measured itself."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from lbench.engine.journal.events import RunPlanned
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import session_folders
from lbench.errors import LbenchError

__all__ = ["earlier_parts", "newest_sweep", "recent_sweeps", "sweep_folders", "sweep_id"]

_LOOKED_AT = 200  # newest sessions among which sweeps are sought
_HEAD = 50  # events, among which is the first planned run
_PLANNED, _SWEEP = b'{"event":"planned"', b'"sweep":{'
_CHUNK_BYTES = 1 << 20
# Journals that have no sweep, with their size and time: nothing is rewritten.
_without: dict[Path, tuple[int, int]] = {}


def sweep_id(folder: Path) -> str | None:
    """The id of the sweep that a session is of, by its first planned run; None: of none, or it cannot be read."""
    try:
        events = itertools.islice(read_events(folder / JOURNAL_NAME), _HEAD)
        planned = next((one for one in events if isinstance(one, RunPlanned)), None)
    except (LbenchError, OSError):
        return None
    return None if planned is None or planned.sweep is None else planned.sweep.id


def recent_sweeps() -> Iterator[tuple[Path, str]]:
    """The newest recorded sessions of sweeps and tunings, the newest first, each with its id.

    Raises:
        InputError: the folder of sessions cannot be read.
    """
    for folder in session_folders()[:_LOOKED_AT]:
        if (identity := sweep_id(folder)) is not None:
            yield folder, identity


def newest_sweep(known: Callable[[Path], bool | None] = lambda folder: None) -> Path | None:
    """The newest recorded session of a sweep or a tuning, be it after other runs; None: there is none.

    `known`: whether a session has one, where an index knows it; else its whole journal is looked through, once while it
    stays the same.

    Raises:
        InputError: the folder of sessions cannot be read.
    """
    for folder in session_folders()[:_LOOKED_AT]:
        found = known(folder)
        if _has_sweep(folder / JOURNAL_NAME) if found is None else found:
            return folder
    return None


def _has_sweep(journal: Path) -> bool:
    try:
        about = journal.stat()
        stamp = (about.st_size, about.st_mtime_ns)
        if not stat.S_ISREG(about.st_mode) or _without.get(journal) == stamp:
            return False
        with journal.open("rb") as file:
            has = _mentions_sweep(file) and any(line.startswith(_PLANNED) and _SWEEP in line for line in file)
    except OSError:
        return False
    if not has:
        _without[journal] = stamp
    return has


def _mentions_sweep(file: BinaryIO) -> bool:
    """Whether the bytes of a sweep are anywhere in a file. Its lines, a million in a large one, are not made. Rewinds it."""
    tail = b""
    while chunk := file.read(_CHUNK_BYTES):
        if _SWEEP in tail + chunk:
            file.seek(0)
            return True
        tail = chunk[1 - len(_SWEEP) :]
    return False


def sweep_folders(identity: str) -> list[Path]:
    """The recorded sessions of a sweep, the oldest first.

    Raises:
        InputError: the folder of sessions cannot be read.
    """
    return [folder for folder, other in recent_sweeps() if other == identity][::-1]


def earlier_parts(folder: Path, besides: Collection[Path] = ()) -> list[Path]:
    """The sessions that a recorded one goes on with, the oldest first, without those in `besides`.

    Raises:
        InputError: the folder of sessions cannot be read.
    """
    identity = sweep_id(folder)
    if identity is None or folder.resolve() not in [one.resolve() for one in session_folders()]:
        return []
    known = {one.resolve() for one in besides}
    return [one for one in sweep_folders(identity) if one.name < folder.name and one.resolve() not in known]
