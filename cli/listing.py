"""Tables that fit: aligned columns without boxes; where the room is short, the least columns go first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lbench.cli.style import QUIET

__all__ = ["Column", "fitting", "print_table"]

_GAP = 2


@dataclass(slots=True)
class Column:
    """One column. `rank` 0 always stays; of the others the highest goes first."""

    title: str
    rank: int = 0
    justify: Literal["left", "right"] = "left"
    wrap: bool = False
    cells: list[Text] = field(default_factory=list)

    def add(self, text: str | Text, style: str = "") -> None:
        """One more cell."""
        self.cells.append(text if isinstance(text, Text) else Text(text, style=style))

    @property
    def width(self) -> int:
        """Cells of the terminal that it takes."""
        return max([len(self.title), *(cell.cell_len for cell in self.cells)])

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return all(cell.plain in ("", "–") for cell in self.cells)


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit into `width`, in their order: those of the highest rank go until the rest fits."""
    kept = list(columns)

    def needed() -> int:
        wrapping = [column for column in kept if column.wrap]
        fixed = sum(column.width for column in kept if not column.wrap)
        return fixed + sum(min(column.width, 20) for column in wrapping) + _GAP * (len(kept) - 1)

    while needed() > width:
        least = max(kept, key=lambda column: column.rank)
        if least.rank == 0:
            break
        kept.remove(least)
    return kept


def print_table(console: Console, columns: Sequence[Column], *, header: bool = True) -> None:
    """Print what fits of the columns that say anything."""
    shown = fitting([column for column in columns if not column.empty], console.width)
    table = Table(box=None, show_header=header, header_style=QUIET, padding=(0, _GAP, 0, 0), pad_edge=False)
    for column in shown:
        table.add_column(column.title, justify=column.justify, no_wrap=not column.wrap, overflow="fold")
    rows = max((len(column.cells) for column in shown), default=0)
    for row in range(rows):
        table.add_row(*(column.cells[row] for column in shown))
    console.print(table)
