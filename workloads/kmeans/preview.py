"""The preview of k-means while it runs: a sample of the rows on a plane, and the centroids that move over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.dataset import Dataset
from lbench.workloads.kmeans.kernel import unit_count
from lbench.workloads.model import Task

__all__ = ["Scatter"]

_SAMPLE = 2000  # rows: 8 bytes of place and 2 of label each
_DRAWN = 2000  # centroids at most
_CURVE = 1000  # iterations shown at most, the last ones


class Scatter:
    """A block an iteration, once its results are all there. The plane is the sample's first two principal components."""

    def __init__(self, data: Dataset) -> None:
        self._X = data["X"]
        self._total = float(data.meta["sum_squares"])
        self._sample: NDArray[np.float64] | None = None
        self._axes: NDArray[Any] = np.empty((0, 0))
        self._points: NDArray[Any] = np.empty((0, 2))
        self._centroids: NDArray[Any] | None = None
        self._iteration = 0
        self._units = 0
        self._sums = 0.0
        self._inertia: list[float] = []

    def add(self, task: Task, result: Any) -> dict[str, Any] | None:
        """Count the result in; the block when it was the iteration's last."""
        centroids = task.arguments["centroids"]
        if self._centroids is None or not np.array_equal(centroids, self._centroids):
            self._centroids, self._units, self._sums = centroids, 0, 0.0
            self._iteration += 1
        self._units += task.arguments["end"] - task.arguments["first"]
        self._sums += float(result["sums"][:, :, -1].sum())
        if self._units != unit_count(len(self._X), self._X.shape[1], len(centroids)):
            return None
        self._inertia.append(max(0.0, self._total + self._sums))
        if self._sample is None:
            self._project()
        assert self._sample is not None
        exact = centroids.astype(np.float64)
        labels = ((exact**2).sum(axis=1) - 2 * (self._sample @ exact.T)).argmin(axis=1)
        return {
            "kind": "scatter",
            "iteration": self._iteration,
            "points": self._points,
            "labels": labels.astype(np.uint16),
            "centroids": (exact[:_DRAWN] @ self._axes).astype(np.float32),
            "inertia": np.array(self._inertia[-_CURVE:], dtype=np.float64),
        }

    def _project(self) -> None:
        sample = self._X[:: -(-len(self._X) // _SAMPLE)].astype(np.float64)
        _, vectors = np.linalg.eigh(sample.T @ sample)  # the columns' means are taken off already
        self._axes = vectors[:, ::-1][:, :2]
        if self._axes.shape[1] < 2:
            self._axes = np.hstack([self._axes, np.zeros_like(self._axes)])
        self._sample, self._points = sample, (sample @ self._axes).astype(np.float32)
