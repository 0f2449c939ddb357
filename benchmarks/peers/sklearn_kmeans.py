"""scikit-learn's threaded Lloyd, from a start that is given: only `fit` is timed."""

from __future__ import annotations

import time
import warnings
from functools import cache
from typing import Any

import numpy as np
from pairs import serve
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits


@cache
def _load(folder: str) -> tuple[Any, Any]:
    return np.load(f"{folder}/X.npy"), np.load(f"{folder}/start.npy")


def _fit(folder: str, iterations: int, threads: int) -> dict[str, Any]:
    X, start = _load(folder)
    model = KMeans(
        n_clusters=len(start), init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=iterations, copy_x=False
    )
    with warnings.catch_warnings(), threadpool_limits(threads):
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        model.fit(X)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "inertia": float(model.inertia_), "iterations": int(model.n_iter_)}


serve(_fit)
