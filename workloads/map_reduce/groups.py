"""group_by: count, sum and mean of a column of numbers by a column of texts. Sums are exact and rounded once (`sums`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.map_reduce import shuffle
from lbench.workloads.map_reduce.cells import key_of, number
from lbench.workloads.map_reduce.sums import exact_sums, rounded
from lbench.workloads.map_reduce.table import Layout, columns_of, rows_of

__all__ = ["map_rows", "merge", "reduce_rows", "reference"]


def map_rows(text: NDArray[np.uint8], layout: Layout, reducers: int, combiner: bool) -> list[tuple[int, Any]]:
    """Each reducer's rows: (how many, what is sent).

    Combined it is a row a key: `count` of its numbers, `blank` cells, and `sums` (rounds, keys). Else every row as it
    is: `codes`, each row's place among the keys, and `values`, NaN where there is none.
    """
    keys, codes, values = columns_of(text, layout)
    owner = shuffle.owners(keys, reducers)
    if not combiner:
        return [_rows(keys, codes[rows], values[rows]) for rows in shuffle.shares(owner[codes], reducers)]
    there = ~np.isnan(values)
    count = np.bincount(codes[there], minlength=len(keys))
    blank = np.bincount(codes[~there], minlength=len(keys))
    sums = exact_sums(codes[there], values[there], len(keys))
    return [
        (
            len(own),
            {
                "keys": [keys[at] for at in own],
                "count": count[own].astype(np.int64),
                "blank": blank[own].astype(np.int64),
                "sums": sums[:, own],
            },
        )
        for own in shuffle.shares(owner, reducers)
    ]


def _rows(keys: list[str], codes: NDArray[Any], values: NDArray[np.float64]) -> tuple[int, Any]:
    used, places = np.unique(codes, return_inverse=True)
    return len(values), {"keys": [keys[at] for at in used], "codes": places.astype(np.int32), "values": values}


def reduce_rows(shares: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A reducer's keys, with `count`, `blank` and the final `sum` of each."""
    place: dict[str, int] = {}
    owns = [np.array([place.setdefault(key, len(place)) for key in share["keys"]], dtype=np.int64) for share in shares]
    count, blank = np.zeros(len(place), dtype=np.int64), np.zeros(len(place), dtype=np.int64)
    codes, values = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for own, share in zip(owns, shares, strict=True):
        if "codes" in share:
            rows, cells = own[share["codes"]], share["values"]
            missing = np.isnan(cells)
            count += np.bincount(rows[~missing], minlength=len(place))
            blank += np.bincount(rows[missing], minlength=len(place))
            codes.append(rows[~missing])
            values.append(cells[~missing])
        else:
            count[own] += share["count"]
            blank[own] += share["blank"]
            codes.append(np.tile(own, len(share["sums"])))
            values.append(share["sums"].reshape(-1))
    parts = exact_sums(np.concatenate(codes), np.concatenate(values), len(place))
    return {"keys": list(place), "count": count, "blank": blank, "sum": rounded(parts)}


def merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer out of the reducers' results: the keys in order."""
    keys = [key for part in parts for key in part["keys"]]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    columns = {name: np.concatenate([part[name] for part in parts])[order] for name in ("count", "blank", "sum")}
    return _answer([keys[at] for at in order], columns["count"], columns["blank"], columns["sum"])


def _answer(
    keys: list[str], count: NDArray[np.int64], blank: NDArray[np.int64], total: NDArray[np.float64]
) -> dict[str, Any]:
    mean = np.divide(total, count, out=np.full(len(keys), math.nan), where=count > 0)
    return {"keys": keys, "count": count, "blank": blank, "sum": total, "mean": mean}


def reference(text: NDArray[np.uint8], layout: Layout) -> dict[str, Any]:
    """The same by a plain loop: the standard library's CSV reader, a dict of lists, `math.fsum`."""
    groups: dict[str, list[float]] = {}
    for row in rows_of(text, layout):
        groups.setdefault(key_of(row[layout.by].encode()), []).append(number(row[layout.column].encode()))
    keys = sorted(groups)
    there = [[value for value in groups[key] if not math.isnan(value)] for key in keys]
    count = np.array([len(values) for values in there], dtype=np.int64)
    blank = np.array([len(groups[key]) for key in keys], dtype=np.int64) - count
    return _answer(keys, count, blank, np.array([math.fsum(values) + 0.0 for values in there]))
