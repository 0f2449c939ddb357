"""sort: records of 100 bytes by their first 10, ranges of keys to reducers; the answer is checked as valsort does.

The sort benchmark's valsort looks at each part by itself (is it in order, how many records, the sum of their CRC-32s, its
first and last key), then at the summaries one after the other. So do reducers and driver here. To be comparable byte for
byte with the reference, equal keys are ordered by the rest of the record, and there is a second sum in which each CRC is
multiplied by its record's place in the whole.
Source: Chris Nyberg, gensort and valsort, sortbenchmark.org.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.map_reduce import shuffle

__all__ = ["KEY_BYTES", "RECORD_BYTES", "map_records", "merge", "reduce_records", "reference", "splitters"]

RECORD_BYTES, KEY_BYTES = 100, 10
_SAMPLES = 100  # records a reducer that the ranges are made by
_WRAP = 1 << 64


def splitters(records: NDArray[np.uint8], reducers: int, seed: int) -> NDArray[Any]:
    """The keys at which the reducers' ranges begin, but for the first: (reducers - 1,) texts of 10 bytes.

    Quantiles of a sample, so that ranges are about equally full, as far as keys differ.
    """
    picked = np.random.RandomState(seed).randint(0, len(records), size=min(len(records), _SAMPLES * reducers))
    sample = np.sort(_keys(records[np.sort(picked)]))
    return sample[np.arange(1, reducers) * len(sample) // reducers]


def _keys(records: NDArray[np.uint8]) -> NDArray[Any]:
    return np.ascontiguousarray(records[:, :KEY_BYTES]).view(f"S{KEY_BYTES}").reshape(-1)


def map_records(records: NDArray[np.uint8], bounds: NDArray[Any], reducers: int) -> list[tuple[int, Any]]:
    """Each reducer's records: (how many, what is sent)."""
    owner = np.searchsorted(bounds, _keys(records), side="right") if reducers > 1 else np.zeros(len(records), np.int64)
    return [(len(own), {"records": records[own]}) for own in shuffle.shares(owner.astype(np.int64), reducers)]


def reduce_records(shares: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sort a range; its summary."""
    every = [np.empty((0, RECORD_BYTES), dtype=np.uint8), *(share["records"] for share in shares)]
    return _summary(np.sort(_whole(np.concatenate(every))))


def _whole(records: NDArray[np.uint8]) -> NDArray[Any]:
    return np.ascontiguousarray(records).view(f"S{RECORD_BYTES}").reshape(-1)


def _summary(ordered: NDArray[Any]) -> dict[str, Any]:
    plain = ordered.view(f"V{RECORD_BYTES}").tolist()  # S would lose zero bytes at the end
    checksum = places = 0
    for place, record in enumerate(plain, start=1):
        crc = zlib.crc32(record)
        checksum += crc
        places += place * crc
    keys = [record[:KEY_BYTES] for record in plain]
    return {
        "records": len(plain),
        "unordered": int((ordered[1:] < ordered[:-1]).sum()),
        "duplicates": sum(left == right for left, right in pairwise(keys)),
        "checksum": checksum % _WRAP,
        "places": places % _WRAP,
        "first": plain[0] if plain else b"",
        "last": plain[-1] if plain else b"",
    }


def merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The summary of the whole out of its parts', which must follow each other."""
    total: dict[str, Any] = {
        "records": 0,
        "unordered": 0,
        "duplicates": 0,
        "checksum": 0,
        "places": 0,
        "first": b"",
        "last": b"",
    }
    for part in parts:
        if not part["records"]:
            continue
        if total["records"]:
            total["unordered"] += part["first"] < total["last"]
            total["duplicates"] += part["first"][:KEY_BYTES] == total["last"][:KEY_BYTES]
        else:
            total["first"] = part["first"]
        total["places"] = (total["places"] + part["places"] + total["records"] * part["checksum"]) % _WRAP
        total["checksum"] = (total["checksum"] + part["checksum"]) % _WRAP
        for name in ("records", "unordered", "duplicates"):
            total[name] += part[name]
        total["last"] = part["last"]
    return total


def reference(records: NDArray[np.uint8]) -> dict[str, Any]:
    """The summary of what Python's own `sorted` makes of all records; `checksum` is that of the records as they came."""
    came = [record.tobytes() for record in records]
    ordered = sorted(came)
    crcs = [zlib.crc32(record) for record in ordered]
    return {
        "records": len(came),
        "unordered": 0,
        "duplicates": sum(a[:KEY_BYTES] == b[:KEY_BYTES] for a, b in pairwise(ordered)),
        "checksum": sum(map(zlib.crc32, came)) % _WRAP,
        "places": sum(place * crc for place, crc in enumerate(crcs, start=1)) % _WRAP,
        "first": ordered[0],
        "last": ordered[-1],
    }
