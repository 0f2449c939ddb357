"""Fills a package's folder from wheels and modules, and zips it: the same content gives the same bytes."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lbench.config.limits import limits
from lbench.config.manifest import Architecture
from lbench.config.zip_entries import ZIP_DAMAGE, read_entry
from lbench.errors import InputError
from lbench.lambda_src.prune import keep

__all__ = ["add_files", "add_wheel", "write_zip"]

_LEVEL = 6  # of deflate: 9 takes three times as long for one per cent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_OF_NAMES = (
    errno.ENAMETOOLONG,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
)  # a name is a file and a folder, or too long
_ELF_MACHINES: dict[Architecture, int] = {"x86_64": 62, "arm64": 183}


def add_wheel(wheel: Path, root: Path, arch: Architecture) -> list[str]:
    """Unpack the needed files of a wheel below `root`; returns their paths, relative to it.

    Raises:
        InputError: it is damaged, holds code for another processor, or a file that is there already.
    """
    added = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if not PurePosixPath(entry.filename).parts:
                    raise zipfile.BadZipFile("a file has no name")
                if entry.is_dir() or not keep(entry.filename):
                    continue
                name = _placed(entry.filename, wheel)
                content = read_entry(archive, entry, limits().package_unzipped_max_bytes)
                if content[:4] == b"\x7fELF" and int.from_bytes(content[18:20], "little") != _ELF_MACHINES[arch]:
                    raise InputError(f"{wheel.name} holds {name}, which is not for {arch}: remove it from pip's cache")
                _write(root, name, content)
                added.append(name)
    except OSError as error:
        if error.filename is not None and error.errno not in _OF_NAMES:  # a folder that cannot be written
            raise
        raise InputError(f"{wheel.name} is damaged ({error}): remove it from pip's cache") from None
    except ZIP_DAMAGE as error:
        raise InputError(f"{wheel.name} is damaged ({error}): remove it from pip's cache") from None
    return added


def add_files(files: Mapping[str, bytes], root: Path) -> list[str]:
    """Write files below `root`; returns their paths.

    Raises:
        InputError: one is there already.
    """
    for name, content in files.items():
        _write(root, name, content)
    return list(files)


def _placed(name: str, wheel: Path) -> str:
    """The path where an installer would put it: a wheel's `*.data/purelib` lies beside the rest."""
    parts = PurePosixPath(name).parts
    if parts and parts[0].endswith(".data"):
        parts = parts[2:]
    if not parts:
        raise InputError(f"{wheel.name} is damaged (it holds a file without a name): remove it from pip's cache")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise InputError(f"{wheel.name} holds a path that leads out of it: {name!r}")
    return "/".join(parts)


def _write(root: Path, name: str, content: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        if path.read_bytes() != content:
            raise InputError(f"two of the package's parts hold {name}: rename yours, or leave one out") from None


def write_zip(root: Path, target: Path) -> dict[str, tuple[int, int]]:
    """Zip all below `root`; each path with its size in bytes unzipped and zipped (with its headers).

    Sorted names, one time and two modes for all: nothing of this machine or this moment is in it.
    """
    sizes = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix: what the mode means
            # Lambda's user is not the owner: all must be able to read.
            entry.external_attr = (0o100755 if ".so" in PurePosixPath(name).suffixes else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = (root / name).read_bytes()
            archive.writestr(entry, content, compresslevel=_LEVEL)
            headers = 30 + 46 + 2 * len(name.encode())  # the local one, and that of the directory
            sizes[name] = (len(content), entry.compress_size + headers)
    return sizes
