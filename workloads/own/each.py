"""Values of a plain function's parameters, a task for each: `seed=0..99`, `points=1000,10000`, `city=@cities.csv:name`.

As one text, a shell's words: "seed=0..99 points=1000,10000". The tasks are the product of all values, in their order; the
first name varies slowest. Values of a file are kept in the cache by their content when the plan is made, and named by the
first digits of its SHA-256: "city=@cities.csv:name%0123456789abcdef". Every process of a session then has the same values,
whatever becomes of the file.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import itertools
import json
import math
import os
import re
import shlex
import tempfile
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from lbench.decoding import decode_json
from lbench.errors import DataFileError, InputError, UnknownNameError
from lbench.folders import make_private
from lbench.workloads import parameters
from lbench.workloads.model import Params
from lbench.workloads.own.snapshot import cache_home
from lbench.workloads.own.type_spec import FieldSpec, annotation_of

__all__ = [
    "MOST_TASKS",
    "EachParams",
    "combinations",
    "count",
    "fixed_of",
    "grid_of",
    "joined",
    "pinned",
    "specs_of",
    "split",
]

MOST_TASKS = 1_000_000  # of a job: as `--tasks`
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.(?!\.)({_NUMBER})(?:([x+])({_NUMBER}))?")
_NO_RANGE = re.compile(rf"{_NUMBER}\.\.|\.\.{_NUMBER}")  # begins like one
_DATE = r"\d{4}-\d\d-\d\d"
_DATES = re.compile(rf"({_DATE})\.\.({_DATE})(?:\+(\d+))?")  # by days
_NUMBERS = ("int", "float", "decimal", "any")  # kinds that have ranges
_NO_TEXT = ("int", "float", "decimal", "bool", "date", "datetime", "time")  # of a file's cell, `NA` is none of these
_OPENING = ("[", "{", '"')  # of JSON
_PINNED = re.compile(r"@(?P<file>[^/]*)%(?P<digest>[0-9a-f]{16})")
_DIGITS = 16  # of a digest
_KEPT = 200  # files of values in the cache
_FILE_BYTES = 500_000_000
_JSON = json.JSONDecoder()

Grid = dict[str, Sequence[Any]]


class EachParams(Params, frozen=True):
    """Base of a plain function's parameters. `each` says which have several values; those have none of their own here.

    A parameter may have any name: what is not one has a name of Python's own kind.
    """

    each = ""  # a field of every class that is made of it
    __specs__: ClassVar[tuple[FieldSpec, ...]] = ()  # all the function's parameters, `seed` and `tasks` too

    def __post_init__(self) -> None:
        """Check the values, and that each parameter has one.

        Raises:
            ValueError: as "NAME: why".
        """
        if not self.each:
            return
        try:
            grid = grid_of(self.__specs__, self.each)
        except InputError as error:
            raise ValueError(f"each: {error}") from None
        for spec in self.__specs__:
            name = spec.name
            if name in grid:
                if name in self.__struct_fields__ and name not in Params.__struct_fields__:
                    msgspec.structs.force_setattr(self, name, msgspec.UNSET)
            elif spec.required and name not in fixed_of(self):
                raise ValueError(f"{name}: has no value: give -p {name}=VALUE, or --each {name}=VALUES")


def specs_of(params: EachParams | type[EachParams]) -> tuple[FieldSpec, ...]:
    """All parameters of the function, `seed` and `tasks` too."""
    return params.__specs__


def fixed_of(params: EachParams) -> dict[str, Any]:
    """The parameters that have one value."""
    values = {}
    for spec in specs_of(params):
        value = getattr(params, spec.name, msgspec.UNSET)
        if value is msgspec.UNSET or (spec.name == "tasks" and value is None):
            continue
        if spec.name == "seed" and spec.type.kind not in ("int", "float", "any"):
            continue
        values[spec.name] = value
    return values


def joined(texts: Iterable[str]) -> str:
    """Several `NAME=VALUES` as one text."""
    return shlex.join(texts)


def split(text: str) -> list[tuple[str, str]]:
    """The names and values of such a text.

    Raises:
        InputError: a word is not NAME=VALUES, or a name comes twice.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise InputError(f"{_short(text)}: a quotation mark is not closed") from None
    found: list[tuple[str, str]] = []
    for word in words:
        name, equals, values = word.partition("=")
        name, values = name.strip(), values.strip()
        if not equals or not name:
            raise InputError(f"must be NAME=VALUES, as in seed=0..99, got {_short(word) or 'nothing'}")
        if name in dict(found):
            raise InputError(f"{name} is given twice: write all its values in one, as in {name}=1,2,5..9")
        found.append((name, values))
    return found


