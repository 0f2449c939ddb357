"""The ward's side of its guardian (guardian.py): starts it, sends it notes, and restarts it if it dies.

The emulator has one guardian for its environments; the engine has one for each pool of workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from pathlib import Path

from lbench.engine.processes import child as children
from lbench.engine.processes.guardian import MARK, start_ticks

__all__ = ["Guard"]

_SCRIPT = str(Path(__file__).with_name("guardian.py"))
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_RESTARTS = 5  # a guardian that keeps dying is not restarted for ever
_CLOSE_LIMIT_S = 3.0


class Guard:
    """A guardian process, started on a running loop in the main thread; `close` ends it after a last search.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, ward: str = "emulator") -> None:
        self._ward = ward  # shown in the list of processes
        self._loop = asyncio.get_running_loop()
        self.id = f"{os.getpid()}-{start_ticks(os.getpid())}-{secrets.token_hex(4)}"
        self._groups: dict[int, int] = {}
        self._kept = [f"mark {self.id}"]  # notes that a new guardian gets again
        self._pending = bytearray()
        self._writing: int | None = None  # the pipe that the loop waits for
        self._closing = False
        self._starts = 0
        self._start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def variables(self, number: int) -> dict[str, str]:
        """The variable that marks environment or worker `number`; every process it starts inherits it."""
        return {MARK: self.mark(number)}

    def mark(self, number: int) -> str:
        """The mark of environment or worker `number`."""
        return f"{self.id}/{number}"

    def folder(self, path: Path) -> None:
        """Remove this temporary folder when the ward ends."""
        self._keep(f"folder {path}")

    def cgroup(self, path: Path) -> None:
        """Remove this folder of cgroups when the ward ends."""
        self._keep(f"cgroup {path}")

    def watch(self, pid: int) -> None:
        """Watch the process group that `pid` leads."""
        start = start_ticks(pid) or 0
        self._groups[pid] = start
        self._send(f"group {pid} {start}")

    def let_go(self, pid: int, number: int) -> None:
        """Stop watching environment or worker `number`, which has ended; kill what it started outside its group."""
        self._groups.pop(pid, None)
        self._send(f"gone {pid} {self.mark(number)}")

    async def close(self) -> None:
        """Let the guardian search one last time, and wait for its end."""
        self._closing = True
        if await self._finish() and self._starts <= _RESTARTS:  # it was killed, perhaps before its search
            with contextlib.suppress(OSError):
                self._start()
                await self._finish()

    async def _finish(self) -> int:
        """Close the pipe, wait for the guardian's end and return its exit code."""
        with contextlib.suppress(OSError, ValueError):
            os.set_blocking(self._child.stdin.fileno(), True)
            while self._pending:
                del self._pending[: os.write(self._child.stdin.fileno(), self._pending)]
        self._no_longer_writing()
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                return await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
            return 0  # killed on purpose: no restart

    def _start(self) -> None:
        self._starts += 1
        self._child = children.start(
            [sys.executable, "-I", "-S", _SCRIPT, self._ward],
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd="/",
            stderr=asyncio.subprocess.DEVNULL,  # an inherited one would stay open after its ward's end
        )
        os.set_blocking(self._child.stdin.fileno(), False)
        self._child.on_exit(self._ended)
        notes = [*self._kept, *(f"group {pid} {start}" for pid, start in self._groups.items())]
        self._pending[:0] = "".join(f"{line}\n" for line in notes).encode("utf-8", "surrogateescape")
        self._flush()

    def _ended(self, code: int) -> None:
        self._no_longer_writing()
        if not self._closing and self._starts <= _RESTARTS:
            with contextlib.suppress(OSError):
                self._start()

    def _keep(self, line: str) -> None:
        if "\n" in line:  # a path of which the guardian would take a part for the whole, and remove that
            return
        self._kept.append(line)
        self._send(line)

    def _send(self, line: str) -> None:
        if self._closing or self._child.exited.done():
            return
        self._pending += f"{line}\n".encode("utf-8", "surrogateescape")
        self._flush()

    def _flush(self) -> None:
        """Write without blocking: a slow guardian must never hold up its ward."""
        try:
            while self._pending:
                del self._pending[: os.write(self._child.stdin.fileno(), self._pending)]
        except BlockingIOError:
            if self._writing is None:
                self._writing = self._child.stdin.fileno()
                self._loop.add_writer(self._writing, self._flush)
            return
        except (OSError, ValueError):  # it has ended; the next one gets every note again
            self._pending.clear()
        self._no_longer_writing()

    def _no_longer_writing(self) -> None:
        if self._writing is not None:
            self._loop.remove_writer(self._writing)
            self._writing = None
