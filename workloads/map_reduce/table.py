"""Two columns out of a piece of CSV text that holds whole rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.workloads.map_reduce.cells import Codes, Numbers

__all__ = ["Layout", "columns_of", "rows_of"]

_PIECE = 1 << 18  # bytes that are searched at once: they and what is made of them stay in a core's cache
_LINE_END = 10


class Layout(msgspec.Struct, frozen=True):
    """How a table's text is to be read. Without quotes every row has exactly `fields` fields, a line each."""

    by: int  # the column of keys, from 0
    column: int  # the column of numbers
    fields: int
    delimiter: str  # one ASCII character
    quoted: bool  # whether there is a quotation mark anywhere


def columns_of(text: NDArray[np.uint8], layout: Layout) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """The keys, each row's key by its place among them, and each row's number (NaN: none)."""
    codes, numbers = Codes(), Numbers()
    keys, values = _quoted_cells(text, layout) if layout.quoted else _plain_cells(text, layout)
    coded = np.fromiter(map(codes.__getitem__, keys), dtype=np.int64, count=len(keys))
    return codes.keys_seen, coded, np.fromiter(map(numbers.__getitem__, values), dtype=np.float64, count=len(values))


def rows_of(text: NDArray[np.uint8], layout: Layout) -> Iterator[list[str]]:
    """All rows as texts, by the standard library."""
    lines = io.StringIO(text.tobytes().decode(), newline="")
    return csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=True)


def _plain_cells(text: NDArray[np.uint8], layout: Layout) -> tuple[list[bytes], list[bytes]]:
    ends = _separators(text, ord(layout.delimiter)).reshape(-1, layout.fields)
    data = text.tobytes()

    def cells(column: int) -> list[bytes]:
        if column:
            begins = (ends[:, column - 1] + 1).tolist()
        else:
            begins = [0, *(ends[:-1, -1] + 1).tolist()][: len(ends)]
        return [data[begin:end] for begin, end in zip(begins, ends[:, column].tolist(), strict=True)]

    return cells(layout.by), cells(layout.column)


def _separators(text: NDArray[np.uint8], delimiter: int) -> NDArray[np.int64]:
    """The places of the delimiters and line ends."""
    found: list[NDArray[Any]] = [np.empty(0, dtype=np.int64)]
    for at in range(0, len(text), _PIECE):
        piece = text[at : at + _PIECE]
        hits = piece == delimiter
        hits |= piece == _LINE_END
        places = np.flatnonzero(hits)
        places += at
        found.append(places)
    return np.concatenate(found)


def _quoted_cells(text: NDArray[np.uint8], layout: Layout) -> tuple[list[bytes], list[bytes]]:
    keys, values = [], []
    for row in rows_of(text, layout):
        keys.append(row[layout.by].encode())
        values.append(row[layout.column].encode())
    return keys, values
