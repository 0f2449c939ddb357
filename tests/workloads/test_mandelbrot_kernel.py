"""The kernels: equal counts everywhere, by the stated arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbench.workloads.mandelbrot import kernel, plane
from lbench.workloads.mandelbrot.kernel import count_numpy, count_python, counts_dtype

UNHURRIED = settings(deadline=None)  # the machine may be busy

HOME = (-1.5, 1.0, -1.25, 1.25)


def counted(cx: float, cy: float, max_iterations: int) -> int:
    """The definition, a point at a time."""
    zr = zi = 0.0
    for i in range(max_iterations):
        if zr * zr + zi * zi >= 4.0:
            return i
        zr, zi = (zr * zr - zi * zi) + cx, (zr * zi + zr * zi) + cy
    return max_iterations


def both(cx: list[float], cy: list[float], max_iterations: int) -> None:
    x, y = np.array(cx), np.array(cy)
    expected = [[counted(a, b, max_iterations) for a in cx] for b in cy]
    assert count_numpy(x, y, max_iterations).tolist() == expected
    assert count_python(x, y, max_iterations).tolist() == expected


@UNHURRIED
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=6),
    st.lists(st.floats(-3, 3), min_size=1, max_size=4),
    st.integers(1, 80),
)
@example([-2.0, 2.0, 0.25, -0.75, 0.0, -0.0], [0.0, -0.0, 1.0, 2.0], 60)
@example([5e-324, -5e-324, 1e-160], [1e-200, -5e-324], 40)
def test_both_kernels_count_as_defined(cx: list[float], cy: list[float], max_iterations: int) -> None:
    both(cx, cy, max_iterations)


@UNHURRIED
@given(st.floats(0, 6.3), st.integers(-40, 40), st.sampled_from([1e-16, 1e-12, 1e-8, 2.5e-7, 1e-4]))
def test_points_within_rounding_of_the_disks_rim_are_counted_exactly(angle: float, steps: int, width: float) -> None:
    radius = 2.0 + steps * width
    both([radius * float(np.cos(angle)), -radius], [radius * float(np.sin(angle)), 0.0], 50)


@pytest.mark.parametrize("max_iterations", [1, 2, 3, 15, 16, 17, 18, 33, 34, 48, 49, 50, 100])
def test_the_ends_of_the_windows_lose_no_iteration(max_iterations: int) -> None:
    across, down = plane.columns(31, HOME), plane.rows(29, HOME)
    numpy, python = (k(across, down, max_iterations) for k in (count_numpy, count_python))
    assert np.array_equal(numpy, python)
    assert numpy.max() == max_iterations


def test_the_tip_of_the_needle_is_counted_point_by_point() -> None:
    # Points just right of c = -2 stay long and near the rim: the path that looks after every iteration.
    across = -2.0 + np.array([0.0, 2**-52, 1e-13, 1e-10, 1e-8, 1e-7, 2.4e-7, 2.6e-7, 1e-6, 1e-3])
    assert np.array_equal(count_numpy(across, np.zeros(1), 3000), count_python(across, np.zeros(1), 3000))


def test_huge_points_leave_at_once_and_silently() -> None:
    far = np.array([1e300, -1e308, 1e154, 4.0])
    assert count_numpy(far, far, 500).tolist() == [[1] * 4] * 4


@pytest.mark.parametrize("window", [HOME, (-0.76, -0.73, 0.08, 0.11), (-2.5, 2.5, -2.5, 2.5)])
def test_whole_pictures_are_equal(window: tuple[float, float, float, float]) -> None:
    across, down = plane.columns(70, window), plane.rows(60, window)
    assert np.array_equal(count_numpy(across, down, 200), count_python(across, down, 200))


def test_counts_do_not_depend_on_blocks_and_shelves(monkeypatch: pytest.MonkeyPatch) -> None:
    across, down = plane.columns(97, HOME), plane.rows(89, HOME)
    expected = count_numpy(across, down, 120)
    for block, shelf, window in (7, 100, 3), (64, 1, 16), (8192, 500, 5):
        monkeypatch.setattr(kernel, "_BLOCK", block)
        monkeypatch.setattr(kernel, "_SHELF", shelf)
        monkeypatch.setattr(kernel, "_WINDOW", window)
        assert np.array_equal(count_numpy(across, down, 120), expected)


def test_counts_beyond_sixteen_bits_are_kept() -> None:
    assert counts_dtype(65535) is np.uint16
    assert counts_dtype(65536) is np.uint32
    near = np.array([0.25 + 1e-9])  # leaves after about pi / sqrt(1e-9) iterations
    assert count_numpy(near, np.zeros(1), 120_000)[0, 0] == counted(0.25 + 1e-9, 0.0, 120_000) > 65535


def test_the_original_studys_picture_takes_as_many_iterations_as_numba_counts() -> None:
    # numba 0.68.1, no fast-math, the plain loop compiled: an implementation that shares nothing with ours.
    counts = count_numpy(plane.columns(1000, HOME), plane.rows(1000, HOME), 500)
    assert int(counts.sum(dtype=np.uint64)) == 126_557_871
    assert int(np.count_nonzero(counts == 500)) == 242_148


@UNHURRIED
@given(st.integers(1, 5000), st.integers(0, 4999))
def test_the_plane_is_the_original_studys(size: int, at: int) -> None:
    at %= size
    across, down = plane.columns(size, HOME), plane.rows(size, HOME)
    assert across[at] == 1 - 2.5 * at / size
    assert down[at] == 1.25 - 2.5 * at / size
    assert abs(Fraction(across[at]) - (1 - Fraction(5, 2) * at / size)) < Fraction(1, 10**15)
