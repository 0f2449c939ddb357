"""The real program on a terminal of its own: a pty whose other end this test reads, writes and closes.

Loaded by path (tests are no packages). It waits for what the program says, never for time to pass.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LIMIT_S = 180.0
_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\^_]|\x1b[>=]")
_MODES = {  # by private mode: what a program must leave behind, as in a terminal just opened
    b"1049": False,
    b"25": True,
    b"1000": False,
    b"1003": False,
    b"1006": False,
    b"1015": False,
    b"2004": False,
    b"1004": False,
    b"7": True,
    b"2026": False,
}


class Terminal:
    """A program on a pty; closing it closes the terminal."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str],
        size: tuple[int, int] = (120, 40),
        cwd: str | None = None,
        shell: bool = False,
    ) -> None:
        """`size`: columns, lines. `shell`: a process of ours stands between, so that the job can be stopped."""
        self.seen = bytearray()  # all that it wrote
        self.bytes_read = 0
        self.pid, self.master = pty.fork()
        if self.pid == 0:  # in the child
            try:
                if cwd is not None:
                    os.chdir(cwd)
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
                if shell:
                    argv = [sys.executable, "-c", _SHELL, *argv]
                kept = dict(environ)
                if "-c" in argv:  # a test's own script: only the product must end in spite of it
                    kept.pop("PYTHONINSPECT", None)
                os.execve(argv[0], list(argv), kept)
            finally:
                os._exit(127)
        self.before = termios.tcgetattr(self.master)
        self._code: int | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.close()

    # -- what it says

    def read(self, limit_s: float = 0.05) -> bytes:
        """What has come, waiting so long for the first."""
        if self._closed or not select.select([self.master], [], [], limit_s)[0]:
            return b""
        try:
            block = os.read(self.master, 1 << 16)
        except OSError:  # everyone at the other end has gone
            return b""
        self.seen += block
        self.bytes_read += len(block)
        return block

    def wait_for(self, text: str, *, after: int = 0, limit_s: float = LIMIT_S) -> None:
        """Until it has written `text` (sequences left out) beyond the byte `after`."""
        deadline_s = time.monotonic() + limit_s
        wanted = text.encode()
        while wanted not in _SEQUENCE.sub(b"", bytes(self.seen[after:])):
            self.read()
            if time.monotonic() > deadline_s or (self.poll() is not None and not self.read()):
                raise AssertionError(f"it never wrote {text!r}; its last words: {self.text(after)[-1500:]!r}")

    def wait_until(self, ready: Any, what: str, limit_s: float = LIMIT_S) -> None:
        """Until `ready()` is true, reading all the while."""
        deadline_s = time.monotonic() + limit_s
        while not ready():
            self.read()
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{what} never happened; its last words: {self.text()[-1500:]!r}")

    def text(self, after: int = 0) -> str:
        """What it wrote, without sequences."""
        return _SEQUENCE.sub(b"", bytes(self.seen[after:])).decode(errors="replace")

    def last_line(self) -> str:
        """What was written after the other screen was left."""
        return _SEQUENCE.sub(b"", bytes(self.seen).rpartition(b"\x1b[?1049l")[2]).decode().strip()

    # -- what is sent to it

    def send(self, keys: str | bytes) -> None:
        """Press keys."""
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, lines: int) -> None:
        """Another size, announced by SIGWINCH as terminals do."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def signal(self, number: signal.Signals) -> None:
        """To the program."""
        os.kill(self.pid, number)

    def signal_child(self, number: signal.Signals) -> None:
        """To the job that the shell between has started."""
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            os.kill(int(child), number)

    def close(self) -> None:
        """Close the terminal."""
        if not self._closed:
            self._closed = True
            os.close(self.master)

    # -- how it ends

    def poll(self) -> int | None:
        """Its exit code, if it has ended (minus the signal that killed it)."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, limit_s: float = LIMIT_S) -> int:
        """Its exit code, once it has ended; all of its output is read."""
        deadline_s = time.monotonic() + limit_s
        while self.poll() is None:
            if not self._closed:
                self.read()
            if time.monotonic() > deadline_s:
                raise AssertionError(f"it does not end; its last words: {self.text()[-1500:]!r}")
        while self.read(0.0):
            pass
        assert self._code is not None
        return self._code

    # -- the terminal's state

    def left_on(self) -> list[str]:
        """What a program has changed in the terminal and not restored."""
        wrong = []
        for mode, initial in _MODES.items():
            now = initial
            for found in re.finditer(rb"\x1b\[\?" + mode + rb"([hl])", bytes(self.seen)):
                now = found[1] == b"h"
            if now != initial:
                wrong.append(f"?{mode.decode()}{'h' if now else 'l'}")
        if self.seen.count(b"\x1b[>") > self.seen.count(b"\x1b[<u"):
            wrong.append("keyboard protocol")
        if termios.tcgetattr(self.master) != self.before:
            wrong.append("termios")
        return wrong


# A shell, as far as job control goes: the job in a group of its own in the foreground; when it stops, "stopped" is
# printed and a line is awaited; then it goes on. Its exit code is the job's.
_SHELL = """
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGTSTP, signal.SIG_IGN)
modes = termios.tcgetattr(0)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status) % 256)
    os.tcsetpgrp(0, os.getpgrp())
    print("same" if termios.tcgetattr(0) == modes else "other", "modes: stopped", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, job)
    os.kill(-job, signal.SIGCONT)
"""
