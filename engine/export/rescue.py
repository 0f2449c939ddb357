"""Writes a session elsewhere where its journal is incomplete: the disk had no room, or the engine died first."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from lbench.engine.export.files import write
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.session.view import SessionView
from lbench.errors import LbenchError

__all__ = ["journal_is_whole", "rescue", "why_incomplete"]


def journal_is_whole(view: SessionView, folder: Path) -> bool:
    """Whether the journal in `folder` has every event of the view."""
    try:
        with (folder / JOURNAL_NAME).open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) >= view.events
    except OSError:
        return False


def why_incomplete(view: SessionView, folder: Path) -> str:
    """Why the journal in `folder` lacks events of the view: viewers get events before the disk does."""
    if any(warning.code == "disk" for warning in view.warnings):
        return f"the disk had no room for all of {folder}"
    return f"the engine died before all of {folder} was written"


def rescue(view: SessionView, folder: Path, document: bytes, *, what: str = "the complete session") -> str:
    """Write the document of the session in `folder` to the first other folder with room; returns a line with its place."""
    why = why_incomplete(view, folder)
    for place in (Path.cwd(), Path(tempfile.gettempdir()), Path("/dev/shm")):
        path = place / f"lbench-{folder.name}.json"
        if os.path.lexists(path):  # another user may have put a link there
            continue
        with contextlib.suppress(LbenchError):
            write(path, document)
            return f"{why}: {what} is in {path}"
    return f"{why}, and no other folder had room: free some, then repeat with -o"
