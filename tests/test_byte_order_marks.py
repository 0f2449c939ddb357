"""A file that an editor or a shell of Windows has written begins with a byte order mark: it is read all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbench.cli.documents import document_of, load_document, load_views
from lbench.config.settings import load
from lbench.engine.export.document import encode_document
from lbench.engine.journal.events import encode_lines
from lbench.engine.session.view import fold
from lbench.engine.simulation.parameters import load_model
from lbench.errors import SessionFileError
from lbench.tui.feeds.records import Source
from tests.analysis.sweeps import sweep_events

EVENTS = sweep_events([({"n": 1}, {"processes": [0.1, 0.2]})])
DOCUMENT = encode_document(document_of(fold(EVENTS), predict=False)).decode()
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-be", "utf-32")


def _bytes(text: str, encoding: str) -> bytes:
    return text.encode(encoding) if encoding != "utf-16-be" else ("\ufeff" + text).encode(encoding)


def _of_events(path: Path) -> int:
    return len(fold(Source.of(path).events()).runs)


DOCUMENT_READERS: list[Callable[[Path], int]] = [
    lambda path: len(load_document(str(path)).runs),
    lambda path: len(load_views([str(path)])[0].runs),
    _of_events,
]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_session_document_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(_bytes(DOCUMENT, encoding))
    assert [read(path) for read in DOCUMENT_READERS] == [2, 2, 2]


def test_a_mark_that_promises_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe" + DOCUMENT.encode() + b" " * (len(DOCUMENT.encode()) % 2 == 0))
    for read in DOCUMENT_READERS:
        with pytest.raises(SessionFileError, match="is not an lbench session"):
            read(path)


def test_a_journal_may_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + encode_lines(EVENTS))
    assert [read(path) for read in DOCUMENT_READERS] == [2, 2, 2]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_settings_and_parameters_may_begin_with_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lbench").mkdir()
    (tmp_path / "lbench" / "config.toml").write_bytes(_bytes("ask_above_usd = 0.25\n", encoding))
    assert load().values.ask_above_usd == 0.25
    parameters = tmp_path / "model.toml"
    parameters.write_bytes(_bytes("[task_sigma]\nvalue = 0.5\n", encoding))
    model: Any = load_model(str(parameters))
    assert model.task_sigma.value == 0.5
