"""Fitting parameters that are seen in sums only."""

from __future__ import annotations

import numpy as np
import pytest

from lbench.analysis.calibration import second_part


@pytest.mark.parametrize(("median", "sigma"), [(0.24, 0.35), (1.0, 0.2), (0.02, 0.6)])
def test_a_part_of_a_sum_is_found_although_the_other_one_is_skewed(median: float, sigma: float) -> None:
    rng = np.random.default_rng(3)
    first = 0.065 * np.exp(0.95 * rng.normal(size=4000))
    sums = 0.065 * np.exp(0.95 * rng.normal(size=4000)) + median * np.exp(sigma * rng.normal(size=4000))
    found, spread = second_part(sums, first)
    assert found == pytest.approx(median, rel=0.05, abs=0.005)
    assert second_part(sums, first, sigma)[1] == sigma
    assert median < 0.1 or spread == pytest.approx(sigma, abs=0.1)


def test_a_sum_without_a_second_part_has_next_to_none() -> None:
    first = np.full(100, 0.05)
    assert second_part(first, first)[0] < 1e-4
