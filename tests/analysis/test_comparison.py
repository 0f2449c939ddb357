"""Comparison of backends: speedups, intervals, claims, costs, cold and warm lines."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.analysis.comparison import (
    Bill,
    Comparison,
    by_label,
    claim_of,
    compare,
    is_cold,
    makespans,
    places_used,
    price_basis,
    summarise,
    warm_quantiles,
)
from lbench.analysis.statistics import CLAIM_LEVEL, Estimate
from lbench.config.prices import rates
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.journal.events import (
    Answered,
    ComparisonEnded,
    EnvironmentSeen,
    RunEnded,
    RunPlanned,
    RunStarted,
    Warned,
)
from lbench.engine.model import Answer, LambdaEnvironment, Pricing, Stage
from lbench.engine.session.view import RunView, SessionView, fold

Make = Callable[..., SessionView]
COLD = [{"cold": True, "init_ms": 80.0, "environment": "a"}, {"cold": False, "environment": "a"}]
WARM = [{"cold": False, "environment": "a"}, {"cold": False, "environment": "a"}]
ALTERNATING: dict[str, Any] = {"schedule": "alternating"}


@pytest.fixture
def compared(make_session: Make, flat_bill: Bill) -> Callable[..., Comparison]:
    return lambda *args, **kwargs: compare(make_session(*args, **kwargs).runs.values(), flat_bill)


Compared = Callable[..., Comparison]


@pytest.mark.parametrize(
    ("backends", "baseline"),
    [
        (("processes", "sequential"), "sequential"),
        (("processes", "sequential", "loop"), "loop"),
        (("processes", "threads"), "processes"),
    ],
)
def test_the_baseline_is_the_plain_loop_else_sequential_else_the_first(
    compared: Compared, backends: tuple[str, ...], baseline: str
) -> None:
    found = compared({name: [2.0, 2.1, 1.9] for name in backends})
    assert found.baseline == baseline
    assert found[baseline].speedup is not None and found[baseline].speedup.value == 1.0
    assert found[baseline].main.claim is None


def test_speedups_are_the_baseline_over_the_other(compared: Compared) -> None:
    found = compared({"processes": [2.0, 2.1, 1.9], "sequential": [4.0, 4.1, 3.9]})["processes"]
    assert found.speedup is not None and found.speedup.value == pytest.approx(2.0)
    assert found.speedup.interval == (pytest.approx(3.9 / 2.1), pytest.approx(4.1 / 1.9))
    assert (found.speedup.kind, found.main.claim, found.main.paired) == ("range", "faster", False)


def test_runs_that_alternate_are_compared_by_rounds(compared: Compared) -> None:
    base, other = [4.0, 8.0, 16.0, 4.4, 8.8, 17.0], [2.0, 4.0, 8.0, 2.2, 4.4, 8.5]
    found = compared({"sequential": base, "processes": other}, **ALTERNATING)["processes"]
    assert found.speedup is not None and found.speedup.interval == (pytest.approx(2.0), pytest.approx(2.0))
    assert (found.speedup.kind, found.speedup.count, found.main.paired) == ("95 %", 6, True)
    isolated = compared({"sequential": base, "processes": other})["processes"]
    assert isolated.speedup is not None and isolated.speedup.interval != found.speedup.interval


def test_warm_up_runs_are_in_no_figure(compared: Compared) -> None:
    times = {"sequential": [100.0, 50.0, 4.0, 5.0, 6.0], "processes": [90.0, 80.0, 2.0, 2.5, 3.0]}
    found = compared(times, warmup=2)
    makespan = found["sequential"].makespan_s
    assert makespan is not None and (makespan.value, makespan.interval, makespan.count) == (5.0, (4.0, 6.0), 3)
    assert (found["sequential"].repeats, found["sequential"].repeats_ok) == (3, 3)
    assert found["sequential"].durations == 3
    assert found["processes"].speedup is not None and found["processes"].speedup.value == 2.0


def test_a_wrong_answer_has_no_makespan(compared: Compared) -> None:
    found = compared({"sequential": [4.0]}, ok=False)
    assert found.baseline is None
    assert found["sequential"].makespan_s is None and found["sequential"].speedup is None
    assert (found["sequential"].answer, found["sequential"].repeats_ok) == ("wrong", 0)


# claims


def test_one_run_on_either_side_has_no_interval_and_no_claim(compared: Compared) -> None:
    for base, other in (([4.0], [2.0]), ([4.0, 4.1, 3.9], [2.0]), ([4.0], [2.0, 2.1, 1.9])):
        found = compared({"sequential": base, "processes": other})["processes"]
        assert found.speedup is not None and found.speedup.interval is None
        assert found.main.claim == "unsettled"


@pytest.mark.parametrize("other", [[2.0, 2.1], [3.9, 4.2]])
def test_two_repeats_settle_nothing(compared: Compared, other: list[float]) -> None:
    found = compared({"sequential": [4.0, 4.1], "processes": other})["processes"]
    assert found.speedup is not None and found.speedup.kind == "range"
    assert (found.main.claim, found.main.comparisons) == ("unsettled", 0)


@pytest.mark.parametrize("schedule", ["isolated", "alternating"])
@pytest.mark.parametrize(("base", "other"), [([0.0, 4.0], [2.0, 2.0]), ([4.0, 4.0], [2.0, 0.0])])
def test_a_makespan_of_0_has_no_ratio(compared: Compared, base: list[float], other: list[float], schedule: str) -> None:
    found = compared({"sequential": base, "processes": other}, schedule=schedule)["processes"]
    assert (found.speedup, found.main.claim) == (None, None)


def test_runs_of_the_same_round_are_pairs_whatever_their_repeat(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"sequential": [4.0, 8.0, 16.0], "processes": [1.0, 4.0, 8.0]}, **ALTERNATING)
    for run in list(view.runs.values())[3:]:
        assert run.planned.round is not None
        repeat = run.planned.repeat
        run.planned = msgspec.structs.replace(run.planned, round=None if repeat == 0 else 2 - repeat, repeat=2 - repeat)
    found = compare(view.runs.values(), flat_bill)["processes"]  # its first has no round: that of its repeat, 2
    assert found.speedup is not None and (found.main.paired, found.speedup.count) == (True, 3)
    assert found.speedup.interval == (0.5, 16.0)
    first = view.runs["r4"]
    first.planned = msgspec.structs.replace(first.planned, round=7)
    found = compare(view.runs.values(), flat_bill)["processes"]
    assert found.speedup is not None and found.speedup.count == 2 and found.speedup.interval == (0.5, 2.0)
    view.runs["r5"].planned = msgspec.structs.replace(view.runs["r5"].planned, round=8)
    assert not compare(view.runs.values(), flat_bill)["processes"].main.paired  # one pair is none


def test_rounds_of_a_second_plan_of_the_same_job_are_no_pairs_with_those_of_the_first(
    make_events: Callable[..., Any], flat_bill: Bill
) -> None:
    """As on the screens, where a job is measured again in the same session; the machine is half as fast by then."""
    first = make_events({"sequential": [4.0, 4.1, 4.2], "processes": [2.0, 2.05, 2.1]}, **ALTERNATING)
    again = make_events(
        {"sequential": [8.0, 8.2, 8.4], "threads": [4.0, 4.1, 4.2], "processes": [4.0, 4.1]}, **ALTERNATING
    )
    events = first[:-1] + [msgspec.structs.replace(event, run=f"again-{event.run}") for event in again[1:-1]]
    found = compare(fold(events).runs.values(), flat_bill)
    for label, count in (("processes", 5), ("threads", 3)):
        speedup = found[label].speedup
        assert speedup is not None and found[label].main.paired
        assert (speedup.count, speedup.interval) == (count, (pytest.approx(2.0), pytest.approx(2.0)))


def test_backends_of_a_later_plan_are_no_pairs_with_the_baseline_of_an_earlier_one(
    make_events: Callable[..., Any], flat_bill: Bill
) -> None:
    """Their rounds have the same numbers and lie apart: what changed in between would look like a difference in pairs."""
    first = make_events({"sequential": [4.0, 4.1, 4.2], "processes": [2.0, 2.05, 2.1]}, **ALTERNATING)
    again = make_events({"threads": [4.0, 4.1, 4.2], "sequential": [8.0, 8.2, 8.4]}, **ALTERNATING)
    later = [msgspec.structs.replace(event, run=f"again-{event.run}") for event in again[1:-1]]

    def ended(name: str, events: list[Any]) -> ComparisonEnded:
        return ComparisonEnded(name, [one.run for one in events if isinstance(one, RunPlanned)], "count", 3, "3 rounds")

    events = [*first[:-1], ended("c1", first), *later]
    for more in ([], [ended("c2", later)]):  # the second is under way, and has ended
        found = compare(fold([*events, *more]).runs.values(), flat_bill)
        for label in ("processes", "threads"):
            speedup = found[label].speedup
            assert speedup is not None and found[label].main.paired
            assert (speedup.count, speedup.interval) == (3, (pytest.approx(2.0), pytest.approx(2.0)))
    alone = [event for event in later if event.run <= "again-r3"]  # without a baseline of its own
    found = compare(fold([*first[:-1], ended("c1", first), *alone, ended("c2", alone)]).runs.values(), flat_bill)
    assert not found["threads"].main.paired and found["processes"].main.paired


def test_warm_up_runs_without_a_round_shift_no_pairs(make_session: Make, flat_bill: Bill) -> None:
    view = make_session(
        {"sequential": [9.0, 4.0, 8.0, 16.0], "processes": [9.0, 2.0, 4.0, 8.0]}, warmup=1, **ALTERNATING
    )
    for run in view.runs.values():
        run.planned = msgspec.structs.replace(run.planned, round=None)
    speedup = compare(view.runs.values(), flat_bill)["processes"].speedup
    assert speedup is not None and (speedup.count, speedup.interval) == (3, (2.0, 2.0))


def test_the_main_line_is_the_last_with_a_makespan(make_events: Callable[..., Any], flat_bill: Bill) -> None:
    cold = {"emulated": [True, False, False]}
    events = make_events({"emulated": [20.0, 4.0, 4.0]}, cold=cold, invocations=COLD)
    found = compare(fold(events).runs.values(), flat_bill)["emulated"]
    assert (found.main.temperature, [line.cold_starts for line in found.lines]) == ("warm", [1, 2])
    for at, event in enumerate(events):
        if isinstance(event, RunEnded) and event.run != "r1":
            events[at] = msgspec.structs.replace(event, status="failed", makespan_s=None)
    found = compare(fold(events).runs.values(), flat_bill)["emulated"]
    assert (found.main.temperature, found.repeats_ok, found.main.cold_starts) == ("cold", 1, 1)


def test_a_run_is_cold_by_the_environments_that_are_known(make_session: Make) -> None:
    def cold(*rows: dict[str, Any]) -> bool | None:
        return is_cold(make_session({"emulated": [4.0]}, invocations=rows).runs["r1"])

    assert cold({"cold": True, "environment": "a"}, {}) is True
    assert cold({"cold": False, "environment": "a"}, {}) is False
    assert cold({}, {}) is None


@pytest.mark.parametrize(
    ("origin", "more", "with_memory", "text"),
    [
        ("measured", {}, True, "what AWS charges for a run in us-east-1 (x86_64, 1,769 MB, "),
        ("measured", {}, False, "what AWS charges for a run in us-east-1 (x86_64, "),
        ("measured", {"memory_mb": None}, True, "what AWS charges for a run in us-east-1 (x86_64, "),
        ("emulated", {}, True, "what AWS would charge for a run in us-east-1 (x86_64, 1,769 MB, "),
        ("emulated", {"region": None}, True, None),
        ("emulated", {"lines": ()}, True, None),
    ],
)
def test_a_price_says_where_and_for_what_it_is(
    compared: Compared, origin: Any, more: dict[str, Any], with_memory: bool, text: str | None
) -> None:
    prices = rates("us-east-1", "x86_64")
    started = {"pricing": Pricing(rates=prices, memory_mb=1769)}
    found = msgspec.structs.replace(compared({"emulated": [4.0]}, started=started)["emulated"], origin=origin, **more)
    spent = "" if origin == "measured" else "; emulated here, nothing spent"
    end = f"list prices of {prices.price_date}, no free tier){spent}"
    assert price_basis(found, with_memory=with_memory) == (None if text is None else text + end)


def test_the_memory_of_a_backend_is_the_most_that_a_task_of_a_good_run_used(compared: Compared) -> None:
    rows = [{"peak_rss_mb": 30}, {"peak_rss_mb": 50}, {"max_memory_mb": 40}, {}]
    assert compared({"sequential": [4.0]}, invocations=rows)["sequential"].peak_memory_mb == 50
    assert compared({"emulated": [4.0]}, invocations=rows[2:])["emulated"].peak_memory_mb == 40
    assert compared({"sequential": [4.0]}, invocations=[{}])["sequential"].peak_memory_mb is None
    assert compared({"sequential": [4.0]}, invocations=rows, ok=False)["sequential"].peak_memory_mb is None


@pytest.mark.parametrize("lost", ["failed", "under way", "not computed"])
def test_answers_are_compared_with_each_other_whatever_became_of_other_runs(
    make_events: Callable[..., Any], flat_bill: Bill, lost: str
) -> None:
    events = make_events({"sequential": [4.0, 4.0], "processes": [2.0]}, ok=None)
    for run, digest in (("r1", "d"), ("r2", "d"), ("r3", "")):
        if run != "r3" or lost == "not computed":
            events.insert(-1, Answered(run, Answer(ok=None, check="none", digest=digest)))
    for at, event in reversed(list(enumerate(events))):
        if isinstance(event, RunEnded) and event.run == "r3" and lost != "not computed":
            events[at : at + 1] = [] if lost == "under way" else [msgspec.structs.replace(event, status="failed")]
    found = compare(fold(events).runs.values(), flat_bill)
    assert found["sequential"].answer == "equal"


def test_answers_of_which_one_was_checked_are_not_compared_with_each_other(
    make_events: Callable[..., Any], flat_bill: Bill
) -> None:
    events = make_events({"sequential": [4.0], "processes": [2.0]}, ok=None)
    for run, ok in (("r1", True), ("r2", None)):
        events.insert(-1, Answered(run, Answer(ok=ok, check="none", digest="d")))
    found = compare(fold(events).runs.values(), flat_bill)
    assert [summary.answer for summary in found.summaries] == ["same", "unchecked"]


def test_a_function_that_is_only_called_has_no_answer_to_judge(make_session: Make, flat_bill: Bill) -> None:
    view = make_session({"lambda": [4.0]})
    view.runs["r1"].has_answer = False
    assert compare(view.runs.values(), flat_bill)["lambda"].answer == "none"


def test_a_run_that_failed_while_it_was_paused_failed(make_events: Callable[..., Any], flat_bill: Bill) -> None:
    events = make_events({"sequential": [4.0, 4.0, 4.0]})
    for at, event in enumerate(events):
        if isinstance(event, RunEnded) and event.run == "r1":
            events[at] = msgspec.structs.replace(event, status="failed", makespan_s=None)
    view = fold([*events, Warned("paused", "stopped", "r1"), Warned("paused", "stopped", "r2")])
    line = compare(view.runs.values(), flat_bill)["sequential"].main
    assert (line.paused, line.repeats_ok) == (1, 1)


def test_a_summary_has_what_any_of_its_runs_knows(make_events: Callable[..., Any], flat_bill: Bill) -> None:
    events = make_events({"emulated": [4.0] * 3}, invocations=[{"compute_ms": 5.0}])
    events = [event for event in events if not (isinstance(event, RunStarted) and event.run == "r1")]
    events = [event for event in events if not (isinstance(event, RunEnded) and event.run == "r1")]
    for at, event in enumerate(events):
        if isinstance(event, RunStarted) and event.run == "r2":
            events[at] = msgspec.structs.replace(
                event, oversubscribed=True, pricing=Pricing(rent_basis="an EC2 machine")
            )
    seen = [
        EnvironmentSeen("r2", LambdaEnvironment("a")),
        EnvironmentSeen("r2", LambdaEnvironment("b", cpu_share_method="quota")),
    ]
    view = fold([*events[:-1], *seen, events[-1]])
    found = summarise(list(view.runs.values()), flat_bill)
    assert (found.oversubscribed, found.cpu_share_method, found.rent_basis) == (True, "quota", "an EC2 machine")
    assert (found.durations, found.duration_p50_ms) == (2, 5.0)
    assert summarise(list(view.runs.values()), flat_bill, durations=False).durations == 0


@pytest.mark.parametrize(
    ("factor", "claim"), [(0.5, "faster"), (2.0, "slower"), (1.0, "open")], ids=["half", "twice", "equal"]
)
@pytest.mark.parametrize("schedule", ["isolated", "alternating"])
@pytest.mark.parametrize("count", [3, 6, 12, 24])
def test_a_claim_has_the_direction_of_the_ratio(
    compared: Compared, factor: float, claim: str, schedule: str, count: int
) -> None:
    generator = np.random.default_rng(count)
    base, other = generator.normal(4.0, 0.05, (2, count))
    found = compared({"sequential": list(base), "processes": list(other * factor)}, schedule=schedule)
    assert found["processes"].main.claim == claim


def test_claims_are_corrected_for_their_number(compared: Compared) -> None:
    base = [4.0, 4.02, 3.99, 4.01, 4.0, 4.03]
    near = [value * factor for value, factor in zip(base, (0.99, 0.98, 0.985, 0.999, 0.95, 0.99), strict=True)]
    one = compared({"sequential": base, "a": near}, **ALTERNATING)
    assert (one["a"].main.claim, one["a"].main.comparisons) == ("faster", 1)
    three = compared({"sequential": base, "a": near, "b": base, "c": base}, **ALTERNATING)
    assert (three["a"].main.claim, three["a"].main.comparisons) == ("unsettled", 3)
    assert three["a"].speedup == one["a"].speedup


# cold and warm


@pytest.mark.parametrize(
    ("rows", "cold"),
    [
        (COLD, True),
        (WARM, False),
        ([*COLD, {"cold": False, "environment": "b"}], False),
        ([{}], None),
    ],
    ids=["all new", "none new", "some new", "no environments"],
)
def test_a_run_is_cold_when_all_its_environments_are_new(make_session: Make, rows: Any, cold: bool | None) -> None:
    (run,) = make_session({"emulated": [1.0]}, invocations=rows).runs.values()
    assert is_cold(run) is cold


def test_the_plan_knows_best_whether_a_run_is_cold(make_session: Make) -> None:
    (run,) = make_session({"processes": [1.0]}, cold={"processes": [True]}).runs.values()
    assert is_cold(run) is True


def test_cold_and_warm_repeats_are_lines_of_their_own(make_session: Make) -> None:
    def bill(run: RunView, now_s: float | None) -> RunCost:
        return RunCost(CostItems(duration=Decimal(str(run.makespan_s))))

    view = make_session(
        {"sequential": [4.0, 4.0, 4.0, 4.0], "emulated": [20.0, 1.0, 2.0, 3.0]},
        cold={"emulated": [True, False, False, False]},
    )
    found = compare(view.runs.values(), bill)
    cold, warm = found["emulated"].lines
    assert (cold.temperature, cold.repeats, warm.temperature, warm.repeats) == ("cold", 1, "warm", 3)
    assert cold.makespan_s is not None and (cold.makespan_s.value, cold.makespan_s.interval) == (20.0, None)
    assert warm.makespan_s is not None and (warm.makespan_s.value, warm.makespan_s.interval) == (2.0, (1.0, 3.0))
    assert cold.speedup is not None and (cold.speedup.value, cold.claim) == (0.2, "unsettled")
    assert warm.speedup is not None and warm.speedup.value == 2.0
    assert (cold.usd, warm.usd) == (Decimal("20.0"), Decimal("2.0"))
    assert found["emulated"].main is warm
    assert (found["emulated"].usd, found["emulated"].makespan_s) == (warm.usd, warm.makespan_s)
    assert [(summary.label, line.temperature) for summary, line in found.rows] == [
        ("sequential", None),
        ("emulated", "cold"),
        ("emulated", "warm"),
    ]


def test_a_backend_that_only_ran_cold_has_one_line(compared: Compared) -> None:
    found = compared({"sequential": [4.0], "emulated": [20.0]}, cold={"emulated": [True]})["emulated"]
    assert [line.temperature for line in found.lines] == ["cold"]
    assert found.main.makespan_s is not None and found.main.makespan_s.value == 20.0


def test_warm_repeats_alone_are_not_called_cold(compared: Compared) -> None:
    found = compared({"emulated": [2.0, 2.0]}, cold={"emulated": [False, False]})["emulated"]
    assert [line.temperature for line in found.lines] == ["warm"]


def test_speedups_are_against_the_baselines_warm_line(compared: Compared) -> None:
    found = compared({"emulated": [20.0, 2.0, 2.0], "other": [4.0, 4.0, 4.0]}, cold={"emulated": [True, False, False]})
    assert found.baseline == "emulated"
    cold, warm = found["emulated"].lines
    assert warm.speedup is not None and warm.speedup.value == 1.0 and warm.claim is None
    assert cold.speedup is not None and cold.speedup.value == pytest.approx(0.1)
    assert found["other"].speedup is not None and found["other"].speedup.value == 0.5


def test_cold_repeats_of_their_own_have_an_interval(compared: Compared) -> None:
    cold = compared(
        {"sequential": [4.0] * 6, "emulated": [20.0, 21.0, 22.0, 2.0, 2.1, 2.2]},
        cold={"emulated": [True, True, True, False, False, False]},
        **ALTERNATING,
    )["emulated"].lines[0]
    assert cold.makespan_s is not None and cold.makespan_s.interval == (20.0, 22.0)
    assert cold.speedup is not None and (cold.speedup.count, cold.paired) == (3, True)
    assert cold.claim == "slower"


@pytest.mark.parametrize(
    ("low", "high", "p", "claim"),
    [
        (1.0, 1.2, 0.0, "open"),
        (0.8, 1.0, 0.0, "open"),
        (1.01, 1.2, CLAIM_LEVEL, "faster"),
        (0.8, 0.99, CLAIM_LEVEL, "slower"),
        (1.01, 1.2, CLAIM_LEVEL + 1e-9, "unsettled"),
    ],
)
def test_a_claim_leaves_out_1_with_its_interval_and_its_level(low: float, high: float, p: float, claim: str) -> None:
    assert claim_of(Estimate(1.0, low, high, 6), p) == claim
    assert claim_of(Estimate(1.0, low, high, 2), p) == claim_of(Estimate(1.0, count=6), p) == "unsettled"


@pytest.mark.parametrize(("count", "how"), [(6, ALTERNATING), (4, {})])
def test_the_test_of_a_claim_knows_how_many_there_are(compared: Compared, count: int, how: dict[str, Any]) -> None:
    """With so many repeats the exact test can settle one comparison, not four: then it is Student's."""
    base = [4.0, 4.02, 3.99, 4.01, 4.03, 3.98][:count]
    fast = {name: [value / 2 for value in base] for name in ("a", "b", "c", "d")}
    found = compared({"sequential": base, **fast}, **how)
    assert [found[name].main.claim for name in fast] == ["faster"] * 4
    assert {found[name].main.comparisons for name in fast} == {4}


