"""Sums that are exact, so that they do not depend on who summed what: any number of mappers gives the same last digit.

A group's sum is kept as a few numbers whose exact sum it is. They come from splitting every value at a common power of two
so that the upper parts can be added without rounding, then the lower parts likewise, until nothing is left (Rump, Ogita
and Oishi, "Accurate floating-point summation part I", SIAM J. Sci. Comput. 31, 2008: ExtractVector). `math.fsum` rounds
once, at the very end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "exact_sums", "rounded"]

LARGEST = 1e290  # of a value: the splitting must not overflow
_PIECE = 1 << 22  # values at a time: more would leave fewer digits to a round


def exact_sums(codes: NDArray[Any], values: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Parts (rounds, groups) whose exact sum by column is that of the values of each code 0 to groups - 1.

    Values are finite, at most LARGEST in size.
    """
    rounds: list[NDArray[Any]] = []
    for at in range(0, len(values), _PIECE):
        rest, where = values[at : at + _PIECE], codes[at : at + _PIECE]
        while True:
            largest = float(np.abs(rest).max(initial=0.0))
            if largest == 0.0:
                break
            # Above 2n times the largest: sums of upper parts are multiples of sigma's last digit, and smaller than it.
            sigma = math.ldexp(1.0, math.frexp(largest)[1] + len(rest).bit_length() + 1)
            upper = (rest + sigma) - sigma
            rounds.append(np.bincount(where, weights=upper, minlength=groups))
            rest = rest - upper
            left = rest != 0.0
            if not left.any():
                break
            rest, where = rest[left], where[left]
    return np.array(rounds).reshape(len(rounds), groups)


def rounded(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums, each rounded once."""
    return np.array([math.fsum(column) + 0.0 for column in parts.T.tolist()], dtype=np.float64)
