"""The stop rule of `--repeats auto`: order statistics of pairs, and what ends the rounds."""

from __future__ import annotations

import math
import random

import pytest

from lbench.engine.measure.stop_rule import SeriesEnd, StopRule, order_interval


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
    assert made.ended_by(["base", "other"], 1.0, 6) == "precision"  # both drift: their ratio does not


def test_five_pairs_are_too_few_even_after_the_time_limit():
    assert rule({"base": [2.0] * 6, "other": [1.0] * 5}).ended_by(["base", "other"], 1e9, 6) is None


@pytest.mark.parametrize(("elapsed_s", "rounds", "end"), [(60.0, 11, None), (59.0, 12, None), (60.0, 12, "time")])
def test_a_backend_that_is_cold_or_wrong_each_time_does_not_hold_the_rounds_up_for_ever(elapsed_s, rounds, end):
    assert rule({"base": [2.0] * 12}).ended_by(["base", "cold"], elapsed_s, rounds) == end
    assert rule({}).ended_by(["wrong"], elapsed_s, rounds) == end


def test_the_widest_interval_decides():
    times = {"base": [2.0] * 6, "near": [1.0] * 6, "far": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]}
    assert rule(times).ended_by(["base", "near", "far"], 59.0, 6) is None
    assert rule(times).ended_by(["base", "near", "far"], 60.0, 6) == "time"
    assert rule(times).ended_by(["base", "near"], 59.0, 6) == "precision"  # far has failed since


def test_a_backend_alone_is_known_by_its_own_makespan():
    assert rule({"base": [1.0, 1.001, 1.002, 1.003, 1.004, 1.005]}).ended_by(["base"], 0.0, 6) == "precision"


def test_another_backend_is_the_baseline_where_the_first_has_failed():
    made = StopRule(["base", "second"], 60.0)
    for round_ in range(6):
        made.add("second", round_, 1.0)
        made.add("third", round_, 2.0)
    assert made.widths(["second", "third"]) == {"third": 0.0}


@pytest.mark.parametrize(
    ("labels", "failed", "widths", "ended_by", "text"),
    [
        (
            "abc", "", {"b": 0.02, "c": 0.0312}, "precision",
            "7 rounds until that of every speedup was narrower than 5 %: the widest, of c, spans 3.1 %",
        ),
        ("ab", "", {"b": 0.02}, "precision", "7 rounds until that of the speedup was narrower than 5 %: it spans 2.0 %"),
        ("a", "", {"a": 0.02}, "precision", "7 rounds until that of its makespan was narrower than 5 %: it spans 2.0 %"),
        (
            "abc", "c", {"b": 0.02}, "precision",
            "7 rounds until that of the speedup was narrower than 5 %, without c, which failed: it spans 2.0 %",
        ),
        (
            "abc", "bc", {"a": 0.02}, "precision",
            "7 rounds until that of its makespan was narrower than 5 %, without b, c, which failed: it spans 2.0 %",
        ),
        ("ab", "", {"b": 0.2}, "time", "7 rounds in 61 s, the limit: the interval of the speedup spans 20.0 %"),
        (
            "abc", "", {"b": 0.2, "c": None}, "time",
            "7 rounds in 61 s, the limit: the widest interval, of b, spans 20.0 %",
        ),
        ("ab", "", {"b": None}, "time", "7 rounds in 61 s, the limit"),
        ("ab", "", {"b": 0.2}, "count", "7 rounds, as planned"),
        ("ab", "", {}, "cancelled", "cancelled after 7 rounds"),
        ("ab", "ab", {}, "failed", "7 rounds, until no backend was left"),
    ],
)  # fmt: skip
def test_the_end_of_the_rounds_says_of_what_the_interval_is(labels, failed, widths, ended_by, text):
    text = text.replace("that of", "the interval of").replace("the limit", "when the time limit (--for) ended them")
    assert SeriesEnd(ended_by, 7, 61.2, widths, tuple(labels), tuple(failed)).text == text


def test_a_limit_that_had_passed_before_the_least_number_of_rounds_ended_nothing():
    text = "7 rounds in 61 s, the least that are made: the time limit (--for) had passed"
    assert SeriesEnd("time", 7, 61.2, {"b": None}, ("a", "b"), least=True).text == text


def test_one_round_is_one():
    assert SeriesEnd("cancelled", 1, 1.0, {}, ("a",)).text == "cancelled after 1 round"
