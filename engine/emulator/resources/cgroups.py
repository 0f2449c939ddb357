"""The emulator's cgroups: one folder for an emulator, one below it for each environment.

Cgroups are made at the root of a hierarchy or in a delegated cgroup only (its folder belongs to this user, who is
not root, or its manager marked it as delegated). A container or a batch system counts and kills by the cgroup that
it made; the emulator neither leaves such a cgroup nor builds in it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from lbench.engine.emulator.resources.process_tree import Tree
from lbench.engine.processes.guardian import kill_cgroup, remove_cgroup, start_ticks

__all__ = ["Controller", "Home", "Place", "abandoned", "find", "open_home", "remove_abandoned"]

Controller = Literal["cpu", "memory"]
_NAME = re.compile(r"lbench-(\d+)-(\d+)-(\d+)")  # pid namespace, pid, start time
_SELF = "emulator"  # version 2: the leaf that the emulator itself goes to
_PERIOD_US = (
    20_000  # Lambda's own period is not documented; a short period lets a short task run ahead of its share less
)
_LEAST_QUOTA_US = 1000  # the kernel's


class Place(msgspec.Struct, frozen=True):
    """A cgroup of this process, below which cgroups may be made."""

    folder: str
    version: Literal[1, 2]
    top: bool  # the root of its hierarchy, which may hold processes beside cgroups


def find(controller: Controller, root: Path = Path("/")) -> Place | None:
    """The place where cgroups with this controller may be made; None: nowhere. `root`: the system's root folder."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        own = {}  # controllers, as they are written: our cgroup
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            own[names] = path
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            mount_root, mount_point = before.split()[3:5]
            if kind == "cgroup2":
                at = own.get("")
                version: Literal[1, 2] = 2
            elif kind == "cgroup" and controller in options.split(","):
                at = next((path for names, path in own.items() if controller in names.split(",")), None)
                version = 1
            else:
                continue
            if at is None or not Path(at).is_relative_to(mount_root):
                continue
            place = root / mount_point.lstrip("/") / Path(at).relative_to(mount_root)
            if version == 2 and controller not in (place / "cgroup.controllers").read_text().split():
                continue
            if not os.access(place, os.W_OK | os.X_OK):
                return None
            top = not (place / "cgroup.type").exists() if version == 2 else at == mount_root == "/"
            if top or _is_ours(place):
                return Place(str(place), version, top)
            return None
    return None


def _is_ours(place: Path) -> bool:
    if place.stat().st_uid == os.getuid() != 0:
        return True
    with contextlib.suppress(OSError, AttributeError):
        return any(os.getxattr(place, f"{space}.delegate") == b"1" for space in ("trusted", "user"))
    return False


def _write(folder: Path, name: str, text: str | int) -> None:
    """Write by one write(2), which the kernel takes as one command."""
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(text).encode())
    finally:
        os.close(descriptor)


