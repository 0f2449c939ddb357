"""Census-Income (KDD) and Adult files as rows of numbers: the columns, missing values, and what is left out.

Both are known by their form (`census_forms`). The label and the sampling weight say nothing of a
person and are never used. Columns of numbers are standardised (mean 0, standard deviation 1), a missing one becomes the
mean. A column of texts becomes a column of 0 and 1 for each text, and `?` (missing) is a text of its own. A column that is
everywhere equal, or empty, is left out.
"""

from __future__ import annotations

import contextlib
import math
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import DataFileError, count_text
from lbench.workloads.census_forms import Form, formed_file
from lbench.workloads.csv_rows import MISSING_TEXTS, CsvRow, CsvRows, of_width
from lbench.workloads.kmeans import KMeansParams
from lbench.workloads.textfile import TextFile

__all__ = ["read_census"]

_BAD_LIMIT = 0.05  # of all rows, or of a column's cells; more means that it is not what it seems
_BAD = math.inf
_MOST_TEXTS = 100_000  # of a column; more are not kept apart, the column is left out anyhow
_LARGEST = 1e15


class _Cells(dict[str, float]):
    """One column's texts and their numbers: most cells are a look-up. NaN: missing; `_BAD`: not understood."""

    def __init__(self, column: str, is_number: bool) -> None:
        self.column = column
        self.is_number = is_number
        self.names: list[str] = []
        self.first_bad = ""

    def __missing__(self, text: str) -> float:
        clean = text.strip()
        if not self.is_number:
            value = float(min(len(self.names), _MOST_TEXTS))
            if len(self.names) < _MOST_TEXTS:
                self.names.append(clean)
        elif clean.lower() in MISSING_TEXTS:
            value = math.nan
        else:
            try:
                value = _BAD if "_" in clean else float(clean)
            except ValueError:
                value = _BAD
            if not abs(value) <= _LARGEST:
                value = _BAD
                self.first_bad = self.first_bad or clean[:40]
        if len(self) < _MOST_TEXTS:
            self[text] = value
        return value


class _Column(msgspec.Struct, frozen=True):
    """A column of X: values where `code` is None, else 1 where they are that code."""

    feature: str
    values: NDArray[np.float64]
    code: int | None = None


def read_census(
    path: Path, params: KMeansParams, encoding: str | None = None, watch: Callable[[int], None] | None = None
) -> tuple[NDArray[Any], list[str], str, list[str]]:
    """X (rows, columns) in the dtype asked for, the columns' names, the source and the notes. `watch`: see `TextFile`.

    Raises:
        DataFileError: the file is of neither form, damaged, has too many bad rows, or nothing to tell rows by.
    """
    file = TextFile(path, encoding=encoding, watch=watch)
    with contextlib.closing(iter(file)) as lines:
        rows = CsvRows(path, lines)
        table = _Table(path, iter(rows))
        table.read(params.rows)
    values, cells, notes = table.settled()
    columns, column_notes = _columns(table.file.form, values, cells, params)
    if not columns:
        raise DataFileError(f"{path}: every column is empty or everywhere equal: there is nothing to cluster")
    X = np.empty((len(values[0]), len(columns)), dtype=params.dtype)
    for at, column in enumerate(columns):
        X[:, at] = column.values if column.code is None else column.values == column.code
    used = f"{len(X):,} of {table.seen:,} rows of {table.file.form.name} used"
    used += " (the rest was not read, as `rows` asks)" if table.stopped else ""
    source = f"{file.origin}, " + (f"first {len(X):,} rows" if table.stopped else f"SHA-256 {file.digest()}")
    notes = [used, *notes, *rows.notes, *file.notes, *column_notes]
    return X, [column.feature for column in columns], source, notes


