"""Exports a session. Not for the event loop: a large session takes seconds."""

from __future__ import annotations

from pathlib import Path

from lbench.analysis.resumption import load_whole
from lbench.analysis.warnings import stability_warnings
from lbench.config.folders import typed_path
from lbench.engine.export import files as outputs
from lbench.engine.export.document import document, read_document
from lbench.engine.export.rescue import journal_is_whole, rescue
from lbench.engine.journal.events import SessionEnded
from lbench.engine.session.labels import read_meta
from lbench.engine.session.view import SessionView
from lbench.errors import InputError, count_text

__all__ = ["check_target", "export", "proposed", "rescued"]


def proposed(source: Path) -> str:
    """The proposed file name for a session's folder or a document."""
    return f"{source.stem if source.is_file() else source.name}.json"


def _path(text: str) -> Path:
    if not text:
        raise InputError("name a file that ends in .json or .csv")
    return typed_path(text)


def check_target(text: str) -> None:
    """Check that a file of this name can be written.

    Raises:
        InputError: its ending is unknown, or it cannot be written.
    """
    path = _path(text)
    outputs.format_of(path, "")
    outputs.check_writable(path, "")


def export(source: Path, text: str, view: SessionView | None = None) -> str:
    """Write the session in `source` (a folder or a document) to a file. Returns a line for the user.

    `view`: the session as it is in memory, where the disk did not take all of its journal.

    Raises:
        LbenchError: it cannot be read, or the file cannot be written.
    """
    path = _path(text)
    if view is not None or source.is_dir():
        view = view or load_whole(source)
        exported = document(view, stability_warnings(view), read_meta(source))
    else:
        exported = read_document(source)
    outputs.write(path, outputs.encode(exported, outputs.format_of(path, "")))
    count = sum(len(run.invocations) for run in exported.runs)
    return f"{path}: {count_text(len(exported.runs), 'run')}, {count_text(count, 'invocation')}"


def rescued(folder: Path, view: SessionView) -> str | None:
    """Write a session elsewhere whose journal is incomplete. Returns a line with its place; None: there is no need."""
    if journal_is_whole(view, folder):
        return None
    over = all(run.ended is not None for run in view.runs.values())
    if over and view.end is None:  # the engine was idle, and ends with the screens
        view.apply(SessionEnded(complete=True))
    exported = document(view, stability_warnings(view), read_meta(folder))
    what = "the complete session" if over else "what was measured so far"
    return rescue(view, folder, outputs.encode(exported, "json"), what=what)
