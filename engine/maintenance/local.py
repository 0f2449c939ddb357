"""Leftovers of crashed runs on this machine, and kept results: listed, and removed on request. Nothing in use is touched.

An owner is alive if it holds its lock, its process exists or its socket answers; where none of these applies, age decides.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from lbench.config.folders import cache_place, tree_bytes
from lbench.engine.backends.cluster import store_log
from lbench.engine.backends.cluster.remote import WORKER_PREFIX
from lbench.engine.backends.simulated.answers import kept_tasks
from lbench.engine.emulator.resources import cgroups, scratch
from lbench.engine.journal.lock import is_live
from lbench.engine.measure.run_store import OBJECTS_NAME
from lbench.engine.processes.child import is_there
from lbench.engine.sampling.model import SAMPLE_PREFIX
from lbench.engine.service.discovery import dead_sockets
from lbench.engine.session.index import session_folders

__all__ = ["Leftover", "local_leftovers"]

_OLD_S = 3600.0  # age of a leftover whose owner is unknown
_DATA = ("data.lbds", "data-*.lbds")  # of a comparison, of an exploring
_MAKING = (".making-*", ".downloading-*", ".unpacking-*")
_TRIALS = ("lbench-try-", "lbench-pins-", SAMPLE_PREFIX)


class Leftover(msgspec.Struct, frozen=True):
    """Something that a killed run has left on this machine, and how to remove it."""

    what: str
    where: str
    size_bytes: int
    remove: Callable[[], None]  # raises OSError


def local_leftovers() -> list[Leftover]:
    """All leftovers on this machine, and what can be made again."""
    return [
        *_sessions(),
        *_stores(),
        *(_file("a socket of an engine that has ended", path) for path in dead_sockets()),
        *_emulators(),
        *_cgroups(),
        *_temporary(),
        *_half_made(),
        *_payloads(),
        *_computed(),
    ]


def _sessions() -> Iterator[Leftover]:
    """Data sets, objects and check folders of a session whose engine was killed. The journal stays."""
    for folder in session_folders():
        if is_live(folder):
            continue
        for pattern in _DATA:
            for data in sorted(folder.glob(pattern)):
                yield _file("a data set of an interrupted session", data)
        objects = folder / OBJECTS_NAME
        if objects.is_dir() and not objects.is_symlink():
            yield _tree("temporary objects of an interrupted session", objects)
        for left in _entries(folder):
            if left.name.startswith("check-") and left.is_dir():
                yield _tree("files of an interrupted answer check", left)


def _stores() -> Iterator[Leftover]:
    """What killed engines left in a folder that `store=` named."""
    for place in store_log.abandoned_places():
        if place.bucket is not None:
            continue
        path = Path(place.path)
        try:
            found = path.lstat()
        except FileNotFoundError:
            if Path(place.above).is_dir():  # else it is not mounted now
                store_log.forget(place.name)
            continue
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():

            def remove(path: Path = path, name: str = place.name) -> None:
                shutil.rmtree(path)
                store_log.forget(name)

            yield Leftover("temporary objects of a killed run", str(path), tree_bytes(path), remove)


def _emulators() -> Iterator[Leftover]:
    for folder in scratch.abandoned():
        yield Leftover(
            "a folder of an emulator that has ended",
            str(folder),
            tree_bytes(folder),
            lambda folder=folder: scratch.remove_abandoned(folder),  # type: ignore[misc]
        )


def _cgroups() -> Iterator[Leftover]:
    seen: set[str] = set()
    controllers: tuple[cgroups.Controller, ...] = ("cpu", "memory")
    for controller in controllers:
        place = cgroups.find(controller)
        if place is None or place.folder in seen:
            continue
        seen.add(place.folder)
        with contextlib.suppress(OSError):
            for folder in cgroups.abandoned(place):
                yield Leftover(
                    "a cgroup of an emulator that has ended, with its remaining processes",
                    str(folder),
                    0,
                    lambda folder=folder: cgroups.remove_abandoned(folder),  # type: ignore[misc]
                )


def _temporary() -> Iterator[Leftover]:
    for path in _entries(Path(tempfile.gettempdir())):
        if path.name.startswith(_TRIALS) and _mine_and_old(path):
            yield _tree("a trial of a package", path) if path.is_dir() else _file("a list of versions", path)
        number = path.name.removeprefix(WORKER_PREFIX).partition("-")[0]
        if path.name.startswith(WORKER_PREFIX) and number.isdigit() and _is_mine(path) and not is_there(int(number)):
            yield _tree("code and data of a cluster's worker that was killed", path)
    for place in (Path(tempfile.gettempdir()), Path("/dev/shm")):
        for path in _entries(place):
            ours = path.name.startswith("check-") and (path / "request.json").is_file()
            if ours and _mine_and_old(path):
                yield _tree("files of an interrupted answer check", path)


def _half_made() -> Iterator[Leftover]:
    root = cache_place("references").parent
    for pattern in _MAKING:
        for path in [*root.glob(f"*/{pattern}"), *root.glob(f"*/*/{pattern}")]:
            if path.is_dir() and _mine_and_old(path):
                yield _tree("an unfinished cache entry", path)


def _payloads() -> Iterator[Leftover]:
    """Events of `lbench run function` that were read from standard input."""
    for path in _entries(cache_place("payloads")):
        if path.is_file() and _mine_and_old(path):
            yield _file("events read from standard input", path)


def _computed() -> Iterator[Leftover]:
    """Results that `--answers compute` keeps for simulated runs, as one entry; while an engine runs they are in use."""
    folder = cache_place("tasks")
    kept = kept_tasks(folder)
    if not kept or any(is_live(session) for session in session_folders()):
        return

    def remove() -> None:
        for path, _, _ in kept:
            path.unlink(missing_ok=True)

    what = f"computed results of simulated runs ({len(kept):,})"
    yield Leftover(what, str(folder), sum(size for _, size, _ in kept), remove)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_mine(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _mine_and_old(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and time.time() - found.st_mtime > _OLD_S


def _file(what: str, path: Path) -> Leftover:
    return Leftover(what, str(path), tree_bytes(path), lambda: path.unlink(missing_ok=True))


def _tree(what: str, path: Path) -> Leftover:
    return Leftover(what, str(path), tree_bytes(path), lambda: shutil.rmtree(path))