def test_runs_below_a_second_are_compared_too(compared: Compared) -> None:
    speedup = compared({"sequential": [0.4] * 6, "processes": [0.2] * 6})["processes"].speedup
    assert speedup is not None and speedup.value == pytest.approx(2.0)


def test_the_baseline_counts_its_own_repeats(compared: Compared) -> None:
    found = compared({"sequential": [4.0] * 7, "processes": [2.0] * 6})
    assert found["sequential"].speedup == Estimate(1.0, count=7)


# figures of invocations, cost, answers


def test_quantiles_are_of_warm_invocations(compared: Compared) -> None:
    rows = [{"cold": True, "init_ms": 80.0, "compute_ms": 500.0}, {"cold": False}, {"cold": False}]
    found = compared({"emulated": [1.0]}, invocations=rows)["emulated"]
    assert (found.main.cold_starts, found.main.init_p50_ms) == (1, 80.0)
    assert (found.durations, found.duration_p50_ms) == (2, 1.0)


def test_the_init_duration_is_that_of_cold_starts_that_ended_well(compared: Compared) -> None:
    rows = [
        {"cold": True, "init_ms": 80.0},
        {"cold": True, "init_ms": 100.0},
        {"cold": True, "init_ms": 900.0, "status": "error"},
        {"cold": False, "init_ms": 700.0},
    ]
    found = compared({"emulated": [1.0]}, invocations=rows)["emulated"]
    assert found.main.init_p50_ms == 90.0


