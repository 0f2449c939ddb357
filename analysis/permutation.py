"""The permutation test of two samples: how often a chance division of the values differs as much as they do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

__all__ = ["PermutationTest", "permutation_test"]

_DIVISIONS = 20_000  # up to so many all are tried (8 values on either side have 12,870); of more so many at random
_SEED = 1


class PermutationTest(msgspec.Struct, frozen=True):
    """`p` of a difference of the mean logarithms as large as the one seen, two-sided."""

    p: float
    exact: bool
    least_p: float  # that any order of so many values can reach


def permutation_test(first: Sequence[float], second: Sequence[float]) -> PermutationTest | None:
    """Test whether two samples of positive values are of one distribution; None where either is empty or has a 0.

    Exact up to `_DIVISIONS` divisions, else by random ones (the one seen counts as one of them: Phipson & Smyth, Stat.
    Appl. Genet. Mol. Biol. 9 (2010) 39).
    """
    if not first or not second or min(*first, *second) <= 0:
        return None
    fewer, more = sorted((first, second), key=len)
    values = np.log(np.array([*fewer, *more], dtype=np.float64))
    count, size = len(values), len(fewer)
    total = float(values.sum())
    seen = abs(_difference(float(values[:size].sum()), total, size, count))
    divisions = math.comb(count, size)
    if divisions <= _DIVISIONS:
        chosen = np.array(list(itertools.combinations(range(count), size)))
        differences = np.abs(_difference(values[chosen].sum(axis=1), total, size, count))
        p = float((differences >= seen - 1e-12).mean())
        return PermutationTest(p, True, (2 if size * 2 == count else 1) / divisions)
    generator = np.random.default_rng(_SEED)
    sums = generator.permuted(np.tile(values, (_DIVISIONS, 1)), axis=1)[:, :size].sum(axis=1)
    as_large = int((np.abs(_difference(sums, total, size, count)) >= seen - 1e-12).sum())
    return PermutationTest((1 + as_large) / (1 + _DIVISIONS), False, 1 / (1 + _DIVISIONS))


def _difference(part: Any, total: float, size: int, count: int) -> Any:
    """The mean of the chosen values less the mean of the others."""
    return part / size - (total - part) / (count - size)
