"""Medians, intervals and trends obey their laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.analysis.statistics import (
    coefficient_of_variation,
    median_estimate,
    quantile,
    ratio_estimate,
    trend,
)

times = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=12)
quick = settings(max_examples=30, deadline=None)


@quick
@given(times)
def test_the_interval_holds_the_median_and_lies_within_the_values(values: list[float]) -> None:
    found = median_estimate(values)
    assert found is not None and found.value == pytest.approx(np.median(values))
    if len(values) == 1:
        assert found.interval is None
    else:
        assert found.low is not None and found.high is not None
        assert min(values) <= found.low <= found.value * (1 + 1e-12)
        assert found.value * (1 - 1e-12) <= found.high <= max(values)


@quick
@given(times, st.randoms())
def test_the_order_of_the_values_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median_estimate(values) == median_estimate(shuffled)


@quick
@given(times, st.sampled_from([0.25, 2.0, 1024.0]))
def test_another_unit_scales_the_interval(values: list[float], scale: float) -> None:
    one, other = median_estimate(values), median_estimate([value * scale for value in values])
    assert one is not None and other is not None
    assert other.value == one.value * scale
    if one.interval is not None:
        assert other.interval == pytest.approx([end * scale for end in one.interval])


@quick
@given(times, times)
def test_a_ratio_lies_between_the_most_extreme_ones(over: list[float], under: list[float]) -> None:
    found = ratio_estimate(over, under)
    assert found is not None and found.value == pytest.approx(np.median(over) / np.median(under))
    if found.interval is not None:
        assert min(over) / max(under) * (1 - 1e-9) <= found.interval[0] <= found.interval[1]
        assert found.interval[1] <= max(over) / min(under) * (1 + 1e-9)


def test_equal_values_have_an_interval_without_width() -> None:
    assert median_estimate([2.0, 2.0, 2.0]).interval == (2.0, 2.0)  # type: ignore[union-attr]


def test_no_values_have_no_estimate() -> None:
    assert median_estimate([]) is None
    assert median_estimate([math.nan]) is None
    assert ratio_estimate([], [1.0]) is None
    assert ratio_estimate([1.0], [0.0]) is None
    assert quantile([], 0.5) is None
    assert coefficient_of_variation([1.0]) is None
    assert trend([1.0, 2.0]) is None


def test_the_bootstrap_has_its_nominal_coverage() -> None:
    generator = np.random.default_rng(7)
    inside = 0
    for _ in range(100):
        found = median_estimate(generator.normal(10, 1, 20))
        assert found is not None and found.low is not None and found.high is not None
        inside += found.low <= 10 <= found.high
    assert inside >= 88  # 95 expected; fewer than 88 has a chance below 0.3 %


def test_quantiles_and_spread_are_those_of_the_textbook() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile(range(101), 0.99) == 99
    assert coefficient_of_variation([9, 10, 11]) == pytest.approx(0.1)


def test_a_steady_rise_is_a_trend_and_noise_is_not() -> None:
    rising = trend([10.0, 10.2, 10.4, 10.6, 10.8, 11.0])
    assert rising is not None and rising.p < 0.05
    assert rising.change == pytest.approx(1 / 10.5)
    noise = trend([10.0, 10.4, 9.9, 10.1, 10.3, 10.0])
    assert noise is not None and noise.p > 0.3
