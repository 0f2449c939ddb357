"""The lock that an engine holds on its session's folder for as long as it lives."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from lbench.errors import InputError

__all__ = ["FolderLock", "is_live"]

_LOCK_NAME = "lock"


class FolderLock:
    """The engine's lock on its session's folder. A journal whose lock is free has ended."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            InputError: another engine holds it, or the folder cannot be written.
        """
        try:
            self._file = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError(f"the session folder {folder} cannot be written: {error.strerror}") from None
        for last in (False, False, False, False, True):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if last:
                    break
                time.sleep(0.02)  # `is_live` of another process may hold it for a moment
        os.close(self._file)
        raise InputError(f"another engine is writing to {folder}: see lbench sessions")

    def release(self) -> None:
        os.close(self._file)


def is_live(folder: Path) -> bool:
    """Whether an engine holds the session's folder now."""
    try:
        file = os.open(folder / _LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
