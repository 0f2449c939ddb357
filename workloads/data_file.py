"""The facts of a data file, and what a run would use of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from lbench.errors import DataFileError, count_text
from lbench.workloads.census_forms import formed_file
from lbench.workloads.csv_rows import CsvRow, CsvRows, comment_hint, header_name, letters
from lbench.workloads.textfile import TextFile

__all__ = ["DataFile", "describe_file"]

_FIRST = 12  # rows that decide what a file is
_NAMED, _NAME = 12, 40  # columns that a note names, and characters of each


class DataFile(msgspec.Struct, frozen=True):
    """A file's description: one line a note."""

    source: str
    rows: int
    columns: int
    notes: list[str]


def describe_file(path: Path, encoding: str | None = None, watch: Callable[[int], None] | None = None) -> DataFile:
    """Lending Club's loans as random_forest reads them, the census files as kmeans does, other tables for map_reduce.

    `watch` is called with the file's bytes that were read so far.

    Raises:
        DataFileError: the file cannot be used.
        InputError: the encoding is unknown.
    """
    with contextlib.closing(iter(TextFile(path, encoding=encoding))) as lines:
        first = list(islice(iter(CsvRows(path, lines)), _FIRST))
    names = {letters(cell) for row in first for cell in row.cells}
    cells_of = [row.cells for row in first]
    if names & {"loanstatus", "isbad"} or all(len(cells) < 2 for cells in cells_of):
        from lbench.workloads.random_forest.loans import read_loans

        loans = read_loans(path, encoding=encoding, watch=watch)
        return DataFile(loans.source, loans.rows, loans.columns, loans.notes)
    if cells_of and formed_file(cells_of[0], cells_of[1] if len(cells_of) > 1 else ()) is not None:
        from lbench.workloads.kmeans import KMeansParams
        from lbench.workloads.kmeans.census import read_census

        X, _, source, notes = read_census(path, KMeansParams(), encoding, watch)
        return DataFile(source, len(X), X.shape[1], notes)
    return _table(path, encoding, watch)


def _table(path: Path, encoding: str | None, watch: Callable[[int], None] | None) -> DataFile:
    file = TextFile(path, encoding=encoding, watch=watch)
    header: CsvRow | None = None
    widths: Counter[int] = Counter()
    odd: CsvRow | None = None
    with contextlib.closing(iter(file)) as lines:
        rows = CsvRows(path, lines)
        for row in rows:
            if header is None:
                header = row
                continue
            widths[len(row.cells)] += 1
            if odd is None and len(row.cells) != len(header.cells):
                odd = row
    if header is None or not widths:
        raise DataFileError(f"{path} has no rows below its header: name a file that has")
    if header.problem:
        raise DataFileError(f"{path}, line {header.line:,}: {header.problem}: it must be the header")
    columns = [header_name(cell) or "(without a name)" for cell in header.cells]
    count = widths.total()
    numbers = [name for name in columns if _is_number(name)]
    notes = [f"a table with the columns {_listed(columns)}", *_repeated(columns)]
    if numbers:
        notes.append(f"the first row is the header, and has numbers ({_listed(numbers)}): is the header line missing?")
    if hint := comment_hint(columns):
        notes.append(hint)
    if odd is not None:
        bad = count - widths[len(columns)]
        why = odd.problem or f"{len(odd.cells)} fields in place of {len(columns)}"
        notes.append(f"{count_text(bad, 'bad row')} (first: line {odd.line:,}: {why})")
    notes += [*rows.notes, *file.notes]
    notes.append("for example: lbench run map_reduce --data FILE -p by=COLUMN -p column=COLUMN_OF_NUMBERS")
    return DataFile(f"{file.origin}, SHA-256 {file.digest()}", count, len(columns), notes)


def _repeated(columns: Sequence[str]) -> list[str]:
    """A note where a name stands for several columns: a run that asks for one of them is refused."""
    repeated = [f"{name[:_NAME]} ({count})" for name, count in Counter(columns).items() if count > 1]
    if not repeated:
        return []
    return [f"several columns have one name: {_listed(repeated)}: rename those that you need"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(name[:_NAME] for name in names[:_NAMED])}{more}"
