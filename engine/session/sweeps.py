"""The sessions of a sweep or a tuning that was stopped and resumed: each holds the points that it measured itself."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path

from lbench.engine.journal.events import RunPlanned
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.index import session_folders
from lbench.errors import LbenchError

__all__ = ["earlier_parts", "newest_sweep", "recent_sweeps", "sweep_folders", "sweep_id"]

_LOOKED_AT = 200  # newest sessions among which sweeps are sought
_HEAD = 50  # events, among which is the first planned run


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


def newest_sweep() -> Path | None:
    """The newest recorded session of a sweep or a tuning, be it after other runs; None: there is none.

    Raises:
        InputError: the folder of sessions cannot be read.
    """
    return next((folder for folder in session_folders()[:_LOOKED_AT] if _has_sweep(folder / JOURNAL_NAME)), None)


def _has_sweep(journal: Path) -> bool:
    try:
        with journal.open("rb") as file:
            return any(line.startswith(b'{"event":"planned"') and b'"sweep":{' in line for line in file)
    except OSError:
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
