"""map_reduce: mappers read a split each and write an object for each reducer; reducers read theirs. A shuffle through S3."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lbench.workloads.model import Description, Params

__all__ = ["DESCRIPTION", "MapReduceParams"]


class MapReduceParams(Params, frozen=True, kw_only=True):
    """The job, how it is dealt out, and what is generated. `tasks` is the number of mappers (None: 16)."""

    job: Annotated[
        Literal["group_by", "word_count", "sort"],
        Meta(
            description="group_by: count, sum and mean of a column by another; word_count: how often each word is "
            "there; sort: records of 100 bytes by their keys of 10"
        ),
    ] = "group_by"
    reducers: Annotated[int, Meta(ge=1, le=1000, description="tasks of the second stage")] = 4
    combiner: Annotated[
        bool, Meta(description="a mapper sends one row a key, not each of its own (sort: nothing to combine)")
    ] = True
    by: Annotated[str, Meta(description="group_by: the file's column whose texts are the groups")] | None = None
    column: Annotated[str, Meta(description="group_by: the file's column of numbers")] | None = None
    rows: Annotated[
        int, Meta(ge=1, le=10_000_000, description="rows, lines of 8 words or records generated, without --data")
    ] = 200_000
    keys: (
        Annotated[
            int, Meta(ge=1, le=1_000_000, description="different keys generated; none: 1,000, and in a sort all differ")
        ]
        | None
    ) = None
    skew: Annotated[
        float, Meta(ge=0, le=10, description="the n-th generated key is 1/n to this power as frequent; 0: all alike")
    ] = 1.0


DESCRIPTION = Description(
    name="map_reduce",
    summary="two stages with a shuffle between them through S3 or a folder: group_by, word_count or sort",
    params=MapReduceParams,
    implementation="lbench.workloads.map_reduce.job:WORKLOAD",
    data="group_by: Census-Income (KDD), Adult or any CSV with a header; word_count: UTF-8 text (plain, .gz, .zst)",
    trial={"rows": 200, "keys": 5, "reducers": 2, "tasks": 2},
)
