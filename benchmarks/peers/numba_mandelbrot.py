"""The peer of the mandelbrot kernel: the plain loop, compiled by numba, one thread, no fast-math."""

import time

import numba
import numpy as np
from pairs import serve


@numba.njit
def escape(cx, cy, max_iterations):
    zr = zi = 0.0
    for i in range(max_iterations):
        zr2 = zr * zr
        zi2 = zi * zi
        if zr2 + zi2 >= 4.0:
            return i
        zi = 2.0 * (zr * zi) + cy
        zr = zr2 - zi2 + cx
    return max_iterations


@numba.njit
def picture(across, down, max_iterations):
    counts = np.empty((len(down), len(across)), np.uint16)
    for row in range(len(down)):
        for column in range(len(across)):
            counts[row, column] = escape(across[column], down[row], max_iterations)
    return counts


def answer(size, max_iterations):
    across = 1 - 2.5 * np.arange(size) / size
    down = 1.25 - 2.5 * np.arange(size) / size
    start = time.perf_counter()
    counts = picture(across, down, max_iterations)
    return {"seconds": time.perf_counter() - start, "iterations": int(counts.sum(dtype=np.uint64))}


serve(answer)
