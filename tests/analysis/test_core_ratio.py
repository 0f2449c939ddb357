"""What a core here is worth in vCPUs of Lambda: published ratios, and the evidence of kernels."""

from __future__ import annotations

import math
import statistics
from datetime import date

import pytest

from lbench.analysis.core_ratio import kernel_ratios, measured_core_ratio
from lbench.config.kernels import published_seconds
from lbench.engine.simulation.distributions import Constant, Lognormal

PRIOR = Lognormal(1.35, 0.24)
DAY = date(2026, 11, 28)


def test_a_ratio_is_the_time_there_over_the_time_here() -> None:
    assert kernel_ratios({"python": 0.1, "blas": 0.2}, {"python": 0.2}) == {"python": pytest.approx(2.0)}


def test_kernels_that_agree_with_the_published_ratios_narrow_them() -> None:
    found = measured_core_ratio(PRIOR, {"python": 1.35, "blas": 1.35, "memory": 1.35}, DAY)
    assert isinstance(found, Lognormal)
    assert found.median == pytest.approx(1.35)
    assert found.sigma < PRIOR.sigma


def test_the_median_lies_between_the_published_and_the_measured() -> None:
    found = measured_core_ratio(PRIOR, {"python": 2.0, "blas": 2.2, "memory": 2.1}, DAY)
    assert 1.35 < found.median < 2.1


@pytest.mark.parametrize("ratios", [{"python": 2.0}, {"python": 1.5, "blas": 2.5}, {"a": 1.4, "b": 2.0, "c": 2.6}])
def test_prior_and_kernels_are_weighed_by_their_variances(ratios: dict[str, float]) -> None:
    """Two normal distributions of logarithms: the kernels' mean has its own error, and 20 % of the published times'."""
    logs = [math.log(ratio) for ratio in ratios.values()]
    error = statistics.variance(logs) / len(logs) if len(logs) > 1 else 0.15**2
    prior, kernels = 0.24**-2, 1 / (error + 0.2**2)
    found = measured_core_ratio(PRIOR, ratios, DAY)
    assert isinstance(found, Lognormal)
    middle = (prior * math.log(1.35) + kernels * statistics.mean(logs)) / (prior + kernels)
    assert found.median == pytest.approx(math.exp(middle))
    assert found.sigma == pytest.approx(math.sqrt(1 / (prior + kernels) + 0.15**2))
    assert (found.source, found.date) == ("kernels run here, with published ratios", DAY)


def test_kernels_that_contradict_each_other_count_for_less() -> None:
    apart = measured_core_ratio(PRIOR, {"python": 0.7, "blas": 6.3, "memory": 2.1}, DAY)
    agreed = measured_core_ratio(PRIOR, {"python": 2.1, "blas": 2.1, "memory": 2.1}, DAY)
    assert PRIOR.median < apart.median < agreed.median


def test_without_evidence_or_spread_the_prior_stays() -> None:
    assert measured_core_ratio(PRIOR, {}, DAY) is PRIOR
    fixed = Constant(2.0)
    assert measured_core_ratio(fixed, {"python": 1.0}, DAY) is fixed


def test_published_times_have_dates_and_a_newer_python_is_taken_as_the_newest_known() -> None:
    known = published_seconds("x86_64", "3.14")
    assert known.keys() == {"python", "blas", "memory"}
    assert published_seconds("x86_64", "3.99") == known
    assert "blas" not in published_seconds("arm64", "3.13")