@pytest.mark.parametrize(("count", "known"), [(299, False), (300, True)])
def test_p99_needs_300_invocations(compared: Compared, count: int, known: bool) -> None:
    found = compared({"processes": [1.0]}, invocations=[{}] * count)["processes"]
    assert (found.duration_p99_ms is not None) is known and found.duration_p50_ms == 1.0


def test_quantiles_over_several_repeats_have_an_interval(make_session: Make) -> None:
    view = make_session({"processes": [1.0] * 7}, invocations=[{"compute_ms": 1.0}, {"compute_ms": 3.0}], warmup=1)
    p50, p99 = warm_quantiles(list(view.runs.values()), (0.5, 0.99))
    assert p99 is None
    assert p50 is not None and (p50.value, p50.count, p50.interval is not None) == (2.0, 6, True)


def test_only_what_aws_would_charge_is_a_cost(compared: Compared) -> None:
    found = compared({"sequential": [1.0], "emulated": [1.0]})
    assert (found["emulated"].usd, found["emulated"].rent_usd) == (Decimal(1), None)
    assert (found["sequential"].usd, found["sequential"].rent_usd) == (None, Decimal("0.01"))
    assert (found["sequential"].local, found["emulated"].local) == (True, False)


def test_the_cost_of_a_run_is_the_median_of_its_repeats(make_session: Make) -> None:
    amounts = iter(map(Decimal, ("9", "1", "3", "2")))
    view = make_session({"emulated": [1.0] * 4})
    found = compare(view.runs.values(), lambda run, now_s: RunCost(CostItems(duration=next(amounts))))
    assert found["emulated"].usd == Decimal("2.5")


