"""The input as a data set: a file's rows or lines, or generated ones; and where it may be cut.

Arrays: `input`, the text (uint8) or the records (uint8, 100 a row); `marks` int64, places in `input` at which a split may
begin, and its length at the end. A piece between two marks is whole rows, whole lines, whole records.
`meta`: the job, and how a table is laid out.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import DataFileError, InputError, UnknownNameError, count_text
from lbench.workloads.census_forms import ADULT, KDD, FormedFile, formed_file
from lbench.workloads.csv_rows import CsvRow, CsvRows, canonical, comment_hint, header_name, of_width
from lbench.workloads.dataset import Dataset
from lbench.workloads.map_reduce import MapReduceParams
from lbench.workloads.map_reduce.cells import Numbers, is_blank
from lbench.workloads.map_reduce.generator import generated
from lbench.workloads.map_reduce.table import Layout
from lbench.workloads.parameters import check_seed
from lbench.workloads.textfile import TextFile

__all__ = ["MAPPERS", "deal", "load_input"]

MAPPERS = 16  # where no number was asked for
_MARKS = 1_000_000  # at most
_BAD_LIMIT = 0.05  # of all rows, or of a column's cells; more means that it is not what it seems
_NAMED = 12  # columns that a message names
_EXACT = 2.0**53  # whole numbers below it are exact as floats
_LEAST_ROOM = 1 << 30  # bytes of text that are read on any machine
_LINE_BYTES = 40  # of memory beside a line's own
# A number all the same, and a sum without it would be wrong: with separators, a sign of money, or too large to be summed.
_OTHER_NUMBER = re.compile(r"[-+(\s]*[$€£¥]?[-+\s]*\d[\d.,'_\s]*(?:e[-+]?\d+)?\s*[$€£¥%)]?-?\s*", re.IGNORECASE)
_DEFAULTS = {KDD.name: ("education", "weeks_worked"), ADULT.name: ("education", "hours_per_week")}


def load_input(params: MapReduceParams, path: Path | None, encoding: str | None = None) -> Dataset:
    """The data set of these parameters.

    Raises:
        DataFileError: the file cannot be used.
        InputError: the parameters do not fit each other or the file.
    """
    check_seed(params.seed)
    if params.job != "group_by" and (params.by or params.column):
        raise InputError(f"by and column are for job=group_by: leave them out with job={params.job}")
    if path is None:
        if params.by or params.column:
            raise InputError("by and column name a file's columns: give the file with --data")
        data = generated(params)
    elif params.job == "sort":
        raise InputError("job=sort reads no file, its records are generated: leave out --data")
    else:
        data = _table(path, params, encoding) if params.job == "group_by" else _text(path, encoding)
    data.meta["job"] = params.job
    units = len(data["marks"]) - 1
    if params.tasks is not None and params.tasks > units:
        data.notes.append(f"{count_text(units, 'mapper')} instead of {params.tasks:,}: a split has at least a row")
    return data


def deal(marks: NDArray[np.int64], mappers: int) -> list[tuple[int, int]]:
    """Splits [first, end) of the input between marks: as many as asked for, if so many can be; none is empty."""
    units = len(marks) - 1
    mappers = max(1, min(mappers, units))
    cuts = marks[[units * at // mappers for at in range(mappers + 1)]].tolist()
    return list(pairwise(cuts))


# -- a text's lines


def _text(path: Path, encoding: str | None) -> Dataset:
    file = TextFile(path, kind="text", encoding=encoding)
    with contextlib.closing(iter(file)) as lines:
        pieces = _Pieces(path)
        for line in lines:
            pieces.add(line.rstrip("\r\n") + "\n" if line.endswith(("\n", "\r")) else line)
    return _of_lines(pieces.lines, source=f"{file.origin}, SHA-256 {file.digest()}", columns=1, notes=file.notes)


class _Pieces:
    """The text's lines as UTF-8, as long as the machine's memory can hold them."""

    def __init__(self, path: Path) -> None:
        self.lines: list[bytes] = []
        self._path = path
        self._left = max(_LEAST_ROOM, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
        self._most = self._left

    def add(self, text: str) -> None:
        line = text.encode()
        self._left -= len(line) + _LINE_BYTES
        if self._left < 0:
            raise DataFileError(
                f"{self._path} needs more than {self._most / 1e9:.1f} GB, a quarter of this machine's memory: split it"
            )
        self.lines.append(line)


def _of_lines(pieces: list[bytes], *, source: str, columns: int, notes: list[str]) -> Dataset:
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    marks = np.append(ends[: -1 : -(-len(pieces) // _MARKS)], ends[-1:])
    text = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    return Dataset({"input": text, "marks": marks}, source=source, rows=len(pieces), columns=columns, notes=notes)


# -- a table's rows


def _is_rounded(cell: bytes, value: float) -> bool:
    try:
        return int(cell) != value
    except ValueError:  # written with a point or an exponent, or of more digits than Python takes
        return False


class _Table:
    """A table as it is being read: its rows' text, one or more lines each, in a form that the tasks read alike."""

    def __init__(self, path: Path, columns: Sequence[str], formed: FormedFile | None, params: MapReduceParams) -> None:
        self.name = "a table" if formed is None else formed.form.name
        self.columns = columns
        by, column = params.by, params.column
        if formed is not None:
            by, column = by or _DEFAULTS[formed.form.name][0], column or _DEFAULTS[formed.form.name][1]
        if by is None or column is None:
            more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
            raise InputError(
                "name the groups' column with -p by= and the numbers' with -p column=: there are "
                f"{', '.join(name[:40] for name in columns[:_NAMED])}{more}"
            )
        for what, name in (("by", by), ("column", column)):
            if name not in columns:
                if hint := comment_hint(columns):
                    raise InputError(f"{path} has no column {what}= {name!r}: {hint}")
                raise UnknownNameError(f"column {what}=", name, [known[:40] for known in columns])
            if columns.count(name) > 1:
                raise InputError(f"{what}={name}: {columns.count(name)} columns of {path} have this name: rename one")
        self.by, self.column = columns.index(by), columns.index(column)
        self.pieces = _Pieces(path)
        self._path = path
        self.blank = 0
        self.text_cells = 0  # neither numbers nor blank
        self.first_text = ""
        self.headers = self.rounded = 0
        self.bad = 0
        self.first_bad = ""
        self.quoted = False
        self._numbers = Numbers()

    def take(self, row: CsvRow, delimiter: str) -> None:
        width, text = len(self.columns), row.text
        cells = of_width(row.cells, width)
        if cells is None:
            self.bad += 1
            self.first_bad = self.first_bad or f"line {row.line:,}: " + (
                row.problem or f"{len(row.cells)} fields in place of {width}"
            )
            return
        if len(cells) < len(row.cells):
            text = canonical(cells, delimiter)
        if '"' in text or "\\" in text:
            text = canonical(cells, delimiter)
            self.quoted = self.quoted or '"' in text
        cell = cells[self.column].encode()
        value = self._numbers[cell]
        if abs(value) >= _EXACT and _is_rounded(cell, value):
            self.rounded += 1
        if math.isnan(value):
            if is_blank(cell):
                self.blank += 1
            elif _OTHER_NUMBER.fullmatch(cells[self.column]):
                raise InputError(
                    f"{self._path}, line {row.line:,}: {self.columns[self.column]} is {cells[self.column].strip()[:40]!r}: "
                    "write numbers as in 1234.5, or name another column with -p column="
                )
            elif [header_name(name) for name in cells] == self.columns:
                self.headers += 1  # files that were joined
                return
            else:
                self.text_cells += 1
                self.first_text = self.first_text or repr(cells[self.column].strip()[:40])
        self.pieces.add(text.rstrip("\r\n") + "\n")


