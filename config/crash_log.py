"""Errors inside lbench: the traceback goes to a file, one line to the user."""

from __future__ import annotations

import sys
import tempfile
import traceback

from lbench._version import __version__
from lbench.config.aws_errors import masked
from lbench.config.folders import cache_folder
from lbench.errors import InputError, one_line

__all__ = ["saved_fault"]


def saved_fault(error: BaseException) -> str:
    """Save an error's traceback; the line that names the error and the file."""
    text = f"lbench {__version__}, Python {sys.version}\n{sys.argv}\n" + "".join(traceback.format_exception(error))
    where = "its traceback could not be saved"
    try:
        folder: str | None = str(cache_folder("faults"))
    except InputError:
        folder = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=folder, prefix="fault-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(masked(text))
        where = f"please report it with {file.name}"
    except OSError:
        pass
    named = masked(one_line(f"{type(error).__name__}: {error}"))[:200]
    return f"internal error ({named}): {where}"