def test_a_bound_and_prices_come_from_the_journal(compared: Compared) -> None:
    found = compared({"emulated": [1.0]}, started={"pricing": Pricing(memory_mb=1769, bound_usd="2.5")})["emulated"]
    assert (found.bound_usd, found.memory_mb) == (Decimal("2.5"), 1769)


@pytest.mark.parametrize(("unchecked", "answer"), [(0, "same"), (1, "unchecked"), (2, "unchecked")])
def test_answers_are_the_same_only_if_each_was_checked(
    make_events: Callable[..., list[Any]], flat_bill: Bill, unchecked: int, answer: str
) -> None:
    answered = 0
    events = []
    for event in make_events({"sequential": [1.0, 1.0]}):
        if isinstance(event, Answered):
            answered += 1
            if answered <= unchecked:
                continue
        events.append(event)
    assert compare(fold(events).runs.values(), flat_bill)["sequential"].answer == answer


@pytest.mark.parametrize(
    ("digests", "answer"), [({}, "equal"), ({"processes": "other"}, "differ")], ids=["one answer", "two"]
)
def test_answers_without_a_reference_are_compared_with_each_other(
    make_events: Callable[..., list[Any]], flat_bill: Bill, digests: dict[str, str], answer: str
) -> None:
    events = [
        Answered(event.run, Answer(ok=None, check="", digest=event.answer.digest))
        if isinstance(event, Answered)
        else event
        for event in make_events({"sequential": [1.0], "processes": [1.0]}, digests=digests)
    ]
    assert compare(fold(events).runs.values(), flat_bill)["processes"].answer == answer


