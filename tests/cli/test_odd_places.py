"""Names that are no text, and a working folder that is gone: one line, never a fault in lbench."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ODD = os.fsdecode(b"caf\xe9")


def lbench(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lbench", *args], cwd=cwd, capture_output=True, text=True, errors="replace", check=False
    )


@pytest.mark.parametrize(
    "args",
    [("run", f"./{ODD}.py:job"), ("run", "mandelbrot", "-p", f"size={ODD}"), ("data", f"{ODD}.csv"), ("export", ODD)],
    ids=["a workload", "a parameter", "a data file", "a session"],
)
def test_an_argument_that_is_not_utf8_is_refused_in_one_line(args: tuple[str, ...], tmp_path: Path) -> None:
    done = lbench(*args, cwd=tmp_path)
    assert done.returncode == 2 and "caf\\xe9" in done.stderr and "is not valid UTF-8" in done.stderr
    assert done.stderr.count("\n") == 1 and "internal error" not in done.stderr


def test_an_argument_that_only_the_locale_cannot_read_is_not_called_invalid(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    argv = [sys.executable, "-m", "lbench", "data", "caf\u00e9.csv".encode()]
    done = subprocess.run(argv, cwd=tmp_path, env=os.environ | plain, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "cannot be read in this locale (set PYTHONUTF8=1)" in done.stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such names itself")
def test_a_working_folder_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    done = lbench("workloads", cwd=folder)
    assert done.returncode == 2 and "change to another folder" in done.stderr and done.stderr.count("\n") == 1


def test_a_working_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f"import os, runpy, sys; os.rmdir({str(folder)!r}); sys.argv = ['lbench', 'run', './mine.py:job']; "
    script += "from lbench.cli.main import command; command()"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "lbench: the working folder no longer exists: change to one that does\n",
    )
