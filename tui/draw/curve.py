"""A curve in braille: two by four dots a cell, joined, on round scales."""

from __future__ import annotations

import numpy as np

from lbench.tui.draw.scale import nice_range

__all__ = ["braille", "curve"]

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int32)


def braille(dots: np.ndarray) -> list[str]:
    """Dots (4 h, 2 w) of bool as h lines of w cells; a cell without a dot is a space."""
    height, width = dots.shape[0] // 4, dots.shape[1] // 2
    cells = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    codes = (cells * _DOTS).sum(axis=(2, 3))
    return ["".join(chr(0x2800 + code) if code else " " for code in row) for row in codes.tolist()]


def curve(
    points: list[tuple[float, float]], width: int, height: int
) -> tuple[list[str], tuple[float, float], tuple[float, float]]:
    """Lines of so many cells, and the ranges of x and y that they show. There must be a point."""
    values = np.asarray(points, dtype=float)
    x, y = values[:, 0], values[:, 1]
    low, high = nice_range(float(y.min()), float(y.max()), 4)
    right = max(float(x.max()), 1e-9)
    dots = np.zeros((4 * height, 2 * width), dtype=bool)
    at_x = np.clip(np.rint(x / right * (2 * width - 1)), 0, 2 * width - 1)
    at_y = np.clip(np.rint((high - y) / (high - low) * (4 * height - 1)), 0, 4 * height - 1)
    steps = max(1, 4 * width)
    for index in range(len(values)):
        before = max(0, index - 1)
        count = int(max(abs(at_x[index] - at_x[before]), abs(at_y[index] - at_y[before]), 1)) + 1
        columns = np.rint(np.linspace(at_x[before], at_x[index], min(count, steps))).astype(int)
        rows = np.rint(np.linspace(at_y[before], at_y[index], min(count, steps))).astype(int)
        dots[rows, columns] = True
    return braille(dots), (0.0, right), (low, high)
