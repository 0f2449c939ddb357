"""Where a session goes whose disk was full: the first other folder that has room and no file of that name."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from lbench.engine.export.rescue import rescue


def test_a_file_or_a_link_that_somebody_put_there_is_neither_followed_nor_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (here / "lbench-s.json").symlink_to(tmp_path / "precious")
    line = rescue(tmp_path / "s", b"{}")
    assert line.endswith(f"is in {temporary}/lbench-s.json") and (temporary / "lbench-s.json").read_bytes() == b"{}"
    assert not (tmp_path / "precious").exists()
