"""A loan file while it is read: its header understood, its rows counted, its cells turned into numbers.

A cell that is not understood is the column's fault where it has many of them, and the row's where they are few: see
`Table.settle`.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lbench.errors import DataFileError
from lbench.workloads.csv_rows import MISSING_TEXTS, CsvRow, header_name, letters
from lbench.workloads.random_forest.columns import ALIASES, FEATURES, day_may_come_first, outcome

__all__ = ["BAD_LIMIT", "FEWEST_COLUMNS", "Table"]

BAD_LIMIT = 0.05  # of all rows, or of a column's cells; more means that it is not what it seems
FEWEST_COLUMNS = 5
_HEADER_WITHIN = 10  # rows; full LoanStats files have a line of legal text before the header
_CACHED_TEXTS = 20_000  # a column, so that a long file of distinct numbers stays small in memory
_STATUSES_SHOWN = 50
_MOST_CATEGORIES = 1000
_BLOCK = (
    1 << 16
)  # rows at a time, where something is made of the values: beside them there is never a second copy of all
_HOPELESS = 200  # bad cells of a column, and more than half of all: its cells no longer make a row bad
_KNOWN = {letters(name): name for name in (*FEATURES, "loan_status", "is_bad")}
_KNOWN |= {letters(alias): name for alias, name in ALIASES.items()}
_TRUTH = {"0": 0, "0.0": 0, "false": 0, "no": 0, "1": 1, "1.0": 1, "true": 1, "yes": 1}
_BAD = math.inf  # in `values`: a cell that is not understood


class _Texts(dict[str, float]):
    """One column's texts and their numbers: most cells are a look-up. NaN: missing; `_BAD`: not understood."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.read = FEATURES[column]
        self.names: list[str] = []  # a category's values, in the order in which they came
        self.first_bad = ""

    def __missing__(self, text: str) -> float:
        clean = text.strip()
        # NONE is a kind of home ownership, so of the words for 'missing' a category knows only these.
        if clean in ("", "n/a", "NA") if self.read is None else clean.lower() in MISSING_TEXTS:
            value = math.nan
        elif self.read is not None:
            try:
                value = self.read(clean)
            except ValueError:
                self.first_bad = self.first_bad or clean[:40]
                value = _BAD
        elif clean in self.names:
            value = float(self.names.index(clean))
        elif len(self.names) >= _MOST_CATEGORIES:
            self.first_bad = f"more than {_MOST_CATEGORIES:,} different texts"
            value = _BAD
        else:
            self.names.append(clean)
            value = float(len(self.names) - 1)
        if len(self) < _CACHED_TEXTS:
            self[text] = value
        return value


