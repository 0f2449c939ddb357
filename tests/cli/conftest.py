"""The real command in folders of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Lbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """XDG folders in tmp_path, for this process and those that it starts; no LBENCH_* left."""
    for name in [name for name in os.environ if name.startswith("LBENCH_") and name != "LBENCH_TEST_DATA"]:
        monkeypatch.delenv(name)
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def three(args: tuple[str, ...]) -> tuple[str, ...]:
    """Three repeats where none are asked for: the default, auto, takes as many as the machine is unsteady."""
    if (
        args[:1] != ("run",)
        or args[1:2] in (("function",), ())
        or {"--repeats", "--help"} & {*args}
        or "LBENCH_REPEATS" in os.environ
    ):
        return args
    return (*args, "--repeats", "3")


@pytest.fixture
def lbench(home: Path) -> Lbench:
    """`lbench("run", "probe", ...)`: the finished process."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "lbench", *three(args)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=300, cwd=home, check=False)

    return run


@pytest.fixture
def started(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The same as a process that runs; killed at the test's end if it still does."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "lbench", *three(args)]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home, start_new_session=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
