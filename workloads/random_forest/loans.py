"""Lending Club's loan files as a data set, with a note for everything that is not used.

`X` is float32 (rows, columns) in C order, `y` uint8 (rows,): 1 charged off, 0 fully paid.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lbench.errors import DataFileError, count_text
from lbench.workloads.csv_rows import CsvRows
from lbench.workloads.dataset import Dataset
from lbench.workloads.random_forest.columns import CATEGORIES, FEATURES, MISSING, known_only_after
from lbench.workloads.random_forest.table import BAD_LIMIT, FEWEST_COLUMNS, Table
from lbench.workloads.textfile import TextFile

__all__ = ["CLASSES", "explain", "read_loans"]

CLASSES = ["fully paid", "charged off"]  # what 0 and 1 mean in y
FEWEST_OF_A_CLASS = 20
FEWEST_UNDERSTOOD = 3  # columns
_OTHERS_SHOWN = 12

_EXPLANATION = """\
The workload random_forest learns from Lending Club loans which are paid back and which are charged off.

Without a file it uses generated loans: the same columns, plausible values, a signal to find, the same for
the same seed. Times and costs measured with them are fair; their accuracy says nothing about real loans.

Real loans: Lending Club published its loan statistics for years (LoanStats3a.csv to LoanStats3d.csv, then
LoanStats_2016Q1.csv and so on), and no longer offers them openly. Copies are around under names like
LoanStats3a.csv and accepted_2007_to_2018Q4.csv.gz (about 1.6 GB unpacked), some of them behind a login.
lbench names no address, because none can be promised to stay, or to be the original. Get a copy you may
use, then

    lbench data PATH                        tells what would be used of it, and why
    lbench run random_forest --data PATH    runs on it (-p rows=40000: on its first 40,000 finished loans)

Read are CSV files: plain, .gz or .zst (unpack a .zip first), with commas, semicolons or tabs, in UTF-8 (or
--encoding NAME), with or without the line of legal text at the top and the totals at the end. A file needs
its header line, the column loan_status (or is_bad: 0 or 1), and at least {fewest} of these columns; those that
it has are used:

{columns}

The label is loan_status: Fully Paid against Charged Off. Loans that are not finished (Current, Late, In
Grace Period, Default) are left out and counted. What became known only after a loan was made (payments,
recoveries, the last credit check) is never used: it would give the answer away. A missing value becomes
{missing:g}, below every real one; categories are numbered in alphabetical order. Bad rows are skipped and
counted, up to {limit:.0%} of all; a column with more cells than that which are not understood is dropped.
"""


def explain() -> str:
    """The loans, where real ones come from and which files can be read: a text of some paragraphs."""
    columns = textwrap.fill(" ".join(FEATURES), 106, initial_indent="    ", subsequent_indent="    ")
    return _EXPLANATION.format(columns=columns, fewest=FEWEST_COLUMNS, missing=MISSING, limit=BAD_LIMIT)


def read_loans(
    path: Path, rows: int | None = None, encoding: str | None = None, watch: Callable[[int], None] | None = None
) -> Dataset:
    """Read a loan file; with `rows`, at most the first so many finished loans of it. `watch`: see `TextFile`.

    Raises:
        DataFileError: the file is not text, damaged, of wrong columns, mostly bad rows, or too few outcomes.
    """
    file = TextFile(path, encoding=encoding, watch=watch)
    with contextlib.closing(iter(file)) as lines:
        cells = CsvRows(path, lines)
        table = Table(path, iter(cells))
        table.read(rows)
    _refuse(table)
    categories = _sort_categories(table)
    holes = np.zeros(len(table.features), dtype=np.int64)
    for block in table.blocks():
        gaps = np.isnan(block)
        holes += gaps.sum(axis=0)
        np.copyto(block, np.float32(MISSING), where=gaps)
    missing = dict(zip(table.features, holes.tolist(), strict=True))
    used = [name for name, count in missing.items() if count < table.count]
    if len(used) < len(table.features):
        table.keep([at for at, name in enumerate(table.features) if name in used])
    X = table.X
    return Dataset(
        {"X": X, "y": table.y},
        source=f"{file.origin}, " + (f"first {len(X):,} loans" if table.stopped else f"SHA-256 {file.digest()}"),
        rows=len(X),
        columns=len(used),
        notes=_row_notes(table) + cells.notes + file.notes + _column_notes(table, missing),
        meta={"features": used, "categories": categories, "classes": CLASSES},
    )


def _refuse(table: Table) -> None:
    path = table.path
    if not table.seen:
        raise DataFileError(f"{path} has a header and no loans: name a file with rows")
    if table.bad > BAD_LIMIT * table.seen:
        raise DataFileError(
            f"{path} has {table.bad:,} bad rows of {table.seen:,}, more than {BAD_LIMIT:.0%} "
            f"(first: {table.first_bad}): is it damaged?"
        )
    if len(table.features) < FEWEST_UNDERSTOOD:
        raise DataFileError(
            f"{path} has too few columns that are understood ({len(table.features)}, {FEWEST_UNDERSTOOD} are needed; not "
            f"understood: {', '.join(table.misread)}): see `lbench data`"
        )
    charged_off = table.charged_off
    if min(charged_off, table.count - charged_off) < FEWEST_OF_A_CLASS:
        unfinished = sum(table.unfinished.values())
        states = ", ".join(repr(state[:30]) for state, _ in table.unfinished.most_common(3))
        left = f", and {unfinished:,} that are not finished ({states})" if unfinished else ""
        raise DataFileError(
            f"{path} has {table.count - charged_off:,} fully paid loans, {charged_off:,} charged off"
            f"{left}: at least {FEWEST_OF_A_CLASS} of both kinds are needed; name a file of earlier years"
        )


def _sort_categories(table: Table) -> dict[str, list[str]]:
    """Number categories alphabetically, in place: the order of a file's rows must not matter."""
    categories = {}
    for at, texts in enumerate(table.texts):
        if texts.column in CATEGORIES and texts.names:
            names = sorted(texts.names)
            place = np.array([names.index(name) for name in texts.names], dtype=np.float32)
            for block in table.blocks():
                there = ~np.isnan(block[:, at])
                block[there, at] = place[block[there, at].astype(np.intp)]
            categories[texts.column] = names
    return categories


