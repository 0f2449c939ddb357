"""What a closed pipe, a closed terminal and a full disk do to what a command prints, and to its exit code."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lbench.cli import streams

NO_SPACE = "lbench: cannot write to standard output: No space left on device\n"
READING = (
    "--help",
    "--version",
    "workloads",
    "backends",
    "sessions",
    "sessions --json",
    "prices",
    "run --help",
    "data",
)
RUN = "run probe -b sequential --tasks 2 --repeats 1"


@pytest.fixture(autouse=True)
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it: what is left in a buffer is written while the interpreter ends."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """The command line's outcome; `lbench` in it is this Python's."""
    script = f'lbench() {{ exec {sys.executable} -m lbench "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)


def on_a_closed_pipe(*args: str, closed: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The command with nobody at the other end of these streams from its first byte on."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {name: writer if name in closed else subprocess.PIPE for name in ("stdout", "stderr")}
    try:
        return subprocess.run([sys.executable, "-m", "lbench", *args], text=True, timeout=60, check=False, **streams)
    finally:
        os.close(writer)


@pytest.mark.parametrize("line", READING)
def test_output_on_a_full_disk_is_one_line_and_exit_code_1(home: Path, line: str) -> None:
    done = shell(f"lbench {line} >/dev/full")
    assert (done.returncode, done.stderr) == (1, NO_SPACE)


@pytest.mark.parametrize(("line", "code"), [("workloads", 0), ("workloads nothing", 2), ("nothing", 2), (RUN, 0)])
def test_errors_that_cannot_be_written_leave_the_exit_code(home: Path, line: str, code: int) -> None:
    assert shell(f"lbench {line} 2>/dev/full").returncode == code
    assert on_a_closed_pipe(*line.split(), closed=("stderr",)).returncode == code


def test_findings_that_cannot_be_written_are_not_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` and `check` end with 1 for what they have found: without the line nobody learns of it."""
    monkeypatch.setattr(streams, "output_error", lambda: OSError(errno.ENOSPC, "No space left on device"))
    assert (streams.end_output(1), streams.end_output(0)) == (1, 1)
    assert capsys.readouterr().err == 2 * NO_SPACE


def test_a_usage_error_keeps_its_exit_code_where_nothing_can_be_written(home: Path) -> None:
    assert shell("lbench workloads nothing >/dev/full 2>&1").returncode == 2
    assert shell("lbench workloads >/dev/full 2>&1").returncode == 1


@pytest.mark.parametrize("line", READING)
def test_a_reader_that_leaves_early_is_no_error(home: Path, line: str) -> None:
    done = on_a_closed_pipe(*line.split(), closed=("stdout",))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_completes_when_its_output_is_not_read(home: Path) -> None:
    done = on_a_closed_pipe(*RUN.split(), closed=("stdout", "stderr"))
    assert done.returncode == 0
    assert '"complete":true' in shell("lbench sessions --json").stdout.replace(" ", "")


def test_a_run_whose_output_finds_no_room_names_its_session(home: Path) -> None:
    done = shell(f"lbench {RUN} --quiet --json >/dev/full")
    assert done.returncode == 1
    assert "session " in done.stderr and done.stderr.endswith(NO_SPACE)


@pytest.mark.parametrize(("line", "code"), [("workloads", 1), ("workloads nothing", 2), (RUN, 1)])
def test_a_terminal_that_is_gone_does_not_reach_the_interpreter(home: Path, line: str, code: int) -> None:
    master, slave = pty.openpty()
    os.close(master)
    argv = [sys.executable, "-m", "lbench", *line.split()]
    try:
        done = subprocess.run(argv, stdin=slave, stdout=slave, stderr=slave, timeout=60, check=False)
    finally:
        os.close(slave)
    assert done.returncode == code
