"""The rows of a CSV file, its dialect found by evidence over its first rows.

Every line is accounted for: it is (part of) a row, blank, or part of a row that cannot be read, with its line. A quotation
mark that is never closed would make one field of all that follows: it is an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import msgspec

from lbench.errors import DataFileError, count_text
from lbench.workloads.textfile import LONGEST_LINE

__all__ = [
    "MISSING_TEXTS",
    "CsvRow",
    "CsvRows",
    "canonical",
    "comment_hint",
    "header_name",
    "letters",
    "of_width",
    "parse_rows",
]

# A cell that says that there is no value, in lower case: as spreadsheets, R, pandas and databases write it.
MISSING_TEXTS = frozenset(
    (
        *("", "-", "--", "?", "na", "n/a", "n.a.", "nan", "-nan", "nat", "null", "none", "nil", "<na>"),
        *("#n/a", "#na", "#n/a n/a", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    )
)

csv.field_size_limit(LONGEST_LINE)

_DELIMITERS = "\t;|^~,"  # in a tie the first one: commas stand in numbers and texts more often
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060 \t\u00a0"
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 1 << 20
_SEPARATOR = re.compile(r'\s*"?sep=(?P<delimiter>[^"\r\n]?)"?[\s;,]*', re.IGNORECASE)
_SPACE_AFTER_QUOTE = re.compile(r'"[ \t]+(?=[\r\n]|$|(?P<next>.))')


class CsvRow(msgspec.Struct, frozen=True, gc=False):
    """A row and the line on which it begins. `problem`: why it cannot be read; then it has no cells."""

    line: int
    cells: list[str]
    text: str
    problem: str = ""


class CsvRows:
    """Iterates over a file's rows but the blank ones. `delimiter` and `escape` are known before the first row.

    Raises:
        DataFileError: a quotation mark is not closed where its field ends.
    """

    def __init__(self, path: Path, lines: Iterable[str]) -> None:
        self.path = path
        self.blank = 0  # lines
        self.spanned = 0  # rows over several lines
        source = iter(lines)
        sample = _sample(source)
        self._skipped = 0
        if sample and sample[0].startswith("|") and sample[0].count("|") == 1:  # adult.test begins with a remark
            sample = sample[1:]
            self._skipped = 1
        named = _SEPARATOR.fullmatch(sample[0]) if sample else None
        if named is not None:  # Excel's own line
            sample = sample[1:]
            self._skipped += 1
        self.delimiter = (named["delimiter"] if named else "") or _delimiter_of(sample)
        if not self.delimiter.isascii():
            raise DataFileError(
                f"{path}, line {self._skipped}: sep= must name one ASCII character, got {self.delimiter!r}"
            )
        self.escape = _escape_of(sample, self.delimiter)
        self._source = chain(sample, source)

    @property
    def notes(self) -> list[str]:
        """Lines that are no rows of their own."""
        notes = []
        if self.blank:
            notes.append(f"{count_text(self.blank, 'blank line')} left out")
        if self.spanned:
            notes.append(f"{count_text(self.spanned, 'row')} of several lines, within quotation marks")
        return notes

    def __iter__(self) -> Iterator[CsvRow]:
        raw: list[str] = []

        def feed() -> Iterator[str]:
            for line in self._source:
                raw.append(line)
                yield line

        reader = csv.reader(
            feed(), delimiter=self.delimiter, skipinitialspace=True, strict=True, escapechar=self.escape
        )
        before = self._skipped
        width = 0
        while True:
            first = before + 1
            problem = ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells, problem = self._mended(first, raw, str(error))
            before += len(raw)
            text = raw[0] if len(raw) == 1 else "".join(raw)
            if len(raw) > 1 and not problem:
                self._check_span(first, raw, width)
                self.spanned += 1
            raw.clear()
            if not problem and (not cells or (len(cells) == 1 and not cells[0].strip())):
                self.blank += 1
                continue
            width = width or len(cells)
            yield CsvRow(first, cells, text, problem)

    def _mended(self, first: int, raw: Sequence[str], error: str) -> tuple[list[str], str]:
        """A row with spaces behind a closing quotation mark is read without them; another one is a bad row."""
        if len(raw) > 1 or "unexpected end" in error or "field larger" in error:
            last = first + len(raw) - 1
            until = f"the field goes on to line {last:,}" if last > first else "the file ends"
            raise DataFileError(
                f"{self.path}, line {first:,}: a quotation mark opens a field and is not closed at its end ({until}): "
                "close it, or remove it"
            )
        text = _SPACE_AFTER_QUOTE.sub(
            lambda found: '"' if found["next"] in (None, self.delimiter) else found[0], raw[0]
        )
        try:
            return next(parse_rows([text], self.delimiter, self.escape), []), ""
        except csv.Error:
            return [], "a quotation mark stands within a quoted field"

    def _check_span(self, first: int, raw: Sequence[str], width: int) -> None:
        """Refuse a field of several lines, right by RFC 4180, only where each line, the first too, could be a row.

        Then the mark may have been meant for something else, or never closed, and nothing tells.
        """
        begin = self._written(raw[0])
        opened = len(begin) - 1
        begin[opened:] = begin[opened].split(self.delimiter)
        if len(begin) != width or width < 2:
            return
        prose = self._is_prose(raw[0])
        for line in raw[1:]:
            cells = self._written(line)
            if len(cells) != width or (self._is_prose(line) and not prose):
                return
            pairs = [pair for at, pair in enumerate(zip(begin, cells, strict=True)) if at != opened]
            if not all(self._alike(one, other) for one, other in pairs):
                return
        further = len(raw) - 1
        if width == 2 and further <= (2 if raw[-1].rstrip().endswith('"') else 5):  # prose has as many commas
            return
        raise DataFileError(
            f"{self.path}, line {first:,}: a quotation mark opens a field that is closed only on line "
            f"{first + further:,}, and each line between could be a row: remove the mark, or, if they are one field, save "
            "the file with quotation marks around all fields"
        )

    def _written(self, line: str) -> list[str]:
        """A line's cells as they are written, with their marks; one that a mark opens and none closes is the last."""
        delimiter = re.escape(self.delimiter)
        inner = r'(?:\\.|[^"\\]+|""|\\)*+' if self.escape else r'(?:[^"]+|"")*+'
        cells = re.compile(rf'(?:[ \t]*"{inner}(?:"|$))?[^{delimiter}\r\n]*')
        found: list[str] = []
        place = 0
        while match := cells.match(line, place):
            found.append(match[0].strip())
            place = match.end() + 1
            if line[match.end() : place] != self.delimiter:
                break
        return found

    def _alike(self, one: str, other: str) -> bool:
        """Whether two cells, as they are written, may stand in one column: both or none a number, and in needless marks."""
        if _missing(one) or _missing(other):
            return True
        if one[0] != '"' != other[0]:
            return _numeric(one) == _numeric(other)
        needless = any(self.delimiter not in cell and '"' not in cell[1:-1] for cell in (one, other) if cell[0] == '"')
        return one[0] == other[0] or not needless

    def _is_prose(self, line: str) -> bool:
        return line.count(self.delimiter) == line.count(f"{self.delimiter} ")


