"""Temporary folders: one for the emulator, one in it for each environment.

An emulator holds a lock on its folder as long as it lives (the kernel releases it however the process
ends). A folder without a lock belongs to a dead emulator; the next emulator removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

__all__ = ["Scratch", "abandoned", "remove_abandoned"]


def _lock(path: Path, *, wait: bool) -> int | None:
    """The file's descriptor, locked; None: another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _parent() -> Path:
    return Path(tempfile.gettempdir()) / f"lbench-emulator-{os.getuid()}"


def _is_ours(folder: Path) -> bool:
    """Whether a folder is there that no other user has made or may write to: anybody can take its name first."""
    try:
        found = folder.lstat()  # not stat: a link could lead anywhere
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


class Scratch:
    """The emulator's folder `<tmp>/lbench-emulator-<uid>/<pid>-xxxx`; leaving the context removes it.

    `announce` is called with its path before it is made, so that an emulator killed at any moment leaves no unknown folder.
    """

    def __init__(self, announce: Callable[[Path], None] | None = None) -> None:
        self._announce = announce
        self._parent = _parent()
        self._own_parent: Path | None = None  # where the usual one is another user's
        self._held: int | None = None
        self.path = Path()

    def __enter__(self) -> Self:
        with contextlib.suppress(FileExistsError):
            self._parent.mkdir(mode=0o700)
        if not _is_ours(self._parent):
            self._parent = self._own_parent = Path(tempfile.mkdtemp(prefix="lbench-emulator-"))
            if self._announce is not None:
                self._announce(self._own_parent)
        gate = _lock(self._parent / ".lock", wait=True)  # no sweep while a new folder has no lock yet
        assert gate is not None
        try:
            self._sweep()
            self.path = self._parent / f"{os.getpid()}-{secrets.token_hex(4)}"
            if self._announce is not None:
                self._announce(self.path)
            self.path.mkdir(mode=0o700)
            self._held = _lock(self.path / ".lock", wait=False)
        finally:
            os.close(gate)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._own_parent or self.path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)

    def folder(self, name: str) -> Path:
        """A new folder for an environment."""
        path = self.path / name
        path.mkdir(mode=0o700)
        return path

    @staticmethod
    def wipe(path: Path) -> None:
        """Remove an environment's folder with its content."""
        shutil.rmtree(path, ignore_errors=True)

    def _sweep(self) -> None:
        for folder in _folders(self._parent):
            remove_abandoned(folder)


def _folders(parent: Path) -> list[Path]:
    return [folder for folder in parent.iterdir() if folder.name != ".lock" and folder.is_dir()]


def abandoned() -> list[Path]:
    """This user's folders of emulators that have ended."""
    parent = _parent()
    found = []
    with contextlib.suppress(OSError):
        if not _is_ours(parent):
            return []
        for folder in _folders(parent):
            held = _lock(folder / ".lock", wait=False)
            if held is not None:
                os.close(held)
                found.append(folder)
    return found


def remove_abandoned(folder: Path) -> None:
    """Remove an abandoned folder, unless a process holds its lock."""
    with contextlib.suppress(OSError):
        held = _lock(folder / ".lock", wait=False)
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)
