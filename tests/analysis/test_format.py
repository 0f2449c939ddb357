"""Figures as text: three digits and a unit."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from lbench.analysis.format import (
    assumed_text,
    basis_text,
    cores_text,
    interval_text,
    interval_title,
    listed,
    ms_spread_text,
    ms_text,
    percent_text,
    quote_text,
    ratio_text,
    seconds_text,
    spread_text,
    times_interval_text,
    times_spread_text,
    times_text,
    usd_estimate_text,
)
from lbench.analysis.statistics import Estimate
from lbench.engine.billing.quote import Expectation, Quote
from lbench.engine.cost.format import ASSUMED, usd_short


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3e-9, "0.003 µs"),
        (0.0000031, "3.10 µs"),
        (0.0000994, "99.4 µs"),
        (0.0000996, "0.10 ms"),
        (0.0, "0.00 ms"),
        (0.000214, "0.21 ms"),
        (0.0123, "12.3 ms"),
        (0.98, "980 ms"),
        (0.9996, "1.00 s"),
        (6.409, "6.41 s"),
        (12.41, "12.4 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (8_698_000, "2,416 h 07 min"),
    ],
)
def test_a_time_has_three_digits(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_an_interval_has_the_unit_of_its_value() -> None:
    assert interval_text(Estimate(0.6, 0.45, 1.19)) == "450–1,190"
    assert interval_text(Estimate(6.41, 6.37, 6.45), unit=True) == "6.37–6.45 s"
    assert interval_text(Estimate(6.41)) == "–"
    assert interval_text(Estimate(303.0, 278.0, 330.0)) == "278–330 s"
    assert interval_text(Estimate(3e-6, 2.5e-6, 1.2e-3), unit=True) == "2.50–1,200 µs"
    assert interval_text(Estimate(1e-3, 4e-6, 2e-3), unit=True) == "0.004–2.00 ms"  # above 0, and never shown as 0
    assert interval_text(Estimate(1e-3, 0.0, 2e-3), unit=True) == "0.00–2.00 ms"


@pytest.mark.parametrize(
    ("estimate", "texts"),
    [
        (Estimate(1.0018, 1.0004, 1.0041, 30), ("1.002×", "1.0004–1.004")),
        (Estimate(0.9984, 0.9971, 0.99996, 30), ("0.998×", "0.997–0.99996")),
        (Estimate(1.01, 1.004, 1.05, 6), ("1.01×", "1.004–1.05")),
        (Estimate(1.0018, 0.9999, 1.0041, 30), ("1.00×", "1.00–1.00")),  # nothing is known beyond two digits
        (Estimate(1.0, 1.0, 1.0, 6), ("1.00×", "1.00–1.00")),
        (Estimate(1.0018, count=1), ("1.00×", "–")),
        (Estimate(1.00000000001, 1.000000000005, 1.00000000002, 6), ("1.000000000×", "1.000000000–1.000000000")),
    ],
)
def test_a_ratio_whose_interval_leaves_out_1_is_not_shown_as_1(estimate: Estimate, texts: tuple[str, str]) -> None:
    assert (ratio_text(estimate), times_interval_text(estimate)) == texts


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.0031, 0.0029, 0.0034, 6), "$0.0031 (95 %: $0.0029–0.0034)"),
        (Estimate(12.5, 12.0, 1300.25, 3, "range"), "$12.50 (range of 3: $12.00–1,300.25)"),
        (Estimate(0.0031, 0.00310001, 0.00310002, 6), "$0.0031"),
        (Estimate(0.0031, count=1), "$0.0031"),
    ],
)
def test_an_amount_has_its_interval(estimate: Estimate, text: str) -> None:
    assert usd_estimate_text(estimate) == text


def test_ratios_shares_and_lists() -> None:
    assert [times_text(value) for value in (0.384, 1.0, 31.42)] == ["0.38×", "1.00×", "31.4×"]
    small = [
        (0.0, "0.00×"),
        (0.00512, "0.0051×"),
        (0.0512, "0.051×"),
        (0.0994, "0.099×"),
        (0.0996, "0.10×"),
        (2.14e-6, "0.0000021×"),
    ]
    assert [times_text(value) for value, _ in small] == [text for _, text in small]
    assert [cores_text(1), cores_text(1.5), cores_text(1, "physical")] == ["1 core", "1.5 cores", "1 physical core"]
    assert [percent_text(value) for value in (0.004, 0.034, 1.2)] == ["0.4 %", "3 %", "120 %"]
    assert percent_text(665.78) == "66,578 %"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert ms_text(12400) == "12.4 s"


def test_an_interval_says_what_it_is() -> None:
    full, few, one = Estimate(6.41, 6.37, 6.45, 6), Estimate(0.6, 0.45, 1.19, 3, "range"), Estimate(1.0, count=1)
    assert [spread_text(each) for each in (full, few, one)] == ["95 %: 6.37–6.45 s", "range of 3: 450–1,190 ms", ""]
    assert spread_text(Estimate(5400.0, 3600.0, 9000.0, 6)) == "95 %: 1 h 00 min–2 h 30 min"
    assert [times_spread_text(each) for each in (full, few, one)] == ["95 %: 6.37–6.45", "range of 3: 0.45–1.19", ""]
    assert [times_interval_text(each) for each in (full, one, None)] == ["6.37–6.45", "–", "–"]
    assert ms_spread_text(Estimate(64.0, 60.1, 12400.0, 6)) == "95 %: 60.1 ms–12.4 s"
    assert ms_spread_text(one) == ""


@pytest.mark.parametrize(
    ("counts", "title"), [((6, 20), "95 %"), ((3, 5), "RANGE"), ((3, 6), "95 % OR RANGE"), ((), "95 %")]
)
def test_a_column_of_intervals_is_titled_by_what_it_holds(counts: tuple[int, ...], title: str) -> None:
    estimates = [Estimate(1.0, 0.9, 1.1, count, "range" if count < 6 else "95 %") for count in counts]
    assert interval_title([None, Estimate(1.0, count=1), *estimates]) == title


@pytest.mark.parametrize(
    ("ms", "text"), [(9.994, "9.99 ms"), (9.996, "10.0 ms"), (99.96, "100 ms"), (9999.6, "10.0 s")]
)
def test_a_duration_changes_its_digits_at_powers_of_ten(ms: float, text: str) -> None:
    assert ms_text(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9994, "999 ms"), (99.94, "99.9 s"), (99.96, "1 min 40 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min")],
)
def test_a_time_changes_its_unit_where_it_would_round_up(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_small_and_large_figures_keep_their_digits() -> None:
    assert interval_text(Estimate(1.0, 0.0001, 1234.5)) == "0.0001–1,234"
    assert interval_text(Estimate(1.0, 0.0, 9.996)) == "0.000–10.0"
    assert interval_text(Estimate(0.005, 0.001, 0.00999), unit=True) == "1.00–9.99 ms"
    assert [times_text(value) for value in (9.994, 9.996)] == ["9.99×", "10.0×"]
    assert [percent_text(value) for value in (0.0099, 0.01, 0.0)] == ["1.0 %", "1 %", "0.0 %"]


def quote(**changes: Any) -> Quote:
    usual = Quote("lambda", True, 3, Decimal("0.5"), (), Expectation(Decimal("0.01"), "measured", "as measured on AWS"))
    return msgspec.structs.replace(usual, **changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "lambda: AWS charges about $0.01 a run, at most $0.50; in all about $0.03, at most $1.50"),
        (
            {"spends": False},
            "lambda: AWS would charge about $0.01 a run, at most $0.50; in all about $0.03, at most $1.50",
        ),
        ({"expected": None}, "lambda: AWS charges at most $0.50 a run, $1.50 in all; expected: not known yet"),
        ({"expected": None, "bound_usd": None}, "lambda: AWS charges an unlimited amount; expected: not known yet"),
        ({"bound_usd": None}, "lambda: AWS charges about $0.01 a run, $0.03 in all; there is no bound"),
        ({"runs": 1}, "lambda: AWS charges about $0.01, at most $0.50"),
        ({"runs": 1, "expected": None}, "lambda: AWS charges at most $0.50; expected: not known yet"),
        ({"runs": 1, "bound_usd": None}, "lambda: AWS charges about $0.01, there is no bound"),
        ({"open": True}, "lambda: AWS charges about $0.01 a run, at most $0.50; for 3 runs about $0.03, at most $1.50"),
        (
            {"open": True, "expected": None},
            "lambda: AWS charges at most $0.50 a run, $1.50 for 3 runs; expected: not known yet",
        ),
    ],
)
def test_a_quote_has_the_expected_cost_beside_the_highest(changes: dict[str, Any], text: str) -> None:
    assert quote_text(quote(**changes)) == text


def test_assumed_amounts_are_marked() -> None:
    assert ASSUMED in quote_text(quote(expected=None, assumed=("transfer: no price here (us-east-1)",)))
    assert ASSUMED not in quote_text(quote(expected=None))
    notes = [
        "transfer: no price here (us-east-1)",
        "logs: no price here (us-east-1)",
        "logs: no price here (us-east-1)",
    ]
    assert assumed_text(notes) == f"{ASSUMED} no price here: transfer (us-east-1), logs (us-east-1)"
    assert assumed_text([]) is None


def test_the_basis_of_an_expectation_is_named() -> None:
    assert basis_text(quote()) == "lambda: the expected cost is as measured on AWS"
    assert basis_text(quote(expected=None)) is None


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(2.0, 0.5, 3.0), "0.500–3.00"),
        (Estimate(2.0, 0.5, 10.5), "0.500–10.5"),
        (Estimate(2.0, 1.0, 100.4), "1.00–100"),
        (Estimate(0.001, 0.0005, 0.002), "0.50–2.00"),
        (Estimate(0.005, 0.0005, 0.0105), "0.500–10.5"),
    ],
)
def test_the_ends_of_an_interval_have_the_digits_of_a_time(estimate: Estimate, text: str) -> None:
    assert interval_text(estimate) == text


def test_bounds_are_rounded_up_and_each_amount_has_its_own_mark() -> None:
    bound = Decimal("0.12111")
    up, usual = usd_short(bound, up=True), usd_short(bound)
    assert up != usual and f"at most {up};" in quote_text(quote(bound_usd=bound))
    whole = usd_short(bound * 3, up=True)
    assert whole != usd_short(bound * 3) and quote_text(quote(bound_usd=bound)).endswith(whole)
    assert quote_text(quote(assumed=("x: y (z)",))).count(ASSUMED) == 2
    expected = Expectation(Decimal("0.01"), "measured", "", assumed=("x: y (z)",))
    assert quote_text(quote(expected=expected)).count(ASSUMED) == 2
    assert (
        assumed_text(["a: why: not (here) (r1)", "b: else (r2)"]) == f"{ASSUMED} why: not (here): a (r1); else: b (r2)"
    )
