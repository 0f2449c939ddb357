"""What is mapped, as a data set: a file's rows or lines, or generated ones; and where it may be cut.

Arrays: `input`, the text (uint8) or the records (uint8, 100 a row); `marks` int64, places in `input` at which a split may
begin, and its length at the end. A piece between two marks is whole rows, whole lines, whole records.
`meta`: the job, and how a table is laid out.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Generator, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import DataFileError, InputError, UnknownNameError
from lbench.workloads.census_forms import ADULT, KDD, form_of
from lbench.workloads.dataset import Dataset
from lbench.workloads.map_reduce import MapReduceParams
from lbench.workloads.map_reduce.cells import Numbers, is_blank
from lbench.workloads.map_reduce.generator import generated
from lbench.workloads.map_reduce.table import Layout
from lbench.workloads.textfile import TextFile

__all__ = ["MAPPERS", "deal", "load_input"]

MAPPERS = 16  # where no number was asked for
_MARKS = 1_000_000  # at most
_BAD_LIMIT = 0.05  # of all rows, or of a column's cells; more means that it is not what it seems
_NAMED = 12  # columns that a message names
_DELIMITERS = ",;\t|"
_DEFAULTS = {KDD.name: ("education", "weeks_worked"), ADULT.name: ("education", "hours_per_week")}


def load_input(params: MapReduceParams, path: Path | None) -> Dataset:
    """The data set of these parameters.

    Raises:
        DataFileError: the file cannot be used.
        InputError: the parameters do not fit each other or the file.
    """
    if not 0 <= params.seed < 2**32:
        raise InputError(f"seed {params.seed}: map_reduce takes 0 to {2**32 - 1}")
    if params.job != "group_by" and (params.by or params.column):
        raise InputError(f"by and column are for job=group_by: leave them out with job={params.job}")
    if path is None:
        if params.by or params.column:
            raise InputError("by and column name a file's columns: give the file with --data")
        data = generated(params)
    elif params.job == "sort":
        raise InputError("job=sort reads no file, its records are generated: leave out --data")
    else:
        data = _table(path, params) if params.job == "group_by" else _text(path)
    data.meta["job"] = params.job
    units = len(data["marks"]) - 1
    if params.tasks is not None and params.tasks > units:
        data.notes.append(
            f"{units:,} mapper{'s' * (units > 1)} instead of {params.tasks:,}: a split has at least a row"
        )
    return data


def deal(marks: NDArray[np.int64], mappers: int) -> list[tuple[int, int]]:
    """Splits [first, end) of the input between marks: as many as asked for, if so many can be; none is empty."""
    units = len(marks) - 1
    mappers = max(1, min(mappers, units))
    cuts = marks[[units * at // mappers for at in range(mappers + 1)]].tolist()
    return list(pairwise(cuts))


# -- a text's lines


def _text(path: Path) -> Dataset:
    file = TextFile(path, kind="text", strict=True)
    with contextlib.closing(iter(file)) as lines:
        pieces = [line.encode() for line in lines]
    return _of_lines(pieces, source=f"{path.name}, SHA-256 {file.digest()}", columns=1, notes=[])


def _of_lines(pieces: list[bytes], *, source: str, columns: int, notes: list[str]) -> Dataset:
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    marks = np.append(ends[: -1 : -(-len(pieces) // _MARKS)], ends[-1:])
    text = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    return Dataset({"input": text, "marks": marks}, source=source, rows=len(pieces), columns=columns, notes=notes)


# -- a table's rows


class _Table(msgspec.Struct):
    """A table as it is being read: the rows' own text, as it stood in the file."""

    name: str
    columns: list[str]
    by: int
    column: int
    rows: list[bytes]
    blank: int = 0
    text_cells: int = 0  # neither numbers nor blank
    first_text: str = ""
    bad: int = 0
    first_bad: str = ""
    quoted: bool = False


