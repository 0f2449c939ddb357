"""Invocations as columns: a hundred thousand in memory without an object for each.

A row is an invocation's number in its run. What was not measured is NaN, -1 or an empty text, and None outside. Times are
to the microsecond, as documents have them: what follows from a session and from its document is the same to the last digit.
"""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.engine.journal.events import Audited, Dispatched, Returned
from lbench.engine.model import ErrorInfo, Measures

__all__ = ["BILLED_SOURCES", "CODES", "RETURNED", "STATUSES", "Columns", "Rows", "Values", "dtype_of"]

STATUSES = ("ok", "error", "throttled", "timeout", "cancelled", "superseded")
BILLED_SOURCES = ("report", "audit", "estimated", "model")

_TEXTS = {"status": STATUSES, "billed_source": BILLED_SOURCES}  # columns that hold the index of a text
CODES = {name: {text: code for code, text in enumerate(texts)} for name, texts in _TEXTS.items()}
_FLAGS = ("cold", "via_s3")

_KEYS = ("stage", "task", "attempt")
_DTYPES: dict[str, tuple[str, Any]] = {  # with the empty value
    **{name: ("i4", -1) for name in (*_KEYS, "environment")},
    **{name: ("i1", -1) for name in ("cold", "status", "via_s3", "billed_source")},
    **{name: ("f8", np.nan) for name in ("queued_s", "dispatched_s", "started_s", "finished_s", "returned_s")},
    **{name: ("f4", np.nan) for name in ("connect_ms", "init_ms", "fetch_ms", "compute_ms")},
    **{name: ("i4", -1) for name in ("billed_ms", "memory_mb", "max_memory_mb", "peak_rss_mb", "batch")},
    **{name: ("i8", -1) for name in ("request_bytes", "response_bytes", "printed_bytes")},
    "request_id": ("V16", b""),  # a UUID's bytes, as AWS's are; others are kept aside
}
_SECONDS = frozenset(name for name, (dtype, _) in _DTYPES.items() if dtype == "f8")
_MILLISECONDS = frozenset(name for name, (dtype, _) in _DTYPES.items() if dtype == "f4")
_PLAIN = [name for name in _DTYPES if name not in (*_KEYS, "environment", "request_id")]
RETURNED = ("status", "returned_s", "cold", "started_s", "finished_s", *Measures.__struct_fields__)
_AUDITED = ("billed_ms", "init_ms", "memory_mb", "max_memory_mb")
_GROWTH = 2.0
_BLOCK = 1024  # rows that are made ready at once
_MAPPED_BYTES = 1 << 17  # from there on an array has a mapping of its own
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


Values = tuple[NDArray[np.bool_] | None, NDArray[Any]]  # which rows have a value (None: all), and the values


def dtype_of(name: str) -> Any:
    """The type of a column's cells."""
    return _DTYPES[name][0]


class Rows(msgspec.Struct, kw_only=True):
    """What happened to the invocations of one run in a stretch."""

    run: str
    first: int  # the number of the first that was dispatched; without one, all numbers are below it
    begun: dict[str, Values]
    begun_count: int
    ended_rows: NDArray[np.int64]
    ended: dict[str, Values]
    environments: list[str]  # in the order in which they came
    begun_environments: NDArray[np.int64]  # indices of `environments`, -1: none
    ended_environments: NDArray[np.int64]
    hedge_of: list[tuple[int, int]]
    errors: list[tuple[int, ErrorInfo]]
    log_tails: list[tuple[int, str]]
    uuids: Values | None  # the request ids of the ended ones; None: some are no UUIDs, and all are in `request_ids`
    request_ids: list[str | None]
    s3: tuple[int, int, int]  # PUT, GET, bytes

    @property
    def touched(self) -> list[int]:
        """The numbers of the invocations."""
        return [*range(self.first, self.first + self.begun_count), *self.ended_rows.tolist()]