def test_runs_are_grouped_in_the_order_of_the_plan(make_session: Make) -> None:
    view = make_session({"b": [1.0, 2.0], "a": [3.0]})
    assert {label: makespans(group) for label, group in by_label(view.runs.values()).items()} == {
        "b": [1.0, 2.0],
        "a": [3.0],
    }


def test_a_run_that_was_paused_is_in_no_figure(make_events: Callable[..., Any], flat_bill: Bill) -> None:
    events = make_events({"sequential": [4.0, 4.2, 4.1], "processes": [90.0, 2.0, 2.1]}, **ALTERNATING)
    plain = compare(fold(events).runs.values(), flat_bill)["processes"]
    assert plain.main.makespan_s is not None and plain.main.makespan_s.value == 2.1
    view = fold([*events[:-1], Warned("paused", "processes was paused", "r4"), events[-1]])
    assert [run.id for run in view.runs.values() if run.paused] == ["r4"]
    assert view.runs["r4"].makespan_s == 90.0 and view.runs["r4"].status == "ok"
    found = compare(view.runs.values(), flat_bill)["processes"]
    assert (found.main.repeats, found.main.repeats_ok, found.main.paused) == (3, 2, 1)
    assert found.main.makespan_s is not None and found.main.makespan_s.interval == (2.0, 2.1)
    assert found.speedup is not None and found.speedup.count == 2
    assert len(makespans(by_label(view.runs.values())["processes"])) == 2
    assert found.durations == 2


