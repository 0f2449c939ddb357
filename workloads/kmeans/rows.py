"""The rows as a data set: generated blobs or a census file, centred, with the start that every backend is given.

Arrays: `X` (rows, columns) in the dtype asked for, each column's mean taken off (as scikit-learn does: distances keep more
digits); `means` float64 (columns,), which the answer gets back; `start` float64 (k, columns). `meta`: the columns'
`features`, `sum_squares` of all of X, and the `mean_variance` of its columns, which the tolerance is a share of.

The start is rows of X, picked by scikit-learn's k-means++ from the seed, each moved by a hair. Columns of 0 and 1 leave
rows that lie exactly between two others, and then the last digit of a library's sum would decide where they go (seen with
Census-Income: ten such rows, and after ten iterations centroids that differed by 0.002).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

from lbench.errors import InputError, count_text
from lbench.workloads.dataset import Dataset
from lbench.workloads.kmeans import KMeansParams
from lbench.workloads.kmeans.census import read_census
from lbench.workloads.kmeans.kernel import unit_count, unit_rows
from lbench.workloads.parameters import check_seed

__all__ = ["load_rows"]

_MIDDLES = 10.0  # the blobs' middles lie within the cube of plus and minus this
_HAIR = 1e-4  # of the columns' standard deviation
_PIECE = 1 << 16  # rows at a time, where a float64 copy of all of them would be large


def load_rows(params: KMeansParams, path: Path | None, encoding: str | None = None) -> Dataset:
    """The data set of these parameters.

    Raises:
        DataFileError: the file is not one of the known ones, or cannot be used.
        InputError: there are fewer rows than clusters.
    """
    check_seed(params.seed, ", as for scikit-learn")
    if path is None:
        X, features, source, notes = _blobs(params)
    else:
        X, features, source, notes = read_census(path, params, encoding)
    rows, columns = X.shape
    if params.k > rows:
        raise InputError(f"parameter k={params.k}: must be at most {rows:,}, the number of rows")
    means, variances, squares = _centre(X)
    picked, _ = kmeans_plusplus(X, params.k, random_state=params.seed)
    hair = _HAIR * float(np.sqrt(variances.mean()))
    start = picked + hair * np.random.RandomState(params.seed).normal(size=picked.shape)
    units = unit_count(rows, columns, params.k)
    if params.tasks is not None and params.tasks > units:
        notes.append(
            f"{units} task{'s' * (units != 1)} an iteration instead of {params.tasks}: a task gets at least "
            f"{unit_rows(columns, params.k):,} rows"
        )
    return Dataset(
        {"X": X, "means": means, "start": start},
        source=source,
        rows=rows,
        columns=columns,
        notes=notes,
        meta={"features": features, "sum_squares": squares, "mean_variance": float(variances.mean())},
    )


def _blobs(params: KMeansParams) -> tuple[NDArray[Any], list[str], str, list[str]]:
    if params.k > params.n_samples:
        raise InputError(f"parameter k={params.k}: must be at most n_samples, {params.n_samples:,}")
    random = np.random.RandomState(params.seed)  # the legacy generator's streams do not change
    middles = random.uniform(-_MIDDLES, _MIDDLES, (params.k, params.n_features))
    X = np.empty((params.n_samples, params.n_features), dtype=params.dtype)
    for at in range(0, len(X), _PIECE):
        part = X[at : at + _PIECE]
        blob = random.randint(0, params.k, len(part))
        part[:] = middles[blob] + random.normal(size=part.shape) * params.spread
    blobs = f"{params.k} blob{'s' * (params.k != 1)} of spread {params.spread:g}"
    source = f"generated: {blobs}, {count_text(params.n_samples, 'row')}, seed {params.seed}"
    features = [f"x{at + 1}" for at in range(params.n_features)]
    return X, features, source, [f"{params.n_features} columns, not standardised"]


def _centre(X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Take the columns' means off, in place; the means, the variances, and the sum of all squares that are left."""
    means = X.mean(axis=0, dtype=np.float64)
    squares = np.zeros(X.shape[1])
    left = np.zeros(X.shape[1])  # of the mean: float32 does not hold it exactly
    for at in range(0, len(X), _PIECE):
        part = X[at : at + _PIECE]
        part -= means
        exact = part.astype(np.float64, copy=False)
        squares += np.einsum("ij,ij->j", exact, exact)
        left += exact.sum(axis=0)
    return means, squares / len(X) - (left / len(X)) ** 2, float(squares.sum())
