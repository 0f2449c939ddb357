"""A few values as dots on a scale with their numbers, where a histogram would say nothing."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lbench.tui.draw.histogram import cell_of

__all__ = ["FEW", "MOST_ROWS", "dots", "short_ms"]

FEW = 12  # so many values are a histogram
MOST_ROWS = 4  # dots that lie over one another, and their numbers
_DOT = "●"


def dots(values: NDArray[Any], low: float, high: float, width: int, rows: int) -> list[str]:
    """`rows` lines, the top one first: dots pile up where values share a cell; above them their numbers, where one fits."""
    piles: dict[int, list[float]] = {}
    for value in sorted(values.tolist()):
        piles.setdefault(cell_of(value, low, high, width), []).append(value)
    grid = [[" "] * width for _ in range(rows)]
    highest = max((len(pile) for pile in piles.values()), default=0)
    for cell, pile in piles.items():
        for number in range(min(len(pile), rows)):
            grid[rows - 1 - number][cell] = _DOT
    if highest < rows:
        numbers = grid[rows - 1 - highest]
        for cell, pile in piles.items():
            text = short_ms(pile[len(pile) // 2])
            start = max(0, min(cell - len(text) // 2, width - len(text)))
            if all(one == " " for one in numbers[max(0, start - 1) : start + len(text) + 1]) and len(text) <= width:
                numbers[start : start + len(text)] = text
    return ["".join(row) for row in grid]


def short_ms(ms: float) -> str:
    """Milliseconds in a few cells."""
    if 0 < ms < 0.0005:
        digit, _, power = f"{ms:.0e}".partition("e")
        return f"{digit}e{int(power)}"  # "0.000" would say that it took no time
    if ms < 0.995:
        return f"{ms:.2f}" if ms == 0 or ms >= 0.0995 else f"{ms:.3f}"
    return f"{ms:.1f}" if ms < 9.95 else f"{ms:,.0f}"