def _missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING_TEXTS


def _numeric(cell: str) -> bool:
    """Whether it is written in digits: a number, a date, an amount."""
    return any(map(str.isdigit, cell)) and not any(map(str.isalpha, cell))


def of_width(cells: list[str], width: int) -> list[str] | None:
    """The cells at the header's width, without empty ones behind; None: they are more or fewer."""
    if len(cells) > width and not any(cells[width:]):
        return cells[:width]
    return cells if len(cells) == width else None


def header_name(cell: str) -> str:
    """A column's name without what cannot be seen around it: a second byte order mark, spaces of no width."""
    return cell.strip(_UNSEEN).strip()


def comment_hint(columns: Sequence[str]) -> str:
    """What to do where the row taken for the header may be a comment; empty: it is none.

    Comments are not skipped: `#name,price` may as well be the header.
    """
    if not columns or not columns[0].startswith("#"):
        return ""
    return "the first line begins with #: where it is a comment, remove it and the others above the header"


def letters(name: str) -> str:
    """A column's name reduced to letters and digits: one name is written in many ways."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def parse_rows(lines: Iterable[str], delimiter: str, escape: str | None = None) -> Iterator[list[str]]:
    """All rows as texts, by the standard library; a quotation mark that is not closed is a `csv.Error`."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True, escapechar=escape)


def canonical(cells: Sequence[str], delimiter: str) -> str:
    """A row's text with an LF at its end, quoted where it must be: `parse_rows` gives the same cells again."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerow(cells)  # both are then quoted within cells
    return out.getvalue()[:-2] + "\n"


def _sample(source: Iterator[str]) -> list[str]:
    sample: list[str] = []
    size = 0
    for line in islice(source, _SAMPLE_LINES):
        sample.append(line)
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            break
    return sample


def _delimiter_of(sample: Sequence[str]) -> str:
    """The candidate by which most rows have the same number of fields, more than one; a comma where none does so."""
    best, found = 0.0, ","
    for candidate in _DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(sample, delimiter=candidate, skipinitialspace=True) if row)
        rows = widths.total()
        if widths.pop(1, 0) == rows:
            continue
        share = max(widths.values()) / rows
        if share > best:
            best, found = share, candidate
    return found


def _escape_of(sample: Sequence[str], delimiter: str) -> str | None:
    r"""A backslash where quotation marks are written as \" and rows are readable only so."""
    marked = [line for line in sample if '\\"' in line]
    if not marked or _unreadable(marked, delimiter, "\\") >= _unreadable(marked, delimiter, None):
        return None
    return "\\"


def _unreadable(lines: Sequence[str], delimiter: str, escape: str | None) -> int:
    count = 0
    for line in lines:
        try:
            next(parse_rows([line], delimiter, escape), None)
        except csv.Error:
            count += 1
    return count
