"""A job's data set: named arrays in one file that every environment maps into memory or fetches once.

The file: 8 bytes of magic, the header's length (uint64, little-endian), a MessagePack header, then each array
in C order at a multiple of 64 bytes. Its SHA-256 is the data set's digest, and the name it is stored under.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.errors import DataFileError, EncodingError

__all__ = ["Dataset", "RemoteDataset", "file_digest", "open_dataset", "write_dataset"]

_MAGIC = b"LBDATA01"
_ALIGN = 64
_HEAD_BYTES = 1 << 16  # nearly always the whole header


class _Entry(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    offset: int


class _Header(msgspec.Struct):
    source: str
    rows: int
    columns: int
    notes: list[str]
    meta: dict[str, Any]
    arrays: dict[str, _Entry]


class Dataset:
    """Named arrays, where they came from, and what was kept and dropped to make them."""

    def __init__(
        self,
        arrays: dict[str, NDArray[Any]],
        *,
        source: str,
        rows: int,
        columns: int,
        notes: list[str] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.arrays = arrays
        self.source = source  # one line: a file's name and digest, or the generator and its seed
        self.rows = rows
        self.columns = columns
        self.notes = notes or []  # one line each: rows and columns used and dropped, and why
        self.meta = meta or {}  # small JSON values (feature names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def part(self, name: str, first: int, end: int) -> NDArray[Any]:
        """The rows [first, end) of an array's first dimension."""
        return self.arrays[name][first:end]


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def write_dataset(dataset: Dataset, path: Path) -> str:
    """Write the file and return its SHA-256 in hex. Equal data sets give equal bytes.

    Raises:
        EncodingError: an array holds Python objects, which cannot be sent.
        OSError: the file cannot be written.
    """
    entries: dict[str, _Entry] = {}
    offset = 0
    for name, array in dataset.arrays.items():
        if array.dtype.hasobject:
            raise EncodingError(
                f"array {name!r} of the data set holds Python objects: use numbers, bytes or fixed text"
            )
        entries[name] = _Entry(array.dtype.str, array.shape, offset)
        offset = _aligned(offset + array.nbytes)
    header = msgspec.msgpack.encode(
        _Header(dataset.source, dataset.rows, dataset.columns, dataset.notes, dataset.meta, entries)
    )
    start = _aligned(len(_MAGIC) + 8 + len(header))
    digest = hashlib.sha256()
    with path.open("wb") as file:

        def put(data: Any) -> None:
            file.write(data)
            digest.update(data)

        put(_MAGIC + struct.pack("<Q", len(header)) + header)
        put(b"\0" * (start - len(_MAGIC) - 8 - len(header)))
        at = 0
        for name, array in dataset.arrays.items():
            put(b"\0" * (entries[name].offset - at))
            body = np.ascontiguousarray(array)
            if body.size:
                put(body.reshape(-1).view(np.uint8).data)
            at = entries[name].offset + body.nbytes
    return digest.hexdigest()


def open_dataset(path: Path) -> Dataset:
    """Map a data set into memory; the arrays are read-only and shared between processes by the page cache.

    Raises:
        DataFileError: the file is not a data set, or is torn.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if mapped[:8] != _MAGIC:
            raise DataFileError(f"{path} is not an lbench data set")
        (length,) = struct.unpack("<Q", mapped[8:16])
        header = msgspec.msgpack.decode(mapped[16 : 16 + length], type=_Header)
        start = _aligned(16 + length)
        arrays: dict[str, NDArray[Any]] = {}
        for name, entry in header.arrays.items():
            count = math.prod(entry.shape)
            view = np.frombuffer(mapped, dtype=np.dtype(entry.dtype), count=count, offset=start + entry.offset)
            arrays[name] = view.reshape(entry.shape)
    except (OSError, ValueError, TypeError, OverflowError, struct.error, msgspec.MsgspecError) as error:
        raise DataFileError(f"{path} cannot be read as a data set: {error}") from error
    return Dataset(
        arrays,
        source=header.source,
        rows=header.rows,
        columns=header.columns,
        notes=header.notes,
        meta=header.meta,
    )


class RemoteDataset:
    """A data set elsewhere, of which only parts are fetched: for task functions that say `parts=True`.

    The file's digest is of the whole, so what is fetched here is as sound as the transport and no more.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        """`read(first, end)` gives bytes of the file."""
        self._read = read
        self._header: _Header | None = None
        self._start = 0

    def part(self, name: str, first: int, end: int) -> NDArray[Any]:
        """As `Dataset.part`.

        Raises:
            DataFileError: it is not a data set.
        """
        entry = self._entries()[name]
        row = np.dtype(entry.dtype).itemsize * math.prod(entry.shape[1:])
        end = min(end, entry.shape[0])
        at = self._start + entry.offset
        body = self._read(at + first * row, at + max(first, end) * row)
        return np.frombuffer(body, dtype=np.dtype(entry.dtype)).reshape(-1, *entry.shape[1:])

    def _entries(self) -> dict[str, _Entry]:
        if self._header is None:
            head = self._read(0, _HEAD_BYTES)
            try:
                if head[:8] != _MAGIC:
                    raise ValueError("it does not begin as one")
                (length,) = struct.unpack("<Q", head[8:16])
                if 16 + length > len(head):
                    head += self._read(len(head), 16 + length)
                self._header = msgspec.msgpack.decode(head[16 : 16 + length], type=_Header)
            except (ValueError, struct.error, msgspec.MsgspecError) as error:
                raise DataFileError(f"what was fetched is not a data set: {error}") from error
            self._start = _aligned(16 + length)
        return self._header.arrays


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
