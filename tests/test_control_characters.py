"""Nothing from outside reaches a terminal as a command: not from session files, names, errors, or remote logs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.cli.tables import Column, table_lines
from lbench.engine.export.document import document, encode_document, read_document
from lbench.engine.export.files import csv_text
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Dispatched,
    Returned,
    RunPlanned,
    RunStarted,
    SessionStarted,
    StageStarted,
    Warned,
    encode_lines,
)
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import ErrorInfo, Pricing
from lbench.engine.session.labels import META_NAME, read_meta
from lbench.engine.session.view import load_folder
from lbench.errors import InputError, visible, visible_json

EVIL = {
    "clipboard": "\x1b]52;c;ZWNobw==\x07",
    "title": "\x1b]0;owned\x1b\\",
    "eight bits": "\x9d0;owned\x9c\x9b31m",
    "bidi": "abc\u202egnp.exe\u2069\u200f\u061c",
    "line": "right\rwrong\x08\x08\u2028\u2029\x7f\x00",
}
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F))]
CONTROLS = [char for char in [*CONTROLS, *map(chr, range(0x2066, 0x206A))] if char not in "\n\t"]


def harmless(text: str) -> bool:
    return not any(char in text for char in CONTROLS)


def everywhere(evil: str, folder: Path) -> Path:
    """A session of which every text that a person or a remote side gives is `evil`."""
    machine = Environment(cpu_model=evil, hostname=evil, os=evil, python=evil, packages={evil: evil})
    error = ErrorInfo(evil, evil, False)
    events = [
        SessionStarted("s", evil, "2026-11-22T10:00:00Z", evil, machine, "lbench.journal", JOURNAL_VERSION),
        RunPlanned("r1", evil, {evil: evil}, 1, "emulated", evil, "emulated", 0, False, "isolated", 1),
        RunStarted("r1", "2026-11-22T10:00:00Z", 0.5, {evil: evil}, None, False, evil, evil, Pricing(), notes=[evil]),
        StageStarted("r1", 0, 1, 0.0),
        Dispatched("r1", 0, 0, 0, 0, 0.0, 0.0),
        Returned("r1", 0, "error", 1.0, environment=evil, request_id=evil, log_tail=evil, error=error),
        Warned(evil, evil, "r1"),
    ]
    folder.mkdir()
    (folder / JOURNAL_NAME).write_bytes(encode_lines(events))
    (folder / META_NAME).write_bytes(msgspec.json.encode({"name": evil, "tags": [evil]}))
    return folder


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_session_file_is_cleaned_where_it_is_read(evil: str, tmp_path: Path) -> None:
    folder = everywhere(evil, tmp_path / "s")
    meta = read_meta(folder)
    assert harmless(meta.name or "") and harmless("".join(meta.tags))
    exported = document(load_folder(folder), meta=meta)
    texts = json.loads(
        encode_document(exported), object_pairs_hook=lambda pairs: [part for pair in pairs for part in pair]
    )
    assert harmless(str(_flat(texts)))
    assert visible(evil) in exported.runs[0].label and visible(evil) in (exported.runs[0].invocations[0].log_tail or "")
    assert harmless(csv_text(exported))


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "UTF-8"])
def test_a_document_is_cleaned_where_it_is_read(evil: str, ascii_only: bool, tmp_path: Path) -> None:
    from lbench.engine.export.document_file import read_file

    exported = json.loads(encode_document(document(load_folder(everywhere("plain", tmp_path / "s")))))
    exported["name"] = exported["runs"][0]["label"] = exported["runs"][0]["error"] = evil
    exported["warnings"] = [{"code": "x", "text": evil, "run": None}]
    path = tmp_path / "session.json"
    path.write_text(json.dumps(exported, ensure_ascii=ascii_only))
    for found in (read_document(path), read_file(path)):
        assert harmless(found.name) and visible(evil) in found.name
        assert harmless(found.runs[0].label) and harmless(found.runs[0].error or "")
        assert harmless(found.warnings[0].text)


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_errors_and_cells_quote_it_harmlessly(evil: str) -> None:
    assert harmless(str(InputError(f"{evil}: no such file")))
    column = Column("NAME")
    column.add(evil)
    assert all(harmless(line.plain) for line in table_lines([column], 80))


def test_the_command_line_shows_a_files_name_harmlessly(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "lbench",
        "export",
        str(tmp_path / "\x1b]0;owned\x07.json"),
        "-o",
        str(tmp_path / "x.csv"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and harmless(done.stderr) and "\\x1b]0;owned\\x07" in done.stderr


def test_what_the_screens_draw_is_harmless() -> None:
    from lbench.tui.draw.ink import line
    from lbench.tui.theme import DARK

    strip = line(DARK, [(EVIL["clipboard"] + EVIL["bidi"], "text")], 80)
    assert harmless("".join(segment.text for segment in strip))


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(CONTROLS)), st.booleans())
def test_json_is_cleaned_as_its_texts_are(text: str, ascii_only: bool) -> None:
    content = json.dumps({"a": [text, {text: 1}]}, ensure_ascii=ascii_only).encode()
    assert json.loads(visible_json(content)) == {"a": [visible(text), {visible(text): 1}]}
    assert harmless(visible(text))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "=cmd|' /C calc'!A0"])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_stay(text: str, tmp_path: Path) -> None:
    exported = document(load_folder(everywhere(text, tmp_path / "s")))
    first, row = csv_text(exported).splitlines()[:2]
    cells = dict(zip(first.split(","), row.split(","), strict=False))
    assert cells["label"].strip('"').startswith("'" + text[:1]) and cells["error_message"].strip('"').startswith("'")
    assert cells["task"] == "0" and cells["returned_s"] == "1.0"


def _flat(value: object) -> list[object]:
    return [one for item in value for one in _flat(item)] if isinstance(value, list) else [value]
