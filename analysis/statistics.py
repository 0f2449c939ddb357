"""Medians, ratios and quantiles with intervals, tests and trends: pure functions of numbers, seeded.

docs/statistics.md has the coverage of every interval as simulated, and the share of false claims. In short:

- Below `FULL_INTERVAL` values no interval can hold a median 95 % of the time (the range of n values misses it with
  probability 2 / 2**n, when all fall on one side of it): what is given then is their range, and is called so.
- Below `BOOTSTRAP` values the interval is that of order statistics: exact for any continuous distribution (Hahn &
  Meeker, Statistical Intervals, 1991, section 5.2).
- From there on it is a bootstrap percentile interval (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter
  13), expanded for small samples as in Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 5.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CLAIM_LEVEL",
    "FULL_INTERVAL",
    "LEAST_CLAIM",
    "LEAST_TREND",
    "Change",
    "Estimate",
    "Trend",
    "change_point",
    "coefficient_of_variation",
    "enough_for",
    "holm",
    "median_estimate",
    "paired_p",
    "paired_ratio_estimate",
    "percentile_tail",
    "quantile",
    "quantile_estimates",
    "ratio_estimate",
    "trend",
    "unpaired_p",
]

CONFIDENCE = 0.95
FULL_INTERVAL = 6  # values; 1 - 2 / 2**6 is the first that reaches 0.95
BOOTSTRAP = 20
RESAMPLES = 4000
QUANTILE_RESAMPLES = 1000
_MOST_RESAMPLED = 10_000  # values on two levels: more are thinned out
LEAST_CLAIM = 3  # values; fewer settle nothing
CLAIM_LEVEL = 0.035  # of p: so that fewer than 5 % of sessions of equal backends claim a difference, with room
LEAST_TREND = 5  # values; of fewer no order has a probability below 5 %
LEAST_CHANGE = 8
_STUDENT_PENALTY = (
    5.0  # below the exact test's reach: Student's test, whose normality nobody can check, at a fifth of that
)
_EXACT_RANKS = 60  # values; above, the normal approximation
_SEED = 1
_BLOCK = 4_000_000  # resampled values in memory at once

_Floats = NDArray[np.float64]


class Estimate(msgspec.Struct, frozen=True):
    """A median, a quantile or a ratio. low and high are None where there is one value, or one on either side."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 0  # values, pairs or repeats behind it; of a ratio without pairs the smaller number
    kind: Literal["95 %", "range"] = "95 %"  # of low and high

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def _sorted(values: ArrayLike) -> _Floats:
    array = np.sort(np.asarray(values, dtype=np.float64).ravel())
    return array[np.isfinite(array)]


def median_estimate(values: ArrayLike) -> Estimate | None:
    """The median of the finite values with its interval or range; None without values."""
    sample = _sorted(values)
    if not len(sample):
        return None
    count = len(sample)
    value = float(np.median(sample))
    if count == 1:
        return Estimate(value, count=1)
    if count < FULL_INTERVAL:
        return Estimate(value, float(sample[0]), float(sample[-1]), count, "range")
    if count < BOOTSTRAP:
        cut = _order_cut(count)
        return Estimate(value, float(sample[cut]), float(sample[-1 - cut]), count)
    low, high = _bounds(_medians(sample, np.random.default_rng(_SEED)), count)
    return Estimate(value, low, high, count)


def paired_ratio_estimate(over: Sequence[float], under: Sequence[float]) -> Estimate | None:
    """The median of over[i] / under[i] with its interval or range; None without pairs or where a divisor is 0."""
    top, bottom = np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)
    if not len(top) or (bottom <= 0).any():
        return None
    return median_estimate(top / bottom)


def ratio_estimate(over: ArrayLike, under: ArrayLike) -> Estimate | None:
    """median(over) / median(under) with its interval or range, for samples without pairs: both are resampled.

    None where either has no values, or where a median of `under` may be 0.
    """
    top, bottom = _sorted(over), _sorted(under)
    if not len(top) or not len(bottom) or bottom[0] <= 0:
        return None
    value = float(np.median(top) / np.median(bottom))
    count = min(len(top), len(bottom))
    if count == 1:
        return Estimate(value, count=1)
    if count < FULL_INTERVAL:
        return Estimate(value, float(top[0] / bottom[-1]), float(top[-1] / bottom[0]), count, "range")
    generator = np.random.default_rng(_SEED)
    low, high = _bounds(_medians(top, generator) / _medians(bottom, generator), count)
    return Estimate(value, low, high, count)


