"""Tables that fit: aligned columns without boxes; where the room is short, the least columns go first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.text import Text

from lbench.analysis.layout import fitting_columns
from lbench.cli.console import QUIET, accent
from lbench.config.ascii_fallback import is_ascii_only, spelled
from lbench.errors import visible

__all__ = ["Column", "backend_cell", "fitting", "print_line", "print_table", "table_lines"]

_GAP = 2
_NARROWEST = 20  # a wrapping column is not made narrower


@dataclass(slots=True)
class Column:
    """One column. `rank` 0 always stays; of the others the highest goes first."""

    title: str
    rank: int = 0
    justify: Literal["left", "right"] = "left"
    wrap: bool = False
    cells: list[Text] = field(default_factory=list)

    def add(self, text: str | Text, style: str = "") -> None:
        cell = text if isinstance(text, Text) else Text(visible(text), style=style)
        self.cells.append(_spelled(cell) if is_ascii_only(sys.stdout.encoding) else cell)

    @property
    def width(self) -> int:
        """Cells of the terminal that it takes."""
        return max([len(self.title), *(cell.cell_len for cell in self.cells)])

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return all(cell.plain in ("", "–", "-") for cell in self.cells)  # the last: the sign spelled in ASCII


def _spelled(cell: Text) -> Text:
    """The cell with words and ASCII signs, before it is measured: a word is wider than its sign."""
    if cell.plain.isascii():
        return cell
    parts = cell.divide(range(1, len(cell)))
    return Text.assemble(
        *((spelled(part.plain), part.spans[0].style if part.spans else "") for part in parts), style=cell.style
    )


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit into `width`, in their order."""

    def needed(kept: list[Column]) -> int:
        widths = [min(column.width, _NARROWEST) if column.wrap else column.width for column in kept]
        return sum(widths) + _GAP * (len(kept) - 1)

    return fitting_columns(columns, lambda column: column.rank, needed, width)


def table_lines(columns: Sequence[Column], width: int, *, header: bool = True) -> list[Text]:
    """What fits of the columns that say anything, as lines; the last column may wrap."""
    shown = fitting([column for column in columns if not column.empty], width)
    widths = [column.width for column in shown]
    if shown and shown[-1].wrap:
        left = width - sum(widths[:-1]) - _GAP * (len(shown) - 1)
        widths[-1] = min(widths[-1], max(left, _NARROWEST))
    lines = []
    if header:
        lines += _row_lines(shown, widths, [Text(column.title, style=QUIET) for column in shown])
    for row in range(max((len(column.cells) for column in shown), default=0)):
        lines += _row_lines(shown, widths, [column.cells[row] for column in shown])
    return lines


def print_table(console: Console, columns: Sequence[Column], *, header: bool = True) -> None:
    """Print `table_lines` as wide as the console is."""
    for line in table_lines(columns, console.width, header=header):
        console.print(line, soft_wrap=True)


def print_line(console: Console, text: str | Text, style: str = "") -> None:
    """Print a line, wrapped on a terminal only."""
    console.print(text if isinstance(text, Text) else Text(text, style=style), soft_wrap=not console.is_terminal)


def backend_cell(backend: str, label: str, aside: str = "") -> Text:
    """A backend's label in its colour; `aside` is quiet."""
    colour = accent(backend)
    return Text.assemble(("▌", colour), (label, f"bold {colour}"), (aside, QUIET))


def _row_lines(columns: list[Column], widths: list[int], cells: list[Text]) -> list[Text]:
    parts = [
        _wrapped(cell, width) if column.wrap else [cell]
        for column, width, cell in zip(columns, widths, cells, strict=True)
    ]
    lines = []
    for at in range(max(map(len, parts), default=0)):
        line = Text(no_wrap=True, overflow="ignore")
        for number, (column, width, part) in enumerate(zip(columns, widths, parts, strict=True)):
            cell = part[at] if at < len(part) else Text()
            room = " " * max(0, width - cell.cell_len)
            line.append(" " * _GAP if number else "")
            line.append(room if column.justify == "right" else "")
            line.append_text(cell)
            line.append("" if column.justify == "right" else room)
        line.rstrip()
        lines.append(line)
    return lines


def _wrapped(cell: Text, width: int) -> list[Text]:
    """The cell in lines of at most `width`, broken between words where there are any."""
    lines = [Text()]
    for word in cell.split(" "):
        if lines[-1].cell_len and lines[-1].cell_len + 1 + word.cell_len > width:
            lines.append(Text())
        if lines[-1].cell_len:
            lines[-1].append(" ")
        lines[-1].append_text(word)
    return lines
