"""A tiny process beside one that runs others' code; it outlives that just long enough to remove what was left behind.

Its ward is the emulator, or the engine for a pool of workers. It is run as a script (`python -I -S guardian.py`), imports
nothing of lbench and next to nothing of the standard library. Its standard input is a pipe whose other end only the ward
holds: through it come one-line notes of what there is, and when it closes, however the ward went, the guardian kills and
removes all of that and ends.

    mark ID              the ward's mark: whatever it starts has LBENCH_GUARDED=ID/N in its environment,
                         and so has all that this starts in turn, in whatever session
    group PGID START     the process group of an environment or worker, and its leader's start time
    gone PGID ID/N       that one has ended: kill what bears its mark still
    cgroup PATH          a folder of cgroups, one level of them below it
    folder PATH          a temporary folder
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator

__all__ = [
    "MARK",
    "cgroup_pids",
    "kill_cgroup",
    "kill_marked",
    "marked",
    "remove_cgroup",
    "start_ticks",
]

MARK = "LBENCH_GUARDED"  # the variable's name
_LINUX = sys.platform.startswith("linux")
_LIMIT_S = 10.0  # it gives up then; what a dead emulator left, the next one's start removes
_QUIET_ROUNDS = 2  # nothing found this often: a process that forked during the first look is seen by the second


def start_ticks(pid: int) -> int | None:
    """The process's start, in clock ticks since boot: with its id it names a process for good. None: it is not there.

    Where there is no /proc it is 0 for every process.
    """
    if not _LINUX:
        return 0
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _environments() -> Iterator[tuple[int, bytes]]:
    """(pid, environment as it was at its start) of each process that we may look at."""
    own = os.getpid()
    if _LINUX:
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit() and int(name) != own:
                with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                    yield int(name), b"\0" + file.read() + b"\0"
        return
    try:
        import psutil
    except ImportError:  # run with -S where it is not on the path: process groups have to do
        return
    for process in psutil.process_iter():  # pragma: no cover - not Linux
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != own:
                variables = process.environ()
                yield process.pid, b"\0%b\0" % f"{MARK}={variables.get(MARK, '')}".encode()


def marked(marks: Iterable[str]) -> list[int]:
    """The processes that bear one of these marks: `ID/` for all of a ward's, `ID/N` for one environment's."""
    wanted = [f"\0{MARK}={mark}".encode() + (b"" if mark.endswith("/") else b"\0") for mark in marks]
    return [pid for pid, variables in _environments() if any(mark in variables for mark in wanted)]


def kill_marked(marks: Iterable[str]) -> int:
    """Kill the processes that bear one of these marks; how many there were."""
    found = marked(marks)
    for pid in found:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def cgroup_pids(path: str) -> list[int]:
    """The living processes of one cgroup."""
    try:
        with open(f"{path}/cgroup.procs", "rb") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except (OSError, ValueError):
        return []


def kill_cgroup(path: str) -> int:
    """Kill all that is in one cgroup; how many processes there were."""
    found = cgroup_pids(path)
    if found:
        with contextlib.suppress(OSError), open(f"{path}/cgroup.kill", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(b"1")  # version 2 only: at once, also what forks meanwhile
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    return len(found)


def remove_cgroup(path: str) -> bool:
    """Remove a cgroup and the one level below it; whether it has gone."""
    for below in _below(path):
        with contextlib.suppress(OSError):
            os.rmdir(below)  # noqa: PTH106
    with contextlib.suppress(OSError):
        os.rmdir(path)  # noqa: PTH106
    return not os.path.isdir(path)  # noqa: PTH112


def _below(path: str) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


class _State:
    """The ward's notes so far."""

    def __init__(self) -> None:
        self.mark = ""
        self.groups: dict[int, int] = {}
        self.gone: list[str] = []
        self.cgroups: list[str] = []
        self.folders: list[str] = []

    def note(self, line: str) -> None:
        kind, _, value = line.partition(" ")
        if kind == "mark":
            self.mark = value
        elif kind == "group":
            group, _, start = value.partition(" ")
            self.groups[int(group)] = int(start)
        elif kind == "gone":
            group, _, mark = value.partition(" ")
            self.groups.pop(int(group), None)
            self.gone.append(mark)
        elif kind == "cgroup":
            self.cgroups.append(value)
        elif kind == "folder":
            self.folders.append(value)

    def kill(self) -> int:
        """Kill all there is; how many were found."""
        found = 0
        for group, start in self.groups.items():
            # The id cannot be another's while the group has a member: only a leader that is another says so.
            if start_ticks(group) in (None, start):
                with contextlib.suppress(OSError):
                    os.killpg(group, signal.SIGKILL)
        for cgroup in self.cgroups:
            found += kill_cgroup(cgroup)
            found += sum(kill_cgroup(below) for below in _below(cgroup))
        if self.mark:
            found += kill_marked([f"{self.mark}/"])
        return found

    def clean(self) -> None:
        """Leave nothing."""
        end_s = time.monotonic() + _LIMIT_S
        quiet, pause_s = 0, 0.005
        while quiet < _QUIET_ROUNDS and time.monotonic() < end_s:
            quiet = 0 if self.kill() else quiet + 1
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)
        if self.folders:
            import shutil  # takes longer to load than all the rest, and is not needed before

            for folder in self.folders:
                shutil.rmtree(folder, ignore_errors=True)
        while not all([remove_cgroup(cgroup) for cgroup in self.cgroups]) and time.monotonic() < end_s:
            time.sleep(0.02)  # a killed process leaves its cgroup a moment later


def main() -> None:
    """Listen until the pipe closes, then clean and end."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends after its ward, never before
    state = _State()
    rest = b""
    while True:
        # Environments that end together are looked for together.
        ready, _, _ = select.select([0], [], [], 0.05 if state.gone else None)
        if not ready:
            again = kill_marked(state.gone)
            if not again:
                state.gone.clear()
            continue
        chunk = os.read(0, 65_536)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            state.note(line.decode("utf-8", "surrogateescape"))
        if len(state.gone) > 1000:  # they end faster than it may pause
            kill_marked(state.gone)
            state.gone.clear()
    state.clean()


if __name__ == "__main__":
    main()