def _table(path: Path, params: MapReduceParams, encoding: str | None) -> Dataset:
    file = TextFile(path, encoding=encoding)
    with contextlib.closing(iter(file)) as lines:
        rows = CsvRows(path, lines)
        table = _read(path, rows, params)
    by, column = table.columns[table.by], table.columns[table.column]
    count = len(table.pieces.lines)
    if not count and not table.bad:
        raise DataFileError(f"{path} has no rows below its header: name a file that has")
    if table.bad > _BAD_LIMIT * (count + table.bad):
        raise DataFileError(
            f"{path} has {table.bad:,} bad rows of {count + table.bad:,}, more than {_BAD_LIMIT:.0%} "
            f"(first: {table.first_bad}): is it damaged?"
        )
    there = count - table.blank
    if not there or table.text_cells > _BAD_LIMIT * there:
        what = "has no number at all" if not table.first_text else f"is not of numbers (first: {table.first_text})"
        raise InputError(f"column={column} {what}: name another with -p column=")
    notes = [f"{count:,} of {count + table.bad:,} rows of {table.name} used: {column} by {by}"]
    if table.bad:
        notes.append(f"{count_text(table.bad, 'bad row')} skipped (first: {table.first_bad})")
    if table.blank:
        notes.append(f"{table.blank:,} blank cells of {column}: counted apart, in no count, sum or mean")
    if table.text_cells:
        notes.append(f"{table.text_cells:,} cells of {column} are not numbers and count as blank ({table.first_text})")
    if table.headers:
        notes.append(
            f"{table.headers:,} line{'s' * (table.headers != 1)} left out that repeat{'s' * (table.headers == 1)} the header"
        )
    if table.rounded:
        notes.append(
            f"{table.rounded:,} whole number{'s' * (table.rounded != 1)} of {column} beyond 2**53 rounded to 53 bits"
        )
    data = _of_lines(
        table.pieces.lines,
        source=f"{file.origin}, SHA-256 {file.digest()}",
        columns=len(table.columns),
        notes=[*notes, *rows.notes, *file.notes],
    )
    layout = Layout(table.by, table.column, len(table.columns), rows.delimiter, table.quoted)
    data.meta["layout"] = msgspec.to_builtins(layout)
    return data


def _read(path: Path, rows: CsvRows, params: MapReduceParams) -> _Table:
    source = iter(rows)
    first = next(source, None)
    if first is None:
        raise DataFileError(f"{path} has no rows: name a CSV file with a header, a Census-Income or an Adult file")
    if first.problem:
        raise DataFileError(f"{path}, line {first.line:,}: {first.problem}: it must be the header")
    formed = formed_file(first.cells)
    if formed is None or formed.header:
        columns = [header_name(cell) for cell in first.cells]
        table = _Table(path, columns, None, params)
    else:
        table = _Table(path, list(formed.columns), formed, params)
        table.take(first, rows.delimiter)
    for row in source:
        table.take(row, rows.delimiter)
    return table
