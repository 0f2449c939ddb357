"""map_reduce's task functions: what they do with their share is the job's (`groups`, `words`, `records`)."""

from __future__ import annotations

from typing import Any

import msgspec
from numpy.typing import NDArray

from lbench.workloads.dataset import Dataset
from lbench.workloads.functions import task_function
from lbench.workloads.map_reduce import groups, records, shuffle, words
from lbench.workloads.map_reduce.table import Layout
from lbench.workloads.objects import open_store

__all__ = ["map_split", "reduce_shares"]

_REDUCE = {"group_by": groups.reduce_rows, "word_count": words.reduce_words, "sort": records.reduce_records}


@task_function("map_reduce.map", parts=True)
def map_split(
    job: str,
    first: int,
    end: int,
    reducers: int,
    combiner: bool,
    store: dict[str, Any],
    data: Dataset,
    layout: dict[str, Any] | None = None,
    splitters: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Read the split [first, end) of the input and store a share for each reducer; returns what `shuffle.written` does."""
    split = data.part("input", first, end)
    if job == "group_by":
        parts = groups.map_rows(split, msgspec.convert(layout, Layout), reducers, combiner)
    elif job == "word_count":
        parts = words.map_words(split, reducers, combiner)
    else:
        assert splitters is not None
        parts = records.map_records(split, splitters, reducers)
    return shuffle.written(open_store(store), parts)


@task_function("map_reduce.reduce")
def reduce_shares(job: str, digests: NDArray[Any], store: dict[str, Any]) -> dict[str, Any]:
    """Read the shares of these hashes and make one result of them."""
    return _REDUCE[job](shuffle.read(open_store(store), digests))
