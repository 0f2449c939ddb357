"""The answer in one sentence."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.analysis.comparison import Bill, compare
from lbench.analysis.statistics import Estimate
from lbench.analysis.verdict import answer_sentence, cost_clause, name_of, speedup_clause
from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.events import RunEnded, RunPlanned, Warned
from lbench.engine.session.view import SessionView, fold

Make = Callable[..., SessionView]
ON_AWS = "would cost $1.00 a run on AWS (emulated here)"


@pytest.fixture
def sentence(make_session: Make, flat_bill: Bill) -> Callable[..., str]:
    return lambda *args, **kwargs: answer_sentence(compare(make_session(*args, **kwargs).runs.values(), flat_bill))


Sentence = Callable[..., str]


def test_fewer_than_six_repeats_have_a_range(sentence: Sentence) -> None:
    assert sentence({"sequential": [4.0, 4.1, 3.9], "emulated": [2.0, 2.1, 1.9]}) == (
        f"emulated Lambda with 2 environments is 2.00× (range of 3: 1.86–2.16) as fast as sequential, and {ON_AWS}."
    )


def test_six_repeats_have_a_95_percent_interval(sentence: Sentence) -> None:
    base = [4.0, 4.04, 3.96, 4.0, 4.04, 3.96]
    other = [2.0] * 6
    assert sentence({"sequential": base, "processes": other}, schedule="alternating") == (
        "processes is 2.00× (95 %: 1.98–2.02) as fast as sequential."
    )


@pytest.mark.parametrize(
    ("base", "other", "text"),
    [
        ([4.0], [4.3], "processes is 0.93× (once each: not settled) as fast as sequential."),
        ([4.0, 4.0, 4.0], [2.0], "processes is 2.00× (measured once: not settled) as fast as sequential."),
        ([4.0], [2.0, 2.0], "processes is 2.00× (baseline measured once: not settled) as fast as sequential."),
        (
            [4.0, 4.0],
            [2.0, 2.0],
            "processes is 2.00× (range of 2: 2.00–2.00; 2 repeats: not settled) as fast as sequential.",
        ),
        (
            [4.0, 5.0, 4.5],
            [3.9, 3.0, 2.5],
            "processes is 1.50× (range of 3: 1.03–2.00; 3 repeats: not settled) as fast as sequential.",
        ),
    ],
)
def test_what_too_few_repeats_cannot_settle_is_called_so(
    sentence: Sentence, base: list[float], other: list[float], text: str
) -> None:
    assert sentence({"sequential": base, "processes": other}) == text


def test_a_speedup_stands_alone_or_with_its_interval() -> None:
    assert speedup_clause(Estimate(1.94, count=1)) == "1.94×"
    assert speedup_clause(Estimate(1.94, 1.9, 1.97, 6)) == "1.94× (95 %: 1.90–1.97)"


def test_an_interval_around_1_is_no_difference_and_is_shown(sentence: Sentence) -> None:
    assert sentence({"sequential": [4.0, 3.0, 5.0], "processes": [3.9, 3.0, 5.0]}) == (
        "processes cannot be distinguished from sequential: 1.03× (range of 3: 0.60–1.67) as fast."
    )


def test_a_slower_backend_is_not_called_equal(sentence: Sentence) -> None:
    text = sentence({"sequential": [2.0, 2.01, 1.99], "processes": [4.0, 4.01, 3.99]})
    assert text == "processes is 0.50× (range of 3: 0.50–0.50) as fast as sequential."


def test_a_claim_that_a_correction_takes_back_says_how_many_comparisons(sentence: Sentence) -> None:
    base = [4.0, 4.02, 3.99, 4.01, 4.0, 4.03]
    near = [value * factor for value, factor in zip(base, (0.99, 0.98, 0.985, 0.999, 0.95, 0.99), strict=True)]
    text = sentence({"sequential": base, "a": near, "b": base, "c": base}, schedule="alternating")
    assert "a is 1.01× (95 %: 1.001–1.05; not settled with 6 repeats and 3 comparisons) as fast as sequential" in text
    assert "b cannot be distinguished from sequential: 1.00× (95 %: 1.00–1.00) as fast" in text


def test_a_doubt_names_the_repeats_where_more_of_them_would_help_and_the_comparisons_where_fewer_would(
    sentence: Sentence,
) -> None:
    two = sentence({name: [4.0, 4.1] for name in ("sequential", "a", "b")})
    assert "a is 1.00× (range of 2: 0.98–1.02; 2 repeats: not settled)" in two
    times = {"sequential": [4.0, 5.0, 4.5], "a": [3.9, 3.0, 2.5], "b": [3.9, 3.0, 2.5]}
    assert "a is 1.50× (range of 3: 1.03–2.00; not settled with 3 repeats and 2 comparisons)" in sentence(times)


def test_a_run_that_never_began_did_not_end_badly(make_events: Callable[..., Any], flat_bill: Bill) -> None:
    events = make_events({"sequential": [4.0] * 2, "processes": [2.0] * 4})
    ended = [at for at, event in enumerate(events) if isinstance(event, RunEnded)]
    events[ended[3]] = msgspec.structs.replace(events[ended[3]], status="failed", makespan_s=None, error="it failed")
    events = [
        event for event in events
        if getattr(event, "run", "") not in ("r5", "r6") or isinstance(event, RunPlanned)
    ]  # fmt: skip
    text = answer_sentence(compare(fold(events).runs.values(), flat_bill))
    assert text.endswith("; failed: processes (1 of 2 runs ended well).")


def test_cold_and_warm_are_two_clauses_with_their_costs(sentence: Sentence) -> None:
    text = sentence(
        {"sequential": [4.0] * 4, "emulated": [20.0, 2.0, 2.0, 2.0]}, cold={"emulated": [True, False, False, False]}
    )
    assert text == (
        "emulated Lambda with 2 environments, warm, is 2.00× (range of 3: 2.00–2.00) as fast as sequential, "
        f"and {ON_AWS}; cold (all environments new) it is 0.20× (measured once: not settled) as fast, for $1.00 a run."
    )


def test_workers_that_are_new_are_no_environments(sentence: Sentence) -> None:
    text = sentence(
        {"sequential": [4.0] * 4, "processes": [20.0, 2.0, 2.0, 2.0]}, cold={"processes": [True, False, False, False]}
    )
    assert text.endswith("; cold (all workers new) it is 0.20× (measured once: not settled) as fast.")


def test_a_backend_that_only_ran_cold_says_so(sentence: Sentence) -> None:
    text = sentence({"sequential": [4.0], "emulated": [20.0]}, cold={"emulated": [True]})
    assert text == (
        "emulated Lambda with 2 environments, cold (all environments new), is 0.20× (once each: not settled) "
        f"as fast as sequential, and {ON_AWS}."
    )


def test_cold_repeats_that_equal_the_baseline_are_not_called_different(sentence: Sentence) -> None:
    times = [4.0, 3.9, 4.1]
    text = sentence(
        {"sequential": times, "emulated": [*times, 2.0, 2.0, 2.0]}, cold={"emulated": [True] * 3 + [False] * 3}
    )
    assert text.endswith(
        "cold (all environments new) it is 1.00× (range of 3: 0.95–1.05) as fast, which cannot be distinguished, "
        "for $1.00 a run."
    )


def test_one_backend_alone_takes_seconds(sentence: Sentence) -> None:
    assert sentence({"processes": [4.0, 4.0, 4.2]}) == (
        "processes takes 4.00 s (range of 3: 4.00–4.20 s), the median of 3 runs."
    )
    assert sentence({"processes": [4.0]}) == "processes takes 4.00 s (measured once)."
    assert sentence({"emulated": [20.0, 2.0, 2.0]}, cold={"emulated": [True, False, False]}) == (
        "emulated Lambda with 2 environments, warm, takes 2.00 s (range of 2: 2.00–2.00 s), the median of 2 runs, "
        f"and {ON_AWS}; cold (all environments new) it takes 20.0 s (measured once), for $1.00 a run."
    )


def test_a_baseline_with_two_temperatures_is_named_with_its_own(sentence: Sentence) -> None:
    text = sentence({"emulated": [20.0, 2.0, 2.0, 2.0], "x": [4.0] * 3}, cold={"emulated": [True, False, False, False]})
    assert text == "x is 0.50× (range of 3: 0.50–0.50) as fast as emulated Lambda with 2 environments, warm."


def test_wrong_failed_and_differing_answers_are_named(make_session: Make, flat_bill: Bill) -> None:
    found = compare(make_session({"sequential": [4.0], "processes": [4.0]}, ok=False).runs.values(), flat_bill)
    assert answer_sentence(found) == (
        "nothing to compare: no run has a right answer; wrong answers: sequential and processes."
    )
    failed = compare(
        make_session({"a": [4.0]}, ended={"status": "failed", "error": "no memory", "makespan_s": None}).runs.values(),
        flat_bill,
    )
    assert answer_sentence(failed) == "nothing to compare: no run has a right answer; failed: a."
    (summary,) = compare(make_session({"a": [4.0]}).runs.values(), flat_bill).summaries
    differing = msgspec.structs.replace(failed, summaries=[msgspec.structs.replace(summary, answer="differ")])
    assert "the answers differ, and there is no reference to check them against" in answer_sentence(differing)
    assert answer_sentence(compare([], flat_bill)) == "nothing to compare: no run has a right answer."


def test_a_backend_with_some_failed_runs_is_named_with_the_number_of_the_others(
    make_events: Any, flat_bill: Bill
) -> None:
    events = make_events({"sequential": [4.0] * 4, "processes": [2.0] * 4}, schedule="alternating")
    for at, event in enumerate(events):
        if isinstance(event, RunEnded) and event.run in ("r6", "r8"):
            events[at] = msgspec.structs.replace(event, status="failed", makespan_s=None, error="no memory")
    assert answer_sentence(compare(fold(events).runs.values(), flat_bill)) == (
        "processes is 2.00× (range of 2: 2.00–2.00; 2 repeats: not settled) as fast as sequential; "
        "failed: processes (2 of 4 runs ended well)."
    )


def test_a_backend_whose_runs_were_all_paused_is_named(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"sequential": [4.0], "processes": [4.0]})
    for run, text in (
        ("r2", "sequential takes 4.00 s (measured once); paused: processes."),
        ("r1", "nothing to compare: all runs with a right answer were paused."),
    ):
        view.apply(Warned("paused", "stopped", run))
        assert answer_sentence(compare(view.runs.values(), flat_bill)) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, ON_AWS),
        ({"cpu_share_method": "cgroup-v1"}, ON_AWS),
        ({"cpu_share_method": "none"}, "would cost $1.00 a run on AWS (emulated here; CPU share not enforced)"),
        ({"oversubscribed": True}, "would cost $1.00 a run on AWS (emulated here; oversubscribed)"),
        ({"origin": "simulated"}, "would cost $1.00 a run on AWS (simulated)"),
        ({"origin": "simulated", "cpu_share_method": "none"}, "would cost $1.00 a run on AWS (simulated)"),
        ({"origin": "measured"}, "costs $1.00 a run"),
    ],
)
def test_a_cost_has_its_origin(make_session: Make, flat_bill: Bill, change: dict[str, Any], text: str) -> None:
    found = compare(make_session({"emulated": [1.0]}).runs.values(), flat_bill)["emulated"]
    assert cost_clause(msgspec.structs.replace(found, **change)) == text


def test_a_local_backend_has_no_cost(make_session: Make, flat_bill: Bill) -> None:
    assert cost_clause(compare(make_session({"processes": [1.0]}).runs.values(), flat_bill)["processes"]) is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "emulated Lambda with 2 environments"),
        ({"capacity": 1}, "emulated Lambda with 1 environment"),
        ({"capacity": None}, "emulated Lambda"),
        ({"label": "small"}, "small (emulated Lambda with 2 environments)"),
        ({"origin": "measured"}, "emulated"),
        ({"origin": "measured", "backend": "lambda", "label": "lambda"}, "Lambda with 2 environments"),
        ({"origin": "simulated", "label": "x"}, "x (simulated Lambda with 2 environments)"),
    ],
)
def test_the_name_of_a_backend_has_its_origin(
    make_session: Make, flat_bill: Bill, change: dict[str, Any], name: str
) -> None:
    found = compare(make_session({"emulated": [1.0]}).runs.values(), flat_bill)["emulated"]
    assert name_of(msgspec.structs.replace(found, **change)) == name


def test_equal_backends_are_seldom_called_different(sentence: Sentence) -> None:
    generator = np.random.default_rng(1)
    false = 0
    for _ in range(40):
        times = {name: list(generator.normal(4.0, 0.1, 6)) for name in ("sequential", "a", "b")}
        text = sentence(times, schedule="alternating")
        clauses = text.removesuffix(".").split("; ")
        false += any("cannot" not in clause and "not settled" not in clause for clause in clauses)
    assert false <= 5  # 2 expected at most; more than 5 has a chance below 2 %


def test_zero_durations_cannot_be_compared(make_events: Any) -> None:
    comparison = compare(fold(make_events({"sequential": [0.0] * 6, "threads": [1.0] * 6})).runs.values(), run_bill)
    assert "threads cannot be compared: a makespan is 0" in answer_sentence(comparison)