class Home:
    """An emulator's folder of cgroups in one hierarchy. Made by `open_home`; `close` removes it.

    `announce` is called with its path before it is made.

    Raises:
        OSError: from every method that changes something, when the kernel refuses.
    """

    def __init__(
        self, place: Place, controllers: Collection[Controller], announce: Callable[[Path], None] | None = None
    ) -> None:
        self.version = place.version
        self.controllers = frozenset(controllers)
        self._place = place
        namespace = _namespace()
        self.folder = Path(place.folder) / f"lbench-{namespace}-{os.getpid()}-{start_ticks(os.getpid())}"
        self._moved = False
        self._lingering: set[str] = set()
        for folder in abandoned(place):
            remove_abandoned(folder)
        if announce is not None:
            announce(self.folder)
        self.folder.mkdir()
        try:
            if self.version == 2:
                self._enable()
        except BaseException:
            self.close()
            raise

    def _enable(self) -> None:
        """Enable controllers level by level (version 2); below the top, only in cgroups without processes."""
        place = Path(self._place.folder)
        wanted = " ".join(f"+{name}" for name in sorted(self.controllers))
        there = (place / "cgroup.subtree_control").read_text().split()
        if not self.controllers <= set(there):
            if not self._place.top:
                (self.folder / _SELF).mkdir()
                _write(self.folder / _SELF, "cgroup.procs", os.getpid())
                self._moved = True
            _write(place, "cgroup.subtree_control", wanted)
        _write(self.folder, "cgroup.subtree_control", wanted)

    def make(self, name: str) -> Path:
        """The environment's cgroup of that name, made where it is missing."""
        if self._lingering:
            self._lingering = {path for path in self._lingering if not _end(path)}
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def set_cpus(self, folder: Path, cpus: float) -> None:
        period = _PERIOD_US
        while cpus * period < _LEAST_QUOTA_US:
            period *= 5
        quota = round(cpus * period)
        if self.version == 2:
            _write(folder, "cpu.max", f"{quota} {period}")
        else:
            _write(folder, "cpu.cfs_period_us", period)
            _write(folder, "cpu.cfs_quota_us", quota)

    def set_memory(self, folder: Path, limit_bytes: int) -> None:
        """Set the memory limit, without swap; the kernel kills the whole cgroup above it."""
        if self.version == 2:
            _write(folder, "memory.max", limit_bytes)
            for name, value in (("memory.swap.max", 0), ("memory.oom.group", 1)):
                with contextlib.suppress(OSError):  # a kernel without swap, or an old one
                    _write(folder, name, value)
        else:
            _write(folder, "memory.limit_in_bytes", limit_bytes)
            with contextlib.suppress(OSError):  # swap is not accounted
                _write(folder, "memory.memsw.limit_in_bytes", limit_bytes)

    def oom_kills(self, folder: Path) -> int:
        """How many processes the kernel has killed there for lack of memory."""
        with contextlib.suppress(OSError, ValueError):
            text = (folder / ("memory.events" if self.version == 2 else "memory.oom_control")).read_text()
            for line in text.splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def add(self, folder: Path, tree: Tree) -> None:
        """Move a process there with its descendants; later children are born there."""
        placed: set[int] = set()
        now = {tree.root}
        while now - placed:
            for pid in now - placed:
                placed.add(pid)
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    _write(folder, "cgroup.procs", pid)
            tree.refresh()  # on a busy machine it may have started more meanwhile
            now = tree.members

    def remove(self, folder: Path) -> None:
        """Kill its processes and remove it, now or when they have ended."""
        if not _end(str(folder)):
            self._lingering.add(str(folder))

    def close(self) -> None:
        """Remove all cgroups. One that still has processes is left to the guardian and the next start."""
        for below in self.folder.iterdir() if self.folder.is_dir() else ():
            if below.is_dir() and below.name != _SELF:
                _end(str(below))
        if self._moved:
            place = Path(self._place.folder)
            with contextlib.suppress(OSError):
                _write(self.folder, "cgroup.subtree_control", " ".join(f"-{name}" for name in self.controllers))
                _write(place, "cgroup.subtree_control", " ".join(f"-{name}" for name in self.controllers))
                _write(place, "cgroup.procs", os.getpid())
        remove_cgroup(str(self.folder))


def _end(path: str) -> bool:
    """Kill a cgroup's processes and remove it; whether it is removed."""
    kill_cgroup(path)
    return remove_cgroup(path)


def _namespace() -> int:
    with contextlib.suppress(OSError):
        return Path("/proc/self/ns/pid").stat().st_ino
    return 0


def abandoned(place: Place) -> list[Path]:
    """The folders of emulators that have ended."""
    namespace = _namespace()
    found = []
    for folder in Path(place.folder).iterdir():
        name = _NAME.fullmatch(folder.name)
        if name is not None and int(name[1]) == namespace and start_ticks(int(name[2])) != int(name[3]):
            found.append(folder)
    return found


def remove_abandoned(folder: Path) -> None:
    """Kill the processes of an abandoned folder, and remove it."""
    for below in folder.iterdir():
        if below.is_dir():
            kill_cgroup(str(below))
    kill_cgroup(str(folder))
    remove_cgroup(str(folder))


def open_home(
    place: Place, controllers: Sequence[Controller], announce: Callable[[Path], None] | None = None
) -> Home | None:
    """A home with these controllers, tried by one cgroup whose limits are set and read back. None: it does not work."""
    home = None
    try:
        home = Home(place, controllers, announce)
        trial = home.make("trial")
        if "cpu" in controllers:
            home.set_cpus(trial, 0.5)
            name = "cpu.max" if home.version == 2 else "cpu.cfs_quota_us"
            works = (trial / name).read_text().split()[0] == str(_PERIOD_US // 2)
        else:
            works = True
        if "memory" in controllers:
            home.set_memory(trial, 1 << 30)
            name = "memory.max" if home.version == 2 else "memory.limit_in_bytes"
            works = works and (trial / name).read_text().split()[0] == str(1 << 30)
        home.remove(trial)
    except (OSError, IndexError):
        works = False
    if works:
        return home
    if home is not None:
        home.close()
    return None
