"""A cell's content: a number, nothing, or something else; the same for the mappers, the loader and the reference."""

from __future__ import annotations

import math

from lbench.workloads.csv_rows import MISSING_TEXTS
from lbench.workloads.map_reduce.sums import LARGEST

__all__ = ["Codes", "Numbers", "is_blank", "key_of", "number"]

_MOST_KEPT = 100_000  # cells remembered


def is_blank(cell: bytes) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower().decode() in MISSING_TEXTS


def key_of(cell: bytes) -> str:
    """A cell's text as a key: ASCII spaces around it make no difference."""
    return cell.strip().decode()


def number(cell: bytes) -> float:
    """A cell's number; NaN where there is none that is finite and can be summed."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if abs(value) <= LARGEST and b"_" not in cell else math.nan


class Numbers(dict[bytes, float]):
    """Cells and their numbers: most are a look-up."""

    def __missing__(self, cell: bytes) -> float:
        value = number(cell)
        if len(self) < _MOST_KEPT:
            self[cell] = value
        return value


class Codes(dict[bytes, int]):
    """Cells and their codes, 0, 1, ... in the order in which their texts come; spaces around make no difference."""

    def __init__(self) -> None:
        self.keys_seen: list[str] = []
        self._clean: dict[bytes, int] = {}

    def __missing__(self, cell: bytes) -> int:
        clean = cell.strip()
        code = self._clean.get(clean)
        if code is None:
            code = self._clean[clean] = len(self.keys_seen)
            self.keys_seen.append(key_of(clean))
        self[cell] = code
        return code
