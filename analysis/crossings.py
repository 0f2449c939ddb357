"""Crossings along a sweep: where the least time, or the least cost, passes from one backend to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.curves import RESAMPLES, Root, Shape, fit, resampled_medians, resampled_tail, root, shape_of
from lbench.analysis.series import Measure, Point, Series
from lbench.analysis.statistics import FULL_INTERVAL

__all__ = ["SURE", "Crossing", "Rival", "course", "doubt"]

Floats = NDArray[np.float64]

SURE = 0.95  # share of resamples without a crossing from which on the winner is named
_SEED = 1
_Z = 1.959964  # of a 95 % interval of a normal distribution
_ENOUGH = 6  # values behind a prediction, which has no repeats


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the less (of time or dollars) passes from one series to another as the axis grows."""

    measure: Measure
    below: str  # `Series.name`: less below
    above: str  # less above
    root: Root
    first: float  # the first and the last place at which both have a point: what is said of the two holds between them
    last: float
    before: float  # the nearest of these places on either side: between them the curves are taken for straight
    after: float

    @property
    def inside(self) -> bool:
        """Whether it lies inside the swept range."""
        return self.root.at is not None

    @property
    def anywhere(self) -> bool:
        """Whether its interval spans the whole range: the two cannot be distinguished."""
        return self.root.low_open and self.root.high_open


class Rival(msgspec.Struct, frozen=True):
    """A series that cannot be distinguished from the least one at some places between two crossings."""

    least: str
    other: str
    places: tuple[float, ...]


class Course(msgspec.Struct, frozen=True):
    """Which series is the least along the axis.

    `crossings` are the passages from one to another; where one is the least everywhere, its nearest miss: the crossing with
    another that most resamples have. `alike`: pairs that cannot be distinguished, of which the second is in no crossing.
    `rivals`: what may be the least as well, outside the intervals of the crossings.
    """

    least: tuple[str, ...]  # at each place where a series has a value, by the curves
    crossings: tuple[Crossing, ...]
    alike: tuple[tuple[str, str], ...]
    rivals: tuple[Rival, ...] = ()


def course(series: Sequence[Series], places: tuple[float, ...], measure: Measure) -> Course:
    """Follow the least of these series along the axis."""
    left, alike = list(series), list[tuple[str, str]]()
    while True:
        ahead = _envelope(left, places, measure)
        least = [one for _, one in ahead]
        changes = [(one, other) for one, other in pairwise(least) if one is not other]
        turns = [(before + after) / 2 for (before, one), (after, other) in pairwise(ahead) if one is not other]
        found = [_crossing(*pair, measure, near) for pair, near in zip(changes, turns, strict=True)]
        vague = next(
            (n for n, one in enumerate(found) if one is not None and (one.anywhere or _back(found[:n], one))), None
        )
        if vague is None:
            break
        kept, dropped = sorted(changes[vague], key=least.count, reverse=True)
        alike.append((kept.name, dropped.name))
        left.remove(dropped)
    names = tuple(one.name for one in least)
    known = tuple(one for one in found if one is not None)
    if not least:
        return Course(names, known, tuple(alike))
    if known:
        return Course(names, known, tuple(alike), tuple(_rivals(known, left, alike, measure)))
    winner = least[0]
    misses = []
    for other in left:
        if other is winner or (miss := _crossing(winner, other, measure)) is None:
            continue
        if miss.anywhere:  # in some resamples either is the less everywhere
            alike.append((winner.name, other.name))
        else:
            misses += [miss, *([back] if (back := _crossing(other, winner, measure)) is not None else [])]
    best = min(misses, key=doubt, default=None)
    return Course(names, () if best is None else (best,), tuple(alike))


def doubt(miss: Crossing) -> tuple[bool, bool, float]:
    """The least of the crossings outside the range: where one may lie inside, then that of few values, then the nearest."""
    return miss.root.missing >= SURE, miss.root.count >= FULL_INTERVAL, miss.root.missing


def _rivals(
    crossings: Sequence[Crossing], series: Sequence[Series], alike: Sequence[tuple[str, str]], measure: Measure
) -> list[Rival]:
    """What cannot be distinguished from the least, where that is no matter of a crossing's interval."""
    by_name = {one.name: one for one in series}
    stretches: list[tuple[str, float | None, float | None]] = [(crossings[0].below, -math.inf, crossings[0].root.low)]
    for before, after in pairwise(crossings):
        stretches.append((before.above, before.root.high, after.root.low))
    stretches.append((crossings[-1].above, crossings[-1].root.high, math.inf))
    next_to = {frozenset((one.below, one.above)) for one in crossings} | {frozenset(pair) for pair in alike}
    found: dict[tuple[str, str], list[float]] = {}
    for name, first, last in stretches:
        if first is None or last is None:  # measured once
            continue
        for other in series:
            if other.name == name or frozenset((name, other.name)) in next_to:
                continue
            curves = _difference(by_name[name], other, measure)
            if curves is None or curves.count < 2:
                continue
            tail = resampled_tail(curves.count)
            low, high = np.quantile(curves.resampled, (tail, 1 - tail), axis=0)
            open_ = [
                place
                for place, least, most in zip(curves.places, low, high, strict=True)
                if first < place < last and least < 0 <= most
            ]
            if open_:
                found.setdefault((name, other.name), []).extend(open_)
    return [Rival(*pair, tuple(sorted(set(open_)))) for pair, open_ in found.items()]


def _back(earlier: Sequence[Crossing | None], one: Crossing) -> bool:
    """Whether a crossing lies at or below one before it: then their order is noise."""
    places = [other.root.at for other in earlier if other is not None and other.root.at is not None]
    return one.root.at is not None and any(one.root.at <= place for place in places)


