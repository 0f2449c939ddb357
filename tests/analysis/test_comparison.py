"""Comparison of backends: speedups, intervals, costs and the sentence about them."""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from lbench.analysis.comparison import Bill, compare
from lbench.analysis.verdict import answer_sentence, cost_clause
from lbench.engine.model import Pricing
from lbench.engine.session.view import SessionView

Make = Callable[..., SessionView]


def test_speedups_are_against_sequential_at_any_place_in_the_plan(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"processes": [2.0, 2.1, 1.9], "sequential": [4.0, 4.1, 3.9]})
    found = compare(view.runs.values(), flat_bill)
    assert found.baseline == "sequential"
    speedup = found["processes"].speedup
    assert speedup is not None and speedup.value == pytest.approx(2.0)
    assert speedup.interval is not None and speedup.interval[0] > 1
    assert found["sequential"].speedup.value == 1.0  # type: ignore[union-attr]


def test_warm_up_runs_count_in_no_figure(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"sequential": [100.0, 4.0, 4.0]}, warmup=1)
    found = compare(view.runs.values(), flat_bill)["sequential"]
    assert found.makespan_s is not None and found.makespan_s.value == 4.0
    assert (found.repeats, found.repeats_ok) == (2, 2)
    assert found.durations == 2


def test_a_run_with_a_wrong_answer_has_no_makespan(make_session: Make, flat_bill: Bill) -> None:
    found = compare(make_session({"sequential": [4.0]}, ok=False).runs.values(), flat_bill)
    assert found.baseline is None
    assert found["sequential"].makespan_s is None
    assert found["sequential"].answer == "wrong"
    assert "wrong answers: sequential" in answer_sentence(found)


def test_cold_invocations_are_not_in_the_quantiles_of_warm_ones(make_session: Make, flat_bill: Bill) -> None:
    rows = [{"cold": True, "init_ms": 80.0, "compute_ms": 500.0}, {"cold": False}, {"cold": False}]
    found = compare(make_session({"emulated": [1.0]}, invocations=rows).runs.values(), flat_bill)["emulated"]
    assert (found.cold_starts, found.init_p50_ms) == (1, 80.0)
    assert (found.durations, found.duration_p99_ms) == (2, 1.0)


def test_only_what_aws_would_charge_is_a_cost(make_session: Make, flat_bill: Bill) -> None:
    found = compare(make_session({"sequential": [1.0], "emulated": [1.0]}).runs.values(), flat_bill)
    assert found["emulated"].usd == Decimal(1)
    assert found["sequential"].usd is None
    assert found["sequential"].rent_usd == Decimal("0.01")


def test_the_sentence_names_the_origin_of_a_figure(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"sequential": [4.0, 4.1, 3.9], "emulated": [2.0, 2.1, 1.9]})
    assert answer_sentence(compare(view.runs.values(), flat_bill)) == (
        "emulated Lambda with 2 environments is 2.00× (95 %: 1.86–2.16) as fast as sequential, and would cost $1.00 "
        "a run on AWS (emulated here)."
    )


@pytest.mark.parametrize("method", [None, "cgroup-v1", "none"])
def test_the_sentence_says_where_a_cpu_share_is_not_enforced(
    make_session: Make, flat_bill: Bill, method: str | None
) -> None:
    found = compare(make_session({"emulated": [1.0]}).runs.values(), flat_bill)["emulated"]
    clause = cost_clause(msgspec.structs.replace(found, cpu_share_method=method)) or ""
    assert ("CPU share not enforced" in clause) == (method == "none")


def test_the_sentence_does_not_call_noise_a_difference(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"sequential": [4.0, 3.0, 5.0], "processes": [3.9, 3.0, 5.0]})
    assert "processes cannot be distinguished from sequential" in answer_sentence(
        compare(view.runs.values(), flat_bill)
    )


def test_one_backend_alone_is_described_in_seconds(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"processes": [4.0, 4.0, 4.0]})
    sentence = answer_sentence(compare(view.runs.values(), flat_bill))
    assert sentence == "processes takes 4.00 s (95 %: 4.00–4.00 s), the median of 3 runs."


def test_a_bound_and_prices_come_from_the_journal(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"emulated": [1.0]}, started={"pricing": Pricing(memory_mb=1769, bound_usd="2.5")})
    found = compare(view.runs.values(), flat_bill)["emulated"]
    assert (found.bound_usd, found.memory_mb) == (Decimal("2.5"), 1769)


def test_the_sentence_of_no_runs(flat_bill: Bill) -> None:
    assert answer_sentence(compare([], flat_bill)) == "nothing to compare: no run has a right answer."
