"""Reading of a zip that somebody else has made: the two methods that everybody writes, bounded, errors of one list."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO

__all__ = ["ZIP_DAMAGE", "open_entry", "read_entry"]

# What `zipfile` raises for a damaged zip, besides OSError: RuntimeError for one that is encrypted
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError)


def open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """One file of the zip, stored or deflated: the other methods can unpack a few bytes into gigabytes at once.

    Raises:
        zipfile.BadZipFile: it is compressed by another method.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{entry.filename!r} is compressed by method {entry.compress_type}")
    return archive.open(entry)


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    """The content of one file of the zip, whatever size its header claims.

    Raises:
        zipfile.BadZipFile: it has more than `limit` bytes, or is compressed by an unusual method.
    """
    with open_entry(archive, entry) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise zipfile.BadZipFile(f"{entry.filename!r} has more than {limit} bytes")
    return content