def test_without_durations_the_times_of_invocations_are_left_out(make_session: Make, flat_bill: Bill) -> None:
    runs = make_session({"sequential": [4.0] * 2}, invocations=[{"compute_ms": 5.0}, {"compute_ms": 7.0}]).runs.values()
    found = compare(runs, flat_bill)["sequential"]
    assert (found.durations, found.duration_p50_ms) == (4, 6.0)
    assert found.duration_cv == pytest.approx(np.std([5.0, 7.0, 5.0, 7.0], ddof=1) / 6.0)
    found = compare(runs, flat_bill, durations=False)["sequential"]
    assert (found.durations, found.duration_p50_ms, found.duration_cv) == (0, None, None)
    assert found.makespan_s is not None


@pytest.mark.parametrize(
    ("capacity", "tasks", "here", "away"), [(1000, 3, 1000, 3), (2, 3, 2, 2), (1000, None, 1000, 1000)]
)
def test_environments_that_no_task_fills_are_not_counted(
    make_session: Make, flat_bill: Bill, capacity: int, tasks: int | None, here: int, away: int
) -> None:
    """Lambda starts one for a call; local workers are there with nothing to do."""
    for pricing, places in ((Pricing(), here), (Pricing(rates=rates("us-east-1", "x86_64")), away)):
        view = make_session({"emulated": [4.0]}, started={"capacity": capacity, "pricing": pricing})
        run = view.runs["r1"]
        run.stages = [] if tasks is None else [Stage(0, 0.0, 1.0, 1), Stage(1, 1.0, 2.0, tasks)]
        found = compare(view.runs.values(), flat_bill)["emulated"]
        assert (found.backend, found.capacity) == ("emulated", places)
        run.started = None
        assert places_used(run) is None


