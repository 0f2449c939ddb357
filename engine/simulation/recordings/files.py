"""Rows of recordings, in their authors' CSV files."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

from lbench.errors import InputError

Rows = list[dict[str, str]]


def read_rows(path: Path, *numbers: str, texts: tuple[str, ...] = ()) -> Rows:
    """The rows of a CSV file. One that lacks a number has failed, and is left out.

    Raises:
        InputError: a column is missing, or a value is not a number.
    """
    rows = []
    for line, row in enumerate(_read(path), 2):
        if missing := [name for name in (*numbers, *texts) if name not in row]:
            raise InputError(f"{path}: column {missing[0]} is missing; there are {', '.join(filter(None, row))}")
        try:
            known = [float(row[name]) for name in numbers if row[name]]
        except (TypeError, ValueError):
            raise InputError(f"{path}, line {line}: {', '.join(numbers)} must be numbers") from None
        if len(known) == len(numbers) and all(map(math.isfinite, known)):
            rows.append(row)
    return rows


def columns_of(path: Path) -> set[str]:
    """The names in a file's first line; none for an empty file."""
    return {name for row in _read(path)[:1] for name in row}


def _read(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
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
