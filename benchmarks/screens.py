"""The screens on a terminal of their own, watched from outside: their CPU time, their memory, what they write."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["Screens", "from_tests", "made_up_engine", "own_folders"]

_HERE = Path(__file__).resolve().parent
_TICKS = os.sysconf("SC_CLK_TCK")


def from_tests(name: str) -> ModuleType:
    """A module that the screens' tests share: `ptys` (terminals) or `making` (made-up sessions)."""
    full_name = f"lbench_tests_tui_{name}"
    if full_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(full_name, _HERE.parent / "tests" / "tui" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[full_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full_name])
    return sys.modules[full_name]


@contextlib.contextmanager
def own_folders() -> Iterator[Path]:
    """Folders for sessions and sockets that nobody else uses, while this lasts."""
    with tempfile.TemporaryDirectory(prefix="lb-", dir="/tmp") as folder:
        home = Path(folder)
        names = {
            "XDG_DATA_HOME": "data",
            "XDG_CACHE_HOME": "cache",
            "XDG_CONFIG_HOME": "config",
            "XDG_RUNTIME_DIR": "run",
        }
        before = {name: os.environ.get(name) for name in names}
        for name, folder in names.items():
            (home / folder).mkdir(mode=0o700)
            os.environ[name] = str(home / folder)
        try:
            yield home
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class Screens:
    """`python ARGUMENTS` (default: `-m lbench attach`) on a pty that a thread reads as fast as a terminal would."""

    def __init__(
        self, *arguments: str, size: tuple[int, int] = (120, 40), ssh: bool = False, script: str | None = None
    ) -> None:
        usual = {"TERM": "xterm-256color", "COLORTERM": "" if ssh else "truecolor"}
        environ = {**os.environ, **usual}
        for name in ("TMUX", "SSH_CONNECTION", "SSH_TTY", "NO_COLOR"):
            environ.pop(name, None)
        if ssh:
            environ["SSH_CONNECTION"] = "10.0.0.1 1 10.0.0.2 22"
        command = ["-c", script] if script else ["-m", "lbench", *(arguments or ("attach",))]
        self.terminal: Any = from_tests("ptys").Terminal([sys.executable, *command], environ=environ, size=size)
        self._reader: threading.Thread | None = None
        self._stop = threading.Event()

    def wait_for(self, text: str) -> float:
        """Until it has drawn `text`; returns the clock."""
        self.terminal.wait_for(text)
        return time.perf_counter()

    def watch(self) -> None:
        """From here on a thread reads, so that the terminal never lags."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            self.terminal.read(0.1)
            self.terminal.seen.clear()

    @property
    def bytes_written(self) -> int:
        """To the terminal, so far."""
        return int(self.terminal.bytes_read)

    @property
    def cpu_s(self) -> float:
        """CPU time that its process has used."""
        fields = Path(f"/proc/{self.terminal.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_bytes(self) -> int:
        """Of its own: what would be free without it."""
        for line in Path(f"/proc/{self.terminal.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not report private memory")

    def kill(self) -> None:
        """End it at once."""
        self.terminal.__exit__(None, None, None)

    def close(self) -> None:
        """Leave it as with `q`."""
        self._stop.set()
        if self._reader is not None:
            self._reader.join()
        with contextlib.suppress(OSError):
            self.terminal.send("q")
            self.terminal.wait()
        self.terminal.__exit__(None, None, None)


class _Engine:
    """A made-up engine; `begin` starts its run, `wait_for_end` waits for its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait_for_end(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.readline()


@contextlib.contextmanager
def made_up_engine(home: Path, environments: int, per_s: float, seconds: float) -> Iterator[Any]:
    """An engine that writes so many events a second (0: all at once, 1,000 invocations a second of `seconds`)."""
    folder = home / "data" / "lbench" / "sessions" / f"20260101-000000-{time.monotonic_ns() & 0xFFFF:04x}"
    folder.mkdir(parents=True)
    argv = [sys.executable, str(_HERE / "made_up_engine.py"), str(folder), str(environments), str(per_s), str(seconds)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        if process.stdout.readline() != "up\n":
            raise RuntimeError("the made-up engine did not start")
        yield _Engine(process)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