class _Table:
    """A census file while it is read. A cell that is not understood is `_BAD`; see `settled`."""

    def __init__(self, path: Path, rows: Iterator[CsvRow]) -> None:
        self.path = path
        first = next(rows, None)
        if first is None:
            raise DataFileError(f"{path} has no rows: name a Census-Income (KDD) or an Adult file")
        second = next(rows, None)
        found = formed_file(first.cells, [] if second is None else second.cells)
        if found is None:
            raise DataFileError(
                f"{path} is neither Census-Income (KDD), 42 fields that end in '- 50000.' or '50000+.', nor Adult, 15 "
                f"that end in '<=50K' or '>50K', with or without a header (its first row has {len(first.cells)}, the "
                f"last {first.cells[-1].strip()[:20] if first.cells else ''!r}): name one of these, or leave out --data"
            )
        self.file = found
        begun = [row for row in (None if found.header else first, second) if row is not None]
        self.rows = chain(begun, rows)
        self.cells = [_Cells(name, name in found.form.numbers) for name in found.used]
        self.values = array("d")
        self.seen = self.bad = 0
        self.first_bad = ""
        self.stopped = False

    def read(self, most: int | None) -> None:
        """Take the rows, at most so many."""
        width = len(self.file.columns)
        pick = itemgetter(*(self.file.columns.index(name) for name in self.file.used))
        kept = 0
        for row in self.rows:
            self.seen += 1
            cells = of_width(row.cells, width)
            if cells is None:
                self.bad += 1
                why = row.problem or f"{len(row.cells)} fields in place of {width}"
                self.first_bad = self.first_bad or f"line {row.line:,}: {why}"
                continue
            self.values.extend([known[cell] for known, cell in zip(self.cells, pick(cells), strict=True)])
            kept += 1
            if most is not None and kept >= most:
                self.stopped = True
                break

    def settled(self) -> tuple[list[NDArray[np.float64]], list[_Cells], list[str]]:
        """The numbers of each column, the columns, and notes.

        Many cells of a column that are not understood drop the column, a few drop their rows.

        Raises:
            DataFileError: too many rows are bad.
        """
        table = np.frombuffer(self.values, dtype=np.float64).reshape(-1, len(self.cells))
        wrong = np.isposinf(table)
        dropped = wrong.sum(axis=0) > _BAD_LIMIT * np.maximum((~np.isnan(table)).sum(axis=0), 1)
        while wrong[:, ~dropped].any(axis=1).sum() > _BAD_LIMIT * len(table):  # columns never condemn the rows
            dropped[np.argmax(np.where(dropped, 0, wrong.sum(axis=0)))] = True
        wrong[:, dropped] = False
        bad_rows = wrong.any(axis=1)
        if bad_rows.any():
            known = self.cells[int(np.argmax(wrong[int(np.argmax(bad_rows))]))]
            self.bad += int(bad_rows.sum())
            self.first_bad = self.first_bad or f"{known.column} is {known.first_bad!r}"
        if not self.seen:
            raise DataFileError(f"{self.path} has no rows below its header: name a file that has")
        if self.bad > _BAD_LIMIT * self.seen:
            raise DataFileError(
                f"{self.path} has {self.bad:,} bad rows of {self.seen:,}, more than {_BAD_LIMIT:.0%} "
                f"(first: {self.first_bad}): is it damaged?"
            )
        notes = [f"{count_text(self.bad, 'bad row')} skipped (first: {self.first_bad})"] if self.bad else []
        if misread := [
            f"{one.column} ({one.first_bad!r})" for one, drop in zip(self.cells, dropped, strict=True) if drop
        ]:
            notes.append(f"{_count(misread)} dropped, not understood (first cell): {', '.join(misread)}")
        if absent := self.file.absent:
            notes.append(f"{_count(absent)} not in the file: {', '.join(absent)}")
        if others := self.file.others:
            notes.append(f"{_count(others)} not used, as {self.file.form.name} does not have them: {', '.join(others)}")
        keep = np.flatnonzero(~dropped)
        return [table[~bad_rows, at] for at in keep], [self.cells[at] for at in keep], notes


def _columns(
    form: Form, table: list[NDArray[np.float64]], cells: list[_Cells], params: KMeansParams
) -> tuple[list[_Column], list[str]]:
    columns: list[_Column] = []
    numbers, texts, constant, crowded = [], [], [], []
    filled: dict[str, int] = {}
    for known, values in zip(cells, table, strict=True):
        name = known.column
        if known.is_number:
            missing = np.isnan(values)
            there = values[~missing]
            if not there.size or there.min() == there.max():
                constant.append(name)
                continue
            if missing.any():
                filled[name] = int(missing.sum())
            scaled = np.where(missing, 0.0, (values - there.mean()) / there.std())
            numbers.append(name)
            columns.append(_Column(name, scaled))
        elif params.categories == "one_hot":
            # A text's code is its place among those seen, rows that were skipped included; spaces make no difference.
            counts = np.bincount(values.astype(np.intp), minlength=len(known.names))
            codes = {text: code for code, text in enumerate(known.names) if counts[code]}
            if len(codes) < 2:
                constant.append(name)
            elif len(codes) > params.max_categories:
                crowded.append(f"{name} ({len(codes):,})")
            else:
                texts.append(name)
                columns.extend(_Column(f"{name}={text or '?'}", values, codes[text]) for text in sorted(codes))
        else:
            crowded.append(name)
    notes = [f"{_count(numbers)} of numbers, standardised: {', '.join(numbers)}"]
    if texts:
        ones = len(columns) - len(numbers)
        notes.append(f"{_count(texts)} of texts made {ones} of 0 and 1, '?' a text of its own: {', '.join(texts)}")
    if crowded:
        reason = f"more than {params.max_categories} texts" if params.categories == "one_hot" else "texts"
        notes.append(f"{_count(crowded)} left out, {reason}: {', '.join(crowded)}")
    if constant:
        notes.append(f"{_count(constant)} left out, empty or everywhere equal: {', '.join(constant)}")
    if filled:
        filled_text = ", ".join(f"{name} {count:,}" for name, count in filled.items())
        notes.append(f"missing numbers became their column's mean: {filled_text}")
    notes.append(f"never used: {', '.join(sorted(form.unused))}")
    return columns, notes


def _count(names: list[str]) -> str:
    return f"{len(names)} column{'s' * (len(names) != 1)}"
