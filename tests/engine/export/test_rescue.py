"""Where a session goes whose disk was full: the first other folder that has room and no file of that name."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from lbench.engine.export.rescue import rescue
from lbench.engine.journal.events import Warned
from lbench.engine.session.view import SessionView


def test_a_file_or_a_link_that_somebody_put_there_is_neither_followed_nor_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (here / "lbench-s.json").symlink_to(tmp_path / "precious")
    line = rescue(SessionView(), tmp_path / "s", b"{}")
    assert line.endswith(f"is in {temporary}/lbench-s.json") and (temporary / "lbench-s.json").read_bytes() == b"{}"
    assert not (tmp_path / "precious").exists()


def test_why_a_journal_is_incomplete_is_the_disk_only_where_it_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    view = SessionView()
    assert rescue(view, tmp_path / "s", b"{}").startswith(f"the engine died before all of {tmp_path}/s was written: ")
    view.apply(Warned("disk", "the journal cannot be written"))
    assert rescue(view, tmp_path / "t", b"{}").startswith(f"the disk had no room for all of {tmp_path}/t: ")