def pinned(specs: Sequence[FieldSpec], texts: Iterable[str]) -> str:
    """`NAME=VALUES` as typed on a command line as one text, with the values of files kept in the cache.

    Raises:
        InputError: they cannot be used; the message begins with `--each`.
    """
    parts = []
    for text in texts:
        try:
            ((name, values),) = split(joined([text]))
            if values.startswith("@") and not _kept(values):
                if _PINNED.fullmatch(values) and not Path(values[1:]).is_file():
                    raise InputError(f"{name}={values}: its values are no longer kept: name the file without %...")
                read = _read_file(_spec(specs, name), values)
                shown = Path(values[1:]).name
                values = f"@{shown}%{_keep(read)}"
        except InputError as error:
            raise _of_option(error) from None
        parts.append(f"{name}={values}")
    whole = joined(parts)
    try:
        grid_of(specs, whole)
    except InputError as error:
        raise _of_option(error) from None
    return whole


def _of_option(error: InputError) -> InputError:
    return InputError(f"--each{':' * isinstance(error, UnknownNameError | DataFileError)} {error}")


def combinations(grid: Grid) -> Iterator[dict[str, Any]]:
    """A dict of arguments for each task, in order."""
    names = tuple(grid)
    return (dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values()))


def count(grid: Grid) -> int:
    """The number of tasks: a grid's size."""
    return math.prod(map(len, grid.values()))


@functools.lru_cache(maxsize=16)
def _grid(encoded_specs: bytes, text: str) -> Grid:
    specs = msgspec.json.decode(encoded_specs, type=list[FieldSpec])
    grid: Grid = {}
    for name, values in split(text):
        spec = _spec(specs, name)
        grid[name] = _kept_values(spec, values) if values.startswith("@") else _typed(spec, values)
        if count(grid) > MOST_TASKS:
            shown = " x ".join(f"{len(one):,}" for one in grid.values())
            raise InputError(f"{_call(name, values)}: must be at most {MOST_TASKS:,} tasks, got {shown}")
    return grid


def grid_of(specs: Iterable[FieldSpec], text: str) -> Grid:
    """The values by parameter.

    Raises:
        InputError: a parameter that does not exist, no values, values of another type, or too many.
    """
    return _grid(msgspec.json.encode(tuple(specs)), text)


def _spec(specs: Iterable[FieldSpec], name: str) -> FieldSpec:
    known = {spec.name: spec for spec in specs}
    if name not in known:
        raise UnknownNameError("parameter", name, known)
    return known[name]


def _call(name: str, values: str) -> str:
    return f"{name}={_short(values)}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


# -- values as typed


