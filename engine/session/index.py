"""The sessions recorded on this machine: listed without reading every invocation, and found by id, path or `last`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from lbench.config.folders import is_there, sessions_place, typed_path
from lbench.engine.journal.events import RunEnded, RunPlanned, SessionEnded, SessionStarted, decode_event
from lbench.engine.journal.lock import is_live
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.labels import read_meta
from lbench.errors import InputError, SessionFileError, UnknownNameError, visible
from lbench.folders import refusal
from lbench.workloads.textfile import why_no_file

__all__ = ["Recorded", "find_session", "list_sessions", "recorded", "session_folders", "when"]

# `event` is the first field of every line: most lines can be passed over by their beginning alone.
_WANTED = tuple(b'{"event":"' + name + b'"' for name in (b"planned", b"ended", b"end"))


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A session as a list shows it."""

    id: str
    path: str
    name: str | None = None
    tags: list[str] = []
    created: str | None = None  # ISO 8601
    complete: bool = False
    running: bool = False
    workloads: list[str] = []
    backends: list[str] = []  # labels
    runs: int = 0  # planned
    runs_ended: int = 0  # those that were stopped, or never began, too
    runs_stopped: int = 0
    machine: str | None = None  # host name
    cpu_model: str | None = None
    error: str | None = None  # why it cannot be read

    @property
    def state(self) -> Literal["complete", "running", "stopped", "damaged"]:
        if self.error is not None:
            return "damaged"
        if self.running:
            return "running"
        return "complete" if self.complete else "stopped"

    @property
    def runs_done(self) -> int:
        """The runs that came to their own end, good or bad."""
        return self.runs_ended - self.runs_stopped


def list_sessions() -> list[Recorded]:
    """All sessions, newest first; one that cannot be read is listed with its error.

    Raises:
        InputError: the folder cannot be read.
    """
    return sorted(map(recorded, session_folders()), key=when, reverse=True)


def when(one: Recorded) -> tuple[str, str]:
    """The sort key of a list: the session's start (ISO 8601, UTC; from its id if the journal has none), then its id."""
    if one.created is not None:
        return one.created, one.id
    with contextlib.suppress(ValueError):
        return datetime.strptime(one.id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).isoformat(), one.id
    return "", one.id


def session_folders() -> list[Path]:
    """The folders of all sessions, by name, the last first: a name begins with its time.

    Raises:
        InputError: the folder cannot be read.
    """
    folder = sessions_place()
    try:
        named = (entry for entry in folder.iterdir() if visible(entry.name) == entry.name)  # lbench makes no others
        return sorted((entry for entry in named if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return []  # nothing was recorded yet; a list creates no folder
    except OSError as error:
        raise InputError(
            f"cannot read the folder {folder}: {refusal(error)}; set XDG_DATA_HOME to a folder that you own"
        ) from None


def recorded(folder: Path) -> Recorded:
    """One session as a list shows it; one that cannot be read has an `error`."""
    meta = read_meta(folder)
    path = folder / JOURNAL_NAME
    head: SessionStarted | None = None
    planned: list[RunPlanned] = []
    ended = stopped = 0
    complete = False
    error: str | None = None
    try:
        first = next(read_events(path), None)
        if not isinstance(first, SessionStarted):
            raise SessionFileError("its journal is empty: nothing was recorded")
        head = first
        for line in _lines(path):
            event = decode_event(line)
            if isinstance(event, RunPlanned):
                planned.append(event)
            elif isinstance(event, RunEnded):
                ended += 1
                stopped += event.status == "cancelled"
            elif isinstance(event, SessionEnded):
                complete = event.complete
    except SessionFileError as problem:
        error = str(problem)
    except msgspec.MsgspecError:
        error = f"{path} is damaged"
    except OSError as problem:
        error = f"{path} cannot be read: {problem.strerror}"
    return Recorded(
        id=folder.name,
        path=str(folder),
        name=meta.name if meta.name is not None else head.name if head else None,
        tags=meta.tags,
        created=head.created if head else None,
        complete=complete and error is None,
        running=is_live(folder),
        workloads=list(dict.fromkeys(run.workload for run in planned)),
        backends=list(dict.fromkeys(run.label for run in planned)),
        runs=len(planned),
        runs_ended=ended,
        runs_stopped=stopped,
        machine=head.environment.hostname if head else None,
        cpu_model=head.environment.cpu_model if head else None,
        error=error,
    )


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_WANTED) and line.endswith(b"\n"):
                yield line


def find_session(text: str) -> Path:
    """The folder or file that `text` names: a path, `last`, a session's id or the beginning of one.

    Raises:
        InputError: no session, or several.
    """
    if not text:
        raise InputError("the name of the session is empty: name one, `last` or a file")
    if text == "last":
        newest = list_sessions()[:1]
        if not newest:
            raise InputError(f"no session is recorded in {sessions_place()}: measure something with `lbench run`")
        return sessions_place() / newest[0].id
    known = [folder.name for folder in session_folders()]
    if text in known:
        return sessions_place() / text
    path = typed_path(text)
    if is_there(path):
        if not (path.is_dir() or path.is_file()):
            raise InputError(f"{text}: {why_no_file(path)}")
        return path
    if "/" in text or path.suffix in (".json", ".jsonl"):
        raise InputError(f"{text}: no such file or folder")
    starting = [name for name in known if name.startswith(text)]
    if len(starting) == 1:
        return sessions_place() / starting[0]
    if starting:
        raise InputError(f"session {text!r} is not unique: {', '.join(starting[:5])}{' ...' * (len(starting) > 5)}")
    if not known:
        raise InputError(f"no session {text!r}: none is recorded in {sessions_place()}")
    raise UnknownNameError("session", text, known[:5])
