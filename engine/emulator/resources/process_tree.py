"""A process and its descendants: their CPU time, their memory, and which of them left the process group."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

__all__ = ["Tree", "cpu_s", "refresh_after_s"]

_LINUX = sys.platform.startswith("linux")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def refresh_after_s(trees: int) -> float:
    """The age limit of a tree's list of members: 0.25 s, more with many trees, so that looking stays cheap.

    A look takes some 40 µs of CPU, so `trees` of them each 4 ms * `trees` take 1 % of a core.
    """
    return max(0.25, 0.004 * trees)


def cpu_s(pid: int) -> float | None:
    """The CPU time of all threads of a process, ended ones too, in seconds; None: no such process.

    On Linux it is the process's CPU clock, exact to the nanosecond and read in a microsecond (/proc/<pid>/stat counts
    in ticks of 10 ms). The number of another process's clock is derived as clock_getcpuclockid(3) does.
    """
    if _LINUX:
        try:
            return time.clock_gettime((~pid << 3) | 2)
        except OSError:
            return None
    import psutil

    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return None


class Tree:
    """The process `root` and its descendants, as far as their parents live or they were seen before."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.members: set[int] = set()  # besides the root
        self.strays: set[int] = set()  # members that left the root's process group
        self._looked_s = float("-inf")
        self._reaped_s = 0.0  # CPU time of children that have been waited for
        self._cpu_s = 0.0
        self._statm: int | None = None

    def cpu_s(self, refresh_after_s: float = 0.1) -> float:
        """CPU time of all processes, in seconds; it never falls."""
        self.refresh(refresh_after_s)
        total = (cpu_s(self.root) or 0.0) + self._reaped_s
        for pid in self.members:
            total += cpu_s(pid) or 0.0
        self._cpu_s = max(self._cpu_s, total)
        return self._cpu_s

    def memory_bytes(self, refresh_after_s: float = 0.1) -> int:
        """Resident memory of all processes; a shared page counts for each holder (see `shared_out_bytes`)."""
        self.refresh(refresh_after_s)
        total = self._root_rss()
        for pid in self.members:
            total += _rss(pid)
        return total

    def shared_out_bytes(self) -> int:
        """Resident memory with each shared page divided among its holders (PSS): exact, and slow (some ms for 100 MB)."""
        if not _LINUX:
            return self.memory_bytes()
        total = 0
        for pid in (self.root, *self.members):
            with contextlib.suppress(OSError, IndexError, ValueError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
                total += int(text.split(b"\nPss:", 1)[1].split(None, 1)[0]) * 1024
        return total

    def refresh(self, after_s: float = 0.0) -> None:
        """List the members again, if the list is older than `after_s`."""
        now_s = time.monotonic()
        if now_s - self._looked_s < after_s:
            return
        self._looked_s = now_s
        if not _LINUX:
            self._refresh_elsewhere()
            return
        reaped = _reaped_s(self.root)
        if reaped is not None:
            self._reaped_s = reaped
        seen = set(_children(self.root)) if reaped is not None else set()
        if not seen and not self.members:
            return
        todo = [*seen, *(self.members - seen)]
        alive = set()
        while todo:
            pid = todo.pop()
            if pid in alive:
                continue
            more = _reaped_s(pid)
            if more is None:
                continue
            alive.add(pid)
            self._reaped_s += more
            todo += _children(pid)
        self.members = alive
        self.strays = {pid for pid in alive if _group(pid) != self.root}

    def _refresh_elsewhere(self) -> None:
        import psutil

        with contextlib.suppress(psutil.Error):
            self.members = {process.pid for process in psutil.Process(self.root).children(recursive=True)}
        self.strays = {pid for pid in self.members if _group(pid) != self.root}

    def _root_rss(self) -> int:
        """The root's resident memory, by a descriptor that stays open: opening it is most of the cost."""
        if not _LINUX:
            return _rss(self.root)
        with contextlib.suppress(OSError, IndexError, ValueError):
            if self._statm is None:
                self._statm = os.open(f"/proc/{self.root}/statm", os.O_RDONLY)
            return int(os.pread(self._statm, 256, 0).split()[1]) * _PAGE_BYTES
        return 0

    def close(self) -> None:
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None


def _rss(pid: int) -> int:
    if not _LINUX:
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(pid).memory_info().rss)
        return 0
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    return 0


def _reaped_s(pid: int) -> float | None:
    """CPU time of its children that have been waited for; None: no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(fields[13]) + int(fields[14])) * _TICK_S
    except (OSError, IndexError, ValueError):
        return None


def _children(pid: int) -> list[int]:
    """Its children, by thread: each belongs to the thread that forked it."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - a third of iterdir's time
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
