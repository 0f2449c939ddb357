"""Figures as text: three digits and a unit."""

import pytest

from lbench.analysis.format import interval_text, listed, ms_text, percent_text, seconds_text, times_text
from lbench.analysis.statistics import Estimate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.000214, "0.21 ms"),
        (0.0123, "12.3 ms"),
        (0.98, "980 ms"),
        (0.9996, "1.00 s"),
        (6.409, "6.41 s"),
        (12.41, "12.4 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_a_time_has_three_digits(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_an_interval_has_the_unit_of_its_value() -> None:
    assert interval_text(Estimate(0.6, 0.45, 1.19)) == "450–1,190"
    assert interval_text(Estimate(6.41, 6.37, 6.45), unit=True) == "6.37–6.45 s"
    assert interval_text(Estimate(6.41)) == "–"


def test_ratios_shares_and_lists() -> None:
    assert [times_text(value) for value in (0.384, 1.0, 31.42)] == ["0.38×", "1.00×", "31.4×"]
    assert [percent_text(value) for value in (0.004, 0.034, 1.2)] == ["0.4 %", "3 %", "120 %"]
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert ms_text(12400) == "12.4 s"
