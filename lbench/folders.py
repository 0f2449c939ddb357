"""Folders that are this user's alone. Like `errors`, every other folder may import it, and it imports nothing of ours."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

__all__ = ["check_private", "make_private", "refusal"]

_HOME = "lbench"  # the folder's name in each of the XDG folders
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_private(folder: Path) -> None:
    """Make a folder below `.../lbench`, and those above it, each for this user alone whatever the umask is.

    From `lbench` on they must belong to this user or root: code that is run lies there. Those that others may write (made by
    another umask) are closed to them.

    Raises:
        OSError: it cannot be made, or belongs to another user.
    """
    missing = []
    at = folder
    while not at.is_dir():
        missing.append(at)
        at = at.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    check_private(folder)


def check_private(folder: Path) -> None:
    """Check a folder before what lies in it is trusted, and those above it, as `make_private` does.

    Raises:
        OSError: it is not there, or belongs to another user.
    """
    ours = [folder, *folder.parents]
    names = [path.name for path in ours]
    for path in ours[: names.index(_HOME) + 1 if _HOME in names else 1]:
        _check(path)


def refusal(error: OSError) -> str | None:
    """Why a folder cannot be made or read, in words: `File exists` says little of a file where a folder must be."""
    if isinstance(error, (FileExistsError, NotADirectoryError)) and error.filename is not None:
        place = Path(error.filename)
        for path in (*reversed(place.parents), place):
            if not path.is_dir() and os.path.lexists(path):
                return f"{path} is not a folder"
    return error.strerror


def _check(path: Path) -> None:
    found = path.stat()
    own = found.st_uid == os.geteuid()
    owners = {found.st_uid, path.lstat().st_uid}  # a link of another user may lead elsewhere a moment later
    if not owners <= {0, os.geteuid()}:
        raise PermissionError(errno.EPERM, f"{path} belongs to another user", str(path))
    if found.st_mode & _OTHERS_WRITE:
        if not own:
            raise PermissionError(errno.EPERM, f"other users can write to {path}", str(path))
        with contextlib.suppress(OSError):  # a file system without modes
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
