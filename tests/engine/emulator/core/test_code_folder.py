"""The code folder holds exactly the code that ships to Lambda, made once per content."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lbench.engine.emulator.core.code_folder import code_folder
from lbench.errors import BackendError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_folder_is_in_the_cache_under_its_digest(cache: Path) -> None:
    folder, digest = code_folder()
    assert folder == cache / "lbench" / "code" / digest
    assert len(digest) == 64
    assert code_folder() == (folder, digest)


def test_the_folder_holds_the_handler_s_side_only() -> None:
    folder, _ = code_folder()
    assert {path.name for path in folder.iterdir()} == {"lbench"}
    there = {path.name for path in (folder / "lbench").iterdir()}
    assert there == {
        "__init__.py", "_version.py", "decoding.py", "errors.py", "folders.py", "workloads", "lambda_src", "__pycache__",
    }  # fmt: skip
    assert (folder / "lbench/workloads/encoding.py").exists()
    assert {path.name for path in (folder / "lbench/lambda_src").glob("*.py")} <= {"__init__.py", "handler.py"}


def test_every_module_is_compiled_so_that_its_time_does_not_matter() -> None:
    folder, _ = code_folder()
    for source in folder.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[4:8] == (1).to_bytes(4, "little")  # PEP 552's unchecked hash
        assert compiled[8:16] == importlib.util.source_hash(source.read_bytes())


def test_the_folder_is_imported_without_the_installed_package(tmp_path: Path) -> None:
    folder, _ = code_folder()
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", "import lbench.errors as e; print(e.__file__)"],
        env={"PYTHONPATH": str(folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(folder))


def test_two_processes_at_once_make_one_folder() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: code_folder(), range(8)))
    assert len(made) == 1
    ((folder, _),) = made
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_folder_is_made_again() -> None:
    folder, digest = code_folder()
    spoilt = folder / "lbench/errors.py"
    whole = spoilt.read_bytes()
    spoilt.write_bytes(b"raise SystemExit")
    (folder / "lbench/extra.py").write_bytes(b"")
    assert code_folder() == (folder, digest)
    assert spoilt.read_bytes() == whole
    assert not (folder / "lbench/extra.py").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_another_user_put_there_is_made_again() -> None:
    folder, _ = code_folder()
    os.chown(folder, 12345, 12345)
    code_folder()
    assert folder.stat().st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_nothing_is_run_from_below_a_folder_of_another_user() -> None:
    """Whole as it is: its owner can put something else in its place at any time."""
    folder, _ = code_folder()
    os.chown(folder.parent, 12345, 12345)
    with pytest.raises(BackendError, match="belongs to another user"):
        code_folder()


def test_a_damaged_compiled_file_is_made_again() -> None:
    folder, _ = code_folder()
    compiled = Path(importlib.util.cache_from_source(str(folder / "lbench/errors.py")))
    whole = compiled.read_bytes()
    compiled.write_bytes(b"junk")
    code_folder()
    assert compiled.read_bytes() == whole


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_one_line(cache: Path) -> None:
    cache.mkdir(mode=0o500)
    with pytest.raises(BackendError, match="XDG_CACHE_HOME"):
        code_folder()


def test_a_cache_that_is_a_file_is_one_line(cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(BackendError, match="XDG_CACHE_HOME"):
        code_folder()
