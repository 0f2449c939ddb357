"""The size of a package by the libraries that are installed here: known at once, without a download."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from lbench.config.lambda_files import shipped_sources
from lbench.lambda_src.pins import driver_versions
from lbench.lambda_src.prune import keep

__all__ = ["installed_bytes"]


def installed_bytes(requirements: Iterable[str], own_bytes: int = 0) -> tuple[int, dict[str, int]]:
    """The bytes of the unzipped package, about, and of each library; what is not installed here is not counted.

    The target's wheels differ from this machine's by some per cent. A module counts twice: as a source and compiled.
    """
    ours = 2 * (own_bytes + sum(len(content) for content in shipped_sources().values()))
    parts = {name: _weight(name) for name in driver_versions(requirements)}
    return ours + sum(parts.values()), parts


def _weight(name: str) -> int:
    total = 0
    for file in importlib.metadata.files(name) or ():
        path = file.as_posix()
        if path.startswith("..") or not keep(path):
            continue
        size = file.size
        if size is None:  # an old RECORD
            with contextlib.suppress(OSError):
                size = Path(str(file.locate())).stat().st_size
        total += (size or 0) * (2 if path.endswith(".py") else 1)
    return total
