"""From what a person names (a session, a folder, a journal, a document) to the session document."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.analysis.recorded import find_session
from lbench.analysis.stability import stability_warnings
from lbench.engine.document import document
from lbench.engine.journal import JOURNAL_NAME, is_live, read_events
from lbench.engine.model import VERSION, Document
from lbench.engine.session import SessionView, fold
from lbench.errors import SessionFileError

__all__ = ["document_of", "load_document"]


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def load_document(text: str) -> Document:
    """The document of a recorded session or of a file.

    Raises:
        InputError: there is no such session, or several.
        SessionFileError: it cannot be read: no session, torn at its beginning, or of a newer version.
    """
    path = find_session(text)
    if path.is_dir():
        return document_of(_folded(path / JOURNAL_NAME))
    head = _beginning(path)
    if head.startswith(b'{"event"'):
        return document_of(_folded(path))
    return _read_document(path)


def document_of(view: SessionView) -> Document:
    """The document of a session as it stands, with what makes its results weak."""
    return document(view, stability_warnings(view))


def _folded(journal: Path) -> SessionView:
    if not journal.is_file():
        raise SessionFileError(f"{journal.parent} is not a session: there is no {JOURNAL_NAME} in it")
    view = fold(read_events(journal))
    if not is_live(journal.parent):
        view.engine_gone()
    return view


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None


def _read_document(path: Path) -> Document:
    content = path.read_bytes()
    try:
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SessionFileError(f"{path} is not an lbench session, or is torn: {error}") from None
    if head.format != "lbench.session":
        raise SessionFileError(f"{path} is not an lbench session: name a session's id, folder or JSON document")
    if head.version > VERSION:
        raise SessionFileError(f"{path} was written by a newer lbench (session version {head.version}): upgrade lbench")
    try:
        return msgspec.json.decode(content, type=Document)
    except msgspec.ValidationError as error:
        raise SessionFileError(f"{path} is damaged: {error}") from None
