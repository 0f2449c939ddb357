"""The emulator's folder in a /tmp that others use: whoever takes its name first neither gets in nor stops it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lbench.engine.emulator.resources.scratch import Scratch, abandoned


def _file(place: Path) -> None:
    place.write_text("")


def _dangling(place: Path) -> None:
    place.symlink_to("/nowhere")


def _link(place: Path) -> None:
    place.with_name("elsewhere").mkdir()
    place.symlink_to(place.with_name("elsewhere"))


def _open(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def _theirs(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    place.mkdir(mode=0o755)
    os.chown(place, 12345, 12345)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"lbench-emulator-{os.getuid()}"


@pytest.mark.parametrize("take", [_file, _dangling, _link, _open, _theirs])
def test_a_name_that_another_user_took_is_left_alone(place: Path, take: Callable[[Path], None]) -> None:
    take(place)
    before = sorted(place.parent.iterdir())
    announced: list[Path] = []
    with Scratch(announced.append) as scratch:
        assert scratch.path.is_dir() and scratch.path.parent not in (place, place.resolve())
        assert scratch.path.stat().st_mode & 0o077 == scratch.path.parent.stat().st_mode & 0o077 == 0
        assert announced == [scratch.path.parent, scratch.path]  # the guardian removes both
    assert sorted(place.parent.iterdir()) == before and abandoned() == []


def test_the_usual_folder_stays_for_the_next_emulator(place: Path) -> None:
    with Scratch() as scratch:
        assert scratch.path.parent == place
    assert place.is_dir() and not scratch.path.exists()
