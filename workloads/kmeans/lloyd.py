"""Lloyd's iteration from the driver's side, and the obvious serial loop that answers are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["inertia", "moved", "serial"]

_ROWS = 8192  # of the serial loop at a time


def moved(sums: NDArray[np.float64], counts: NDArray[np.float64], old: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of the clusters' rows, (k, columns). The empty-cluster rule: a cluster without rows keeps its centroid."""
    there = counts > 0
    new = old.copy()
    new[there] = sums[there] / counts[there, None]
    return new


def serial(
    X: NDArray[Any], start: NDArray[np.float64], tolerance: float, max_iterations: int
) -> tuple[NDArray[np.float64], int, bool]:
    """Centroids, iterations, and whether a cluster ever stood empty: Lloyd's loop in float64, one thread.

    It shares nothing with the tasks' code but the empty-cluster rule. `tolerance` is of the sum of the squared moves.
    """
    k, columns = start.shape
    centroids = start.copy()
    empty = False
    for iterations in range(1, max_iterations + 1):  # noqa: B007 - what it ended with is returned
        sums, counts = np.zeros((k, columns)), np.zeros(k)
        for at in range(0, len(X), _ROWS):
            x = X[at : at + _ROWS].astype(np.float64)
            labels = ((centroids**2).sum(axis=1) - 2 * (x @ centroids.T)).argmin(axis=1)
            for j in range(k):
                sums[j] += x[labels == j].sum(axis=0)
            counts += np.bincount(labels, minlength=k)
        empty = empty or bool((counts == 0).any())
        new = moved(sums, counts, centroids)
        shift = float(((new - centroids) ** 2).sum())
        centroids = new
        if shift <= tolerance:
            break
    return centroids, iterations, empty


def counted(X: NDArray[Any], centroids: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """How many rows are nearest to each centroid, and the sum of the squared distances, by subtraction."""
    total = 0.0
    counts = np.zeros(len(centroids), np.int64)
    for at in range(0, len(X), _ROWS):
        x = X[at : at + _ROWS].astype(np.float64)
        labels = ((centroids**2).sum(axis=1) - 2 * (x @ centroids.T)).argmin(axis=1)
        counts += np.bincount(labels, minlength=len(centroids))
        total += float(((x - centroids[labels]) ** 2).sum())
    return counts, total


def inertia(X: NDArray[Any], centroids: NDArray[np.float64]) -> float:
    """The sum of the squared distances to the nearest centroids, by subtraction."""
    return counted(X, centroids)[1]
