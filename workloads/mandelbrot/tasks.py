"""Mandelbrot's task function."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lbench.workloads.functions import task_function
from lbench.workloads.mandelbrot import plane
from lbench.workloads.mandelbrot.kernel import KERNELS

__all__ = ["rows"]


@task_function("mandelbrot.rows")
def rows(
    width: int,
    height: int,
    window: list[float],
    max_iterations: int,
    kernel: str,
    first: int,
    end: int,
    step: int,
) -> NDArray[Any]:
    """The counts of the rows range(first, end, step) of a picture: (rows, width), uint16 or uint32.

    Which rows they are is not sent back: the caller has the arguments.
    """
    across = plane.columns(width, window)
    down = plane.rows(height, window)[first:end:step]
    return KERNELS[kernel](across, down, max_iterations)
