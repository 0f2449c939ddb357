"""Arithmetic of fitting: parts of a sum that come from one distribution each, and intervals by resampling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.lambda_calls import Calls
from lbench.analysis.statistics import FULL_INTERVAL, percentile_tail

__all__ = [
    "LEAST_RUNS",
    "TINY_S",
    "Fitted",
    "fit_lognormal",
    "fit_parameter",
    "group_rows",
    "interval",
    "resamples",
    "robust_sigma",
    "round_trips",
    "second_part",
]

Floats = NDArray[np.float64]

LEAST_RUNS = 3
TINY_S = 1e-5
_TAIL, _TAIL_SCORE = 0.05, 1.6449  # a share of calls on each side, and its quantile of a normal distribution
_SKEWED = (0.1, 1.5)  # least and most sigma of a wait
_RESAMPLES = 400
_PLACES = 41  # of a distribution, where two are added
_SIGMAS = tuple(float(one) for one in np.linspace(0.0, 1.2, 25))


Kind = Literal["95 %", "range"]


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter: its value or median, the interval of that, and the spread of a distribution."""

    name: str
    value: float
    low: float | None  # None: of one value
    high: float | None
    kind: Kind = "95 %"  # of low and high
    sigma: float | None = None  # of the logarithm; None: the parameter has no spread of its own
    model: float  # what the model has now
    count: int  # values that it comes from
    what: str  # of what
    runs: int | None = None  # that have these calls; None: it does not come from calls of runs


def round_trips(outside_s: Floats, run: NDArray[np.int64], sigma: float | None = None) -> Floats:
    """The constant part of each call's time, the same for all calls of a run; the rest is lognormal, the same in all runs.

    Within a run the quantiles of 5 and 95 % lie at median * (exp(±1.64 sigma) - 1) from the middle: their ratio gives
    sigma, unless it is given, and then the lower one the median of the rest.
    """
    middle = np.empty(len(outside_s))
    for of in group_rows(run, np.arange(len(run))):
        middle[of] = np.median(outside_s[of])
    low, high = np.quantile(outside_s - middle, (_TAIL, 1 - _TAIL)).tolist()
    if sigma is None:
        sigma = float(np.log(max(high, TINY_S) / max(-low, TINY_S))) / _TAIL_SCORE
    rest_s = -low / (1 - np.exp(-_TAIL_SCORE * min(max(sigma, _SKEWED[0]), _SKEWED[1])))
    return np.asarray(np.maximum(middle - rest_s, TINY_S))


def second_part(sums: Floats, first: Floats, sigma: float | None = None) -> tuple[float, float]:
    """The median and sigma of a lognormal part that, added to draws of the first one, gives sums like these.

    Medians do not add up where a part is skewed, so median and quartiles of the sums are matched. A given `sigma` stays.
    """
    places = (np.arange(_PLACES) + 0.5) / _PLACES
    firsts = np.quantile(first, places)[:, None]
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(place) for place in places.tolist()])[None, :]
    low, wanted, high = np.quantile(sums, (0.25, 0.5, 0.75)).tolist()

    def matched(spread: float) -> tuple[float, float]:
        """The median for that sigma, and how far the quartiles then are from those of the sums."""
        shape = np.exp(spread * scores)
        least, most = TINY_S, max(wanted, TINY_S)
        for _ in range(30):
            middle = (least + most) / 2
            least, most = (middle, most) if np.median(firsts + middle * shape) < wanted else (least, middle)
        quarters = np.quantile(firsts + least * shape, (0.25, 0.75))
        return least, abs(float(np.ptp(quarters)) - (high - low))

    if sigma is None:
        sigma = min(_SIGMAS, key=lambda one: matched(one)[1])
    return matched(sigma)[0], sigma


def fit_lognormal(name: str, now: float, rows: NDArray[np.int64], calls: Calls, values: Floats, what: str) -> Fitted:
    """A lognormal parameter: its median by these values, its sigma by their quartiles."""
    logs = np.log(np.maximum(values, TINY_S))

    def median(chosen: NDArray[np.int64]) -> float:
        return float(np.exp(np.median(logs[chosen])))

    return fit_parameter(name, now, rows, calls, median, what=what, sigma=robust_sigma(logs[rows]))


def fit_parameter(
    name: str,
    now: float,
    rows: NDArray[np.int64],
    calls: Calls,
    value_of: Callable[[NDArray[np.int64]], float],
    *,
    what: str,
    sigma: float | None = None,
) -> Fitted:
    """A parameter and its interval, by resampling runs; where there are few, calls."""
    by_run = group_rows(calls.run, rows)
    parts = by_run if len(by_run) >= LEAST_RUNS else [rows[place : place + 1] for place in range(len(rows))]

    def of(pick: NDArray[np.int64]) -> float:
        return value_of(np.concatenate([parts[one] for one in pick]))

    low, high, kind = interval(of, len(parts))
    return Fitted(
        name=name, value=value_of(rows), low=low, high=high, kind=kind, sigma=sigma, model=now, count=len(rows),
        what=what, runs=len(by_run),
    )  # fmt: skip


def group_rows(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """`rows`, divided by their label; labels without a row are left out."""
    order = rows[np.argsort(labels[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return [part for part in np.split(order, cuts) if len(part)]


def resamples(count: int) -> Iterable[NDArray[np.int64]]:
    """Indices of bootstrap resamples of `count` values, the same in each call."""
    rng = np.random.default_rng(1)
    return (rng.integers(0, count, count) for _ in range(_RESAMPLES))


def interval(value_of: Callable[[NDArray[np.int64]], float], count: int) -> tuple[float | None, float | None, Kind]:
    """The interval of a value of so many parts (runs, calls), by resampling them.

    As everywhere (docs/statistics.md): none of one part, of fewer than six least to greatest.
    """
    if count < 2:
        return None, None, "range"
    values = [value_of(pick) for pick in resamples(count)]
    if count < FULL_INTERVAL:
        return min(values), max(values), "range"
    low, high = np.quantile(values, (percentile_tail(count), 1 - percentile_tail(count)))
    return float(low), float(high), "95 %"


def robust_sigma(logs: Floats) -> float:
    """The standard deviation by the quartiles: a few stragglers do not widen it."""
    quarter, three_quarters = np.quantile(logs, (0.25, 0.75))
    return float(three_quarters - quarter) / 1.349