class Columns:
    """The invocations of one run; about 150 bytes each. `columns["compute_ms"]` is the column as it stands."""

    def __init__(self) -> None:
        self.count = 0
        self.environments: list[str] = []  # a row's `environment` is an index into these
        self.errors: dict[int, ErrorInfo] = {}
        self.unrun: list[int] = []  # the rows that certainly never ran, besides those that were throttled
        self.log_tails: dict[int, str] = {}
        self.hedge_of: dict[int, int] = {}  # the rows that double another: few
        self._request_ids: dict[int, str] = {}  # those that are no UUIDs
        self._environment_codes: dict[str, int] = {}
        self._arrays: dict[str, NDArray[Any]] = {name: _room(64, dtype) for name, (dtype, _) in _DTYPES.items()}
        self._ready = 0  # rows that hold the empty values

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name][: self.count]

    def __len__(self) -> int:
        return self.count

    def environment_code(self, name: str | None) -> int:
        """The small number that stands for an environment's id; -1 for none."""
        if name is None:
            return -1
        code = self._environment_codes.get(name)
        if code is None:
            code = self._environment_codes[name] = len(self.environments)
            self.environments.append(name)
        return code

    def _reach(self, row: int) -> None:
        if row >= self._ready:
            size = len(self._arrays["stage"])
            if row >= size:
                new = max(row + 1, int(size * _GROWTH) + 64)
                for name, (dtype, _) in _DTYPES.items():
                    grown = _room(new, dtype)
                    grown[: self._ready] = self._arrays[name][: self._ready]
                    self._arrays[name] = grown
                size = new
            ready = min(size, row + _BLOCK)
            for name, (_, fill) in _DTYPES.items():
                self._arrays[name][self._ready : ready] = np.void(bytes(16)) if name == "request_id" else fill
            self._ready = ready
        self.count = max(self.count, row + 1)

    def dispatch(self, event: Dispatched) -> None:
        row = event.n
        self._reach(row)
        put = self._arrays
        put["stage"][row] = event.stage
        put["task"][row] = event.task
        put["attempt"][row] = event.attempt
        if event.hedge_of is not None:
            self.hedge_of[row] = event.hedge_of
        put["environment"][row] = self.environment_code(event.environment)
        put["queued_s"][row] = round(event.queued_s, 6)
        put["dispatched_s"][row] = round(event.dispatched_s, 6)

    def finish(self, event: Returned) -> None:
        row = event.n
        self._reach(row)
        self._put(row, event, RETURNED)
        if event.environment is not None:
            self._arrays["environment"][row] = self.environment_code(event.environment)
        if event.request_id is not None:
            self._put_request_id(row, event.request_id)
        if event.error is not None:
            self.errors[row] = event.error
            if event.error.unrun and event.status != "throttled":
                self.unrun.append(row)
        if event.log_tail is not None:
            self.log_tails[row] = event.log_tail

    def fits(self, rows: Rows) -> bool:
        """Whether these rows follow those that there are."""
        return self.count == rows.first if rows.begun_count else self.count >= rows.first

    def take(self, rows: Rows) -> None:
        """Begin and end many rows at once."""
        if not self.fits(rows):
            raise ValueError(f"rows from {rows.first} on do not follow {self.count}")
        codes = np.array([*map(self.environment_code, rows.environments), -1], dtype=np.int32)
        put = self._arrays
        if rows.begun_count:
            end = rows.first + rows.begun_count
            self._reach(end - 1)
            put = self._arrays
            for name, (_, values) in rows.begun.items():
                put[name][rows.first : end] = _rounded(name, values)
            put["environment"][rows.first : end] = codes[rows.begun_environments]
            self.hedge_of.update(rows.hedge_of)
        ended = rows.ended_rows
        for name, (there, values) in rows.ended.items():
            put[name][ended if there is None else ended[there]] = _rounded(name, values)
        known = rows.ended_environments >= 0
        put["environment"][ended[known]] = codes[rows.ended_environments[known]]
        if rows.uuids is not None:
            there, uuids = rows.uuids
            named = ended if there is None else ended[there]
            put["request_id"][named] = uuids
            for row in named.tolist() if self._request_ids else ():
                self._request_ids.pop(row, None)
        for row, text in zip(ended.tolist(), rows.request_ids, strict=False):
            if text is not None:
                self._put_request_id(row, text)
        for row, error in rows.errors:
            self.errors[row] = error
            if error.unrun and STATUSES[self._arrays["status"][row]] != "throttled":
                self.unrun.append(row)
        self.log_tails.update(rows.log_tails)

    def audit(self, event: Audited) -> None:
        """Replace an estimate by what AWS has billed."""
        self._put(event.n, event, _AUDITED)
        self._arrays["billed_source"][event.n] = CODES["billed_source"]["audit"]
        if event.request_id is not None:
            self._put_request_id(event.n, event.request_id)

    def _put(self, row: int, event: Returned | Audited, names: Iterable[str]) -> None:
        for name in names:
            value = getattr(event, name)
            if value is not None:
                self._arrays[name][row] = CODES[name][value] if name in CODES else _round(name, value)

    def _put_request_id(self, row: int, text: str) -> None:
        if _UUID.fullmatch(text):
            self._arrays["request_id"][row] = bytes.fromhex(text.replace("-", ""))
            self._request_ids.pop(row, None)
        else:
            self._request_ids[row] = text[:36]

    def row(self, row: int) -> dict[str, Any]:
        """One invocation by the names of the session document (without `usd`)."""
        arrays = self._arrays
        values: dict[str, Any] = {name: int(arrays[name][row]) for name in _KEYS}
        values |= {name: _value(name, arrays[name][row].item()) for name in _PLAIN}
        code = int(arrays["environment"][row])
        return values | {
            "hedge_of": self.hedge_of.get(row),
            "environment": None if code < 0 else self.environments[code],
            "request_id": self._request_ids.get(row) or _uuid_text(arrays["request_id"][row].tobytes()),
            "error": self.errors.get(row),
            "log_tail": self.log_tails.get(row),
        }


def _round(name: str, value: float) -> float:
    """A value to the microsecond: of what a cell can hold, which is what a document will have."""
    if name in _SECONDS:
        return round(value, 6)
    return round(float(np.float32(value)), 3) if name in _MILLISECONDS else value


def _rounded(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """As `_round`, many at once."""
    if name in _SECONDS:
        return np.round(values, 6)
    return np.round(values.astype(np.float32).astype(np.float64), 3) if name in _MILLISECONDS else values


def _value(name: str, cell: int | float) -> Any:
    """A cell as the session document has it; None: not measured."""
    if isinstance(cell, float):
        return None if math.isnan(cell) else round(cell, 6 if name.endswith("_s") else 3)
    if cell < 0:
        return None
    if name in _TEXTS:
        return _TEXTS[name][cell]
    return bool(cell) if name in _FLAGS else cell


def _room(rows: int, dtype: str) -> NDArray[Any]:
    """An array that takes memory only as it is filled, and gives all of it back when a larger one takes its place.

    The allocator's heap would keep holes between a score of arrays that grow in turn: more than they hold.
    """
    size_bytes = rows * np.dtype(dtype).itemsize
    if size_bytes < _MAPPED_BYTES:
        return np.empty(rows, dtype=dtype)
    return np.frombuffer(mmap.mmap(-1, size_bytes), dtype=dtype)


def _uuid_text(uuid: bytes) -> str | None:
    """A UUID as it is written; None: there is none."""
    text = uuid.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])) if any(uuid) else None
