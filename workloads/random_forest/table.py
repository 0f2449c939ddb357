"""A loan file while it is read: its header understood, its rows counted, its cells turned into numbers."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from lbench.errors import DataFileError
from lbench.workloads.random_forest.columns import ALIASES, FEATURES, MISSING_TEXTS, outcome

__all__ = ["FEWEST_COLUMNS", "Table"]

FEWEST_COLUMNS = 5
_HEADER_WITHIN = 10  # rows; full LoanStats files have a line of legal text before the header
_CACHED_TEXTS = 20_000  # a column, so that a long file of distinct numbers stays small in memory
_STATUSES_TOLD = 50
_MOST_CATEGORIES = 1000


class _Texts(dict[str, float]):
    """One column's texts and their numbers: most cells are a look-up."""

    def __init__(self, path: Path, column: str) -> None:
        self.path = path
        self.column = column
        self.read = FEATURES[column]
        self.names: list[str] = []  # a category's values, in the order in which they came

    def __missing__(self, text: str) -> float:
        clean = text.strip()
        # NONE is a kind of home ownership, so of the words for 'missing' a category knows only these.
        if clean in ("", "n/a", "NA") if self.read is None else clean.lower() in MISSING_TEXTS:
            value = math.nan
        elif self.read is not None:
            try:
                value = self.read(clean)
            except ValueError:
                raise ValueError(f"{self.column} is {clean[:40]!r}") from None
        elif clean in self.names:
            value = float(self.names.index(clean))
        elif len(self.names) >= _MOST_CATEGORIES:
            raise DataFileError(
                f"{self.path}: column {self.column} has more than {_MOST_CATEGORIES:,} different texts, "
                "too many for categories: is it another column's content?"
            )
        else:
            self.names.append(clean)
            value = float(len(self.names) - 1)
        if len(self) < _CACHED_TEXTS:
            self[text] = value
        return value


class Table:
    """The rows of a loan file: `values` row by row (NaN: missing), `labels`, and what was left out and why.

    Raises:
        DataFileError: there is no header of a loan file, or too few of its columns.
    """

    def __init__(self, path: Path, cells: Iterator[list[str]]) -> None:
        self.path = path
        self.cells = cells
        self.header = self._find_header()
        self.label = "loan_status" if "loan_status" in self.header else "is_bad"
        self.features = [name for name in FEATURES if name in self.header]
        if len(self.features) < FEWEST_COLUMNS:
            found = f"only {', '.join(self.features)}" if self.features else "none"
            raise DataFileError(
                f"{path} has too few of Lending Club's columns ({found} of {len(FEATURES)} known ones, "
                f"{FEWEST_COLUMNS} are needed): see `lbench data`"
            )
        self.texts = [_Texts(path, name) for name in self.features]
        self.values = array("f")
        self.labels = bytearray()
        self.unfinished: Counter[str] = Counter()
        self.seen = self.bad = self.remarks = 0
        self.first_bad = ""
        self.stopped = False

    def _find_header(self) -> list[str]:
        for number, row in enumerate(self.cells):
            names = [cell.strip().lower() for cell in row]
            names = [ALIASES.get(name, name) for name in names]
            if "loan_status" in names or "is_bad" in names:
                return names
            if number >= _HEADER_WITHIN:
                break
        raise DataFileError(
            f"{self.path} has no column loan_status (or is_bad): "
            "is it a Lending Club loan file with its header line? see `lbench data`"
        )

    def read(self, rows: int | None) -> None:
        """Take the rows, at most `rows` finished loans."""
        width, label_at = len(self.header), self.header.index(self.label)
        pick = itemgetter(*(self.header.index(name) for name in self.features))
        most = math.inf if rows is None else rows
        outcomes: dict[str, int | None] = {}
        for number, row in enumerate(self.cells, start=1):
            if len(row) != width:
                row = self._mended(row, number)
                if not row:
                    continue
            status = row[label_at]
            if status not in outcomes:
                outcomes[status] = self._outcome(status)
            finished = outcomes[status]
            if finished is None:
                self._left_out(row, status, number)
                continue
            self.seen += 1
            try:
                self.values.extend([texts[cell] for texts, cell in zip(self.texts, pick(row), strict=True)])
            except ValueError as error:
                self._count_bad(number, str(error))
                continue
            self.labels.append(finished)
            if len(self.labels) >= most:
                self.stopped = True
                break

    def _outcome(self, status: str) -> int | None:
        if self.label == "is_bad":
            return {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(status.strip())
        return outcome(status)

    def _mended(self, row: list[str], number: int) -> list[str]:
        """The row at its right width; empty if it is no loan."""
        width = len(self.header)
        if len(row) > width and not any(row[width:]):
            return row[:width]
        if sum(1 for cell in row if cell.strip()) > 1:
            self.seen += 1
            self._count_bad(number, f"{len(row)} fields in place of {width}")
        elif row:
            self.remarks += 1  # 'Total amount funded in policy code 1: ...', 'Loans that do not meet ...'
        return []

    def _left_out(self, row: list[str], status: str, number: int) -> None:
        name = status.strip()
        if sum(1 for cell in row if cell.strip()) <= 1 or ALIASES.get(name.lower(), name.lower()) == self.label:
            self.remarks += 1  # totals padded with commas; the header once more, where files were joined
            return
        self.seen += 1
        if not name or self.label == "is_bad":
            self._count_bad(number, f"{self.label} is {name[:40]!r}")
        elif name in self.unfinished or len(self.unfinished) < _STATUSES_TOLD:
            self.unfinished[name] += 1
        else:
            self.unfinished["others"] += 1

    def _count_bad(self, number: int, why: str) -> None:
        self.bad += 1
        self.first_bad = self.first_bad or f"row {number:,} after the header: {why}"
