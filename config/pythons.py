"""The Python interpreters of this machine, by minor version.

Libraries and compiled files belong to one minor version: only an interpreter of the same can make or run them. It may
be this one, another on the path, or one that a version manager keeps.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

__all__ = ["Python", "find_python", "host_python"]

_ASK = (
    "import importlib.util as u,platform as p,sys;"
    "print(p.python_implementation(),p.python_version(),p.machine(),u.MAGIC_NUMBER.hex(),sys.executable)"
)
_ASK_LIMIT_S = 10.0


class Python(msgspec.Struct, frozen=True):
    """A Python interpreter of this machine."""

    executable: str
    version: str  # "3.13.0"
    machine: str
    magic: str  # of its .pyc files, hex

    @property
    def minor(self) -> str:
        """The minor version, "3.13"."""
        return ".".join(self.version.split(".")[:2])


def host_python() -> str:
    """The minor version of the running interpreter, "3.13"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find_python(minor: str) -> Python | None:
    """A CPython of that minor version for this machine's processor, the running one if it is; None: there is none."""
    return _find(minor, os.environ.get("PATH", ""), str(_home()))  # a change of either is seen at the next call


@functools.lru_cache(maxsize=32)
def _find(minor: str, path: str, home: str) -> Python | None:
    for candidate in _candidates(minor, path, Path(home)):
        found = _ask(candidate)
        if found is not None and found.minor == minor and found.machine == platform.machine():
            return found
    return None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _candidates(minor: str, path: str, home: Path) -> Iterator[str]:
    if host_python() == minor:
        yield sys.executable
    name = f"python{minor}"
    on_path = shutil.which(name, path=path)
    if on_path is not None:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    for folder, pattern in ((pyenv / "versions", f"{minor}.*"), (uv, f"cpython-{minor}*")):
        for version in sorted(folder.glob(pattern), reverse=True):
            yield str(version / "bin" / name)
    for place in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"):
        yield f"{place}/{name}"


def _ask(executable: str) -> Python | None:
    """An interpreter's version and platform; None if it does not run (a version manager's empty shim, for example)."""
    if not os.access(executable, os.X_OK):
        return None
    try:
        fields = subprocess.run(
            [executable, "-I", "-S", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_LIMIT_S,
            check=True,
        ).stdout.split(maxsplit=4)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    if len(fields) != 5 or fields[0] != "CPython":
        return None
    return Python(executable=fields[4].strip(), version=fields[1], machine=fields[2], magic=fields[3])