def test_a_summary_has_the_first_error_and_all_failed_attempts(
    make_events: Callable[..., Any], flat_bill: Bill
) -> None:
    events = make_events({"sequential": [4.0] * 4}, invocations=[{"status": "error"}, {}])
    errors = {"r2": "first", "r3": "second"}
    for at, event in enumerate(events):
        if isinstance(event, RunEnded) and event.run in errors:
            events[at] = msgspec.structs.replace(event, status="failed", makespan_s=None, error=errors[event.run])
        elif isinstance(event, RunEnded) and event.run == "r4":
            events[at] = msgspec.structs.replace(event, status="cancelled", makespan_s=None)
    found = compare(fold(events).runs.values(), flat_bill)["sequential"]
    assert (found.error, found.failed_attempts) == ("first", 4)
    assert (found.main.repeats, found.main.repeats_ok, found.main.stopped) == (4, 1, 1)


def test_a_bill_says_once_what_it_assumes(make_session: Make) -> None:
    def bill(run: RunView, now_s: float | None) -> RunCost:
        return RunCost(CostItems(duration=Decimal(1)), assumed=("s3: of us-east-1", f"logs: {run.id}"))

    dearest = msgspec.structs.replace(rates("us-east-1", "x86_64"), assumed={"s3_get_usd": "us-west-1"})
    for known, marked in ((rates("us-east-1", "x86_64"), False), (dearest, True)):
        view = make_session({"emulated": [4.0, 4.1]}, started={"pricing": Pricing(rates=known)})
        found = compare(view.runs.values(), bill)["emulated"]
        assert found.assumed == ("s3: of us-east-1", "logs: r1", "logs: r2") and found.bound_assumed is marked


