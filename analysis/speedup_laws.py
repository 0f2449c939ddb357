"""Scaling along workers: speedup and efficiency, Amdahl's law, and Gunther's Universal Scalability Law.

T(N) = T(1) (1 + a (N - 1) + b N (N - 1)) / N: a is what is serial or waits for others, b the cost of keeping workers
consistent (Gunther, Guerrilla Capacity Planning, 2007, chapter 4). With b = 0 it is Amdahl's law, a its serial share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.curves import resampled_medians, resampled_tail
from lbench.analysis.format import percent_text, seconds_text
from lbench.analysis.series import Point, Series
from lbench.analysis.statistics import FULL_INTERVAL, Estimate, percentile_tail, ratio_estimate
from lbench.errors import count_text

__all__ = [
    "Efficiency",
    "LawFit",
    "Refusal",
    "fit_law",
    "law_text",
    "predicted_s",
    "strong_scaling",
    "weak_scaling",
]

LEAST_PLACES = 6  # distinct numbers of workers
MOST_BEYOND = 2.0  # times the largest number measured: further is an extrapolation
_SAME_WORK = math.log(1.15)  # so far apart two amounts of work are called the same
_SEED = 1

Law = Literal["amdahl", "usl"]
Floats = NDArray[np.float64]


class Efficiency(msgspec.Struct, frozen=True):
    """At `workers`: the speedup over the fewest, and that as a share of how many times as many there are."""

    workers: float
    speedup: Estimate
    efficiency: float


class LawFit(msgspec.Struct, frozen=True, kw_only=True):
    """A law through a series; intervals are of resampled repeats."""

    one_s: Estimate  # T(1)
    serial: Estimate  # a
    coherence: Estimate | None  # b; None: Amdahl's law
    best: Estimate | None  # workers at which the law is fastest; None: more are always faster by it
    most: float  # workers measured
    error: float  # root mean square of the logarithms


class Refusal(msgspec.Struct, frozen=True):
    """Why no law is fitted."""

    why: str


def strong_scaling(series: Series) -> list[Efficiency]:
    """The same job with more workers: T(N0) / T(N), and its share of N / N0."""
    timed = [point for point in series.points if point.times_s and min(point.times_s) > 0 and point.at > 0]
    if len(timed) < 2:
        return []
    first = timed[0]
    found = []
    for point in timed:
        speedup = (
            Estimate(1.0, count=len(first.times_s)) if point is first else ratio_estimate(first.times_s, point.times_s)
        )
        assert speedup is not None
        found.append(Efficiency(point.at, speedup, speedup.value / (point.at / first.at)))
    return found


def weak_scaling(columns: Sequence[tuple[float, Series]]) -> list[Efficiency]:
    """A job that grows with its workers: T(N0) / T(N) of the points with as much work for each worker as the first.

    How much work a point is shows its time with the fewest workers: it may grow as the square of a size, or not at all with
    the number of tasks.

    `columns`: the number of workers and the series along the size, of a sweep over both. Perfect is 1.
    """
    ordered = sorted(columns, key=lambda column: column[0])
    if len(ordered) < 2 or ordered[0][0] <= 0:
        return []
    workers, base = ordered[0]
    timed = [point for point in base.points if point.times_s and min(point.times_s) > 0]
    if not timed:
        return []
    first = timed[0]
    found = [Efficiency(workers, Estimate(1.0, count=len(first.times_s)), 1.0)]
    for count, series in ordered[1:]:
        off = {one.at: abs(math.log(_median_s(one) / _median_s(first) * workers / count)) for one in timed}
        nearest = min(off, key=lambda at: off[at])
        point = series.at(nearest)
        if off[nearest] <= _SAME_WORK and point is not None and point.times_s and min(point.times_s) > 0:
            speedup = ratio_estimate(first.times_s, point.times_s)
            assert speedup is not None
            found.append(Efficiency(count, speedup, speedup.value))
    return found if len(found) > 1 else []


def _median_s(point: Point) -> float:
    return float(np.median(point.times_s))


def fit_law(series: Series, law: Law) -> LawFit | Refusal:
    """Fit a law to a series along workers."""
    timed = [point for point in series.points if point.times_s and min(point.times_s) > 0 and not point.few]
    places = np.array([point.at for point in timed])
    if len(places) < LEAST_PLACES:
        return Refusal(f"needs {LEAST_PLACES} different numbers of workers, got {len(places)}")
    if places[0] != 1:
        return Refusal("needs a point with 1 worker")
    samples = [np.log(np.array(point.times_s)) for point in timed]
    medians = np.array([np.median(sample) for sample in samples])
    own = _fitted(places, medians, law)
    generator = np.random.default_rng(_SEED)
    count = min(map(len, samples))
    resampled = None
    if count > 1:
        drawn = resampled_medians(samples, generator, None).T
        resampled = np.array([_fitted(places, row, law) for row in drawn])
    one_s, serial, coherence = (_estimate(own, resampled, index, count) for index in range(3))
    best = None
    if law == "usl" and math.isfinite(_best(own)):
        best = _best_estimate(_best(own), [] if resampled is None else [_best(row) for row in resampled], count)
    error = float(np.sqrt(np.mean(np.square(medians - _log_times(places, own)))))
    return LawFit(
        one_s=one_s,
        serial=serial,
        coherence=coherence if law == "usl" else None,
        best=best,
        most=float(places[-1]),
        error=error,
    )


def _best(parameters: Floats) -> float:
    """The number of workers from which on more are slower; inf: more are always faster."""
    _, serial, coherence = parameters.tolist()
    return max(1.0, math.sqrt(max(0.0, 1 - serial) / coherence)) if coherence > 1e-12 else math.inf


def _best_estimate(value: float, resampled: list[float], count: int) -> Estimate:
    """Its interval, whose end may be inf."""
    if not resampled:
        return Estimate(value, count=count)
    found, last = sorted(resampled), len(resampled) - 1
    tail = resampled_tail(count)
    low, high = min(value, found[round(tail * last)]), max(value, found[round((1 - tail) * last)])
    return Estimate(value, low, high, count, "range" if count < FULL_INTERVAL else "95 %")


def _log_times(places: Floats, parameters: Floats) -> Floats:
    one_s, serial, coherence = parameters
    shape = (1 + serial * (places - 1) + coherence * places * (places - 1)) / places
    found: Floats = np.log(one_s) + np.log(shape)
    return found


def _fitted(places: Floats, logs: Floats, law: Law) -> Floats:
    """T(1), a from 0 to 1, b from 0 on, by the least squares of relative errors.

    N T(N) is linear in T(1) (1 - a), T(1) a and T(1) b.
    """
    from scipy.optimize import nnls

    terms = [np.ones_like(places), places]
    if law == "usl":
        terms.append(places * (places - 1))
    work = places * np.exp(logs)
    found, _ = nnls(np.array(terms).T / work[:, None], np.ones_like(places))
    one_s = max(float(found[0] + found[1]), 1e-12)
    return np.array([one_s, found[1] / one_s, found[2] / one_s if law == "usl" else 0.0])


def _estimate(own: Floats, resampled: Floats | None, index: int, count: int) -> Estimate:
    value = float(own[index])
    if resampled is None:
        return Estimate(value, count=count)
    column = np.sort(resampled[:, index])
    if count < FULL_INTERVAL:
        return Estimate(value, float(column[0]), float(column[-1]), count, "range")
    tail = percentile_tail(count)
    low, high = np.quantile(column, (tail, 1 - tail))
    return Estimate(value, min(float(low), value), max(float(high), value), count)


def predicted_s(fit: LawFit, workers: float) -> tuple[float, bool]:
    """The makespan by a law, and whether that is an extrapolation (beyond twice the largest number measured)."""
    coherence = 0.0 if fit.coherence is None else fit.coherence.value
    parameters = np.array([fit.one_s.value, fit.serial.value, coherence])
    seconds = float(np.exp(_log_times(np.array([workers]), parameters))[0])
    return seconds, workers > MOST_BEYOND * fit.most


def law_text(fit: LawFit | Refusal, law: Law) -> str:
    """A fit in words, or why there is none."""
    name = "Amdahl's law" if law == "amdahl" else "Universal Scalability Law"
    if isinstance(fit, Refusal):
        return f"{name}: not fitted, {fit.why}"
    parts = [f"serial share {_share(fit.serial)}"]
    if fit.coherence is not None:
        parts.append(f"coherence {_plain(fit.coherence)}")
        if fit.best is None:
            parts.append("by this law more workers are always faster")
        else:
            seconds, beyond = predicted_s(fit, fit.best.value)
            aside = f"; extrapolated, {fit.most:g} were measured" if beyond else ""
            at = count_text(round(fit.best.value), "worker")
            parts.append(f"fastest at {at} ({_best_spread(fit.best)}{seconds_text(seconds)}{aside})")
    elif fit.serial.value > 0:
        parts.append(f"at most {_most(fit.serial)} whatever the number of workers: an extrapolation")
    return f"{name}: {', '.join(parts)}; off by {percent_text(math.expm1(fit.error))} on average"


def _best_spread(best: Estimate) -> str:
    """Its interval, before what follows it: "95 %: 9–11; "; "" for none."""
    if best.low is None or best.high is None:
        return ""
    high = f"–{best.high:,.0f}" if math.isfinite(best.high) else " or more"
    return f"{_kind(best)}: {best.low:,.0f}{high}; "


def _share(estimate: Estimate) -> str:
    text = percent_text(estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({_kind(estimate)}: {percent_text(estimate.low)} to {percent_text(estimate.high)})"


def _most(serial: Estimate) -> str:
    """The speedup that a serial share leaves, with its interval."""
    text = f"{1 / serial.value:.1f}×"
    if serial.low is None or serial.high is None:
        return text
    upper = f"–{1 / serial.low:.1f}" if serial.low > 0 else " or more"
    return f"{text} ({_kind(serial)}: {1 / serial.high:.1f}{upper})"


def _plain(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2g}"
    return f"{estimate.value:.2g} ({_kind(estimate)}: {estimate.low:.2g} to {estimate.high:.2g})"


def _kind(estimate: Estimate) -> str:
    return estimate.kind if estimate.kind == "95 %" else f"range of {estimate.count}"
