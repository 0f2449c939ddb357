"""kmeans' task function."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lbench.workloads.dataset import Dataset
from lbench.workloads.functions import task_function
from lbench.workloads.kmeans.kernel import assign

__all__ = ["partial_sums"]


@task_function("kmeans.partial_sums")
def partial_sums(centroids: NDArray[Any], first: int, end: int, data: Dataset) -> dict[str, Any]:
    """The sums of the units [first, end) of the rows by nearest centroid, as nodes of the fixed tree (see `kernel`)."""
    return assign(data["X"], centroids, first, end).encodable()
