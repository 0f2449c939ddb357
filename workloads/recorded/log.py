"""A file of records that outlives its process, whatever ends that: each is in it once `write` has returned.

Files are mapped into memory, so that a record costs no system call (in one, another thread of the script would get its
turn). Each is allocated as a whole before it is used: a full disk ends the recording, and not the script.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PROBLEM", "ROOM", "Log", "read_log"]

PROBLEM = "problem.txt"  # why nothing can be recorded
ROOM = "room"  # a file that lies beside the log from the start; removing it needs no room: the disk was full

_FIRST, _NEXT = 1 << 20, 1 << 24  # bytes of a file
_HEAD = 8  # bytes of a record's length, which comes before it; 0: no further record


class Log:
    """Appends records; no more than `most` bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._used = 0
        self._files = 0
        self._map: mmap.mmap | None = None
        self._place = 0
        self._over = False

    def write(self, record: bytes) -> bool:
        """Whether it is in the file."""
        need = _HEAD + len(record)
        if self._over or self._used + need > self._most:
            return False
        if self._map is None or self._place + need + _HEAD > len(self._map):
            try:
                self._map = self._another(need + _HEAD)
            except (OSError, ValueError):
                self._over = True
                with contextlib.suppress(OSError):
                    (self._folder / ROOM).unlink()
                return False
            self._place = 0
        end = self._place + need
        self._map[self._place + _HEAD : end] = record
        self._map[self._place : self._place + _HEAD] = len(record).to_bytes(_HEAD, "little")  # last: now it counts
        self._place = end
        self._used += need
        return True

    def _another(self, least: int) -> mmap.mmap:
        size = max(least, _NEXT if self._files else _FIRST)
        file = os.open(_path(self._folder, self._files), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, size)
            else:
                os.write(file, bytes(size))
            self._files += 1
            return mmap.mmap(file, size)
        finally:
            os.close(file)

    def close(self) -> None:
        self._over = True
        self._map = None


def _path(folder: Path, number: int) -> Path:
    return folder / f"events-{number}.bin"


def read_log(folder: Path) -> Iterator[bytes]:
    """The records, in order; the files are removed."""
    number = 0
    while (path := _path(folder, number)).is_file():
        with path.open("rb") as file:
            while length := int.from_bytes(file.read(_HEAD), "little"):
                yield file.read(length)
        path.unlink()
        number += 1
