"""random_forest: which loans are paid back? One tree is one piece of work, as in the original study."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from lbench.workloads.model import Description, Params

__all__ = ["DESCRIPTION", "RandomForestParams"]


class RandomForestParams(Params, frozen=True, kw_only=True):
    """The forest. The study's trees: depth 12, the best of 12 columns at each split, bootstrap rows."""

    n_trees: Annotated[int, Meta(ge=1, le=100_000, description="trees in the forest")] = 32
    max_depth: Annotated[int, Meta(ge=1, le=1000, description="levels of a tree at most; none: no bound")] | None = 12
    max_features: Annotated[
        int, Meta(ge=1, le=10_000, description="columns tried at each split; more than there are means all")
    ] = 12
    rows: (
        Annotated[
            int,
            Meta(
                ge=200,
                le=2**31 - 1,
                description="loans used at most, a file's first; none: all of a file, 40,000 generated",
            ),
        ]
        | None
    ) = None


DESCRIPTION = Description(
    name="random_forest",
    summary="a random forest on Lending Club loans: which are paid back, which charged off",
    params=RandomForestParams,
    implementation="lbench.workloads.random_forest.job:WORKLOAD",
    data="Lending Club loans as CSV (plain, .gz, .zst), else generated ones: see `lbench data`",
    requirements=("scikit-learn",),
    trial={"n_trees": 1, "rows": 200},
)