def _typed(spec: FieldSpec, text: str) -> Sequence[Any]:
    name = spec.name
    if not text:
        raise InputError(f"{name}: there are no values: write them as in {name}=0..99 or {name}=1,2,5")
    lists = spec.type.kind in ("list", "tuple")
    if lists and not text.startswith("["):
        raise InputError(
            f"{_call(name, text)}: each value is a list: write {name}=[1,2],[3], or one a line of a file: {name}=@FILE.jsonl"
        )
    if spec.type.kind in ("int", "any") and (whole := _whole_range(spec, text)) is not None:
        return whole
    found: list[Any] = []
    quoted: set[int] = set()
    for part in _parts(name, text, _OPENING if spec.type.kind == "any" else ("[",) if lists else ('"',)):
        part = part.strip()
        if not part:
            raise InputError(f"{_call(name, text)}: a value is empty: write {name}=1,2,5")
        if spec.type.kind != "any" and part[0] == ("[" if lists else '"'):
            quoted.add(len(found))
            found.append(decode_json(part))
        elif spec.type.kind in _NUMBERS and (bounds := _RANGE.fullmatch(part)):
            found += _numbers(name, part, bounds, exact=spec.type.kind == "decimal")
        elif spec.type.kind == "date" and (days := _DATES.fullmatch(part)):
            found += _dates(name, part, days)
        elif spec.type.kind in _NUMBERS and _NO_RANGE.match(part):
            raise InputError(f"{_call(name, part)}: a range must be A..B, A..B+STEP or A..BxFACTOR")
        else:
            found.append(part)
        if len(found) > MOST_TASKS:
            raise InputError(f"{_call(name, text)}: must be at most {MOST_TASKS:,} values")
    return _converted(spec, found, _short(text), typed=quoted)


def _parts(name: str, text: str, opening: tuple[str, ...]) -> Iterator[str]:
    """The values between the commas. One that begins with such a sign is JSON, and commas in it do not part values."""
    place = 0
    while place <= len(text):
        begin = len(text) - len(text[place:].lstrip())
        end = begin
        if text.startswith(opening, begin):
            try:
                _, end = _JSON.raw_decode(text, begin)
                msgspec.json.decode(text[begin:end])
            except (ValueError, RecursionError):
                end = -1
        comma = text.find(",", max(end, begin))
        comma = len(text) if comma < 0 else comma
        if end < 0 or (end > begin and text[end:comma].strip()):
            example = f'{name}="a, b",c' if text[begin] == '"' else f'{name}=[1,2],[3,4] or {name}={{"a":1}}'
            raise InputError(f"{_call(name, text[begin:])}: must be JSON, as in {example}")
        yield text[begin:comma]
        place = comma + 1


def _whole_range(spec: FieldSpec, text: str) -> range | None:
    """`A..B` of whole numbers without limits of its own, which needs no list; None: something else."""
    bounds = _RANGE.fullmatch(text)
    if bounds is None or bounds[3] or spec.type.limits:
        return None
    try:
        first, last = int(bounds[1]), int(bounds[2])
    except ValueError:
        return None
    if not -(2**63) <= first <= last < 2**63:
        if last < first:
            raise _empty(spec.name, text)
        raise InputError(f"{_call(spec.name, text)}: must be numbers of 64 bits")
    if last - first >= MOST_TASKS:
        raise InputError(f"{_call(spec.name, text)}: must be at most {MOST_TASKS:,} values, got {last - first + 1:,}")
    return range(first, last + 1)


def _empty(name: str, part: str, smaller: str = "the smaller number") -> InputError:
    return InputError(f"{_call(name, part)}: the range is empty: write {smaller} first")


