"""Layout shared by the command line's tables and the screens': the columns that fit a width, a progress bar's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["fitting_columns", "progress_text"]

Column = TypeVar("Column")


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
