"""Census-Income (KDD) and Adult files as rows of numbers: which columns, how missing values count, what is left out.

Both files have no header and are known by their form (`census_forms`). The label and the sampling weight say nothing of a
person and are never used. Columns of numbers are standardised (mean 0, standard deviation 1), a missing one becomes the
mean. A column of texts becomes a column of 0 and 1 for each text, and `?` (missing) is a text of its own. A column that is
everywhere equal, or empty, is left out.
"""

from __future__ import annotations

import contextlib
import csv
import math
from array import array
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import DataFileError
from lbench.workloads.census_forms import Form, form_of
from lbench.workloads.kmeans import KMeansParams
from lbench.workloads.textfile import TextFile

__all__ = ["read_census"]

_BAD_ROWS_LIMIT = 0.05  # of all rows; more means that the file is not what it seems
_MISSING = frozenset(("", "?", "na", "n/a", "nan", "null", "none"))
_MOST_TEXTS = 100_000  # of a column; more are not kept apart, the column is left out anyhow
_LARGEST = 1e15


class _Cells(dict[str, float]):
    """One column's texts and their numbers: most cells are a look-up. NaN: missing."""

    def __init__(self, column: str, is_number: bool) -> None:
        self.column = column
        self.is_number = is_number
        self.names: list[str] = []

    def __missing__(self, text: str) -> float:
        clean = text.strip()
        if not self.is_number:
            value = float(min(len(self.names), _MOST_TEXTS))
            if len(self.names) < _MOST_TEXTS:
                self.names.append(clean)
        elif clean.lower() in _MISSING:
            value = math.nan
        else:
            try:
                value = float(clean)
            except ValueError:
                value = math.inf
            if not abs(value) <= _LARGEST:
                raise ValueError(f"{self.column} is {clean[:40]!r}")
        if len(self) < _MOST_TEXTS:
            self[text] = value
        return value


class _Column(msgspec.Struct, frozen=True):
    """A column of X: values where `code` is None, else 1 where they are that code."""

    feature: str
    values: NDArray[np.float64]
    code: int | None = None


def read_census(path: Path, params: KMeansParams) -> tuple[NDArray[Any], list[str], str, list[str]]:
    """X (rows, columns) in the dtype asked for, the columns' names, the source and the notes.

    Raises:
        DataFileError: the file is of neither form, damaged, has too many bad rows, or nothing to tell rows by.
    """
    file = TextFile(path)
    try:
        with contextlib.closing(iter(file)) as lines:
            form, values, cells, bad, stopped = _read(path, csv.reader(lines, skipinitialspace=True), params)
    except csv.Error as error:
        raise DataFileError(f"{path} is not a CSV file that can be read: {error}") from None
    columns, notes = _columns(form, values, cells, params)
    if not columns:
        raise DataFileError(f"{path}: every column is empty or everywhere equal: nothing tells its rows apart")
    X = np.empty((len(values), len(columns)), dtype=params.dtype)
    for at, column in enumerate(columns):
        X[:, at] = column.values if column.code is None else column.values == column.code
    told = f"{len(X):,} rows of {form.name} used" + (" (the rest was not read, as `rows` asks)" if stopped else "")
    notes = [told, *bad, *notes]
    source = f"{path.name}, " + (f"first {len(X):,} rows" if stopped else f"SHA-256 {file.digest()}")
    return X, [column.feature for column in columns], source, notes


def _read(
    path: Path, lines: Iterator[list[str]], params: KMeansParams
) -> tuple[Form, NDArray[np.float64], list[_Cells], list[str], bool]:
    form: Form | None = None
    values = array("d")
    cells: list[_Cells] = []
    seen = bad = 0
    first_bad = ""
    most = math.inf if params.rows is None else params.rows
    for number, row in enumerate(lines, start=1):
        if not row or (number == 1 and row[0].startswith("|")):  # adult.test begins with a remark
            continue
        if form is None:
            form = _form_of(path, row)
            used = [name for name in form.columns if name not in form.unused]
            cells = [_Cells(name, name in form.numbers) for name in used]
            pick = itemgetter(*(form.columns.index(name) for name in used))
        seen += 1
        try:
            if len(row) != len(form.columns):
                raise ValueError(f"{len(row)} fields in place of {len(form.columns)}")
            values.extend([known[cell] for known, cell in zip(cells, pick(row), strict=True)])
        except ValueError as error:
            bad += 1
            first_bad = first_bad or f"line {number:,}: {error}"
            continue
        if seen - bad >= most:
            break
    if form is None:
        raise DataFileError(f"{path} has no rows: name a Census-Income (KDD) or an Adult file")
    if bad > _BAD_ROWS_LIMIT * seen:
        raise DataFileError(
            f"{path} has {bad:,} bad rows of {seen:,}, more than {_BAD_ROWS_LIMIT:.0%} (first: {first_bad}): "
            "is it damaged?"
        )
    notes = [f"{bad:,} bad row{'s' * (bad != 1)} skipped (first: {first_bad})"] if bad else []
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, len(cells))
    return form, table, cells, notes, seen - bad >= most


def _form_of(path: Path, row: list[str]) -> Form:
    form = form_of(row)
    if form is None:
        raise DataFileError(
            f"{path} is neither Census-Income (KDD), 42 fields that end in '- 50000.' or '50000+.', nor Adult, 15 that "
            f"end in '<=50K' or '>50K' (its first row has {len(row)}, the last {row[-1].strip()[:20]!r}): "
            "name one of these, or leave out --data"
        )
    return form


def _columns(
    form: Form, table: NDArray[np.float64], cells: list[_Cells], params: KMeansParams
) -> tuple[list[_Column], list[str]]:
    columns: list[_Column] = []
    numbers, texts, constant, crowded = [], [], [], []
    filled: dict[str, int] = {}
    for at, known in enumerate(cells):
        name, values = known.column, table[:, at]
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
                own = values.copy()
                columns.extend(_Column(f"{name}={text or '?'}", own, codes[text]) for text in sorted(codes))
        else:
            crowded.append(name)
    notes = [f"{_count(numbers)} of numbers, standardised: {', '.join(numbers)}"]
    if texts:
        ones = len(columns) - len(numbers)
        notes.append(f"{_count(texts)} of texts made {ones} of 0 and 1, '?' a text of its own: {', '.join(texts)}")
    if crowded:
        why = f"more than {params.max_categories} texts" if params.categories == "one_hot" else "texts"
        notes.append(f"{_count(crowded)} left out, {why}: {', '.join(crowded)}")
    if constant:
        notes.append(f"{_count(constant)} left out, empty or everywhere equal: {', '.join(constant)}")
    if filled:
        told = ", ".join(f"{name} {count:,}" for name, count in filled.items())
        notes.append(f"missing numbers became their column's mean: {told}")
    notes.append(f"never used: {', '.join(sorted(form.unused))}")
    return columns, notes


def _count(names: list[str]) -> str:
    return f"{len(names)} column{'s' * (len(names) != 1)}"