def _dates(name: str, part: str, bounds: re.Match[str]) -> list[Any]:
    """`A..B` or `A..B+DAYS`, with both ends."""
    try:
        first, last = (datetime.date.fromisoformat(text) for text in bounds.group(1, 2))
        by = datetime.timedelta(days=int(bounds[3] or 1))
    except (ValueError, OverflowError):
        raise InputError(f"{_call(name, part)}: must be dates, as in 2026-01-01..2026-12-31") from None
    if last < first:
        raise _empty(name, part, "the earlier date")
    if not by:
        raise InputError(f"{_call(name, part)}: the step must be above 0")
    return [first + number * by for number in range((last - first) // by + 1)]


def _numbers(name: str, part: str, bounds: re.Match[str], *, exact: bool = False) -> list[Any]:
    """`A..B`, `A..B+STEP` or `A..BxFACTOR`, with both ends. `exact`: as decimals, and not as floats."""
    try:
        first, last = Decimal(bounds[1]), Decimal(bounds[2])
        by = Decimal(bounds[4]) if bounds[3] else Decimal(1)
        if last < first:
            raise _empty(name, part)
        if bounds[3] == "x":
            if by <= 1 or first <= 0:
                raise InputError(f"{_call(name, part)}: A..BxF must have a factor above 1 and begin above 0")
            steps = int(math.log(last / first) / math.log(by)) + 2
        else:
            if by <= 0:
                raise InputError(f"{_call(name, part)}: the step must be above 0")
            steps = int((last - first) / by) + 1
    except (DecimalException, OverflowError, ValueError):
        raise InputError(f"{_call(name, part)}: the numbers are too large") from None
    if steps > MOST_TASKS + 1:
        raise InputError(f"{_call(name, part)}: must be at most {MOST_TASKS:,} values, got {steps:,}")
    whole = all(re.fullmatch(r"[+-]?\d+", text) for text in (bounds[1], bounds[2], bounds[4] or "1"))
    found: list[Any] = []
    value = first
    while value <= last:
        found.append(value if exact else int(value) if whole else float(value))
        value = value * by if bounds[3] == "x" else first + by * len(found)
    return found


def _converted(spec: FieldSpec, values: list[Any], shown: str, *, typed: bool | Container[int] = False) -> list[Any]:
    """`typed`: texts among the values, or those at these places, are values, and not to be read as numbers, say."""
    found = parameters.parse_values(annotation_of(spec.type), spec.name, values, shown, typed=typed)
    for value in found:
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise InputError(f"{spec.name}={shown}: must be numbers of 64 bits")
    return found


# -- values of a file


def _read_file(spec: FieldSpec, text: str) -> list[Any]:
    """The values of `@file.csv[:column]`, `@file.jsonl[:key]`, or a file of lines."""
    from lbench.workloads.textfile import why_no_file

    path, column = _file_and_column(text[1:])
    name = spec.name
    shown = f"{name}=@{path}"
    try:
        if not path.is_file():
            raise InputError(f"{shown}: {why_no_file(path)}")
        if not path.stat().st_size:
            raise InputError(f"{shown}: there are no values in it")
        if path.stat().st_size > _FILE_BYTES:
            raise InputError(f"{shown}: must be at most {_FILE_BYTES / 1e6:.0f} MB")
        kind = "".join(path.suffixes[-2:] if path.suffix in (".gz", ".zst") else path.suffixes[-1:]).lower()
        typed = kind.startswith((".jsonl", ".ndjson"))
        if kind.startswith(".json") and not typed:
            raise InputError(f"{shown}: must be one JSON value a line, in a file that ends in .jsonl")
        if typed:
            values = _json_lines(path, column, shown)
        elif kind.startswith((".csv", ".tsv")):
            values = _cells(path, column, spec, shown)
        elif column is None:
            values = [(number, line.strip()) for number, line in enumerate(_lines(path), 1) if line.strip()]
        else:
            raise InputError(f"{shown}: a column is of a .csv or .jsonl file")
    except OSError as error:
        raise InputError(f"{shown}: cannot be read: {error.strerror}") from None
    if not values:
        raise InputError(f"{shown}: there are no values in it")
    if len(values) > MOST_TASKS:
        raise InputError(f"{shown}: must have at most {MOST_TASKS:,} values, got {len(values):,}")
    try:
        return _converted(spec, [value for _, value in values], f"@{path.name}", typed=typed)
    except InputError as error:
        raise _at_its_line(spec, values, shown, typed) or error from None


def _at_its_line(spec: FieldSpec, values: list[tuple[int, Any]], shown: str, typed: bool) -> InputError | None:
    """The refusal of the first value that cannot be used, with its line."""
    for line, value in values:
        written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        try:
            _converted(spec, [value], written, typed=typed)
        except InputError as error:
            why = str(error).removeprefix(f"{spec.name}={written}: ")
            return InputError(f"{shown}, line {line:,}: {why}, got {_short(written) or 'nothing'}")
    return None


def _file_and_column(text: str) -> tuple[Path, str | None]:
    if not text:
        raise InputError("name a file after @, as in @cities.csv:name")
    whole = _path(text)
    before, colon, column = text.rpartition(":")
    if not colon or not before or whole.is_file():
        return whole, None
    return _path(before), column


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the home folder of nobody
        raise InputError(f"@{text}: there is no such home folder") from None


def _lines(path: Path) -> Generator[str, None, None]:
    from lbench.workloads.textfile import TextFile

    with contextlib.closing(iter(TextFile(path, by_name=False))) as lines:
        yield from lines


def _cells(path: Path, column: str | None, spec: FieldSpec, shown: str) -> list[tuple[int, Any]]:
    from lbench.workloads.csv_rows import MISSING_TEXTS, CsvRows, comment_hint, header_name, of_width

    with contextlib.closing(_lines(path)) as lines:
        rows = iter(CsvRows(path, lines))
        header = next(rows, None)
        if header is None:
            raise InputError(f"{shown}: there are no values in it")
        columns = [header_name(cell) for cell in header.cells]
        wanted = column if column is not None else columns[0] if len(columns) == 1 else spec.name
        if wanted not in columns:
            there = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
            remedy = comment_hint(columns) or "name one after a colon"
            raise InputError(f"{shown}: there is no column {wanted!r}: {remedy} ({_short(there)})")
        if columns.count(wanted) > 1:
            raise InputError(f"{shown}: {columns.count(wanted)} columns are named {wanted!r}: rename all but one")
        if column is None and wanted != spec.name and _is_value(spec, wanted):
            raise InputError(f"{shown}: its first line must name the column, got {wanted}: add a header line")
        place = columns.index(wanted)
        no_text = spec.type.optional and spec.type.kind in _NO_TEXT
        values = []
        for row in rows:
            cells = of_width(row.cells, len(columns))
            if cells is None:
                why = row.problem or f"{len(row.cells)} fields in place of {len(columns)}"
                raise InputError(f"{shown}, line {row.line:,}: {why}")
            cell = cells[place].strip()
            values.append((row.line, "" if no_text and cell.lower() in MISSING_TEXTS else cell))
    return values


def _is_value(spec: FieldSpec, text: str) -> bool:
    """Whether a text, which may be a name, reads as a number or another value that is no text."""
    try:
        (value,) = _converted(spec, [text], text)
    except InputError:
        return False
    return not isinstance(value, str)


def _json_lines(path: Path, key: str | None, shown: str) -> list[tuple[int, Any]]:
    values = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = decode_json(line)
        except (msgspec.MsgspecError, UnicodeError):
            raise InputError(f"{shown}, line {number}: must be one JSON value a line") from None
        if key is not None:
            if not isinstance(value, dict) or key not in value:
                raise InputError(f"{shown}, line {number}: there is no key {key!r}")
            value = value[key]
        values.append((number, value))
    return values


def _folder() -> Path:
    return cache_home() / "each"


def _keep(values: list[Any]) -> str:
    """Write values into the cache; returns the digits of their digest."""
    content = msgspec.json.encode(values)
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    folder = _folder()
    try:
        make_private(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            file.write(content)
        Path(file.name).replace(folder / f"{digest}.json")
        kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_KEPT:]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to another folder"
        ) from None
    return digest


def _kept(text: str) -> Path | None:
    found = _PINNED.fullmatch(text)
    path = None if found is None else _folder() / f"{found['digest']}.json"
    return path if path is not None and path.is_file() else None


def _kept_values(spec: FieldSpec, text: str) -> list[Any]:
    path = _kept(text)
    if path is None and not _PINNED.fullmatch(text):
        return _read_file(spec, text)
    try:
        if path is None:
            raise FileNotFoundError
        os.utime(path)
        values = decode_json(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        raise InputError(f"{_call(spec.name, text)}: its values are no longer kept: name the file again") from None
    return _converted(spec, values, _short(text), typed=True)
