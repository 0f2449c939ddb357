"""The sandbox of an environment: it sees as little of this machine as on Lambda, by the best method that works here.

    mounts-and-user  root, and a mount namespace: a user of its own for each environment
    mounts           a mount namespace (in a user namespace, where this user is not root); the user stays the same
    user             root, and no namespaces: a user of its own, but this machine's files, /tmp and /dev/shm
    none             all that this user sees

With `mounts`, /tmp is as large as EphemeralStorage, everything else is read-only, and what belongs to this machine's
users is hidden. The steps are carried out by `environment/isolation.py` in each environment's process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.resources.cpu import visible_cpus

__all__ = ["IsolationMethod", "Room", "Sandbox"]

IsolationMethod = Literal["mounts-and-user", "mounts", "user", "none"]
_HIDDEN = ("/dev", "/home", "/root", "/tmp", "/var")
_FOLDERS = ("/var/task", "/var/runtime", "/var/tmp")  # as on Lambda
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
_ONLINE = "/sys/devices/system/cpu/online"  # what os.cpu_count() counts
_PASSWD = "/etc/passwd"  # what `~`, Path.home() and getpass.getuser() read
_USER = "sbx_user1051"  # the user's name on Lambda; its home is no folder there
# Users that belong to nobody: above those that systemd gives to containers, and below 2^31.
_FIRST_USER, _USERS, _BLOCK = 1_900_000_000, 200_000_000, 10_000


class Room:
    """One environment's place. Its namespaces outlive its processes, for the environment that takes its place."""

    def __init__(self, plan: dict[str, Any], code: str, tmp: Path | None) -> None:
        self._plan = plan
        self.code = code  # where the function finds it
        self.tmp = tmp  # the folder that stands for /tmp; None: /tmp is its own
        self._namespaces: list[int] = []

    @property
    def plan(self) -> dict[str, Any]:
        """The steps for the next process."""
        return self._plan | {"namespaces": self._namespaces}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Descriptors that the next process inherits."""
        return tuple(self._namespaces)

    @property
    def in_memory_mb(self) -> int:
        """What its /tmp may hold, which lies in memory and is not the function's; 0: it lies on a disk."""
        return int(self._plan["tmp_mb"]) if self._plan["covers"] else 0

    @property
    def user(self) -> int | None:
        """The user of its processes; None: the emulator's."""
        user: int | None = self._plan["user"]
        return user

    def hold(self, pid: int) -> None:
        """Keep the namespaces of its process, which still runs; not those of one that has not made all of them yet."""
        if self._namespaces or not self._plan["covers"]:
            return
        names = ("mnt",) if os.getuid() == 0 else ("user", "mnt")
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd") != self.code:  # noqa: PTH115 - it goes there when all is mounted
                return
            for name in names:
                self._namespaces.append(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
            return
        self.close()

    def close(self) -> None:
        """Let its /tmp go."""
        while self._namespaces:
            os.close(self._namespaces.pop())


class Sandbox:
    """An emulator's method of isolation, and the rooms of its environments by their folders.

    `mounts`, `users`: whether mount namespaces and users of their own may be used. `needed`: paths that every
    environment reads.
    """

    def __init__(self, scratch: Path, needed: Iterable[str], *, mounts: bool, users: bool) -> None:
        self._scratch = scratch
        self._needed = list(needed)
        self._mounts = mounts
        self._isolate = mounts or users
        self._users = _free_users() if users and os.getuid() == 0 else None
        self.rooms: dict[Path, Room] = {}
        self._layouts: dict[tuple[str, str | None, tuple[str, ...] | None], dict[str, Any]] = {}
        if self._users is not None and not _others_can_reach(self._all_needed(None, None), self._mounts):
            self._users = None

    @property
    def method(self) -> IsolationMethod:
        """Its name, recorded with every result."""
        if self._mounts:
            return "mounts" if self._users is None else "mounts-and-user"
        return "none" if self._users is None else "user"

    def open(self, spec: FunctionSpec, folder: Path, number: int) -> Room:
        """The room at that folder, which is made where it is missing."""
        room = self.rooms.get(folder)
        if room is not None:
            return room
        user = None if self._users is None else self._users + number % _BLOCK
        if self._mounts:
            key = (spec.code, spec.python, spec.libraries)
            if key not in self._layouts:
                self._layouts[key] = self._layout(spec)
            cpus = [self._cpus_file(visible_cpus(spec.memory_mb)), _ONLINE]
            layout = self._layouts[key]
            keeps = [*layout["keeps"], cpus]
            if Path(_PASSWD).exists():
                keeps.append([_passwd_file(folder, user), _PASSWD])
            plan = layout | {"keeps": keeps, "tmp_mb": spec.ephemeral_mb, "user": user}
            plan["semaphores"] = False
            room = Room(plan, "/var/task", None)
        else:
            if user is not None:
                os.chown(folder, user, user)
            room = Room({"covers": [], "user": user, "semaphores": not self._isolate}, spec.code, folder)
        self.rooms[folder] = room
        return room

    def leave(self, folder: Path) -> None:
        """Close the room at that folder."""
        room = self.rooms.pop(folder, None)
        if room is not None:
            room.close()

    def close(self) -> None:
        for folder in list(self.rooms):
            self.leave(folder)

    def _all_needed(self, python: str | None, more: tuple[str, ...] | None) -> list[str]:
        found = [*self._needed, *(more or ())]
        for executable in filter(None, (sys.executable, python)):
            hop = Path(executable)
            found += [str(hop.parent.parent), str(hop.resolve().parent.parent)]
            while hop.is_symlink():
                found.append(str(hop))
                hop = hop.parent / hop.readlink()
            found.append(str(hop))
        return [path for path in dict.fromkeys(map(os.path.normpath, found)) if Path(path).exists()]

    def _layout(self, spec: FunctionSpec) -> dict[str, Any]:
        needed = self._all_needed(spec.python, spec.libraries)
        covers = {path for path in (*_HIDDEN, str(Path.home())) if Path(path).is_dir() and path != "/"}
        if self._users is not None:
            covers |= {str(barrier) for path in needed if (barrier := _barrier(Path(path).resolve())) is not None}
        covers = {path for path in covers if not any(_below(path, other) for other in covers)}
        shown: list[list[str]] = []
        for path in needed:
            real = str(Path(path).resolve())
            for target in dict.fromkeys((real, path)):
                hidden = any(target == cover or _below(target, cover) for cover in covers)
                if hidden and not any(target == other or _below(target, other) for _, other in shown):
                    shown.append([real, target])
        code = Path(spec.code).resolve()
        if self._users is None or code.stat().st_mode & 0o005 == 0o005:
            tasks = [[str(code), "/var/task"]]
        else:  # the folder's own mode is its user's business: a zip file has none
            tasks = [[str(entry), f"/var/task/{entry.name}"] for entry in code.iterdir()]
        devices = [[path, path] for path in _DEVICES if Path(path).exists()]
        return {"covers": sorted(covers), "keeps": [*shown, *tasks, *devices], "folders": _FOLDERS}

    def _cpus_file(self, count: int) -> str:
        path = self._scratch / f"cpus-{count}"
        if not path.exists():
            path.write_text(f"0-{count - 1}\n")
            path.chmod(0o444)
        return str(path)


def _passwd_file(folder: Path, user: int | None) -> str:
    """The users that an environment knows, in a file of its folder."""
    uid, gid = (os.getuid(), os.getgid()) if user is None else (user, user)
    root = "root:x:0:0:root:/root:/sbin/nologin\n" if uid else ""
    path = folder / "passwd"
    path.write_text(f"{root}{_USER}:x:{uid}:{gid}::/home/{_USER}:/sbin/nologin\n")
    path.chmod(0o444)
    return str(path)


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _barrier(path: Path) -> Path | None:
    """The highest folder on the way to a path that other users cannot pass; None: they can."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def _others_can_reach(needed: list[str], covered: bool) -> bool:
    """Whether another user can read these paths; `covered`: folders on the way are replaced by passable ones."""
    for path in map(Path, needed):
        mode = path.stat().st_mode
        wanted = 0o005 if path.is_dir() else 0o004
        barrier = _barrier(path.resolve())
        if mode & wanted != wanted or (barrier is not None and (not covered or str(barrier) == "/")):
            return False
    return True


def _free_users() -> int | None:
    """The first of a block of users that are nobody's; None: there are not so many here."""
    wanted = _FIRST_USER + os.getpid() * _BLOCK % _USERS
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = map(int, line.split())
            if first <= wanted and wanted + _BLOCK < first + count:
                return wanted
            if count >= 65_536:  # a container's: the end of what it has
                return first + count - 2 * _BLOCK
    return None
