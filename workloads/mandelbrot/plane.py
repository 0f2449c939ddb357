"""The points of the plane for a picture's columns and rows, and the rows of each task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["columns", "deal", "rows"]


def columns(width: int, window: Sequence[float]) -> NDArray[np.float64]:
    """The real part of each column, `x_max - (x_max - x_min) * column / width`, left to right.

    The original study's plane: column 0 is x_max and x falls from there; pictures turn it round. The
    operations are float64 in the order written, so that every machine gets the same points.
    """
    x_min, x_max = window[0], window[1]
    return x_max - (x_max - x_min) * np.arange(width) / width


def rows(height: int, window: Sequence[float]) -> NDArray[np.float64]:
    """The imaginary part of each row, `y_max - (y_max - y_min) * row / height`, top to bottom."""
    y_min, y_max = window[2], window[3]
    return y_max - (y_max - y_min) * np.arange(height) / height


def deal(height: int, tasks: int, assignment: str) -> list[range]:
    """The rows of each task: every row once, no task without a row. 1 <= tasks <= height.

    - `interleaved`: task i gets rows i, i + tasks, i + 2 tasks, ...: all tasks cost about the same.
    - `blocked`: equal runs of neighbouring rows: tasks across the set cost far more than those at the edges.
    - `dynamic`: runs of neighbouring rows that shrink linearly from about 2 height / tasks rows to 1 (Tzen
      and Ni, "Trapezoid self-scheduling", 1993). Tasks are given out in this order, each to the next
      environment that is free, so the small ones at the end fill the gaps that the large ones left.
    """
    if assignment == "interleaved":
        return [range(first, height, tasks) for first in range(tasks)]
    if assignment == "blocked":
        ends = [height * task // tasks for task in range(tasks + 1)]
    elif assignment == "dynamic":
        ends = _shrinking(height, tasks)
    else:
        raise ValueError(f"assignment must be interleaved, blocked or dynamic, got {assignment!r}")
    return [range(first, end) for first, end in pairwise(ends)]


def _shrinking(height: int, tasks: int) -> list[int]:
    # One row for each task; the rest is dealt with weights tasks - 1, ..., 1, 0. Whole rows only: the running
    # sum of the weights is rounded, and sorting puts the sizes back in order where rounding had swapped two.
    rest, weight = height - tasks, tasks * (tasks - 1)
    given = [rest * (weight - (tasks - i) * (tasks - i - 1)) // max(weight, 1) for i in range(tasks + 1)]
    given[-1] = rest  # for a single task all weights are 0
    sizes = sorted((1 + after - before for before, after in pairwise(given)), reverse=True)
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    return ends
