"""Layout shared by command line, report and screens: the columns that fit a width, a progress bar, a curve's pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

__all__ = ["fitting_columns", "progress_text", "unbroken"]

Column = TypeVar("Column")
Item = TypeVar("Item")


def fitting_columns(
    columns: Sequence[Column], rank: Callable[[Column], int], needed: Callable[[list[Column]], int], width: int
) -> list[Column]:
    """The columns that fit into `width` cells, in their order.

    The column of the highest rank goes first; those of rank 0 always stay. `needed` gives the cells that columns take.
    """
    kept = list(columns)
    while kept and needed(kept) > width:
        least = max(kept, key=rank)
        if rank(least) == 0:
            break
        kept.remove(least)
    return kept


def progress_text(done: int, total: int, width: int) -> tuple[str, str]:
    """A progress bar of `width` cells: its filled part, in half cells, and the rest."""
    halves = min(2 * width, 2 * width * done // total) if total > 0 else 0
    full, half = divmod(halves, 2)
    return "━" * full + "╸" * half, "─" * (width - full - half)


def unbroken(items: Iterable[Item], at: Callable[[Item], float], cuts: Iterable[float]) -> list[list[Item]]:
    """The pieces of a curve between the places `cuts`, at which it has no value; a piece may be empty."""
    items = list(items)
    edges = (-math.inf, *sorted(cuts), math.inf)
    return [[one for one in items if low < at(one) < high] for low, high in pairwise(edges)]
