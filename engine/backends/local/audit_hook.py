"""Records what a task does besides computing, by the interpreter's audit events (PEP 578), for `lbench check`.

A worker that finds a file's name in the variable `WATCH` appends to that file. What C code does by itself raises no
event and is not seen. Each thing is noted once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

__all__ = ["WATCH", "Kind", "noticed", "watch_if_asked"]

Kind = Literal["network", "port", "program", "gpu", "write"]  # a port: of this machine

WATCH = "LBENCH_WATCH_FILE"
_MOST = 200  # of a kind
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
# Events with the places of the paths that they change, each with that of the folder (a file descriptor) it is relative to.
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
    "sqlite3.connect": ((0, None),),
}
_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_PROGRAMS = {"subprocess.Popen": 0, "os.posix_spawn": 0, "os.exec": 0, "os.system": 0}
_GPU_MODULES = ("cupy", "pycuda", "pyopencl", "cudf", "numba.cuda")
_GPU_LIBRARIES = ("libcuda", "libcudart", "libcublas", "libnvidia", "libOpenCL", "libamdhip", "libhip")
_WRITABLE = ("/tmp/", "/dev/", "/proc/", "/sys/")
_RUN_FOLDER = "/lbench-run-"  # of a run's own working folder (`workspace`)
_LOCAL_HOSTS = ("127.", "::1", "localhost", "0.0.0.0", "::ffff:127.")


class _AuditHook:
    """The audit hook."""

    def __init__(self, file: str) -> None:
        self._out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._own = f"{os.path.dirname(file)}/"  # noqa: PTH120 - few imports: this is a worker
        home = os.path.expanduser("~")  # noqa: PTH111
        self._home = f"{home}/" if home not in ("/", "/tmp") else "/nowhere/"
        self._seen: dict[str, set[str]] = {}

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by the interpreter for each of its events."""
        with contextlib.suppress(Exception):  # a task must not fail by being watched
            self._take(event, arguments)

    def _take(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return
            if isinstance(flags, int) and flags & _WRITES:
                self._write(path)
            elif os.fsdecode(path).startswith("/dev/nvidia"):
                self._note("gpu", os.fsdecode(path))
        elif event in _CHANGES:
            for place, folder in _CHANGES[event]:
                self._write(arguments[place], -1 if folder is None else arguments[folder])
        elif event == "import":
            if str(arguments[0]).startswith(_GPU_MODULES):
                self._note("gpu", f"module {arguments[0]}")
        elif event == "ctypes.dlopen":
            name = os.path.basename(os.fsdecode(arguments[0] or b""))  # noqa: PTH119
            if name.startswith(_GPU_LIBRARIES):
                self._note("gpu", name)
        elif event in _SENDS:
            address = arguments[1]
            if isinstance(address, tuple):
                self._host(address[0], address[1], reached=True)
        elif event == "socket.getaddrinfo":
            if arguments[0] is not None:
                self._host(arguments[0], arguments[1])
        elif event == "socket.gethostbyname":
            self._host(arguments[0], None)
        elif event in _PROGRAMS:
            name = arguments[_PROGRAMS[event]]
            self._note("program", os.fsdecode(name if isinstance(name, str | bytes) else name[0]))

    def _host(self, host: Any, port: Any, *, reached: bool = False) -> None:
        name = os.fsdecode(host)
        here = name.startswith(_LOCAL_HOSTS)
        if reached or not here:
            self._note("port" if here else "network", f"{name}:{port}" if port else name)

    def _write(self, path: Any, folder: int = -1) -> None:
        """Note a path that could not be written on Lambda: there all is read-only but /tmp."""
        if isinstance(path, int):  # a file that is open already
            return
        full = os.fsdecode(path)
        if folder >= 0:
            full = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), full)  # noqa: PTH115, PTH118
        full = os.path.abspath(full)  # noqa: PTH100 - as the task wrote it
        temporary, here = os.environ.get("TMPDIR", self._own), os.getcwd()  # noqa: PTH109
        if "__pycache__" in full or full.endswith(":memory:"):
            return
        if _RUN_FOLDER in here and full.startswith(f"{here}/"):
            self._note("write", f"working folder: {full[len(here) + 1 :]}")
        elif full.startswith((f"{temporary}/", self._own)):
            return
        elif full.startswith(self._home) or not full.startswith(_WRITABLE) or full.startswith("/dev/shm/"):
            self._note("write", full)

    def _note(self, kind: Kind, what: str) -> None:
        seen = self._seen.setdefault(kind, set())
        if what not in seen and len(seen) < _MOST:
            seen.add(what)
            os.write(self._out, f"{kind} {what}\0".encode("utf-8", "backslashreplace"))


def watch_if_asked() -> None:
    """Watch this process from here on, if the launching process asked for that."""
    file = os.environ.pop(WATCH, None)
    if file is not None:
        sys.addaudithook(_AuditHook(file))


def noticed(file: Path) -> Iterator[tuple[Kind, str]]:
    """What the workers have noted, each thing once."""
    try:
        lines = file.read_bytes().split(b"\0")
    except FileNotFoundError:
        return
    for line in dict.fromkeys(lines):
        kind, _, what = line.decode("utf-8", "replace").partition(" ")
        if what:
            yield cast("Kind", kind), what