class Table:
    """The rows of a loan file: X (NaN: missing), y, and what was left out and why.

    Raises:
        DataFileError: there is no header of a loan file, or too few of its columns.
    """

    def __init__(self, path: Path, rows: Iterator[CsvRow]) -> None:
        self.path = path
        self.rows = rows
        self.header = self._find_header()
        self.label = "loan_status" if "loan_status" in self.header else "is_bad"
        self.features = [name for name in FEATURES if name in self.header]
        if len(self.features) < FEWEST_COLUMNS:
            found = f"only {', '.join(self.features)}" if self.features else "none"
            raise DataFileError(
                f"{path} has too few of Lending Club's columns ({found} of {len(FEATURES)} known ones, "
                f"{FEWEST_COLUMNS} are needed): see `lbench data`"
            )
        self.texts = [_Texts(name) for name in self.features]
        self.count = 0  # rows in X and y
        self._values = array("f")
        self._labels = bytearray()
        self._bad_rows: Counter[int] = Counter()  # by their bad columns, a bit each
        self._bad_lines: dict[int, int] = {}  # the first of each kind
        self.unfinished: Counter[str] = Counter()
        self.misread: list[str] = []  # columns that are not understood, each with a cell of it
        self.seen = self.bad = self.remarks = 0
        self.first_bad = ""
        self._first_bad_line = 0
        self.stopped = False

    def _find_header(self) -> list[str]:
        for number, row in enumerate(self.rows):
            plain = [re.sub(r"[\s.\-]+", "_", header_name(cell).lower()) for cell in row.cells]
            names = [_KNOWN.get(letters(name), name) for name in plain]
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
        kept = 0
        for row in self.rows:
            cells = row.cells
            if len(cells) != width:
                cells = self._of_width(row)
                if not cells:
                    continue
            status = cells[label_at]
            if status not in outcomes:
                outcomes[status] = self._outcome(status)
            finished = outcomes[status]
            if finished is None:
                self._leave_out(cells, status, row.line)
                continue
            self.seen += 1
            numbers = [texts[cell] for texts, cell in zip(self.texts, pick(cells), strict=True)]
            self._values.extend(numbers)
            self._labels.append(finished)
            self.count += 1
            kept += _BAD not in numbers or self._hopeless(numbers)
            if _BAD in numbers:
                columns = sum(1 << at for at, value in enumerate(numbers) if value == _BAD)
                self._bad_rows[columns] += 1
                self._bad_lines.setdefault(columns, row.line)
            if kept >= most:
                self.stopped = True
                break
        self.settle()

    def _hopeless(self, numbers: list[float]) -> bool:
        """Whether the row's cells that are not understood are all of columns that are given up."""
        if self.count < _HOPELESS:
            return False
        bad = [at for at, value in enumerate(numbers) if value == _BAD]
        width = len(self.features)
        last = np.frombuffer(self._values[-_HOPELESS * width :], dtype=np.float32).reshape(-1, width)
        return bool((np.isposinf(last[:, bad]).mean(axis=0) > 0.5).all())

    def settle(self) -> None:
        """Decide on the cells that are not understood: many in a column drop the column, a few drop their rows."""
        width, count = len(self.features), self.count
        bad = [sum(rows for columns, rows in self._bad_rows.items() if columns >> at & 1) for at in range(width)]
        missing = sum((np.isnan(block).sum(axis=0) for block in self.blocks()), np.zeros(width, dtype=np.int64))
        dropped = {at for at in range(width) if bad[at] > BAD_LIMIT * max(count - int(missing[at]), 1)}
        while sum(self._rows_with_bad(dropped).values()) > BAD_LIMIT * count:  # columns never condemn the rows
            dropped.add(max((at for at in range(width) if at not in dropped), key=bad.__getitem__))
        for at, texts in enumerate(self.texts):
            if texts.column == "earliest_cr_line" and at not in dropped and day_may_come_first(texts):
                dropped.add(at)
                texts.first_bad = f"{next(iter(texts)).strip()[:40]}, with the day first?"
        self.misread = [f"{texts.column} ({texts.first_bad!r})" for at, texts in enumerate(self.texts) if at in dropped]
        if rows := self._rows_with_bad(dropped):
            first = min(rows, key=self._bad_lines.__getitem__)
            texts = next(texts for at, texts in enumerate(self.texts) if at not in dropped and first >> at & 1)
            self._count_bad(self._bad_lines[first], f"{texts.column} is {texts.first_bad!r}", rows.total())
        self.keep([at for at in range(width) if at not in dropped])

    def _rows_with_bad(self, dropped: set[int]) -> Counter[int]:
        """The rows with bad cells in other columns than these."""
        others = ~sum(1 << at for at in dropped)
        return Counter({columns: rows for columns, rows in self._bad_rows.items() if columns & others})

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """X, some rows at a time, to be read or changed."""
        return (self.X[at : at + _BLOCK] for at in range(0, self.count, _BLOCK))

    def keep(self, columns: list[int]) -> None:
        """Leave out the other columns, and rows with a bad cell in these: what is kept moves to the front, in place."""
        values, labels = np.frombuffer(self._values, dtype=np.float32), np.frombuffer(self._labels, dtype=np.uint8)
        kept = 0
        for number, block in enumerate(self.blocks()):
            good = block[:, columns]
            rows = ~np.isposinf(good).any(axis=1)
            good = good[rows]
            end = kept + len(good)
            values[kept * len(columns) : end * len(columns)] = good.ravel()
            labels[kept:end] = labels[number * _BLOCK :][: len(block)][rows]
            kept = end
        self.count = kept
        self.features = [self.features[at] for at in columns]
        self.texts = [self.texts[at] for at in columns]

    @property
    def X(self) -> NDArray[np.float32]:
        """The values (rows, features)."""
        width = len(self.features)
        return np.frombuffer(self._values, dtype=np.float32)[: self.count * width].reshape(self.count, width)

    @property
    def y(self) -> NDArray[np.uint8]:
        """The labels (rows,)."""
        return np.frombuffer(self._labels, dtype=np.uint8)[: self.count]

    @property
    def charged_off(self) -> int:
        """Rows labelled 1."""
        return int(self.y.sum())

    def _outcome(self, status: str) -> int | None:
        if self.label == "is_bad":
            return _TRUTH.get(status.strip().lower())
        return outcome(status)

    def _of_width(self, row: CsvRow) -> list[str]:
        """The row's cells at the header's width; empty if it is no loan."""
        width, cells = len(self.header), row.cells
        if len(cells) > width and not any(cells[width:]):
            return cells[:width]
        if row.problem or sum(1 for cell in cells if cell.strip()) > 1:
            self.seen += 1
            self._count_bad(row.line, row.problem or f"{len(cells)} fields in place of {width}")
        else:
            self.remarks += 1  # 'Total amount funded in policy code 1: ...', 'Loans that do not meet ...'
        return []

    def _leave_out(self, cells: list[str], status: str, line: int) -> None:
        name = status.strip()
        if sum(1 for cell in cells if cell.strip()) <= 1 or _KNOWN.get(letters(name)) == self.label:
            self.remarks += 1  # totals padded with commas; the header once more, where files were joined
            return
        self.seen += 1
        if not name or self.label == "is_bad":
            self._count_bad(line, f"{self.label} is {name[:40]!r}")
        elif name in self.unfinished or len(self.unfinished) < _STATUSES_SHOWN:
            self.unfinished[name] += 1
        else:
            self.unfinished["others"] += 1

    def _count_bad(self, line: int, why: str, count: int = 1) -> None:
        self.bad += count
        if not self.first_bad or line < self._first_bad_line:
            self.first_bad, self._first_bad_line = f"line {line:,}: {why}", line
