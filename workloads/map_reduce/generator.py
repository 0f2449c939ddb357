"""Generated input: rows, lines or records whose keys are as unevenly frequent as asked for; the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.errors import count_text
from lbench.workloads.dataset import Dataset
from lbench.workloads.map_reduce import MapReduceParams
from lbench.workloads.map_reduce.records import KEY_BYTES, RECORD_BYTES

__all__ = ["generated"]

_KEYS = 1000
_WORDS_A_LINE = 8


def generated(params: MapReduceParams) -> Dataset:
    """A table of keys and numbers with two decimals, lines of words, or records."""
    random = np.random.RandomState(params.seed)  # the legacy generator's streams do not change
    if params.job == "sort":
        return _records(params, random)
    keys = params.keys or _KEYS
    if params.job == "group_by":
        chosen = _zipf(random, keys, params.skew, params.rows)
        values = np.round(random.normal(100.0, 20.0, params.rows), 2)
        lines = [f"k{key},{value}\n" for key, value in zip(chosen.tolist(), values.tolist(), strict=True)]
        meta: dict[str, Any] = {"layout": {"by": 0, "column": 1, "fields": 2, "delimiter": ",", "quoted": False}}
        return _of_text(lines, f"{count_text(params.rows, 'row')} of {count_text(keys, 'key')}", 2, params, meta)
    names = [f"w{number}" for number in range(keys)]
    table = _zipf(random, keys, params.skew, params.rows * _WORDS_A_LINE).reshape(params.rows, _WORDS_A_LINE)
    lines = [" ".join([names[at] for at in row]) + "\n" for row in table.tolist()]
    return _of_text(lines, f"{count_text(params.rows, 'line')} of {count_text(keys, 'word')}", 1, params, {})


def _zipf(random: np.random.RandomState, keys: int, skew: float, count: int) -> NDArray[np.int64]:
    """`count` places among the keys: the n-th is taken in proportion to n to the power of -skew."""
    total = np.cumsum(np.arange(1, keys + 1, dtype=np.float64) ** -skew)
    return np.searchsorted(total, random.uniform(0, total[-1], count), side="right").clip(max=keys - 1)


def _of_text(lines: list[str], what: str, columns: int, params: MapReduceParams, meta: dict[str, Any]) -> Dataset:
    text = "".join(lines).encode()
    marks = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    return Dataset(
        {"input": np.frombuffer(text, dtype=np.uint8), "marks": marks},
        source=f"generated: {what}, skew {params.skew:g}, seed {params.seed}",
        rows=len(lines),
        columns=columns,
        meta=meta,
    )


def _records(params: MapReduceParams, random: np.random.RandomState) -> Dataset:
    """Ten bytes of key, the record's number, and a letter again and again."""
    records = np.empty((params.rows, RECORD_BYTES), dtype=np.uint8)
    if params.keys is None:
        records[:, :KEY_BYTES] = random.randint(0, 256, (params.rows, KEY_BYTES))
        what = "random keys"
    else:
        known = random.randint(0, 256, (params.keys, KEY_BYTES)).astype(np.uint8)
        records[:, :KEY_BYTES] = known[_zipf(random, params.keys, params.skew, params.rows)]
        what = f"{params.keys:,} keys, skew {params.skew:g}"
    numbers = np.arange(params.rows)
    for digit in range(10):
        records[:, KEY_BYTES + digit] = 48 + numbers // 10 ** (9 - digit) % 10
    records[:, KEY_BYTES + 10 :] = (65 + numbers % 26)[:, None]
    return Dataset(
        {"input": records, "marks": np.arange(params.rows + 1)},
        source=f"generated: {params.rows:,} records of {RECORD_BYTES} bytes, {what}, seed {params.seed}",
        rows=params.rows,
        columns=2,
    )
