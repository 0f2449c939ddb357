"""Reads the data files of this folder."""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

__all__ = ["read_rows", "read_table"]

T = TypeVar("T")
_converting = threading.Lock()


def read_rows(name: str) -> dict[str, Any]:
    """A file as it stands."""
    with Path(__file__).with_name(name).open("rb") as file:
        return tomllib.load(file)


def read_table(name: str, kind: type[T]) -> T:
    """A file as a `kind`.

    One thread at a time: where two use a type for the first time at once, msgspec 0.22 crashes the process.
    """
    rows = read_rows(name)
    with _converting:
        return msgspec.convert(rows, kind)
