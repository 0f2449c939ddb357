"""Two columns out of a piece of CSV text that holds whole rows."""

from __future__ import annotations

import io
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.workloads.csv_rows import parse_rows
from lbench.workloads.map_reduce.cells import Codes, Numbers

__all__ = ["Layout", "columns_of", "rows_of"]

_PIECE = 1 << 17  # bytes that are read at once: they and what is made of them stay in a core's cache
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
    return parse_rows(io.StringIO(text.tobytes().decode(), newline=""), layout.delimiter)


def _plain_cells(text: NDArray[np.uint8], layout: Layout) -> tuple[list[bytes], list[bytes]]:
    keys: list[bytes] = []
    values: list[bytes] = []
    at, size = 0, _PIECE
    while at < len(text):
        piece = text[at : at + size]
        ends = _separators(piece, ord(layout.delimiter))
        rows = len(ends) // layout.fields  # the piece begins with a row; the last one may not be whole
        if not rows:
            if at + size >= len(text):
                raise ValueError(f"the text's last row has {len(ends)} fields in place of {layout.fields}")
            size *= 2
            continue
        table = ends[: rows * layout.fields].reshape(rows, layout.fields)
        data = piece.tobytes()
        keys += _cells(data, table, layout.by)
        values += _cells(data, table, layout.column)
        at += int(table[-1, -1]) + 1
    return keys, values


def _separators(piece: NDArray[np.uint8], delimiter: int) -> NDArray[np.intp]:
    """The places of the delimiters and line ends."""
    hits = piece == delimiter
    hits |= piece == _LINE_END
    return np.flatnonzero(hits)


def _cells(data: bytes, ends: NDArray[np.intp], column: int) -> list[bytes]:
    begins = ends[:, column - 1] + 1 if column else np.concatenate([[0], ends[:-1, -1] + 1])
    return [data[begin:end] for begin, end in zip(begins.tolist(), ends[:, column].tolist(), strict=True)]


def _quoted_cells(text: NDArray[np.uint8], layout: Layout) -> tuple[list[bytes], list[bytes]]:
    keys, values = [], []
    for row in rows_of(text, layout):
        keys.append(row[layout.by].encode())
        values.append(row[layout.column].encode())
    return keys, values
