"""Curves through the points of a sweep, and where two of them cross: pure functions of numbers, seeded.

A curve is monotone (or, along workers or tasks, falls and then rises) and straight between its points in the logarithms
of both axes. Isotonic regression by the min-max formula: Barlow et al., Statistical Inference under Order Restrictions
(1972), 1.4.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lbench.analysis.statistics import FULL_INTERVAL, percentile_tail

__all__ = ["RESAMPLES", "Root", "Shape", "fit", "resampled_medians", "resampled_tail", "root", "shape_of"]

Floats = NDArray[np.float64]
Shape = Literal["rising", "falling", "valley"]

RESAMPLES = 2000


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """Where the difference of two curves changes its sign, by resamples of the values behind them.

    `at` is the median of the resamples; None: it lies outside the range of the points. `low_open`: the interval goes on
    below the range (`low` is the range's end then); `high_open`: above it. Both ends are None where a point has one value.
    """

    at: float | None
    low: float | None
    high: float | None
    low_open: bool
    high_open: bool
    missing: float  # share of the resamples without a crossing inside the range
    count: int  # values behind each point, at the least
    kind: Literal["95 %", "range"]


def fit(values: ArrayLike, shape: Shape) -> Floats:
    """The least-squares curve of this shape through each row: (..., points)."""
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    match shape:
        case "rising":
            fitted = _rising(rows)
        case "falling":
            fitted = -_rising(-rows)
        case "valley":
            fitted = _valley(rows)
    return fitted.reshape(np.shape(values))


def shape_of(values: ArrayLike) -> Shape:
    """The direction that explains the values better."""
    row = np.asarray(values, dtype=np.float64)
    rising, falling = (float(np.square(row - fit(row, way)).sum()) for way in ("rising", "falling"))
    return "rising" if rising <= falling else "falling"


def _rising(rows: Floats) -> Floats:
    """Isotonic regression of each row: at i the largest over j <= i of the smallest mean of values j to k, k >= i."""
    count = rows.shape[1]
    sums = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
    first, last = np.arange(count)[:, None], np.arange(count)[None, :]
    lengths = np.where(last >= first, last - first + 1, 1)
    means = np.where(last >= first, (sums[:, None, 1:] - sums[:, :-1, None]) / lengths, np.inf)
    smallest = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    smallest = np.where(last >= first, smallest, -np.inf)
    largest: Floats = np.maximum.reduce(smallest, axis=1)
    return largest


def _valley(rows: Floats) -> Floats:
    """The best of all curves that fall to some point and rise after it."""
    count = rows.shape[1]
    best = np.full(len(rows), np.inf)
    found = np.empty_like(rows)
    for bottom in range(count):
        fitted = np.concatenate(
            [
                -_rising(-rows[:, : bottom + 1]),
                _rising(rows[:, bottom + 1 :]) if bottom + 1 < count else rows[:, :0],
            ],
            axis=1,
        )
        error = np.square(rows - fitted).sum(axis=1)
        better = error < best
        best[better], found[better] = error[better], fitted[better]
    return found


def resampled_medians(samples: list[Floats], generator: np.random.Generator, picks: NDArray[np.int64] | None) -> Floats:
    """Medians of `RESAMPLES` resamples of each sample, (samples, RESAMPLES).

    `picks` is None, or the indices to take of every sample alike: pairs stay together.
    """
    found = []
    for sample in samples:
        chosen = generator.integers(0, len(sample), (RESAMPLES, len(sample))) if picks is None else picks
        found.append(np.median(sample[chosen], axis=1))
    return np.array(found)


def root(places: ArrayLike, estimate: ArrayLike, resampled: ArrayLike, count: int, near: float | None = None) -> Root:
    """Where the difference `estimate` (a value for each place) turns from below 0 to above it.

    Args:
        places: ascending; all above 0 are taken by their logarithms.
        estimate: the difference of the curves; of several crossings the upward one nearest to `near` counts, else the first.
        resampled: the same for each resample, (resamples, places).
        count: values behind each point, at the least: below 2 there is no interval.
        near: a place.
    """
    x = np.asarray(places, dtype=np.float64)
    logarithmic = bool((x > 0).all())
    axis = np.log(x) if logarithmic else x
    start = near if near is None or not logarithmic else math.log(near)
    own = _upward(axis, np.atleast_2d(np.asarray(estimate, dtype=np.float64)), start)[0]
    rows = np.atleast_2d(np.asarray(resampled, dtype=np.float64))
    found = np.sort(_upward(axis, rows, own if math.isfinite(own) else None))
    missing = float((~np.isfinite(found)).mean())

    def back(value: float) -> float | None:
        if not math.isfinite(value):
            return None
        if value in (axis[0], axis[-1]):
            return float(x[0] if value == axis[0] else x[-1])
        return math.exp(value) if logarithmic else float(value)

    if count < 2:
        return Root(
            at=back(own),
            low=None,
            high=None,
            low_open=False,
            high_open=False,
            missing=missing,
            count=count,
            kind="range",
        )
    tail = resampled_tail(count)
    last = len(found) - 1
    low, middle, high = (found[round(share * last)] for share in (tail, 0.5, 1 - tail))
    return Root(
        at=back(float(middle)),
        low=float(x[0]) if low == -np.inf else back(float(low)) or float(x[-1]),
        high=float(x[-1]) if high == np.inf else back(float(high)) or float(x[0]),
        low_open=bool(low == -np.inf),
        high_open=bool(high == np.inf),
        missing=missing,
        count=count,
        kind="range" if count < FULL_INTERVAL else "95 %",
    )


def resampled_tail(count: int) -> float:
    """The share of the resamples on either side of an interval of so many values; 0 where it is a range."""
    return 0.0 if count < FULL_INTERVAL else percentile_tail(count)


def _upward(axis: Floats, rows: Floats, near: float | None) -> Floats:
    """For each row its upward change of sign nearest to `near` (None: its first).

    inf: the difference is below 0 as far as the places go; -inf: above it from the first on.
    """
    found = np.where(rows.mean(axis=1) < 0, np.inf, -np.inf)
    distance = np.full(len(rows), np.inf)
    for index in range(len(axis) - 1):
        before, after = rows[:, index], rows[:, index + 1]
        up = (before < 0) & (after >= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = axis[index] + (axis[index + 1] - axis[index]) * np.where(up, -before / (after - before), 0.0)
        far = np.abs(at - near) if near is not None else np.full(len(rows), float(index))
        nearer = up & (far < distance)
        found[nearer], distance[nearer] = at[nearer], far[nearer]
    return found
