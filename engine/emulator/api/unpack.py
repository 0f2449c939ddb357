"""Unpacking of a function's zip into a folder named by its digest; no entry is written outside that folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lbench.config.limits import limits
from lbench.config.zip_entries import ZIP_DAMAGE, open_entry

__all__ = ["UNZIPPED_LIMIT", "BadPackage", "Package", "archive_of", "unpack"]

UNZIPPED_LIMIT = limits().package_unzipped_max_bytes
_FILES_LIMIT = 200_000  # entries: what a folder can reasonably hold
_UNZIP_TEXT = "Could not unzip uploaded file. Please check your file, then try to upload again."


class BadPackage(Exception):
    """Not a usable zip of code; the message is AWS's where that is known."""


class Package(NamedTuple):
    """Unpacked code."""

    folder: Path
    digest: str  # SHA-256 of the zip, hex
    size: int  # bytes of the zip


def unpack(archive: bytes, home: Path) -> Package:
    """Unpack into `home/<SHA-256>`, unless that exists.

    Raises:
        BadPackage: it is no zip, is damaged, is too large, or holds a path outside the folder.
        OSError: the folder cannot be written.
    """
    digest = hashlib.sha256(archive).hexdigest()
    folder = home / digest
    if not folder.is_dir():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=home))
        try:
            _extract(archive, made)
            for folder_path, _, _ in os.walk(made):  # whatever the umask
                os.chmod(folder_path, 0o755)  # noqa: PTH101
            _archive(folder).write_bytes(archive)
            with contextlib.suppress(FileExistsError):
                made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return Package(folder, digest, len(archive))


def _archive(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.zip")


def archive_of(folder: Path) -> bytes:
    """The zip that a folder of code was unpacked from; one made of it where it came as a folder."""
    if re.fullmatch("[0-9a-f]{64}", folder.name):
        with contextlib.suppress(OSError):
            return _archive(folder).read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            file.write(path, path.relative_to(folder).as_posix())
    return made.getvalue()


def _extract(archive: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            entries = file.infolist()
            if not entries:
                raise BadPackage("Uploaded file must be a non-empty zip")
            if len(entries) > _FILES_LIMIT:
                raise BadPackage(f"the zip holds more than {_FILES_LIMIT} entries")
            left = UNZIPPED_LIMIT
            for entry in entries:
                left -= _write(file, entry, folder, left)
    except ZIP_DAMAGE as problem:
        raise BadPackage(_UNZIP_TEXT) from problem
    except OSError as problem:
        # without a file: zlib's errors, and a seek before the beginning
        if problem.filename is None or problem.errno == errno.ENAMETOOLONG:
            raise BadPackage(_UNZIP_TEXT) from problem
        raise


def _write(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Write one entry; returns its size in bytes, whatever its header claims."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if not name.parts and not entry.filename.endswith("/"):
        raise BadPackage("the zip holds a file without a name")
    if name.is_absolute() or ".." in name.parts or "\0" in entry.filename or (name.parts and ":" in name.parts[0]):
        raise BadPackage(f"the zip holds a path that leads out of it: {entry.filename!r}")
    target = folder.joinpath(*name.parts)
    mode = entry.external_attr >> 16
    if not entry.is_dir() and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        # A link could lead out.
        raise BadPackage(f"the zip holds an entry that is not a regular file: {entry.filename!r}")
    written = 0
    try:
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_entry(file, entry) as source, target.open("wb") as sink:
            while chunk := source.read(1 << 20):
                written += len(chunk)
                if written > left:
                    raise BadPackage(f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes")
                sink.write(chunk)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise BadPackage(f"the zip holds {entry.filename!r} as a file and as a folder") from None
    os.chmod(target, _mode_for_others(mode))  # noqa: PTH101
    return written


def _mode_for_others(mode: int) -> int:
    """What a mode leaves to Lambda's user, who is not the files' owner; files without a mode can be read."""
    return (mode & 0o005) * 0o111 if mode & 0o777 else 0o444
