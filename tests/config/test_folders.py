"""Folders follow the XDG specification, are made when asked for, and what must be private is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbench.config.folders import (
    cache_folder,
    config_file,
    runtime_folder,
    sessions_folder,
    sessions_place,
    tree_bytes,
    typed_path,
)
from lbench.errors import InputError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


def _mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_without_xdg_they_are_in_the_home_folder(tmp_path: Path) -> None:
    assert config_file() == tmp_path / ".config/lbench/config.toml"
    assert sessions_folder() == tmp_path / ".local/share/lbench/sessions"
    assert cache_folder("code") == tmp_path / ".cache/lbench/code"
    assert not config_file().parent.exists()
    assert _mode(sessions_folder()) == _mode(cache_folder("code")) == 0o700


def test_xdg_places_them_and_a_relative_path_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert sessions_folder() == tmp_path / "data/lbench/sessions"
    assert cache_folder("x") == tmp_path / ".cache/lbench/x"


def test_a_folder_that_cannot_be_made_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in (tmp_path / "file", tmp_path / "link"):
        monkeypatch.setenv("XDG_DATA_HOME", str(place))
        remedy = f"cannot create the folder .*: {place} is not a folder; set XDG_DATA_HOME to a folder that you own"
        with pytest.raises(InputError, match=remedy):
            sessions_folder()


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_whatever_the_umask_no_other_user_may_write(tmp_path: Path, open_umask: None) -> None:
    cache_folder("code")
    sessions_folder()
    assert {_mode(folder) for folder in tmp_path.rglob("*")} == {0o700}


def test_a_folder_that_another_umask_has_made_is_closed(tmp_path: Path) -> None:
    folder = cache_folder("code")
    folder.chmod(0o777)
    folder.parent.chmod(0o775)
    assert _mode(cache_folder("code")) == 0o755 and _mode(folder.parent) == 0o755


def _give_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


@pytest.mark.parametrize("level", ["lbench", "lbench/code"])
def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_folder("code")
    _give_away(tmp_path / level, monkeypatch)
    with pytest.raises(InputError, match=r"belongs to another user; set XDG_CACHE_HOME to a folder that you own"):
        cache_folder("code")


def test_a_runtime_folder_in_the_place_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(theirs, 12345, 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    assert runtime_folder(tmp_path) == tmp_path / f"lbench-{os.getuid()}" and list(theirs.iterdir()) == []


def test_looking_for_sessions_makes_no_folder(tmp_path: Path) -> None:
    assert sessions_place() == tmp_path / ".local/share/lbench/sessions"
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_folder_that_its_owner_may_not_use_is_named(tmp_path: Path) -> None:
    runtime_folder(tmp_path).chmod(0)
    with pytest.raises(InputError, match=f"lbench-{os.getuid()} is closed to you: run chmod 700 on it"):
        runtime_folder(tmp_path)


def test_the_runtime_folder_is_in_xdg_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "lbench"
    assert _mode(tmp_path / "lbench") == 0o700


def test_else_it_is_a_private_folder_with_our_id(tmp_path: Path) -> None:
    folder = runtime_folder(tmp_path)
    assert folder == tmp_path / f"lbench-{os.getuid()}"
    assert _mode(folder) == 0o700
    assert runtime_folder(tmp_path) == folder  # once more


def test_a_runtime_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    runtime_folder(tmp_path).chmod(0o755)
    with pytest.raises(InputError, match="open to other users"):
        runtime_folder(tmp_path)


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"lbench-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is not a folder"):
        runtime_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_nobody_can_keep_sockets_away_by_taking_the_name_first(tmp_path: Path, kind: str) -> None:
    taken = tmp_path / f"lbench-{os.getuid()}"
    if kind == "folder":
        taken.mkdir(mode=0o777)
    elif kind == "file":
        taken.touch()
    else:
        taken.symlink_to(tmp_path / "elsewhere")
    os.chown(taken, 12345, 12345, follow_symlinks=False)
    assert runtime_folder(tmp_path) == tmp_path / ".local/share/lbench/run"
    assert _mode(runtime_folder(tmp_path)) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_another_user_to_our_own_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may lead to theirs a moment after the look at it."""
    cache_folder("code")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "lbench").symlink_to(tmp_path / ".cache/lbench")
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared))
    assert cache_folder("code") == shared / "lbench/code"
    os.chown(shared / "lbench", 12345, 12345, follow_symlinks=False)
    with pytest.raises(InputError, match="belongs to another user"):
        cache_folder("code")


def test_a_home_folder_is_expanded_and_one_of_an_unknown_user_stays_as_typed(tmp_path: Path) -> None:
    assert typed_path("~/a.json") == tmp_path / "a.json"
    assert typed_path("~nosuchuser/a.json") == Path("~nosuchuser/a.json")


def test_the_size_of_a_tree_is_of_its_files_and_that_of_a_file_its_own(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"123")
    (tmp_path / "below/two").write_bytes(b"45")
    (tmp_path / "below/link").symlink_to("x")
    assert tree_bytes(tmp_path) == 6
    assert tree_bytes(tmp_path / "one") == 3
    assert tree_bytes(tmp_path / "missing") == 0
