"""Invocations as columns: a hundred thousand of them in memory without an object for each.

A row is an invocation's number in its run. What was not measured is NaN, -1 or an empty text, and None outside.
"""

from __future__ import annotations

import mmap
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.engine.journal.events import Audited, Dispatched, Returned
from lbench.engine.model import ErrorInfo

__all__ = ["BILLED_SOURCES", "STATUSES", "Columns"]

STATUSES = ("ok", "error", "throttled", "timeout", "cancelled", "superseded")
BILLED_SOURCES = ("report", "audit", "estimated", "model")

_STATUS_CODE = {name: code for code, name in enumerate(STATUSES)}
_SOURCE_CODE = {name: code for code, name in enumerate(BILLED_SOURCES)}

_SECONDS = ("queued_s", "dispatched_s", "started_s", "finished_s", "returned_s")
_MILLISECONDS = ("connect_ms", "init_ms", "fetch_ms", "compute_ms")
_DTYPES: dict[str, tuple[str, Any]] = {
    "stage": ("i4", -1),
    "task": ("i4", -1),
    "attempt": ("i4", -1),
    "environment": ("i4", -1),
    "cold": ("i1", -1),
    "status": ("i1", -1),
    **{name: ("f8", np.nan) for name in _SECONDS},
    **{name: ("f4", np.nan) for name in _MILLISECONDS},
    "billed_ms": ("i4", -1),
    "billed_source": ("i1", -1),
    "memory_mb": ("i4", -1),
    "max_memory_mb": ("i4", -1),
    "request_bytes": ("i8", -1),
    "response_bytes": ("i8", -1),
    "via_s3": ("i1", -1),
    "request_id": ("V16", b""),  # a UUID's bytes, as AWS's are; others are kept aside
}
_WHOLE = ("billed_ms", "memory_mb", "max_memory_mb", "request_bytes", "response_bytes")
_FLAGS = ("cold", "via_s3")
_GROWTH = 1.25
_BLOCK = 1024  # rows that are made ready at once
_MAPPED_BYTES = 1 << 17  # from there on an array has a mapping of its own
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Columns:
    """The invocations of one run; about 130 bytes each. `columns["compute_ms"]` is the column as it stands."""

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
        self._ready = 0  # rows that hold what stands for nothing

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
        """Begin a row."""
        row = event.n
        self._reach(row)
        put = self._arrays
        put["stage"][row] = event.stage
        put["task"][row] = event.task
        put["attempt"][row] = event.attempt
        if event.hedge_of is not None:
            self.hedge_of[row] = event.hedge_of
        put["environment"][row] = self.environment_code(event.environment)
        put["queued_s"][row] = event.queued_s
        put["dispatched_s"][row] = event.dispatched_s

    def finish(self, event: Returned) -> None:
        """End a row."""
        row = event.n
        self._reach(row)
        put = self._arrays
        put["status"][row] = _STATUS_CODE[event.status]
        put["returned_s"][row] = event.returned_s
        if event.environment is not None:
            put["environment"][row] = self.environment_code(event.environment)
        for name in ("started_s", "finished_s", *_MILLISECONDS, *_WHOLE, *_FLAGS):
            value = getattr(event, name)
            if value is not None:
                put[name][row] = value
        if event.billed_source is not None:
            put["billed_source"][row] = _SOURCE_CODE[event.billed_source]
        if event.request_id is not None:
            self._put_request_id(row, event.request_id)
        if event.error is not None:
            self.errors[row] = event.error
            if event.error.unrun and event.status != "throttled":
                self.unrun.append(row)
        if event.log_tail is not None:
            self.log_tails[row] = event.log_tail

    def audit(self, event: Audited) -> None:
        """What AWS has billed takes the place of an estimate."""
        put, row = self._arrays, event.n
        put["billed_ms"][row] = event.billed_ms
        put["billed_source"][row] = _SOURCE_CODE["audit"]
        for name in ("init_ms", "memory_mb", "max_memory_mb"):
            value = getattr(event, name)
            if value is not None:
                put[name][row] = value
        if event.request_id is not None:
            self._put_request_id(row, event.request_id)

    def _put_request_id(self, row: int, text: str) -> None:
        if _UUID.fullmatch(text):
            self._arrays["request_id"][row] = bytes.fromhex(text.replace("-", ""))
            self._request_ids.pop(row, None)
        else:
            self._request_ids[row] = text[:36]

    def row(self, row: int) -> dict[str, Any]:
        """One invocation by the names of the session document (without `usd`)."""
        arrays = self._arrays
        told: dict[str, Any] = {}
        for name in ("stage", "task", "attempt"):
            told[name] = int(arrays[name][row])
        told["hedge_of"] = self.hedge_of.get(row)
        code = int(arrays["environment"][row])
        told["environment"] = None if code < 0 else self.environments[code]
        status = int(arrays["status"][row])
        told["status"] = None if status < 0 else STATUSES[status]
        for name in _SECONDS:
            value = float(arrays[name][row])
            told[name] = None if np.isnan(value) else round(value, 6)
        for name in _MILLISECONDS:
            value = float(arrays[name][row])
            told[name] = None if np.isnan(value) else round(value, 3)
        for name in _WHOLE:
            told[name] = _or_none(int(arrays[name][row]))
        for name in _FLAGS:
            flag = int(arrays[name][row])
            told[name] = None if flag < 0 else bool(flag)
        source = int(arrays["billed_source"][row])
        told["billed_source"] = None if source < 0 else BILLED_SOURCES[source]
        told["request_id"] = self._request_ids.get(row) or _uuid_text(arrays["request_id"][row].tobytes())
        told["error"] = self.errors.get(row)
        told["log_tail"] = self.log_tails.get(row)
        return told


def _room(rows: int, dtype: str) -> NDArray[Any]:
    """An array that takes memory only as it is filled, and gives all of it back when a larger one takes its place.

    The allocator's heap would keep holes between a score of arrays that grow in turn: more than they hold.
    """
    size_bytes = rows * np.dtype(dtype).itemsize
    if size_bytes < _MAPPED_BYTES:
        return np.empty(rows, dtype=dtype)
    return np.frombuffer(mmap.mmap(-1, size_bytes), dtype=dtype)


def _uuid_text(told: bytes) -> str | None:
    """A UUID as it is written; None: there is none."""
    text = told.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])) if any(told) else None


def _or_none(value: int) -> int | None:
    return None if value < 0 else value
