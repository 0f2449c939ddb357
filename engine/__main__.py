"""The engine process: `python -m lbench.engine SESSION_FOLDER [--name NAME] [--on-hangup finish|stop]`.

It prints one line of JSON: `{"socket": PATH}` when it can be reached, or `{"error": TEXT}` before exit code 2. Its standard
input is its launcher's lifeline: it closes when the launcher exits, and the engine then acts on --on-hangup.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lbench.config.limits import TOO_MANY_PROCESSES, no_more_processes
from lbench.engine.processes import orphan_guard
from lbench.engine.processes.lifeline import free_standard_input
from lbench.engine.service.server import Service
from lbench.errors import LbenchError

__all__ = ["main"]

_STUCK_S = 20.0  # after the launcher's end: an engine that acts on it has closed everything by then


def _print_line(line: dict[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()


async def _run(folder: Path, name: str, on_hangup: str) -> None:
    loop = asyncio.get_running_loop()
    service = Service(folder, name)
    await service.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop, f"the engine got {signal.Signals(number).name}")
    loop.add_signal_handler(signal.SIGHUP, lambda: None)

    pipe = free_standard_input()

    def lifeline() -> None:
        try:
            alive = bool(os.read(pipe, 4096))
        except OSError:
            alive = False
        if not alive:
            loop.remove_reader(pipe)
            service.launcher_gone(on_hangup)

    with contextlib.suppress(PermissionError):  # a file or /dev/null cannot be watched, and never closes
        loop.add_reader(pipe, lifeline)
    _print_line({"socket": str(service.socket)})
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # the launcher has its line; nothing may keep its pipe open
    os.close(null)
    if not await service.serve():
        sys.stderr.flush()
        os._exit(0)  # do not wait for threads that will not end; child processes end with their parent


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """While a process beside this one (`orphan_guard`) sees to it that the launcher's end ends it, too."""
    guard = None
    if sys.platform == "linux" and stat.S_ISFIFO(os.fstat(0).st_mode):
        script = Path(orphan_guard.__file__)
        argv = [sys.executable, "-I", "-S", str(script), str(os.getpid()), str(_STUCK_S)]
        null = subprocess.DEVNULL
        with contextlib.suppress(OSError):  # no more processes are allowed: the engine goes on without
            guard = subprocess.Popen(argv, stdin=0, stdout=null, stderr=null, env={}, cwd="/", process_group=0)
    try:
        yield
    finally:
        if guard is not None:
            guard.kill()
            guard.wait()


def main() -> None:
    """Serve one session until it ends."""
    parser = argparse.ArgumentParser(prog="lbench.engine")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("--on-hangup", choices=["finish", "stop"], default="stop")
    arguments = parser.parse_args()
    try:
        with _guarded() if arguments.on_hangup == "stop" else contextlib.nullcontext():
            asyncio.run(_run(arguments.folder, arguments.name, arguments.on_hangup))
    except (LbenchError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not no_more_processes(error):
            raise
        _print_line({"error": _reason(error, arguments.folder)})
        sys.exit(2)


def _reason(error: LbenchError | OSError | RuntimeError, folder: Path) -> str:
    if no_more_processes(error):
        return TOO_MANY_PROCESSES
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "free some, or set XDG_DATA_HOME to a folder with room"
        return f"no room on the disk for {error.filename or folder} ({error.strerror}): {remedy}"
    return f"the engine cannot start in {error.filename or folder}: {error.strerror}"


if __name__ == "__main__":
    main()