@pytest.mark.parametrize(("usd", "priced"), [("0.05", True), (None, False)])
def test_a_cluster_is_priced_by_its_workers_where_their_price_is_given(
    compared: Compared, usd: str | None, priced: bool
) -> None:
    found = compared(
        {"dask": [4.0]}, started={"pricing": Pricing(worker_usd_per_hour=None if usd is None else Decimal(usd))}
    )
    assert found["dask"].priced_by_worker is priced


def test_answers_that_nobody_computed_are_called_so(make_events: Callable[..., Any], flat_bill: Bill) -> None:
    found = compare(fold(make_events({"simulated": [4.0]}, digests={"simulated": ""})).runs.values(), flat_bill)
    assert found["simulated"].answer == "uncomputed"


def test_a_backend_without_cold_starts_has_neither_their_number_nor_their_time(compared: Compared) -> None:
    line = compared({"sequential": [4.0]}, invocations=[{"init_ms": 80.0}])["sequential"].main
    assert (line.cold_starts, line.init_p50_ms) == (None, None)


@pytest.mark.parametrize(("peak", "known"), [(1, 1), (None, None)])
def test_a_peak_of_one_megabyte_is_one(compared: Compared, peak: int | None, known: int | None) -> None:
    assert compared({"sequential": [4.0]}, invocations=[{"peak_rss_mb": peak}])["sequential"].peak_memory_mb == known
