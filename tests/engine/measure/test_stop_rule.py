"""The stop rule of `--repeats auto`: order statistics of pairs, and what ends the rounds."""

from __future__ import annotations

import math
import random

import pytest

from lbench.engine.measure.stop_rule import StopRule, order_interval


def rule(times, *, limit_s=60.0):
    made = StopRule(["base"], limit_s)
    for label, values in times.items():
        for round_, seconds in enumerate(values):
            made.add(label, round_, seconds)
    return made


@pytest.mark.parametrize(("count", "cut"), [(6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5), (30, 9)])
def test_the_interval_leaves_out_as_many_values_as_95_percent_allow(count, cut):
    values = [float(number) for number in range(count)]
    assert order_interval(random.Random(1).sample(values, count)) == (cut, count - 1 - cut)
    outside = 2 * sum(math.comb(count, below) for below in range(cut + 1)) / 2**count
    assert outside <= 0.05 < outside + 2 * math.comb(count, cut + 1) / 2**count


def test_five_values_have_no_interval():
    assert order_interval([1.0] * 5) is None


def test_six_close_pairs_are_enough():
    made = rule({"base": [2.0, 2.2, 2.4, 2.6, 2.8, 3.0], "other": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]})
    assert made.ended_by(["base", "other"], 1.0) == "precision"  # both drift: their ratio does not


def test_five_pairs_are_too_few_even_after_the_time_limit():
    assert rule({"base": [2.0] * 6, "other": [1.0] * 5}).ended_by(["base", "other"], 1e9) is None


def test_the_widest_interval_decides():
    times = {"base": [2.0] * 6, "near": [1.0] * 6, "far": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]}
    assert rule(times).ended_by(["base", "near", "far"], 59.0) is None
    assert rule(times).ended_by(["base", "near", "far"], 60.0) == "time"
    assert rule(times).ended_by(["base", "near"], 59.0) == "precision"  # far has failed since


def test_a_backend_alone_is_known_by_its_own_makespan():
    assert rule({"base": [1.0, 1.001, 1.002, 1.003, 1.004, 1.005]}).ended_by(["base"], 0.0) == "precision"


def test_another_backend_is_the_baseline_where_the_first_has_failed():
    made = StopRule(["base", "second"], 60.0)
    for round_ in range(6):
        made.add("second", round_, 1.0)
        made.add("third", round_, 2.0)
    assert made.widths(["second", "third"]) == {"third": 0.0}
