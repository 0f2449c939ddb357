"""kmeans: Lloyd's iteration, a stage of tasks each time, whose number may change on the way."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lbench.workloads.model import Description, Params

__all__ = ["DESCRIPTION", "KMeansParams"]


class KMeansParams(Params, frozen=True, kw_only=True):
    """The clusters and the rows. `tasks` None: chosen from iteration to iteration (see `elastic`)."""

    k: Annotated[int, Meta(ge=1, le=10_000, description="clusters to find, and blobs that are generated")] = 10
    n_samples: Annotated[int, Meta(ge=1, le=100_000_000, description="rows generated, without --data")] = 100_000
    n_features: Annotated[int, Meta(ge=10, le=50, description="columns generated, without --data")] = 20
    spread: Annotated[
        float,
        Meta(ge=0, le=1e6, description="a generated blob's standard deviation; their middles lie within -10 to 10"),
    ] = 8.0
    max_iterations: Annotated[int, Meta(ge=1, le=100_000, description="iterations at most")] = 100
    tolerance: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="ends when the centroids' squared moves are this share of the columns' mean variance; "
            "0: when none moves",
        ),
    ] = 1e-4
    dtype: Annotated[Literal["float64", "float32"], Meta(description="numbers that rows are held and compared in")] = (
        "float64"
    )
    categories: Annotated[
        Literal["one_hot", "drop"], Meta(description="a file's columns of texts: a column of 0 and 1 a value, or none")
    ] = "one_hot"
    max_categories: Annotated[
        int, Meta(ge=2, le=1000, description="a file's column with more different texts than this is left out")
    ] = 20
    rows: Annotated[int, Meta(ge=1, description="rows used of a file, its first; none: all")] | None = None


DESCRIPTION = Description(
    name="kmeans",
    summary="k-means by Lloyd's iteration: each one a stage over shards of the rows, merged by the driver",
    params=KMeansParams,
    implementation="lbench.workloads.kmeans.job:WORKLOAD",
    data="Census-Income (KDD) or Adult as CSV (plain, .gz, .zst), else generated blobs",
    trial={"n_samples": 200, "k": 2, "tasks": 1},
)
