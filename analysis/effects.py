"""Differences of samples without pairs: ratio, change, claim, a threshold's verdict, and how many repeats would decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from lbench.analysis.comparison import Claim, claim_of
from lbench.analysis.permutation import PermutationTest, permutation_test
from lbench.analysis.statistics import CLAIM_LEVEL, LEAST_CLAIM, Estimate, holm, ratio_estimate, unpaired_p

__all__ = ["MOST_REPEATS", "Effect", "Samples", "Verdict", "effects"]

# slower: certainly by more than the threshold; within: certainly not; unclear: neither can be claimed
Verdict = Literal["slower", "within", "unclear"]

MOST_REPEATS = 1000  # more are not recommended: no such difference is worth them
_MEDIAN = 1.2533  # the median's standard error against the mean's, for normal values
_Z = 1.959964 + 0.841621  # of a 95 % interval, and so that four in five repetitions would decide


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A row against its base."""

    against: str  # session and label of the base
    ratio: Estimate  # times as fast as the base
    change: Estimate  # of the makespan, as a share: 0.05 is 5 % slower
    claim: Claim
    test: PermutationTest | None
    p_corrected: float | None  # of the permutation test, by Holm over all effects
    repeats_needed: int | None  # of each side, for an answer; None: there is one, or more than `MOST_REPEATS`
    verdict: Verdict | None  # None: no threshold was given


class Samples(msgspec.Struct, frozen=True):
    """The makespans (s, above 0) of a base and of what is compared with it."""

    against: str  # the base's name
    base_s: tuple[float, ...]
    own_s: tuple[float, ...]


def effects(pairs: Sequence[Samples], threshold: float | None = None) -> list[Effect]:
    """The effect of each pair, corrected for all of them together."""
    count = len(pairs)
    tests = [permutation_test(pair.base_s, pair.own_s) for pair in pairs]
    corrected = iter(holm([test.p for test in tests if test is not None]))
    claims = holm([unpaired_p(pair.base_s, pair.own_s, count) for pair in pairs])
    beyond = holm([_p_beyond(pair, threshold or 0.0, count) for pair in pairs])
    found = []
    for pair, test, claim_p, beyond_p in zip(pairs, tests, claims, beyond, strict=True):
        ratio = ratio_estimate(pair.base_s, pair.own_s)
        assert ratio is not None  # no time is 0
        low, high = (None if end is None else 1 / end - 1 for end in (ratio.high, ratio.low))
        change = Estimate(1 / ratio.value - 1, low, high, ratio.count, ratio.kind)
        found.append(
            Effect(
                against=pair.against,
                ratio=ratio,
                change=change,
                claim=claim_of(ratio, claim_p),
                test=test,
                p_corrected=None if test is None else next(corrected),
                repeats_needed=_needed(pair, change, beyond_p, threshold),
                verdict=None if threshold is None else _verdict(change, threshold, beyond_p),
            )
        )
    return found


def _p_beyond(pair: Samples, threshold: float, comparisons: int) -> float:
    """The test of a claim, against a base that is slower by the threshold."""
    return unpaired_p([time * (1 + threshold) for time in pair.base_s], pair.own_s, comparisons)


def _verdict(change: Estimate, threshold: float, p: float) -> Verdict:
    """As every claim (docs/statistics.md): the interval and the corrected test must both leave out the threshold."""
    if change.low is None or change.high is None or change.count < LEAST_CLAIM or p > CLAIM_LEVEL:
        return "unclear"
    if change.low > threshold:
        return "slower"
    return "within" if change.high < threshold else "unclear"


def _needed(pair: Samples, change: Estimate, p: float, threshold: float | None) -> int | None:
    """Repeats of each side after which the interval would leave out the question's value, if the spread stays.

    Of the two medians' difference in logarithms: n = ((1.96 + 0.84) x 1.2533 x s / d)^2, with s^2 the sum of both variances
    and d the distance to the threshold (without one: to no difference).
    """
    if _verdict(change, threshold or 0.0, p) != "unclear":
        return None
    least = 6
    if min(len(pair.base_s), len(pair.own_s)) < 2:
        return least
    variance = sum(float(np.var(np.log(times), ddof=1)) for times in (pair.base_s, pair.own_s))
    distance = abs(math.log1p(change.value) - math.log1p(threshold or 0.0))
    if distance == 0:
        return None
    count = math.ceil((_Z * _MEDIAN) ** 2 * variance / distance**2)
    now = min(len(pair.base_s), len(pair.own_s))
    needed = max(least, count, now + 1)
    return needed if needed <= MOST_REPEATS else None
