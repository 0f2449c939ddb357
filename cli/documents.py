"""Session documents by what a user names: a session, a folder, a journal or a document."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.analysis.comparison import compare
from lbench.analysis.prediction import predict_comparison, predictions
from lbench.analysis.stability import stability_warnings
from lbench.engine.billing.bill import run_bill
from lbench.engine.export.document import document, read_document
from lbench.engine.export.document_events import document_events
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.model import Document, Prediction
from lbench.engine.session.index import find_session
from lbench.engine.session.labels import Meta, read_meta
from lbench.engine.session.view import SessionView, fold, load_folder, load_journal
from lbench.errors import SessionFileError

__all__ = ["document_of", "load_document", "load_view"]


def load_document(text: str) -> Document:
    """The document of a recorded session or of a file.

    Raises:
        InputError: no such session, or several.
        SessionFileError: the file is no session, is damaged, or has a newer version.
    """
    path = _found(text)
    if path.is_dir():
        return document_of(load_folder(path), read_meta(path))
    head = _beginning(path)
    if head.startswith(b'{"event"'):
        return document_of(load_journal(path), read_meta(path.parent))
    return read_document(path)


def load_view(text: str) -> SessionView:
    """A recorded session, or that of a file, as every reader sees it.

    Raises:
        InputError: no such session, or several.
        SessionFileError: the file is no session, is damaged, or has a newer version.
    """
    path = _found(text)
    if path.is_dir():
        return load_folder(path)
    if _beginning(path).startswith(b'{"event"'):
        return load_journal(path)
    return fold(document_events(path))


def _found(text: str) -> Path:
    path = find_session(text)
    if path.is_dir() and not (path / JOURNAL_NAME).is_file():
        raise SessionFileError(f"{path} is not a session: it has no {JOURNAL_NAME}")
    return path


def document_of(view: SessionView, meta: Meta | None = None, *, predict: bool = True) -> Document:
    """The document of a session as it is now, with its warnings, name, tags and predictions."""
    made = document(view, stability_warnings(view), meta)
    found = _predictions(view, made) if predict else []
    return msgspec.structs.replace(made, predictions=found) if found else made


def _predictions(view: SessionView, made: Document) -> list[Prediction]:
    """What Lambda would take for each comparison of the session."""
    groups = {one.id: [view.runs[run] for run in one.runs if run in view.runs] for one in made.comparisons or []}
    found: list[Prediction] = []
    for name, runs in (groups or {"": list(view.runs.values())}).items():
        line = predict_comparison(compare(runs, run_bill), runs) if runs else None
        found += predictions(line, name) if line is not None else []
    return found


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None