def _row_notes(table: Table) -> list[str]:
    charged_off = table.charged_off
    notes = [
        f"{table.count:,} of {table.seen:,} loans used: "
        f"{table.count - charged_off:,} fully paid, {charged_off:,} charged off"
        + (" (the rest of the file was not read, as `rows` asks)" if table.stopped else "")
    ]
    if table.unfinished:
        counts = ", ".join(f"{count:,} {status}" for status, count in table.unfinished.most_common(8))
        notes.append(f"{sum(table.unfinished.values()):,} loans left out, not finished: {counts}")
    if table.bad:
        notes.append(f"{count_text(table.bad, 'bad row')} skipped (first: {table.first_bad})")
    if table.remarks:
        notes.append(f"{count_text(table.remarks, 'row')} left out that are not loans (totals, headings)")
    return notes


def _column_notes(table: Table, missing: dict[str, int]) -> list[str]:
    rows = table.count
    used = [name for name, count in missing.items() if count < rows]
    empty = [name for name, count in missing.items() if count == rows]
    # credit_length stands in for earliest_cr_line in one file, so neither is missed where the other is there.
    absent = [name for name in FEATURES if name not in table.header and name != "credit_length"]
    if "credit_length" in table.header and "earliest_cr_line" in absent:
        absent.remove("earliest_cr_line")
    after = [name for name in table.header if known_only_after(name) and name != table.label]
    others = [
        name or "(without a name)"
        for name in table.header
        if name not in FEATURES and name not in after and name != table.label
    ]
    notes = [f"{_columns(used)} used: {', '.join(used)}"]
    if absent:
        notes.append(f"{_columns(absent)} not in the file: {', '.join(absent)}")
    if empty:
        notes.append(f"{_columns(empty)} dropped, without a value in any row: {', '.join(empty)}")
    if table.misread:
        notes.append(f"{_columns(table.misread)} dropped, not understood (first cell): {', '.join(table.misread)}")
    twice = sorted({name for name in table.features if table.header.count(name) > 1})
    if twice:
        notes.append(f"{_columns(twice)} several times in the header, the first is used: {', '.join(twice)}")
    if after:
        notes.append(f"{_columns(after)} dropped, known only after the loan was made: {', '.join(after)}")
    if others:
        names = ", ".join(others[:_OTHERS_SHOWN]) + (", ..." if len(others) > _OTHERS_SHOWN else "")
        notes.append(f"{_columns(others)} dropped, not of the kind that the original study used: {names}")
    holes = [f"{name} {count:,}" for name, count in missing.items() if 0 < count < rows]
    if holes:
        notes.append(f"missing values became {MISSING:g}, below every real one: {', '.join(holes)}")
    return notes


def _columns(names: list[str]) -> str:
    return f"{len(names)} column{'s' if len(names) != 1 else ''}"
