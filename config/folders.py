"""The folders of lbench, by the XDG specification: made when first asked for, never by looking."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from lbench.errors import InputError
from lbench.folders import make_private, refusal

__all__ = [
    "cache_folder",
    "cache_place",
    "config_file",
    "data_folder",
    "data_place",
    "is_file",
    "is_folder",
    "is_there",
    "runtime_folder",
    "sessions_folder",
    "sessions_place",
    "tree_bytes",
    "typed_path",
    "write_whole",
]

_DATA = ("XDG_DATA_HOME", ".local/share")
_CACHE = ("XDG_CACHE_HOME", ".cache")


def _home(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    if value and Path(value).is_absolute():  # a relative one must be ignored (the specification says so)
        return Path(value) / "lbench"
    try:
        return Path.home() / fallback / "lbench"
    except RuntimeError:
        raise InputError(f"no home folder: set HOME or {variable}") from None


def _made(variable: str, fallback: str, name: str) -> Path:
    folder = _home(variable, fallback) / name
    try:
        make_private(folder)
    except OSError as error:
        raise InputError(
            f"cannot create the folder {folder}: {refusal(error)}; set {variable} to a folder that you own"
        ) from None
    return folder


def typed_path(text: str) -> Path:
    """A path as a person types it: `~` and `~NAME` are home folders; that of a user who is not there stays as typed."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_file(path: str | Path) -> bool:
    """Whether a typed path is a file. Never raises, as `Path.is_file` does for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether a typed path is a folder, likewise."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: str | Path) -> bool:
    """Whether there is anything at a typed path, likewise."""
    return os.path.exists(path)  # noqa: PTH110


def write_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file in one step: a reader finds its old content or its new one, never a part.

    Raises:
        OSError: it cannot be written; nothing is left of the attempt.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            Path(file.name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(file.name).unlink()
            raise


def tree_bytes(path: Path) -> int:
    """The size of a file, or of all files below a folder; what cannot be read counts nothing."""
    below = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)  # noqa: PTH118 - many
    total = 0
    for place in below if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            total += os.lstat(place).st_size
    return total


def config_file() -> Path:
    """The settings file, whether it is there or not."""
    return _home("XDG_CONFIG_HOME", ".config") / "config.toml"


def sessions_folder() -> Path:
    """Where sessions are recorded, each in a folder of its own.

    Raises:
        InputError: it cannot be made.
    """
    return _made(*_DATA, "sessions")


def sessions_place() -> Path:
    """The same folder for readers, whether it exists or not."""
    return data_place("sessions")


def data_folder(name: str) -> Path:
    """A folder for data that must outlast a process.

    Raises:
        InputError: it cannot be made.
    """
    return _made(*_DATA, name)


def data_place(name: str) -> Path:
    """The same folder for readers, whether it exists or not."""
    return _home(*_DATA) / name


def cache_folder(name: str) -> Path:
    """A folder for data that can be made again.

    Raises:
        InputError: it cannot be made.
    """
    return _made(*_CACHE, name)


def cache_place(name: str) -> Path:
    """The same folder for readers, whether it exists or not."""
    return _home(*_CACHE) / name


def runtime_folder(fallback_parent: Path = Path("/tmp")) -> Path:
    """Where sockets go: `$XDG_RUNTIME_DIR/lbench` where that folder is ours, else a folder in /tmp that is ours alone.

    /tmp, not $TMPDIR: a socket's path has at most about 104 bytes. Anyone can make a folder there first, so
    its owner and its mode are looked at before it is used; where it is another's, or cannot be made,
    sockets go beside the sessions.

    Raises:
        InputError: it cannot be made, or is not ours alone.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and Path(base).is_absolute() and os.access(base, os.W_OK | os.X_OK) and _is_ours(Path(base)):
        return _private(Path(base) / "lbench")
    usual = fallback_parent / f"lbench-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            usual.mkdir(mode=0o700)
        theirs = usual.lstat().st_uid != os.geteuid()
    except OSError:  # /tmp is read-only, or full
        theirs = True
    return data_folder("run") if theirs else _private(usual)


def _is_ours(folder: Path) -> bool:
    """Whether the folder belongs to this user, as the specification asks: after `su` it may be another's."""
    try:
        return folder.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(
            f"cannot create the folder {folder}: {error.strerror}; set XDG_RUNTIME_DIR to a folder that you own"
        ) from None
    try:
        found = folder.lstat()  # not stat: a link could lead anywhere
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{folder} is not a folder: remove it")
    if found.st_uid != os.geteuid():
        raise InputError(f"{folder} belongs to another user: set XDG_RUNTIME_DIR to a folder that you own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise InputError(f"{folder} is open to other users: remove it, or run chmod 700 on it")
    if stat.S_IMODE(found.st_mode) != 0o700:  # made under a umask that takes its owner's rights
        raise InputError(f"{folder} is closed to you: run chmod 700 on it")
    return folder
