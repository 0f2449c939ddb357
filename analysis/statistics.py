"""Medians with intervals, quantiles and spread: pure functions of numbers.

The interval of a median is the percentile bootstrap's (Efron & Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 13): resample with replacement, take each resample's median, and of those the 2.5 and 97.5 % quantiles. Samples
are sorted first and the generator is seeded, so that the same numbers give the same interval in any order.

A bootstrap cannot know more than its sample: with fewer than `FULL_INTERVAL` values the interval is (nearly) their
whole range and covers the true median less often than it says: 1 - 2 / 2**n of the time at most (the range of n values
misses the median only if all fall on one side of it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FULL_INTERVAL",
    "Estimate",
    "coefficient_of_variation",
    "median_estimate",
    "quantile",
    "ratio_estimate",
    "trend",
]

CONFIDENCE = 0.95
FULL_INTERVAL = 6  # values; 1 - 2 / 2**6 is the first that reaches 0.95
RESAMPLES = 4000
_SEED = 1
_BLOCK = 4_000_000  # resampled values in memory at once


class Estimate(msgspec.Struct, frozen=True):
    """A median (or a ratio of two) with its 95 % interval; no interval (None) where there is but one value."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 0  # values behind it; of a ratio the smaller number

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def _sorted(values: ArrayLike) -> NDArray[np.float64]:
    array = np.sort(np.asarray(values, dtype=np.float64).ravel())
    return array[np.isfinite(array)]


def _medians(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Medians of `RESAMPLES` resamples, (RESAMPLES,)."""
    size = len(values)
    block = max(1, _BLOCK // size)
    parts = []
    for start in range(0, RESAMPLES, block):
        picks = generator.integers(0, size, (min(block, RESAMPLES - start), size), dtype=np.int32)
        parts.append(np.median(values[picks], axis=1))
    return np.concatenate(parts)


def _bounds(medians: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return float(low), float(high)


def median_estimate(values: ArrayLike) -> Estimate | None:
    """The median and its 95 % interval; None where there are no values. What is not finite is left out."""
    sample = _sorted(values)
    if not len(sample):
        return None
    value = float(np.median(sample))
    if len(sample) == 1:
        return Estimate(value, count=1)
    low, high = _bounds(_medians(sample, np.random.default_rng(_SEED)))
    return Estimate(value, low, high, len(sample))


def ratio_estimate(over: ArrayLike, under: ArrayLike) -> Estimate | None:
    """median(over) / median(under) and its 95 % interval, both samples resampled independently.

    A speedup is `ratio_estimate(times of the baseline, times of the other)`. None where either has no values, or
    where a median of `under` may be 0. With one value on both sides there is no interval.
    """
    top, bottom = _sorted(over), _sorted(under)
    if not len(top) or not len(bottom) or bottom[0] <= 0:
        return None
    value = float(np.median(top) / np.median(bottom))
    count = min(len(top), len(bottom))
    if len(top) == len(bottom) == 1:
        return Estimate(value, count=1)
    generator = np.random.default_rng(_SEED)
    low, high = _bounds(_medians(top, generator) / _medians(bottom, generator))
    return Estimate(value, low, high, count)


def quantile(values: ArrayLike, q: float) -> float | None:
    """The q-quantile by linear interpolation (type 7 of Hyndman & Fan 1996); None where there are no values."""
    sample = _sorted(values)
    return float(np.quantile(sample, q)) if len(sample) else None


def coefficient_of_variation(values: ArrayLike) -> float | None:
    """The sample's standard deviation (n - 1) over its mean; None for fewer than two values or a mean of 0."""
    sample = _sorted(values)
    if len(sample) < 2:
        return None
    mean = float(sample.mean())
    return float(sample.std(ddof=1)) / mean if mean else None


class Trend(msgspec.Struct, frozen=True):
    """How values change in their order: `change` from first to last as a share of the median, and how sure that is."""

    change: float
    p: float


def trend(values: Sequence[float]) -> Trend | None:
    """Theil and Sen's slope with Mann and Kendall's test (two-sided, normal approximation, ties ignored).

    Sen, J. Am. Stat. Assoc. 63 (1968) 1379; Kendall, Rank Correlation Methods (1975): S is the number of rising pairs
    less that of falling ones, its variance n(n-1)(2n+5)/18. None for fewer than three values or a median of 0.
    """
    count = len(values)
    array: NDArray[Any] = np.asarray(values, dtype=np.float64)
    if count < 3 or not (middle := float(np.median(array))):
        return None
    first, second = np.triu_indices(count, 1)
    differences = array[second] - array[first]
    slope = float(np.median(differences / (second - first)))
    rising = int(np.sign(differences).sum())
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    z = max(0, abs(rising) - 1) / deviation
    return Trend(change=slope * (count - 1) / middle, p=math.erfc(z / math.sqrt(2)))
