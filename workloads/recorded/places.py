"""The places and names of recordings. Few imports: a script waits for them before it begins."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from lbench.errors import InputError
from lbench.folders import make_private, refusal
from lbench.workloads.recorded.log import ROOM

__all__ = ["check_name", "discard", "making_folder", "module_name", "recordings_folder"]

_NAME = re.compile(r"\w[\w.+-]{0,63}\Z")


def recordings_folder() -> Path:
    """`$XDG_DATA_HOME/lbench/recordings` (as `config.folders` has it, which does not ship)."""
    given = os.environ.get("XDG_DATA_HOME")
    home = Path(given) if given and Path(given).is_absolute() else Path.home() / ".local" / "share"
    return home / "lbench" / "recordings"


def check_name(name: str) -> None:
    """Check that a recording may have this name.

    Raises:
        InputError: it may not.
    """
    if not _NAME.match(name):
        raise InputError(f"a recording's name must be 1 to 64 letters, digits or . _ + -, got {name!r}")


def making_folder() -> Path:
    """A new folder to record into, beside the recordings.

    Raises:
        InputError: it cannot be made.
    """
    home = recordings_folder()
    try:
        make_private(home)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
        (making / ROOM).touch()
        return making
    except OSError as error:
        raise InputError(
            f"{home} cannot be written ({refusal(error)}): set XDG_DATA_HOME to a folder that can be"
        ) from None


def discard(making: Path) -> None:
    """Remove what is left of a folder that was recorded into."""
    shutil.rmtree(making, ignore_errors=True)


def module_name(script: str | None) -> str | None:
    """The name under which workers import a script; None: there is no file."""
    if script is None:
        return None
    stem = Path(script).stem
    if stem == "__main__":  # of a folder that is run
        stem = Path(script).resolve().parent.name
    name = "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in stem) or "script"
    if name[0].isdigit():
        name = f"_{name}"
    return f"{name}_script" if name in sys.stdlib_module_names or name in _TAKEN else name


_TAKEN = ("lbench", "numpy", "scipy", "sklearn", "joblib", "msgspec", "click", "bootstrap", "awslambdaric")
