"""Fitting parameters that are seen in sums only."""

from __future__ import annotations

import numpy as np
import pytest

from lbench.analysis.parameter_fits import round_trips, second_part


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


@pytest.mark.parametrize(("wait_s", "sigma", "within"), [(0.012, 0.6, 0.05), (0.065, 0.95, 0.15)])
def test_the_round_trip_of_each_run_is_separated_from_a_skewed_wait(wait_s: float, sigma: float, within: float) -> None:
    """By the least of the times it would be the wait's least too long: 12 and 30 %."""
    rng = np.random.default_rng(1)
    trips = np.array([0.022, 0.027, 0.030, 0.034, 0.041])
    run = np.repeat(np.arange(5), 400)
    outside = trips[run] + wait_s * np.exp(sigma * rng.normal(size=len(run)))
    found = [round_trips(outside, run)[run == one][0] for one in range(5)]
    assert np.median(found) == pytest.approx(0.030, rel=within)
    assert found[4] - found[0] == pytest.approx(0.019, rel=0.5)


def test_a_wait_without_skewness_leaves_the_round_trip_above_0() -> None:
    times = 0.001 + 1e-4 * np.linspace(-1, 1, 100)
    assert 0 < round_trips(times, np.zeros(100, dtype=np.int64)).min() <= 0.001