def _table(path: Path, params: MapReduceParams) -> Dataset:
    file = TextFile(path)
    try:
        with contextlib.closing(iter(file)) as lines:
            delimiter, table = _read(path, lines, params)
    except csv.Error as error:
        raise DataFileError(f"{path} is not a CSV file that can be read: {error}") from None
    by, column = table.columns[table.by], table.columns[table.column]
    if not table.rows:
        raise DataFileError(f"{path} has no rows below its header: name a file that has")
    if table.bad > _BAD_LIMIT * (len(table.rows) + table.bad):
        raise DataFileError(
            f"{path} has {table.bad:,} bad rows of {len(table.rows) + table.bad:,}, more than {_BAD_LIMIT:.0%} "
            f"(first: {table.first_bad}): is it damaged?"
        )
    there = len(table.rows) - table.blank
    if not there or table.text_cells > _BAD_LIMIT * there:
        what = "has no number at all" if not table.first_text else f"is not of numbers (first: {table.first_text})"
        raise InputError(f"column={column} {what}: name another with -p column=")
    notes = [f"{len(table.rows):,} rows of {table.name}: {column} by {by}"]
    if table.bad:
        notes.append(f"{table.bad:,} bad row{'s' * (table.bad != 1)} skipped (first: {table.first_bad})")
    if table.blank:
        notes.append(f"{table.blank:,} blank cells of {column}: told apart, in no count, sum or mean")
    if table.text_cells:
        notes.append(f"{table.text_cells:,} cells of {column} are no numbers and count as blank ({table.first_text})")
    data = _of_lines(
        table.rows, source=f"{path.name}, SHA-256 {file.digest()}", columns=len(table.columns), notes=notes
    )
    layout = Layout(table.by, table.column, len(table.columns), delimiter, table.quoted)
    data.meta["layout"] = msgspec.to_builtins(layout)
    return data


def _read(path: Path, lines: Iterable[str], params: MapReduceParams) -> tuple[str, _Table]:
    raw: list[str] = []
    delimiter = ""

    def told() -> Generator[str, None, None]:
        for line in lines:
            raw.append(line)
            yield line

    source = told()
    first = next(source, "")
    while first.startswith("|") or not first.strip():  # adult.test begins with a remark
        raw.clear()
        first = next(source, "")
        if not first:
            raise DataFileError(f"{path} has no rows: name a CSV file with a header, a Census-Income or an Adult file")
    delimiter = max(_DELIMITERS, key=first.count)
    number = 0
    table: _Table | None = None
    numbers = Numbers()
    for number, row in enumerate(csv.reader(_again(first, source), delimiter=delimiter, skipinitialspace=True), 1):
        text, own = "".join(raw), len(raw)
        raw.clear()
        if not row:
            continue
        if table is None:
            table, is_row = _begun(row, params)
            if not is_row:
                continue
        if len(row) != len(table.columns):
            table.bad += 1
            table.first_bad = (
                table.first_bad or f"row {number:,} has {len(row)} fields in place of {len(table.columns)}"
            )
            continue
        _take(table, row, text, own, numbers)
    assert table is not None
    return delimiter, table


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _take(table: _Table, row: list[str], text: str, lines: int, numbers: Numbers) -> None:
    table.quoted = table.quoted or lines > 1 or '"' in text
    cell = row[table.column].encode()
    if math.isnan(numbers[cell]):
        table.blank += 1
        if not is_blank(cell):
            table.blank -= 1
            table.text_cells += 1
            table.first_text = table.first_text or repr(row[table.column].strip()[:40])
    table.rows.append((text.rstrip("\r\n") + "\n").encode())


def _begun(row: list[str], params: MapReduceParams) -> tuple[_Table, bool]:
    """The table that a file's first row begins, and whether that row is one of its own."""
    form = form_of(row)
    columns = [cell.strip() for cell in row] if form is None else list(form.columns)
    by, column = params.by, params.column
    if form is not None:
        by, column = by or _DEFAULTS[form.name][0], column or _DEFAULTS[form.name][1]
    if by is None or column is None:
        more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
        raise InputError(
            "name the groups' column with -p by= and the numbers' with -p column=: there are "
            f"{', '.join(name[:40] for name in columns[:_NAMED])}{more}"
        )
    for what, name in (("by", by), ("column", column)):
        if name not in columns:
            raise UnknownNameError(f"column {what}=", name, columns)
    name = "a table" if form is None else form.name
    return _Table(name, columns, columns.index(by), columns.index(column), []), form is not None
