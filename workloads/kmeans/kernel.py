"""Lloyd's two steps over a range of rows: the nearest centroid of each, and the sums of each centroid's rows.

Rows go through in units small enough for a core's cache, so that both matrix products find them there; what is as long
as the rows is never wider than a unit. A unit's size depends on the data's shape alone, never on the tasks (see `tree`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.kmeans.tree import Tree

__all__ = ["assign", "unit_count", "unit_rows"]

_UNIT_BYTES = 1 << 19  # rows, and distances, of a unit: half of a common level 2 cache each
_FEWEST, _MOST = 256, 4096  # rows: fewer, and calling numpy costs more than computing


def unit_rows(columns: int, k: int) -> int:
    """Rows of a unit, a power of two."""
    fitting = max(1, _UNIT_BYTES // (8 * max(columns, k)))
    return min(_MOST, max(_FEWEST, 1 << (fitting.bit_length() - 1)))


def unit_count(rows: int, columns: int, k: int) -> int:
    """Units of all the rows; the last may be shorter."""
    return -(-rows // unit_rows(columns, k))


def assign(X: NDArray[Any], centroids: NDArray[Any], first: int, end: int) -> Tree:
    """The sums of the units [first, end) by nearest centroid; of equally near ones it is the first.

    X is (rows, columns), centroids (k, columns) of the same dtype. A node is float64 (k, columns + 2): the sums of the
    rows, their number, and the sum of |x - c|^2 - |x|^2 (the driver knows the sum of |x|^2, which no centroid changes).
    |x - c|^2 is |x|^2 - 2 x.c + |c|^2, as in scikit-learn: the products are BLAS's.
    """
    k, columns = centroids.shape
    rows = unit_rows(columns, k)
    doubled = np.ascontiguousarray((-2 * centroids).T)
    squares = np.einsum("ij,ij->i", centroids, centroids)
    every = np.arange(k)
    tree = Tree()
    for unit in range(first, end):
        x = X[unit * rows : (unit + 1) * rows]
        distances = x @ doubled
        distances += squares
        labels = distances.argmin(axis=1)
        nearest = distances[np.arange(len(x)), labels]
        member = (every[:, None] == labels).astype(x.dtype)
        node = np.empty((k, columns + 2))
        node[:, :columns] = member @ x
        node[:, columns] = np.bincount(labels, minlength=k)
        node[:, columns + 1] = np.bincount(labels, weights=nearest, minlength=k)
        tree.add((0, unit), node)
    return tree
