"""Recordings in their authors' files: the kind of each by its columns, and their rows."""

from __future__ import annotations

import contextlib
import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from lbench.errors import InputError

Rows = list[dict[str, str]]

_COLUMNS: dict[str, set[str]] = {  # of each kind of CSV file; its name may be any
    "function": {"memory", "type", "exec_time"},
    "workflow": {"func", "start", "end", "request_id"},
    "payload": {"payload_size", "connection_time", "invocation_time"},
    "eviction": {"Invocations", "DeltaT", "WarmContainers"},
    "fan-out": {"cold", "submit_s", "worker_start_s", "status_seen_s", "exec_s"},
    "S3": {"operation", "p50", "p90", "p99", "p99.9"},
    "arrivals": {"ArrivalRate", "ColdStartProbability"},
}
_LEAST = {  # of what is counted, or divided by: less cannot have been recorded
    "memory": 1.0,
    "exec_time": 0.0,
    "payload_size": 0.0,
    "Invocations": 1.0,
    "DeltaT": 0.0,
    "WarmContainers": 0.0,
    "ArrivalRate": 1e-9,
    "ColdStartProbability": 0.0,
}
_MOST = 0.5  # of a kind's columns: a file that lacks others of them is of that kind, and named


class Recordings:
    """Files by their kinds, each kind in the order of the names."""

    def __init__(self, places: Sequence[Path]) -> None:
        """`places`: files, and folders in which other files may lie too.

        Raises:
            InputError: a file that was named cannot be read, or is of no kind.
        """
        self._kinds: dict[str, list[Path]] = defaultdict(list)
        for place in places:
            for path in sorted(place.iterdir()) if place.is_dir() else [place]:
                try:
                    self._kinds[_kind_of(path)].append(path)
                except InputError:
                    if not place.is_dir():
                        raise

    def of(self, kind: str) -> list[Path]:
        return self._kinds[kind]

    def like(self, kind: str, path: Path) -> Path:
        """The file of this name; there being none, that very file."""
        return next((one for one in self._kinds[kind] if one.name == path.name), path)


def is_cold(path: Path, rows: Rows) -> bool:
    """Whether a recording's environments were new, by the file's name, else by most of its calls."""
    name = path.stem.lower()
    if "warm" in name or "burst" in name or "cold" in name:
        return "warm" not in name
    return 2 * sum(is_true(row.get("is_cold")) for row in rows) > len(rows)


def is_true(text: str | None) -> bool:
    """A flag of a CSV file."""
    return (text or "").strip().lower() in ("1", "1.0", "true", "yes")


def _kind_of(path: Path) -> str:
    """What is recorded in a file.

    Raises:
        InputError: it cannot be read, or is of no kind.
    """
    if path.suffix == ".json":
        return "network"
    columns = columns_of(path) if path.suffix == ".csv" else set()
    shares = {kind: len(needed & columns) / len(needed) for kind, needed in _COLUMNS.items()}
    kind = max(shares, key=lambda one: shares[one])
    if shares[kind] < _MOST:
        raise InputError(f"{path}: its columns are those of no kind of recording: docs/model.md names them")
    return kind


def read_rows(path: Path, *numbers: str, texts: tuple[str, ...] = ()) -> Rows:
    """The rows of a CSV file. One that lacks a number has failed, and is left out.

    Raises:
        InputError: a column is missing, or a value is not a number or impossible.
    """
    rows = []
    for line, row in enumerate(_read(path), 2):
        if missing := [name for name in (*numbers, *texts) if name not in row]:
            raise InputError(f"{path}: column {missing[0]} is missing; there are {', '.join(filter(None, row))}")
        try:
            known = {name: float(row[name]) for name in numbers if row[name]}
        except (TypeError, ValueError):
            raise InputError(f"{path}, line {line}: {', '.join(numbers)} must be numbers") from None
        for name, value in known.items():
            if value < _LEAST.get(name, -math.inf):
                raise InputError(f"{path}, line {line}: {name} must be at least {_LEAST[name]:g}, got {row[name]}")
        if len(known) == len(numbers) and all(map(math.isfinite, known.values())):
            rows.append(row)
    return rows


def columns_of(path: Path) -> set[str]:
    """The names in a file's first line; none for an empty file."""
    with _reader(path) as reader:
        return set(reader.fieldnames or ())


def _read(path: Path) -> Rows:
    with _reader(path) as reader:
        return list(reader)


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[csv.DictReader[str]]:
    """The rows of a CSV file, while it is open.

    Raises:
        InputError: it cannot be read, or is no CSV file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.DictReader(file)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a CSV file: {error}") from None


def rows_by_request(path: Path) -> dict[str, Rows]:
    """The calls of each workflow: rows with `start` and `end`, by `request_id`."""
    found: dict[str, Rows] = defaultdict(list)
    for row in read_rows(path, "start", "end", texts=("func", "request_id")):
        found[row["request_id"]].append(row)
    return found
