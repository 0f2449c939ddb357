"""From mappers to reducers: each object is a reducer's share of a mapper's output, kept under its own content's hash.

A mapper that runs twice writes the same bytes under the same keys, and a reducer reads what the mappers' accepted
results name, and nothing else: retries and duplicates change nothing. A share without rows is not written.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.errors import EncodingError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.objects import Store, each

__all__ = ["owners", "read", "shares", "written"]

_LARGEST = 1 << 31  # bytes of a share
_LEVEL = 1  # of zlib: the higher ones cost more time than their bytes save


def owners(keys: Sequence[str], reducers: int) -> NDArray[np.int64]:
    """The reducer of each key: the same in every process."""
    return np.fromiter((zlib.crc32(key.encode()) % reducers for key in keys), dtype=np.int64, count=len(keys))


def shares(owner: NDArray[np.int64], reducers: int) -> list[NDArray[np.int64]]:
    """The places of each reducer's rows, in their order."""
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(reducers + 1))
    return [order[first:end] for first, end in pairwise(bounds)]


def written(store: Store, parts: Iterable[tuple[int, Any]]) -> dict[str, Any]:
    """Store a mapper's shares, (rows, value) for each reducer, and describe them for the driver.

    Arrays with an element for each reducer: `digests` uint8 (reducers, 32), `rows`, `bytes` (uncompressed: these do not
    depend on the library's version) and `stored` int64. Nothing is stored for a share without rows.
    """
    digests, rows, sizes, stored = [], [], [], []
    objects: list[tuple[str, bytes]] = []
    for count, value in parts:
        digest, body, packed = bytes(32), b"", b""
        if count:
            body = encode(value)
            packed = zlib.compress(body, _LEVEL)
            digest = hashlib.sha256(packed).digest()
            objects.append((digest.hex(), packed))
        digests.append(digest)
        rows.append(count)
        sizes.append(len(body))
        stored.append(len(packed))
    each(store, lambda here, pair: here.put(*pair), objects)
    return {
        "digests": np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32),
        "rows": np.array(rows, dtype=np.int64),
        "bytes": np.array(sizes, dtype=np.int64),
        "stored": np.array(stored, dtype=np.int64),
    }


def read(store: Store, digests: NDArray[np.uint8]) -> list[Any]:
    """The values of a reducer's shares, in the mappers' order, each checked against its hash.

    Raises:
        BackendError: one is not there, or is not what was stored.
        EncodingError: it is, and cannot be read all the same.
    """
    values = []
    names = [digest.tobytes().hex() for digest in digests]
    for name, packed in zip(names, each(store, lambda here, name: here.get(name, name), names), strict=True):
        try:
            values.append(decode(_unpacked(packed)))
        except zlib.error as error:
            raise EncodingError(f"object {name} cannot be unpacked: {error}") from None
    return values


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(packed, _LARGEST)
    if not unpacker.eof:
        raise zlib.error(f"it ends too early, or unpacks to more than {_LARGEST:,} bytes")
    return body
