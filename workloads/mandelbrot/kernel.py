"""The two kernels: how many iterations each point takes to leave the disk of radius 2.

Both compute, for each point c = cx + i cy,

    z = 0
    for i in range(max_iterations):
        if zr*zr + zi*zi >= 4: count is i
        zi, zr = 2*(zr*zi) + cy, (zr*zr - zi*zi) + cx
    count is max_iterations

in float64, each product and each sum rounded by itself, in exactly that order (the doubling is an addition,
`t + t`). IEEE 754 fixes the result of every one of these operations, so all processors that keep to the order
agree to the bit, and so do both kernels. What would break it: complex numbers (NumPy and C compilers are
free to order and fuse a complex product as they like), `einsum`, `hypot`, and fused multiply-add.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KERNELS", "count_numpy", "count_python", "counts_dtype"]

_BLOCK = 8192  # points at a time: z, z squared, c and the saved z are 512 KB, half of a common level 2 cache
_WINDOW = 16  # iterations between two looks at which points have left
_SHELF = 1 << 17  # points whose survivors are gathered into full blocks; bounds the memory (20 MB)
_MARGIN = 1e-6  # points with |c|^2 this near to 4 are looked at after every iteration: see `_advance`

Floats = NDArray[np.float64]
Counts = NDArray[Any]  # of uint16 or uint32


def counts_dtype(max_iterations: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest type that holds the counts: they travel and are kept in it."""
    return np.uint16 if max_iterations < 65536 else np.uint32


def count_python(cx: Floats, cy: Floats, max_iterations: int) -> Counts:
    """The counts of the points cx[column] + i cy[row], shape (rows, columns), by a plain Python loop.

    It stands for the original study's loop over Python complex numbers and costs about as much. It takes two
    floats instead, because `abs(z)` is the C library's `hypot`, whose last bit differs from library to
    library, and the interpreter's complex product is C code that compilers fuse (multiply-add) on arm64:
    the counts of points near the border would differ between machines.
    """
    across = cx.tolist()
    counts = np.empty((len(cy), len(cx)), counts_dtype(max_iterations))
    for row, y in enumerate(cy.tolist()):
        line = []
        for x in across:
            zr = zi = 0.0
            count = max_iterations
            for i in range(max_iterations):
                zr2 = zr * zr
                zi2 = zi * zi
                if zr2 + zi2 >= 4.0:
                    count = i
                    break
                t = zr * zi
                zi = t + t + y
                zr = zr2 - zi2 + x
            line.append(count)
        counts[row] = line
    return counts