def quantile_estimates(repeats: Iterable[ArrayLike], quantiles: Sequence[float]) -> list[Estimate | None]:
    """Quantiles of the values of all repeats together, with intervals by resampling on two levels.

    Repeats are resampled first, then the values of each: values of one repeat resemble each other (Davison & Hinkley,
    Bootstrap Methods, 1997, section 3.8). One repeat has no interval; fewer than `FULL_INTERVAL` the range of their
    own quantiles. None where the values are too few: at least 3 of them must lie beyond the quantile.
    """
    samples = [sample for one in repeats if len(sample := _sorted(one))]
    pooled = np.concatenate(samples) if samples else np.empty(0)
    known = [q for q in quantiles if len(pooled) and (q <= 0.5 or enough_for(q, len(pooled)))]
    count = len(samples)
    values = {q: float(np.quantile(pooled, q)) for q in known}
    found: dict[float, Estimate] = {q: Estimate(value, count=count) for q, value in values.items()}
    if 1 < count < FULL_INTERVAL:
        for q, value in values.items():
            own = [float(np.quantile(sample, q)) for sample in samples]
            found[q] = Estimate(value, min(*own, value), max(*own, value), count, "range")
    elif known and count >= FULL_INTERVAL:
        resampled = _two_level([_thinned(sample, _MOST_RESAMPLED // count) for sample in samples], known)
        for (q, value), row in zip(values.items(), resampled, strict=True):
            low, high = _bounds(row, count)
            found[q] = Estimate(value, min(low, value), max(high, value), count)
    return [found.get(q) for q in quantiles]


def _two_level(samples: list[_Floats], quantiles: list[float]) -> _Floats:
    """The quantiles of `QUANTILE_RESAMPLES` resamples, (quantiles, resamples).

    A resample is counted by the ranks of its values among all of them, so none is sorted.
    """
    generator = np.random.default_rng(_SEED)
    sizes = np.array([len(sample) for sample in samples])
    firsts = np.cumsum(sizes) - sizes
    joined = np.concatenate(samples)
    order = np.argsort(joined, kind="stable")
    ranks = np.empty(len(joined), dtype=np.int64)
    ranks[order] = np.arange(len(joined))
    ordered = joined[order]
    found = []
    for _ in range(QUANTILE_RESAMPLES):
        chosen = generator.integers(0, len(samples), len(samples))
        drawn = sizes[chosen]
        picks = (generator.random(int(drawn.sum())) * np.repeat(drawn, drawn)).astype(np.int64)
        picks += np.repeat(firsts[chosen], drawn)
        counts = np.bincount(ranks[picks], minlength=len(ordered))
        found.append(_quantiles(ordered, np.cumsum(counts), quantiles))
    return np.array(found).T


def _quantiles(ordered: _Floats, up_to: NDArray[np.int64], quantiles: list[float]) -> list[float]:
    """As `numpy.quantile` of a resample, of which `up_to[i]` values are at most the i-th of the ordered ones."""
    count = int(up_to[-1])
    places = [q * (count - 1) for q in quantiles]
    lower = [int(place) for place in places]
    upper = [min(place + 1, count - 1) for place in lower]
    lows, highs = ordered[np.searchsorted(up_to, [lower, upper], side="right")]
    return [
        float(low + (high - low) * (place - at))
        for low, high, place, at in zip(lows.tolist(), highs.tolist(), places, lower, strict=True)
    ]


def _thinned(sample: _Floats, most: int) -> _Floats:
    """At most so many of the sorted values, evenly chosen."""
    return sample if len(sample) <= most else sample[np.linspace(0, len(sample) - 1, most).round().astype(int)]


def _order_cut(count: int) -> int:
    """How many values lie outside the interval on each side: the most that leave it 95 %."""
    cut, outside = 0, 2 / 2**count
    while True:
        outside += 2 * math.comb(count, cut + 1) / 2**count
        if outside > 1 - CONFIDENCE:
            return cut
        cut += 1


def _medians(values: _Floats, generator: np.random.Generator) -> _Floats:
    """Medians of `RESAMPLES` resamples, (RESAMPLES,)."""
    size = len(values)
    block = max(1, _BLOCK // size)
    parts = []
    for start in range(0, RESAMPLES, block):
        picks = generator.integers(0, size, (min(block, RESAMPLES - start), size), dtype=np.int32)
        parts.append(np.median(values[picks], axis=1))
    return np.concatenate(parts)


def _bounds(resampled: _Floats, count: int) -> tuple[float, float]:
    """The percentile interval of a statistic of `count` values, expanded for their number."""
    tail = percentile_tail(count)
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return float(low), float(high)


def percentile_tail(count: int) -> float:
    """The share of the resamples of `count` values that lies outside a 95 % percentile interval, on either side."""
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * _student_quantile(count - 1))


def student_p(t: float, degrees: int) -> float:
    """Probability of a larger |T| by chance, for a whole number of degrees of freedom.

    Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, series = (1.0, 1.0) if degrees % 2 == 0 else (cosine, cosine)
    for factor in range(2 if degrees % 2 == 0 else 3, degrees, 2):
        term *= cosine**2 * (factor - 1) / factor
        series += term
    if degrees % 2 == 0:
        return 1 - sine * series
    return 1 - 2 / math.pi * (angle + (sine * series if degrees > 1 else 0.0))


def _student_quantile(degrees: int) -> float:
    """The t that is exceeded on either side with a probability of 5 %."""
    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, degrees) > 1 - CONFIDENCE else (low, middle)
    return high


def paired_p(over: Sequence[float], under: Sequence[float], comparisons: int = 1) -> float:
    """Probability, by chance, of pairs that differ as much as these, where both backends are equal.

    Wilcoxon's signed-rank test of the logarithms, exact; where so few pairs cannot reach `CLAIM_LEVEL` for
    this number of comparisons, Student's test at a fifth of that level. 1 below `LEAST_CLAIM` pairs.
    """
    differences = np.log(np.asarray(over, dtype=np.float64)) - np.log(np.asarray(under, dtype=np.float64))
    count = len(differences)
    if count < LEAST_CLAIM:
        return 1.0
    if comparisons * 2 / 2.0**count <= CLAIM_LEVEL:
        return _signed_rank_p(differences)
    deviation = float(differences.std(ddof=1))
    return _penalised(float(differences.mean()), deviation / math.sqrt(count), count - 1)


def unpaired_p(over: Sequence[float], under: Sequence[float], comparisons: int = 1) -> float:
    """As `paired_p`, for samples without pairs: Mann and Whitney's test, exact; below its reach Welch's.

    Welch's takes the smaller sample's degrees of freedom, which errs on the side of no claim.
    """
    top, bottom = (np.log(np.asarray(values, dtype=np.float64)) for values in (over, under))
    if min(len(top), len(bottom)) < LEAST_CLAIM:
        return 1.0
    if comparisons * 2 / math.comb(len(top) + len(bottom), len(top)) <= CLAIM_LEVEL:
        return _rank_sum_p(top, bottom)
    error = math.sqrt(top.var(ddof=1) / len(top) + bottom.var(ddof=1) / len(bottom))
    return _penalised(float(top.mean() - bottom.mean()), error, min(len(top), len(bottom)) - 1)


def _penalised(difference: float, error: float, degrees: int) -> float:
    if error == 0:
        return 0.0 if difference else 1.0
    return min(1.0, _STUDENT_PENALTY * student_p(difference / error, degrees))


def _ranks(values: _Floats) -> _Floats:
    """Ranks from 1, twice as large (so that the mean ranks of ties are whole numbers)."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    doubled: _Floats = (2 * last - counts + 1).astype(np.float64)
    return doubled[index]


def _signed_rank_p(differences: _Floats) -> float:
    """Exact, or by the normal approximation above `_EXACT_RANKS`; equal pairs are left out."""
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    ranks = _ranks(np.abs(nonzero))
    total = float(ranks.sum())
    distance = abs(2 * float(ranks[nonzero > 0].sum()) - total)
    if len(nonzero) > _EXACT_RANKS:
        return math.erfc(distance / math.sqrt(float((ranks**2).sum())) / math.sqrt(2))
    ways = np.ones(1)
    for rank in ranks.astype(int):  # each rank is on either side, with equal probability
        ways = (np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))) / 2
    return _tail(ways, distance)


def _rank_sum_p(top: _Floats, bottom: _Floats) -> float:
    ranks = _ranks(np.concatenate([top, bottom]))
    size, count = len(top), len(ranks)
    mean = size * float(ranks.sum()) / count
    distance = 2 * abs(float(ranks[:size].sum()) - mean)
    if count > _EXACT_RANKS:
        variance = size * (count - size) / (count - 1) * float(ranks.var())
        return math.erfc(distance / 2 / math.sqrt(variance) / math.sqrt(2)) if variance else 1.0
    ways = np.zeros((size + 1, int(ranks.sum()) + 1))  # by how many are chosen, and by their sum
    ways[0, 0] = 1
    for rank in ranks.astype(int):
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    sums = np.arange(ways.shape[1])
    return float(ways[size, np.abs(2 * (sums - mean)) >= distance - 1e-9].sum() / ways[size].sum())


def _tail(ways: _Floats, distance: float) -> float:
    sums = np.arange(len(ways))
    return float(ways[np.abs(2 * sums - (len(ways) - 1)) >= distance - 1e-9].sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scand. J. Statist. 6 (1979) 65): p-values that may each be compared with the level."""
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def enough_for(q: float, count: int, *, beyond: int = 3) -> bool:
    """Whether at least `beyond` of so many values lie beyond the q-quantile; else it is about the largest of them."""
    return round(count * (1 - q), 6) >= beyond


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


_EXACT_TREND = 10  # values; from there on the normal approximation


def trend(values: Sequence[float]) -> Trend | None:
    """Theil and Sen's slope with Mann and Kendall's test (two-sided, ties ignored): exact below 10 values.

    Sen, J. Am. Stat. Assoc. 63 (1968) 1379; Kendall, Rank Correlation Methods (1975): S is the number of rising pairs
    less that of falling ones, its variance n(n-1)(2n+5)/18. None below `LEAST_TREND` values, where no order is
    improbable enough to show anything, and for a median of 0.
    """
    count = len(values)
    array: NDArray[Any] = np.asarray(values, dtype=np.float64)
    if count < LEAST_TREND or not (middle := float(np.median(array))):
        return None
    first, second = np.triu_indices(count, 1)
    differences = array[second] - array[first]
    slope = float(np.median(differences / (second - first)))
    rising = abs(int(np.sign(differences).sum()))
    if count < _EXACT_TREND:
        p = _kendall_p(rising, count)
    else:
        deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
        p = math.erfc(max(0, rising - 1) / deviation / math.sqrt(2))
    return Trend(change=slope * (count - 1) / middle, p=p)


def _kendall_p(rising: int, count: int) -> float:
    """The share of all orders of `count` values whose |S| is at least `rising`, by their numbers of inversions."""
    ways = np.ones(1)
    for size in range(2, count + 1):
        ways = np.convolve(ways, np.ones(size))
    inversions = np.arange(len(ways))
    return float(ways[np.abs(len(ways) - 1 - 2 * inversions) >= rising].sum() / ways.sum())


class Change(msgspec.Struct, frozen=True):
    """A step: from value `at` on (from 0), the median differs by `change`, as a share of that before."""

    at: int
    change: float
    p: float


def change_point(values: Sequence[float]) -> Change | None:
    """The likeliest step, by the cumulated sum of ranks (Pettitt, Appl. Stat. 28 (1979) 126) in its standard errors.

    p is by 2,000 random orders. At least two values lie on either side. None below `LEAST_CHANGE` values, and where the
    values before the step have a median of 0.
    """
    count = len(values)
    if count < LEAST_CHANGE:
        return None
    array = np.asarray(values, dtype=np.float64)
    ranks = _ranks(array) / 2 - (count + 1) / 2
    places = np.arange(2, count - 1)
    errors = np.sqrt(places * (count - places))
    sums = np.abs(np.cumsum(ranks))[places - 1] / errors
    at = int(places[np.argmax(sums)])
    shuffled = np.random.default_rng(_SEED).permuted(np.tile(ranks, (2000, 1)), axis=1)
    by_chance = (np.abs(np.cumsum(shuffled, axis=1))[:, places - 1] / errors).max(axis=1)
    p = (1 + int((by_chance >= sums.max() - 1e-9).sum())) / 2001
    before = float(np.median(array[:at]))
    return Change(at, float(np.median(array[at:])) / before - 1, p) if before else None