def _envelope(series: Sequence[Series], places: tuple[float, ...], measure: Measure) -> list[tuple[float, Series]]:
    """The series with the least at each place, by the fitted curves."""
    values = {one.name: _fitted(one, places, measure) for one in series}
    least = []
    for place in places:
        known = [one for one in series if place in values[one.name]]
        if known:
            least.append((place, min(known, key=lambda one: values[one.name][place])))
    return least


def _fitted(one: Series, places: tuple[float, ...], measure: Measure) -> dict[float, float]:
    """The curve's logarithm at each place from its first point to its last; straight between them, as in `curves.root`."""
    known = [(point.at, value) for point in one.points if (value := _value(point, measure)) is not None]
    if not known:
        return {}
    curve = fit([math.log(value) for _, value in known], _shape(one, measure))
    first, last = known[0][0], known[-1][0]
    inside = [place for place in places if first <= place <= last]
    scale = math.log if first > 0 else float
    found = np.interp([scale(place) for place in inside], [scale(at) for at, _ in known], curve)
    return dict(zip(inside, map(float, found), strict=True))


def _shape(one: Series, measure: Measure) -> Shape:
    if measure == "time" or one.shape == "valley":
        return one.shape
    return shape_of([math.log(value) for point in one.points if (value := _value(point, measure)) is not None])


def _value(point: Point, measure: Measure) -> float | None:
    estimate = point.makespan_s if measure == "time" else point.usd or point.rent_usd
    return None if estimate is None or estimate.value <= 0 else estimate.value


def _samples(point: Point, measure: Measure) -> tuple[float, ...]:
    values = point.times_s if measure == "time" else point.usds
    return tuple(value for value in values if value > 0)


class _Difference(msgspec.Struct, frozen=True):
    """The logarithm of one curve less that of another at their common places."""

    places: list[float]
    own: Any  # (places,)
    resampled: Any  # (resamples, places)
    count: int  # values behind each point, at the least


def _crossing(below: Series, above: Series, measure: Measure, near: float | None = None) -> Crossing | None:
    """Where `below` stops being the less, the nearest such place to `near`; None: fewer than two common places."""
    curves = _difference(below, above, measure)
    if curves is None:
        return None
    found = root(curves.places, curves.own, curves.resampled, curves.count, near)
    at = curves.places[-1] if found.at is None else found.at
    return Crossing(
        measure=measure,
        below=below.name,
        above=above.name,
        root=found,
        first=curves.places[0],
        last=curves.places[-1],
        before=max((place for place in curves.places if place <= at), default=curves.places[0]),
        after=min((place for place in curves.places if place >= at), default=curves.places[-1]),
    )


def _difference(below: Series, above: Series, measure: Measure) -> _Difference | None:
    """The curves of two series against each other; None: fewer than two common places."""
    places = [
        point.at
        for point in below.points
        if _value(point, measure) is not None
        and (other := above.at(point.at)) is not None
        and _value(other, measure) is not None
    ]
    if len(places) < 2:
        return None
    pairs = [
        (one, other)
        for place in places
        if (one := below.at(place)) is not None and (other := above.at(place)) is not None
    ]
    generator = np.random.default_rng(_SEED)
    count = min((len(_samples(point, measure)) for pair in pairs for point in pair if point.repeats), default=_ENOUGH)
    common = generator.standard_normal(RESAMPLES)  # of a prediction: it depends on the same assumption at every place
    if count < FULL_INTERVAL:  # a range goes as far as the prediction's own interval
        common = np.clip(common, -_Z, _Z)
    columns = [_resampled(one, other, measure, generator, common) for one, other in pairs]
    logs = [np.array([column[side] for column in columns]).T for side in (0, 1)]
    shapes = [_shape(one, measure) for one in (below, above)]
    resampled = fit(logs[0], shapes[0]) - fit(logs[1], shapes[1])
    own = [fit([math.log(_value(p[side], measure) or 1) for p in pairs], shapes[side]) for side in (0, 1)]
    return _Difference(places, own[0] - own[1], resampled, count)


def _resampled(
    one: Point, other: Point, measure: Measure, generator: np.random.Generator, common: Floats
) -> tuple[Floats, Floats]:
    """Logarithms of resampled medians of both at one place; whole repeats are resampled, pairs of a round together."""
    samples = [_samples(point, measure) for point in (one, other)]
    if all(samples) and all(len(values) == len(p.rounds) for values, p in zip(samples, (one, other), strict=True)):
        mine, theirs = (
            {key: value for key, value in zip(p.rounds, values, strict=True) if key is not None}
            for p, values in zip((one, other), samples, strict=True)
        )
        shared = [key for key in mine if key in theirs]
        if len(shared) > 1 and len(shared) >= min(len(samples[0]), len(samples[1])):
            picks = generator.integers(0, len(shared), (RESAMPLES, len(shared)))
            pair = [np.array([own[key] for key in shared]) for own in (mine, theirs)]
            found = np.log(resampled_medians(pair, generator, picks))
            return found[0], found[1]
    logs = []
    for point, values in zip((one, other), samples, strict=True):
        if values:
            logs.append(np.log(resampled_medians([np.array(values)], generator, None)[0]))
        else:
            logs.append(_drawn(point, measure, common))
    return logs[0], logs[1]


def _drawn(point: Point, measure: Measure, common: Floats) -> Floats:
    """Logarithms of a predicted value: lognormal, with its interval's width."""
    estimate = point.makespan_s if measure == "time" else point.usd
    assert estimate is not None
    if not estimate.low or not estimate.high:
        return np.full(RESAMPLES, math.log(estimate.value))
    spread = (math.log(estimate.high) - math.log(estimate.low)) / (2 * _Z)
    return math.log(estimate.value) + spread * common