def count_numpy(cx: Floats, cy: Floats, max_iterations: int) -> Counts:
    """The counts of the points cx[column] + i cy[row], shape (rows, columns), by blocks of NumPy arrays.

    Equal to `count_python` to the last count: there is no shortcut for points inside the set.
    """
    counts = np.empty((len(cy), len(cx)), counts_dtype(max_iterations))
    high = max(1, _SHELF // len(cx))
    # Points that have left run on to infinity and NaN until somebody looks; that is expected.
    with np.errstate(over="ignore", invalid="ignore"):
        for row in range(0, len(cy), high):
            c = np.empty((2, len(cy[row : row + high]), len(cx)))
            c[0] = cx
            c[1] = cy[row : row + high, np.newaxis]
            counts[row : row + high] = _count(c.reshape(2, -1), max_iterations).reshape(-1, len(cx))
    return counts


KERNELS = {"numpy": count_numpy, "python": count_python}


@dataclass(slots=True)
class _Points:
    """Points on their way, all at the same iteration."""

    z: Floats  # (2, n): real and imaginary parts
    c: Floats  # (2, n)
    place: NDArray[np.intp]  # (n,): where each one's count goes; -1: has left, z and c are 0 and stay so

    def take(self, lanes: NDArray[np.intp]) -> _Points:
        return _Points(self.z.take(lanes, 1), self.c.take(lanes, 1), self.place.take(lanes))

    def blocks(self) -> Iterator[_Points]:
        parts = max(1, round(len(self.place) / _BLOCK))
        ends = [len(self.place) * part // parts for part in range(parts + 1)]
        for first, end in pairwise(ends):
            lanes = slice(first, end)
            yield _Points(self.z[:, lanes].copy(), self.c[:, lanes].copy(), self.place[lanes].copy())

    @staticmethod
    def join(parts: Sequence[_Points]) -> _Points:
        return _Points(
            np.concatenate([part.z for part in parts], 1),
            np.concatenate([part.c for part in parts], 1),
            np.concatenate([part.place for part in parts]),
        )


def _count(c: Floats, max_iterations: int) -> Counts:
    counts = np.full(c.shape[1], max_iterations, counts_dtype(max_iterations))
    size = _size(c, np.empty_like(c))  # the first iteration gives z = c exactly, so this is its |z|^2
    counts[size >= 4.0] = 1
    near = size >= 4.0 - _MARGIN
    for lanes, window in (np.flatnonzero(~near), _WINDOW), (np.flatnonzero(near & (size < 4.0)), 1):
        if len(lanes):
            chosen = c.take(lanes, 1)
            _run(_Points(chosen, chosen.copy(), lanes), window, max_iterations, counts)
    return counts


def _run(points: _Points, window: int, max_iterations: int, counts: Counts) -> None:
    """Take points from iteration 1 to the end and write the counts of those that leave.

    Most points that ever leave do so within the first window. The others are then gathered into full blocks:
    a call of NumPy costs about as much as 1000 points.
    """
    i, last = 1, max_iterations - 1
    for stop in (min(1 + window, last), last):
        left: list[_Points] = []
        points = _Points.join([_advance(block, i, stop, window, counts, left) for block in points.blocks()])
        if left:
            for block in _Points.join(left).blocks():
                _settle(block, window, counts)
        i = stop


def _advance(points: _Points, i: int, stop: int, window: int, counts: Counts, left: list[_Points]) -> _Points:
    """Take a block from iteration i to stop; return the points that stay, append to `left` those that leave.

    Only the end of each window is looked at. A point that was outside on the way is still outside then:
    |z| >= 2 and |c| < 2 give |z^2 + c| >= |z|^2 - |c| >= |z| + (2 - |c|), and 2 - |c| > 2e-7 by `_MARGIN`,
    far more than the rounding of one iteration (relatively about 1e-15). If it overflows, z stays infinite
    or NaN, and neither is below 4. A point that left gets the count it would have by leaving at the
    window's first iteration, and is kept as it was when the window began: `_settle` adds what is missing.
    """
    squares, before = np.empty_like(points.z), np.empty_like(points.z)
    gone = 0
    while i < stop and len(points.place):
        steps = min(window, stop - i)
        np.copyto(before, points.z)
        _iterate(points.z, points.c, squares, steps)
        lanes = np.flatnonzero(~(_size(points.z, squares) < 4.0))
        if len(lanes):
            leaving = _Points(before.take(lanes, 1), points.c.take(lanes, 1), points.place.take(lanes))
            counts[leaving.place] = i + 1
            left.append(leaving)
            points.z[:, lanes] = 0.0
            points.c[:, lanes] = 0.0
            points.place[lanes] = -1
            gone += len(lanes)
            if gone * 8 > len(points.place):  # dropping costs a few iterations: not for single points
                points, gone = points.take(np.flatnonzero(points.place >= 0)), 0
                squares, before = np.empty_like(points.z), np.empty_like(points.z)
        i += steps
    return points.take(np.flatnonzero(points.place >= 0))


def _settle(points: _Points, window: int, counts: Counts) -> None:
    """Repeat the window in which these points left; add the iterations for which each was still inside."""
    squares = np.empty_like(points.z)
    inside = np.zeros(len(points.place), counts.dtype)
    for _ in range(window):
        _iterate(points.z, points.c, squares, 1)
        inside += _size(points.z, squares) < 4.0
    counts[points.place] += inside


def _iterate(z: Floats, c: Floats, squares: Floats, steps: int) -> None:
    """Make z into z^2 + c, in place and in the module's order: five calls over a block in the cache."""
    zr, zi = z
    zr2, zi2 = squares
    for _ in range(steps):
        np.multiply(z, z, squares)
        np.multiply(zr, zi, zi)
        np.add(zi, zi, zi)
        np.subtract(zr2, zi2, zr)
        np.add(z, c, z)


def _size(z: Floats, squares: Floats) -> Floats:
    """|z|^2, in the first row of `squares`."""
    np.multiply(z, z, squares)
    size: Floats = np.add(squares[0], squares[1], squares[0])
    return size
