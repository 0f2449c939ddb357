"""Starts the processes that live beside an engine, by the rule that every one of them ends with its parent.

A child is the leader of a process group of its own, so that a terminal's Ctrl-C reaches only who is meant, and a
kill reaches what it has started too. `lifeline` describes how it ends with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import IO, Any

from lbench.engine.processes.lifeline import PARENT

__all__ = ["Child", "answering", "describe_exit", "is_there", "start"]


class Child:
    """A started process. `on_exit` callbacks run on the loop; `wait` is a coroutine; `kill` takes its whole group."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(process.pid)
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, self._reap)
        else:
            threading.Thread(target=self._wait_in_thread, name=f"wait-{process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id, which is also its group's id."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """The lifeline; closing it tells the child to end in good order where it listens for that."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """The child's standard output where it was asked for."""
        return self._process.stdout

    @property
    def returncode(self) -> int | None:
        """The exit code once it has ended (negative: the signal), else None."""
        return self.exited.result() if self.exited.done() else None

    def on_exit(self, callback: Callable[[int], None]) -> None:
        """Run `callback(exit code)` on the loop when the process has ended."""
        self.exited.add_done_callback(lambda future: callback(future.result()))

    async def first_line(self) -> bytes:
        """The first line of its standard output; empty where it ended without one."""
        assert self.stdout is not None
        descriptor = self.stdout.fileno()
        os.set_blocking(descriptor, False)
        line = b""
        while not line.endswith(b"\n"):
            ready = asyncio.Event()
            self._loop.add_reader(descriptor, ready.set)
            try:
                await ready.wait()
            finally:
                self._loop.remove_reader(descriptor)
            chunk = os.read(descriptor, 256)
            if not chunk:
                return b""
            line += chunk
        return line

    async def wait(self) -> int:
        """Its exit code."""
        return await asyncio.shield(self.exited)

    def signal(self, number: int) -> None:
        """Send a signal to its whole group."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """End the process and what it has started, at once; frozen ones too."""
        self.signal(signal.SIGKILL)

    async def stop(self, grace_s: float = 1.0) -> int:
        """Close the lifeline and ask it to end; after `grace_s` seconds, kill it."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def _reap(self) -> None:
        code = self._process.poll()
        if code is None:  # pragma: no cover - the pidfd says it has ended
            return
        assert self._pidfd is not None
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._finish(code)

    def _wait_in_thread(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._finish, code)

    def _finish(self, code: int) -> None:
        with contextlib.suppress(OSError):
            self.stdin.close()  # standard output is its reader's: there may be something left in it
        if not self.exited.done():
            self.exited.set_result(code)


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdout: int | IO[Any] | None = subprocess.DEVNULL,
    stderr: int | IO[Any] | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start `argv` (no shell) in a group of its own, with a lifeline as its standard input.

    A Python child calls `lifeline.die_with_parent()` first. Must be called on a running loop, in the main thread
    (PDEATHSIG follows the thread that started the child).

    Raises:
        OSError: the program cannot be started.
    """
    environment = dict(os.environ if env is None else env)
    environment[PARENT] = str(os.getpid())
    return Child(
        subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=environment,
            pass_fds=tuple(pass_fds),
            process_group=0,
            bufsize=0,
        )
    )


@contextlib.asynccontextmanager
async def answering(argv: Sequence[str]) -> AsyncIterator[tuple[Child, asyncio.StreamReader]]:
    """A started process, and its standard output. It is killed at the end of the block.

    Raises:
        OSError: the program cannot be started.
    """
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
    )
    try:
        try:
            child = start(argv, stdout=write_end)
        finally:
            os.close(write_end)
        try:
            yield child, reader
        finally:
            child.kill()
            await child.wait()
    finally:
        transport.close()


def is_there(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def describe_exit(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "is ending"
    if code < 0:
        with contextlib.suppress(ValueError):
            hint = " (the kernel does that when memory runs out)" if code == -signal.SIGKILL else ""
            return f"was ended by {signal.Signals(-code).name}{hint}"
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
