"""Warnings about results: thresholds on both sides, wording, and none about a steady session."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lbench.analysis import warnings
from lbench.analysis.statistics import Change, Trend
from lbench.analysis.warnings import idle_share, machine_warnings, stability_warnings
from lbench.config.prices import rates
from lbench.engine.backends import catalog
from lbench.engine.journal.events import (
    Answered,
    Dispatched,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    StageStarted,
    Warned,
)
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.model import Driver, Interaction, Pricing, Sweep
from lbench.engine.session.view import SessionView, fold

Make = Callable[..., SessionView]
STEADY = [4.0, 4.01, 3.99, 4.0, 4.01, 3.99]


def warned(view: SessionView) -> dict[str, str]:
    """The warnings' texts by their codes."""
    warnings = stability_warnings(view)
    assert len({warning.code for warning in warnings}) == len(warnings)
    return {warning.code: warning.text for warning in warnings}


@pytest.fixture
def of_times(make_session: Make) -> Callable[..., dict[str, str]]:
    return lambda times, **kwargs: warned(make_session({"sequential": times}, **kwargs))


Of = Callable[..., dict[str, str]]


def test_a_steady_session_has_no_warnings(make_session: Make) -> None:
    assert warned(make_session({"sequential": STEADY, "processes": STEADY})) == {}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 repeat has no interval and cannot show a drift"),
        (2, "2 repeats have a range in place of an interval and cannot show a drift"),
        (4, "4 repeats have a range in place of an interval and cannot show a drift"),
        (5, "5 repeats have a range in place of an interval"),
    ],
)
def test_few_repeats_are_named_with_what_they_cannot_show(of_times: Of, count: int, text: str) -> None:
    assert of_times([4.0] * count) == {"few_repeats": f"sequential: {text}; use --repeats 6 or more"}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("failed", "1 other gave no right answer"),
        ("cancelled", "1 other was stopped"),
        ("ok", "use --repeats 6 or more"),
    ],
)
def test_repeats_that_were_lost_are_no_reason_to_ask_for_six(make_events: Any, status: Any, text: str) -> None:
    events = make_events({"sequential": [4.0] * 3})
    at = max(at for at, event in enumerate(events) if isinstance(event, RunEnded))
    events[at] = msgspec.structs.replace(events[at], status=status, makespan_s=4.0 if status == "ok" else None)
    assert warned(fold(events))["few_repeats"].endswith(f" and cannot show a drift; {text}")


def test_repeats_that_were_paused_are_no_reason_to_ask_for_six(make_events: Any) -> None:
    view = fold(make_events({"sequential": [4.0] * 4}))
    for count, text in ((1, "1 other was paused: measure again"), (2, "2 others were paused: measure again")):
        view.apply(Warned("paused", "stopped", f"r{count}"))
        assert warned(view)["few_repeats"].endswith(f"; {text}")


@pytest.mark.parametrize("what", ["failed", "paused", "cold"])
def test_what_happened_to_a_warm_up_run_is_no_reason_to_ask_for_other_repeats(make_events: Any, what: str) -> None:
    events = make_events({"emulated": [4.0] * 4}, warmup=1)
    for at, event in enumerate(events):
        if what == "failed" and isinstance(event, RunEnded) and event.run == "r1":
            events[at] = msgspec.structs.replace(event, status="failed", makespan_s=None)
        if what == "cold" and isinstance(event, Returned):
            events[at] = msgspec.structs.replace(event, cold=event.run == "r1", environment="a")
    view = fold(events)
    if what == "paused":
        view.apply(Warned("paused", "stopped", "r1"))
    assert warned(view)["few_repeats"].endswith("; use --repeats 6 or more")


def test_a_run_that_is_paused_and_under_way_is_not_lost_yet(make_events: Any) -> None:
    events = make_events({"sequential": [4.0] * 3})
    at = max(at for at, event in enumerate(events) if isinstance(event, RunEnded))
    view = fold(events[:at])
    view.apply(Warned("paused", "stopped", "r3"))
    assert warned(view)["few_repeats"].endswith("; use --repeats 6 or more")


def test_a_run_under_way_can_be_warned_about(make_events: Any) -> None:
    events = make_events({"emulated": STEADY[:1]}, started={"oversubscribed": True})
    assert set(warned(fold(events[:4]))) == {"oversubscribed"}


def test_runs_of_exploring_are_no_repeats(make_events: Any) -> None:
    view = fold(make_events({"sequential": [4.0, 8.0]}))
    for run in view.runs.values():
        run.planned = msgspec.structs.replace(run.planned, interaction=Interaction(1))
    assert warned(view) == {}


@pytest.mark.parametrize(
    ("points", "where"),
    [(1, " at n_trees=1"), (2, " at n_trees=1 (and 1 other point)"), (3, " at n_trees=1 (and 2 other points)")],
)
def test_a_warning_of_several_points_of_a_sweep_is_given_once(make_events: Any, points: int, where: str) -> None:
    view = fold(make_events({"sequential": [4.0] * 3}))
    for number, run in enumerate(view.runs.values()):
        run.planned = msgspec.structs.replace(run.planned, sweep=Sweep("s", {"n_trees": 1 + number % points}))
    assert warned(view)["few_repeats"].startswith(f"sequential{where}: ")


def test_a_driver_that_stood_still_was_not_late(make_events: Any) -> None:
    late = {"driver": Driver(0.1, 0, 0, 0, 1500.0, 1500.0)}
    view = fold(make_events({"sequential": [4.0] * 6}, ended=late))
    assert "loop_lag" in warned(view)
    for run in view.runs:
        view.apply(Warned("paused", "stopped", run))
    assert "loop_lag" not in warned(view)


def test_repeats_that_a_cancel_kept_from_beginning_are_lost_too(make_events: Any) -> None:
    events = [
        event for event in make_events({"sequential": [4.0] * 6}) if getattr(event, "run", "") not in ("r5", "r6")
    ]
    planned = [event for event in make_events({"sequential": [4.0] * 6}) if isinstance(event, RunPlanned)]
    for event in planned[4:]:
        events[-1:-1] = [event, RunEnded(event.run, "cancelled", None, None)]
    text = "4 repeats have a range in place of an interval and cannot show a drift; 2 others were stopped"
    assert warned(fold(events)) == {"few_repeats": f"sequential: {text}"}


def test_a_run_under_way_is_not_called_lost(make_events: Any) -> None:
    events = make_events({"sequential": [4.0] * 3})
    at = max(at for at, event in enumerate(events) if isinstance(event, RunEnded))
    assert warned(fold(events[:at]))["few_repeats"].endswith("; use --repeats 6 or more")


def test_a_backend_without_a_right_answer_has_no_repeats_to_count(of_times: Of) -> None:
    assert of_times([4.0] * 2, ended={"status": "failed", "makespan_s": None}) == {}


def test_six_repeats_are_enough(of_times: Of) -> None:
    assert of_times([4.0] * 6) == {}


def test_cold_repeats_do_not_count_as_warm_ones(make_session: Make) -> None:
    view = make_session({"emulated": [20.0, *STEADY]}, cold={"emulated": [True, *[False] * 6]})
    assert warned(view) == {}
    view = make_session({"emulated": [20.0, 4.0, 4.0]}, cold={"emulated": [True, False, False]})
    assert warned(view)["few_repeats"].startswith("emulated: 2 warm repeats have a range")
    view = make_session({"emulated": [20.0]}, cold={"emulated": [True]})
    assert warned(view)["few_repeats"] == (
        "emulated: 1 cold repeat has no interval and cannot show a drift; use --cold-repeats 6 or more"
    )
    view = make_session({"dask": [20.0]}, cold={"dask": [True]})
    assert warned(view)["few_repeats"] == (
        "dask: 1 cold repeat has no interval and cannot show a drift; use --repeats 6 or more"
    )


def test_a_first_repeat_that_was_cold_is_one_of_those_that_were_asked_for(make_events: Callable[..., Any]) -> None:
    events = [
        msgspec.structs.replace(event, cold=event.run == "r1", environment="a")
        if isinstance(event, Returned)
        else event
        for event in make_events({"emulated": [20.0, *STEADY[:5]]})
    ]
    assert warned(fold(events)) == {
        "few_repeats": "emulated: 5 warm repeats have a range in place of an interval; use --repeats 7 or more"
    }


def test_a_function_that_is_only_called_has_no_repeats_to_count(make_events: Callable[..., Any]) -> None:
    view = fold(make_events({"lambda": [4.0]}))
    view.runs["r1"].has_answer = False
    assert warned(view) == {}


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([3.6, 4.4, 3.6, 4.4, 3.6, 4.4], "sequential: repeats differ by 11 % (CV): use more repeats or a larger job"),
        ([3.7, 4.3, 3.7, 4.3, 3.7, 4.3], None),  # 8 %
        ([3.623, 4.377] * 3, "sequential: repeats differ by 10 % (CV): use more repeats or a larger job"),  # 10.3 %
        ([3.645, 4.355] * 3, None),  # 9.7 %
    ],
)  # fmt: skip
def test_repeats_that_differ_by_more_than_10_percent_are_unsteady(
    of_times: Of, times: list[float], text: str | None
) -> None:
    assert of_times(times).get("unsteady") == text


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (4.42, "sequential: the first repeat took 10 % longer than the others; add a warm-up run (--warmup 1)"),
        (4.40, None),
        (
            3.58,
            "sequential: the first repeat took 10 % less than the others: what slowed those is not known; measure again",
        ),
        (3.60, None),
    ],
)
def test_a_first_repeat_outside_the_others_by_a_tenth_is_named(of_times: Of, first: float, text: str | None) -> None:
    assert of_times([first, 4.0, 4.01, 3.99, 4.0, 4.01]).get("first_repeat") == text


@pytest.mark.parametrize(("first", "text"), [(4.8, "20 % longer"), (3.2, "20 % less")])
def test_warm_up_runs_take_in_what_ran_before_the_slow_repeat(
    make_events: Callable[..., Any], first: float, text: str
) -> None:
    """The first warm repeat is the second run: a single warm-up run would be the cold one, and change nothing."""
    events = [
        msgspec.structs.replace(event, cold=event.run == "r1", environment="a")
        if isinstance(event, Returned)
        else event
        for event in make_events({"emulated": [20.0, first, *[4.0] * 6]})
    ]
    remedy = "use 2 warm-up runs (--warmup 2)" if first > 4 else "what slowed those is not known; measure again"
    found = warned(fold(events))["first_repeat"]
    assert found.startswith(f"emulated: the first warm repeat took {text} than the others") and found.endswith(remedy)


def test_a_warm_up_run_that_did_not_suffice_is_counted(make_session: Make) -> None:
    view = make_session({"sequential": [5.0, 4.8, *[4.0] * 6]}, warmup=1)
    assert warned(view)["first_repeat"].endswith("use 2 warm-up runs (--warmup 2)")
    view = make_session({"sequential": [9.0, 4.4, 4.3, 4.2, 4.1, 4.0]}, warmup=1)
    assert "; use 2 warm-up runs (--warmup 2) or use --schedule alternating" in warned(view)["drift"]


def test_cold_repeats_have_no_warm_up(make_session: Make) -> None:
    view = make_session({"emulated": [4.8, *[4.0] * 6]}, cold={"emulated": [True] * 7})
    found = warned(view)["first_repeat"]
    assert found == "emulated: the first cold repeat took 20 % longer than the others; measure again"


@pytest.mark.parametrize(
    "times", [[8.0, *STEADY[:5]], [2.0, *STEADY[:5]], [4.0, 4.1, 4.2, 4.3, 4.4], [4.0] * 6 + [4.4] * 6]
)
def test_what_a_model_draws_has_no_order_and_no_machine(make_events: Callable[..., Any], times: list[float]) -> None:
    view = fold(make_events({"sequential": times}))
    assert {"first_repeat", "drift", "change_point"} & warned(view).keys()
    for run in view.runs.values():
        run.planned = msgspec.structs.replace(run.planned, origin="simulated")
    assert not {"first_repeat", "drift", "change_point"} & warned(view).keys()


def test_the_margin_of_a_first_repeat_is_a_tenth_of_the_others_median(of_times: Of) -> None:
    assert "first_repeat" in of_times([4.82, 4.0, 4.0, 4.0, 4.0, 4.4])


@pytest.mark.parametrize("first", [3.6, 4.4])
def test_a_tenth_itself_is_no_reason_to_warn(of_times: Of, first: float) -> None:
    assert "first_repeat" not in of_times([first, 4.0, 4.0, 4.0, 4.0, 4.0])


def test_the_first_repeat_needs_three_others(of_times: Of) -> None:
    assert "first_repeat" not in of_times([8.0, 4.0, 4.0])
    assert "first_repeat" in of_times([8.0, 4.0, 4.0, 4.0])


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([4.0, 4.1, 4.2, 4.3, 4.4], "slower, by 10 % from first to last"),
        ([4.4, 4.3, 4.2, 4.1, 4.0], "faster, by 10 % from first to last"),
        ([4.0, 4.031, 4.062, 4.093, 4.124], "slower, by 3 % from first to last"),
        ([4.0, 4.02, 4.04, 4.06, 4.08], None),  # 2 %
        ([4.0, 4.029, 4.058, 4.087, 4.116], None),  # 2.9 %
        ([4.0, 4.1, 4.2, 4.4, 4.3], None),  # 1 chance in 12
        ([4.0, 4.1, 4.2, 4.3], None),  # of 4 every order may be chance
    ],
)
def test_a_drift_is_named_with_its_direction_and_size(of_times: Of, times: list[float], text: str | None) -> None:
    found = of_times(times).get("drift")
    remedy = "measure again" if text is not None and text.startswith("slower") else "add a warm-up run (--warmup 1)"
    end = f"; {remedy} or use --schedule alternating"
    assert found == (None if text is None else f"sequential: repeats became {text}{end}")


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (4.4, "slower at once, by 10 % from repeat 7 on"),
        (3.6, "faster at once, by 10 % from repeat 7 on"),
        (4.208, "slower at once, by 5 % from repeat 7 on"),  # 5.2 %
        (4.192, None),  # 4.8 %
        (4.16, None),  # 4 %
    ],
)
def test_a_sudden_change_of_level_is_named_with_its_place(of_times: Of, level: float, text: str | None) -> None:
    found = of_times([4.0, 4.01, 3.99, 4.0, 4.01, 3.99, level, level + 0.01, level - 0.01, level, level + 0.01, level])
    remedy = ": the cause is not known; measure again"
    assert found.get("change_point") == (None if text is None else f"sequential: repeats became {text}{remedy}")
    assert ("drift" in found) is (text is None)


@pytest.mark.parametrize(
    "times",
    [
        [4.01, 4.08, 4.08, 4.0, 4.24, 4.37, 4.41, 4.63, 4.51, 4.47, 4.3, 4.47],  # uneven on both sides of the step
        [4.04, 4.0, 4.11, 4.02, 4.3, 4.4, 4.44, 4.4, 4.31, 4.34, 4.33, 4.3],  # a bend would be nearer still
    ],
)
def test_a_step_is_compared_with_a_straight_line_by_the_means_of_its_sides(of_times: Of, times: list[float]) -> None:
    assert "from repeat 6 on" in of_times(times)["change_point"]


@pytest.mark.parametrize(("change", "named"), [(0.05, True), (0.0499, False)])
def test_a_step_of_5_percent_is_large_enough(
    of_times: Of, monkeypatch: pytest.MonkeyPatch, change: float, named: bool
) -> None:
    monkeypatch.setattr(warnings, "change_point", lambda values: Change(6, change, 0.001))
    assert ("change_point" in of_times([*STEADY, *(time + 0.4 for time in STEADY)])) is named


@pytest.mark.parametrize(("change", "named"), [(0.03, True), (0.0299, False)])
def test_a_drift_of_3_percent_is_large_enough(
    of_times: Of, monkeypatch: pytest.MonkeyPatch, change: float, named: bool
) -> None:
    monkeypatch.setattr(warnings, "trend", lambda values: Trend(change, 0.001))
    assert ("drift" in of_times([4.0, 4.1, 4.2, 4.3, 4.4])) is named


@pytest.mark.parametrize(("p", "named"), [(0.01, True), (0.0101, False)])
def test_a_sudden_change_is_named_where_chance_makes_it_in_at_most_1_percent(
    of_times: Of, monkeypatch: pytest.MonkeyPatch, p: float, named: bool
) -> None:
    monkeypatch.setattr(warnings, "change_point", lambda values: Change(6, 0.1, p))
    assert ("change_point" in of_times([*STEADY, *(time + 0.4 for time in STEADY)])) is named


@pytest.mark.parametrize(("p", "named"), [(0.05, True), (0.0501, False)])
def test_a_drift_is_named_where_chance_makes_it_in_at_most_5_percent(
    of_times: Of, monkeypatch: pytest.MonkeyPatch, p: float, named: bool
) -> None:
    monkeypatch.setattr(warnings, "trend", lambda values: Trend(0.1, p))
    assert ("drift" in of_times([4.0, 4.1, 4.2, 4.3, 4.4])) is named


def test_a_change_of_level_is_placed_by_the_number_of_the_repeat(make_session: Make) -> None:
    times = [20.0, *STEADY, *(time + 0.4 for time in STEADY)]
    view = make_session({"emulated": times}, cold={"emulated": [True, *[False] * 12]})
    assert "from repeat 8 on" in warned(view)["change_point"]  # of 13, the first of them cold


def test_the_order_is_no_remedy_for_a_drift_where_runs_alternate_already(of_times: Of) -> None:
    found = of_times([4.0, 4.1, 4.2, 4.3, 4.4], schedule="alternating")
    assert found["drift"].endswith(" from first to last; measure again")


def test_a_steady_drift_is_no_sudden_change(of_times: Of) -> None:
    found = of_times([4.0 + 0.1 * place for place in range(12)])
    assert "drift" in found and "change_point" not in found


def test_some_cold_starts_in_warm_repeats_are_named(of_times: Of, make_session: Make) -> None:
    rows = [{"cold": True, "environment": "a"}, {"cold": False, "environment": "b"}]
    view = make_session({"emulated": STEADY}, invocations=rows, cold={"emulated": [False] * 6})
    assert warned(view) == {
        "some_cold": "emulated: 6 warm repeats had cold starts too: times lie between cold and warm; "
        "use more repeats, or add a warm-up run (--warmup 1)"
    }


@pytest.mark.parametrize(
    ("lag_ms", "text"),
    [
        (20.0, None),
        (
            20.6,
            "sequential: the driver was up to 21 ms late in the worst run (its latest 1 % left out): it shares the cores "
            "with the work and with other processes; times of single invocations are uncertain by as much",
        ),
    ],
)
def test_a_late_driver_is_warned_about(of_times: Of, lag_ms: float, text: str | None) -> None:
    assert of_times(STEADY, ended={"driver": Driver(0.1, 0, 0, 0, lag_ms, 90.0)}).get("loop_lag") == text


def test_a_driver_that_was_not_measured_is_not_warned_about(of_times: Of) -> None:
    assert of_times(STEADY, ended={"driver": None}) == {}


def test_the_worst_run_decides_about_the_driver(make_events: Callable[..., Any]) -> None:
    events = make_events({"sequential": STEADY})
    ends = [at for at, event in enumerate(events) if isinstance(event, RunEnded)]
    events[ends[2]] = msgspec.structs.replace(events[ends[2]], driver=Driver(2.0, 0, 0, 0, 50.0, 90.0))
    found = warned(fold(events))
    assert "up to 50 ms late" in found["loop_lag"]
    assert "used 50 % of the makespan" in found["driver_share"]


@pytest.mark.parametrize(
    ("cpu_s", "text"),
    [
        (1.0, None),
        (
            1.03,
            "sequential: the driver used 26 % of the makespan as CPU time: the tasks are too small to "
            "measure the backend; use fewer or larger tasks",
        ),
    ],
)
def test_a_driver_that_computes_is_warned_about(of_times: Of, cpu_s: float, text: str | None) -> None:
    found = of_times([4.0] * 6, ended={"driver": Driver(cpu_s, 0, 0, 0, 1.0, 2.0)})
    assert found.get("driver_share") == text


def row(queued_s: float, begin_s: float, end_s: float) -> dict[str, Any]:
    return {
        "queued_s": queued_s,
        "dispatched_s": begin_s,
        "started_s": begin_s,
        "finished_s": end_s,
        "returned_s": end_s,
    }


@pytest.mark.parametrize(
    ("rows", "lanes", "share"),
    [
        ([row(0, 0, 2), row(0, 3, 4)], 1, 0.25),  # a second of waiting with an idle lane
        ([row(0, 0, 2), row(0, 2, 4)], 1, 0.0),
        ([row(0, 0, 2), row(3, 3, 4)], 1, 0.0),  # nothing waited
        ([row(0, 0, 2), row(0, 2, 4)], 2, 0.25),  # one of two lanes idle for two of four seconds
        ([row(0, 0, 2), row(0, 2, 4)], 4, 0.125),  # one task waits: one lane too many is idle, not three
        ([row(0, 0, 2), row(0, 0, 2), row(0, 3, 4)], 1, 0.25),  # two at once on one lane make up for no idle one
        ([row(0, 0, 2), {**row(0, 3, 4), "started_s": None, "finished_s": None}], 1, 0.25),  # from dispatch to answer
        ([row(0, 0, 2), row(0, 3, 4), {**row(0, 0, 9), "finished_s": None, "returned_s": None}], 1, 0.25),  # no end
    ],
)
def test_a_lane_is_idle_while_a_task_waits(make_events: Any, rows: Any, lanes: int, share: float) -> None:
    view = session_of(make_events, rows, lanes)
    assert idle_share(next(iter(view.runs.values()))) == pytest.approx(share)


def session_of(make_events: Any, rows: list[dict[str, Any]], lanes: int, tasks: list[int] | None = None) -> SessionView:
    own = ("queued_s", "dispatched_s")
    invocations = [{name: value for name, value in one.items() if name not in own} for one in rows]
    events = [
        msgspec.structs.replace(
            event,
            task=event.n if tasks is None else tasks[event.n],
            queued_s=rows[event.n]["queued_s"],
            dispatched_s=rows[event.n]["dispatched_s"],
        )
        if isinstance(event, Dispatched)
        else event
        for event in make_events({"processes": [4.0] * 6}, invocations=invocations, started={"capacity": lanes})
    ]
    return fold(events)


@pytest.mark.parametrize(("gap_s", "warns"), [(1.0, False), (1.04, True)])
def test_idle_lanes_are_warned_about_above_a_quarter(make_events: Any, gap_s: float, warns: bool) -> None:
    found = warned(session_of(make_events, [row(0, 0, 2), row(0, 2 + gap_s, 4)], 1))
    text = (
        "processes: workers or environments were idle for 26 % of the makespan while tasks waited "
        "(worst run): they were not handed over in time; use fewer or larger tasks, or measure on an idle machine"
    )
    assert found == ({"idle_lanes": text} if warns else {})


def test_the_worst_run_decides_about_idle_lanes(make_events: Any) -> None:
    events = make_events({"processes": [4.0, 40.0]}, invocations=[{"started_s": 2.0}], started={"capacity": 1})
    assert "idle for 50 % of the makespan" in warned(fold(events))["idle_lanes"]


def test_lanes_that_are_idle_before_another_attempt_are_no_fault_of_the_tasks_size(make_events: Any) -> None:
    def idle(queued_again_s: float, failed: int = 1) -> str:
        rows = [row(0, 0, 1), *[{**row(0, 1, 1), "status": "throttled"}] * failed, row(0, 3, 4)]
        rows += [row(queued_again_s, 4, 4)] * failed
        return warned(session_of(make_events, rows, 1, [0, *range(1, failed + 1), 99, *range(1, failed + 1)]))[
            "idle_lanes"
        ]

    start = "tasks waited (worst run): "
    assert idle(3.0).endswith(f"{start}1 attempt failed, and waits before it is tried again")
    assert idle(3.0, 2).endswith(f"{start}2 attempts failed, and each waits before it is tried again")
    assert idle(2.0).endswith("and waits before it is tried again")  # half of what was idle
    assert "they were not handed over in time" in idle(1.9)


def test_an_idle_machine_is_no_remedy_for_what_was_simulated(make_events: Any) -> None:
    view = session_of(make_events, [row(0, 0, 1), row(0, 3, 4)], 1)
    for run in view.runs.values():
        run.planned = msgspec.structs.replace(run.planned, origin="simulated")
    assert warned(view)["idle_lanes"].endswith("; use fewer or larger tasks")


@pytest.mark.parametrize(
    ("code", "run", "paid", "warns"),
    [
        ("paused", "r1", False, True),  # one of six
        ("paused", None, False, False),
        ("budget", None, True, False),
        ("budget", None, False, True),  # that of another backend
        ("audit", None, True, True),
    ],
)
def test_lanes_that_a_pause_or_a_limit_holds_back_are_no_fault_of_the_tasks(
    make_events: Any, code: str, run: str | None, paid: bool, warns: bool
) -> None:
    view = session_of(make_events, [row(0, 0, 1), row(0, 3, 4)], 1)
    if paid:
        pricing = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769)
        for one in view.runs.values():
            assert one.started is not None
            one.started = msgspec.structs.replace(one.started, pricing=pricing)
    for name in [run] if run else list(view.runs):
        view.apply(Warned(code, "held back", name))
    assert ("idle_lanes" in warned(view)) is warns


def test_environments_that_start_are_no_idle_lanes(make_events: Any) -> None:
    rows = [{**row(0, 3, 4), "cold": True, "environment": "a"}]
    assert "idle_lanes" not in warned(session_of(make_events, rows, 1))
    assert "idle_lanes" in warned(session_of(make_events, [{**rows[0], "cold": False}], 1))


def test_cold_repeats_had_cold_starts_as_they_should(make_session: Make) -> None:
    rows = [{"cold": True, "environment": "a"}]
    assert set(warned(make_session({"emulated": [4.0]}, invocations=rows, cold={"emulated": [True]}))) == {
        "few_repeats"
    }


def test_a_function_that_is_only_called_has_neither_warm_repeats_nor_retries_nor_small_tasks(make_events: Any) -> None:
    rows = [{"cold": True, "environment": "a"}, *_tasks(0.4, 0.0006)]
    view = fold(make_events({"emulated": [0.2] * 6}, invocations=rows, cold={"emulated": [False] * 6}))
    assert set(warned(view)) == {"some_cold", "small_tasks"}
    for run in view.runs.values():
        run.has_answer, run.failed_attempts = False, 3
    assert warned(view) == {}


def test_overlapping_runs_are_warned_about(of_times: Of) -> None:
    assert of_times(STEADY, ended={"overlaps": ["r9", "r8"]}) == {
        "overlap": "sequential: runs overlapped with 2 other runs on this machine: their times may be longer than alone"
    }


def test_more_environments_than_cores_are_warned_about(make_session: Make) -> None:
    assert warned(make_session({"emulated": STEADY}, started={"oversubscribed": True})) == {
        "oversubscribed": "emulated: 2 environments are more than this machine can carry: times are longer than on AWS"
    }
    assert warned(make_session({"emulated": STEADY}, started={"oversubscribed": True, "capacity": 1})) == {
        "oversubscribed": "emulated: 1 environment is more than this machine can carry: times are longer than on AWS"
    }


def test_more_busy_threads_than_cores_have_nothing_to_do_with_aws(make_session: Make) -> None:
    assert warned(make_session({"processes": STEADY}, started={"oversubscribed": True})) == {
        "oversubscribed": "processes: it has more threads than this machine has cores: "
        "those that compute wait for each other"
    }


def test_retried_attempts_are_warned_about(of_times: Of) -> None:
    assert of_times(STEADY, invocations=[{"status": "error"}, {}]) == {
        "retried": "sequential: 6 attempts failed and were retried: times include them"
    }


def test_one_retried_attempt_is_one_and_those_of_warm_up_runs_are_in_no_time(make_events: Callable[..., Any]) -> None:
    def failing(run: str) -> dict[str, str]:
        events = make_events({"sequential": [*STEADY, 4.0]}, warmup=1, invocations=[{}, {}])
        return warned(
            fold(
                msgspec.structs.replace(event, status="error")
                if isinstance(event, Returned) and (event.run, event.n) == (run, 0)
                else event
                for event in events
            )
        )

    assert failing("r2") == {"retried": "sequential: 1 attempt failed and was retried: times include it"}
    assert failing("r1") == {}


def test_a_warm_up_run_is_no_warm_repeat_with_cold_starts(make_events: Callable[..., Any]) -> None:
    rows = [{"cold": False, "environment": "a"}, {"cold": False, "environment": "b"}]
    events = [
        msgspec.structs.replace(event, cold=True)
        if isinstance(event, Returned) and (event.run, event.n) == ("r1", 0)
        else event
        for event in make_events({"emulated": [*STEADY, 4.0]}, warmup=1, invocations=rows)
    ]
    assert warned(fold(events)) == {}


def test_one_core_is_one(of_times: Of) -> None:
    found = of_times(STEADY, environment=Environment(usable_cores=1.0, load_1m=3.0))
    assert found["load"].startswith("the load average was 3 on 1 core when the session started")


def test_right_answers_that_differ_are_warned_about(make_session: Make) -> None:
    times = {"sequential": STEADY, "processes": STEADY, "threads": STEADY}
    assert warned(make_session(times, digests={"processes": "other"})) == {
        "answers_differ": "the answers are not bit-identical; identical among: sequential and threads; processes"
    }
    assert "answers_differ" not in warned(make_session(times, digests={"processes": "other"}, ok=False))


def test_variables_that_only_local_workers_have_are_named_where_answers_differ(make_session: Make) -> None:
    times = {"sequential": STEADY, "processes": STEADY, "emulated": STEADY}
    set_here = Environment(variables={"OPENBLAS_CORETYPE": "Haswell", "TZ": "UTC"})
    differing = make_session(times, digests={"emulated": "other"}, environment=set_here)
    assert warned(differing)["answers_differ"] == (
        "the answers are not bit-identical; identical among: sequential and processes; emulated (OPENBLAS_CORETYPE and TZ"
        " are set here, and emulated does not have them: unset them to compare under equal conditions)"
    )
    hashed = Environment(variables={"PYTHONHASHSEED": "0"})
    assert warned(make_session(times, digests={"emulated": "other"}, environment=hashed))["answers_differ"] == (
        "the answers are not bit-identical; identical among: sequential and processes; emulated (PYTHONHASHSEED is set here,"
        " and emulated does not have it: without PYTHONHASHSEED, the order of a set of texts differs between all processes:"
        " sort it)"
    )
    for digests in ({"processes": "other"}, {"emulated": "other"}):
        environment = set_here if "processes" in digests else Environment()
        only = {name: STEADY for name in ("sequential", *digests)}
        found = warned(make_session(only, digests=digests, environment=environment))["answers_differ"]
        assert found.startswith("the answers are not bit-identical; identical among: ") and "set here" not in found


def test_an_answer_that_was_not_computed_differs_from_none(make_session: Make) -> None:
    assert warned(make_session({"sequential": STEADY, "processes": STEADY}, digests={"processes": ""})) == {}


def test_a_backend_whose_own_answers_differ_is_in_no_group(make_events: Callable[..., Any]) -> None:
    events = make_events({"sequential": STEADY, "processes": STEADY, "threads": STEADY})
    for at, event in enumerate(events):
        if isinstance(event, Answered) and event.run in ("r1", "r9"):
            events[at] = msgspec.structs.replace(event, answer=msgspec.structs.replace(event.answer, digest=event.run))
    assert warned(fold(events)) == {
        "answers_differ": "the answers are not bit-identical, nor are those of sequential and processes alone"
    }


def test_tasks_whose_computing_is_longer_than_their_round_trip_are_not_called_small(make_session: Make) -> None:
    """As in a document that somebody wrote, or where a clock jumped: nothing can be said of their hand-over."""
    for round_trip_s in (0.0, 0.0005, 0.001):
        rows = [{"compute_ms": 1.0, "returned_s": round_trip_s}] * 8
        assert "small_tasks" not in warned(make_session({"processes": STEADY}, invocations=rows))


def test_two_backends_share_one_warning(make_session: Make) -> None:
    (warning,) = stability_warnings(make_session({"sequential": [4.0], "processes": [2.0]}))
    assert warning.text.startswith("sequential and processes: 1 repeat has no interval")


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (1.0, None),
        (
            1.1,
            "the load average was 1.1 on 2 cores when the session started: other work ran in the minute before; "
            "measure again when the machine is idle",
        ),
    ],
)
def test_a_loaded_machine_is_warned_about(of_times: Of, load: float, text: str | None) -> None:
    assert of_times(STEADY, environment=Environment(usable_cores=2.0, load_1m=load)).get("load") == text


@pytest.mark.parametrize(
    ("sample", "codes"),
    [
        (MachineSample(1.0, load=4.0), []),
        (MachineSample(1.0, load=4.1), ["load"]),
        (MachineSample(1.0, steal=0.02, temperature_c=89.9, throttled_periods=0, swapped_bytes=0), []),
        (MachineSample(1.0, steal=0.03), ["steal"]),
        (MachineSample(1.0, temperature_c=90.0), ["temperature"]),
        (MachineSample(1.0, throttled_periods=1), ["cpu_throttled"]),
        (MachineSample(1.0, swapped_bytes=2**20), ["swap"]),
    ],
)
def test_the_machine_is_watched_during_runs(of_times: Of, sample: MachineSample, codes: list[str]) -> None:
    found = of_times(STEADY, samples=[sample])
    assert list(found) == codes and all(found.values())


def test_a_load_that_the_work_does_not_explain_is_named(of_times: Of) -> None:
    found = of_times(STEADY, samples=[MachineSample(1.0, load=9.0)])
    assert found["load"].startswith("the load average reached 9, more than the measured work explains: other processes")


@pytest.mark.parametrize(("load", "warns"), [(7.0, False), (7.1, True)])
def test_a_load_of_one_more_than_the_most_workers_and_the_driver_is_explained(
    make_events: Any, load: float, warns: bool
) -> None:
    events = make_events({"sequential": STEADY, "processes": STEADY})
    for at, event in enumerate(events):
        if isinstance(event, RunStarted):
            events[at] = msgspec.structs.replace(event, capacity=1 if int(event.run[1:]) <= 6 else 5)
    samples = [Sampled("r1", MachineSample(1.0, load=1.0)), Sampled("r1", MachineSample(2.0, load=load))]
    events[-1:-1] = samples
    assert ("load" in warned(fold(events))) is warns


@pytest.mark.parametrize(
    "environment", [Environment(usable_cores=None, load_1m=9.0), Environment(usable_cores=2.0, load_1m=None)]
)
def test_a_machine_that_tells_neither_cores_nor_load_is_not_called_loaded(
    of_times: Of, environment: Environment
) -> None:
    assert of_times(STEADY, environment=environment) == {}


def test_the_machine_of_runs_that_do_not_count_and_of_simulated_ones_is_left_alone(make_events: Any) -> None:
    loaded = Environment(usable_cores=2.0, load_1m=9.0)
    events = make_events({"sequential": [4.0] * 2}, environment=loaded)
    events[-1:-1] = [Sampled("r1", MachineSample(1.0, temperature_c=95.0))]

    def codes(view: SessionView, without: tuple[str, ...] = ()) -> list[str]:
        return [one.code for one in machine_warnings(view, without)]

    view = fold(events)
    assert codes(view) == ["load", "temperature"]
    assert codes(view, ("r1",)) == ["load"] and codes(view, ("r1", "r2")) == []
    assert codes(fold(events[:1])) == ["load"] and codes(fold(events[:1]), ("r1",)) == []  # nothing has begun
    view.runs["r1"].planned = msgspec.structs.replace(view.runs["r1"].planned, origin="simulated")
    assert codes(view) == ["load"]
    view.runs["r2"].planned = msgspec.structs.replace(view.runs["r2"].planned, origin="simulated")
    assert codes(view) == []


def test_a_governor_that_changes_the_clock_is_named(of_times: Of) -> None:
    found = of_times(STEADY, environment=Environment(usable_cores=2.0, load_1m=0.0, cpu_governor="powersave"))
    assert list(found) == ["cpu_governor"] and "'powersave'" in found["cpu_governor"]


def _tasks(compute_ms: float, hand_over_s: float, count: int = 400) -> list[dict[str, Any]]:
    """Tasks of two environments that take them one after the other; all were handed over at the run's start."""
    each_s = compute_ms / 1000 + hand_over_s
    return [
        {"returned_s": (n // 2 + 1) * each_s, "compute_ms": compute_ms, "environment": f"e{n % 2}"}
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("makespan_s", "text"),
    [
        (0.2, "--batch 29 would make it about 2.4× as fast"),
        (0.4, "--batch 29 would make it about 1.4× as fast"),  # half of it is spent otherwise
        (1.2, "--batch 29 would make it about 1.1× as fast"),
        (1.3, None),
    ],
)
def test_tasks_that_are_smaller_than_their_hand_over_get_a_batch(
    of_times: Of, makespan_s: float, text: str | None
) -> None:
    found = of_times([makespan_s] * 6, invocations=_tasks(0.4, 0.0006))
    start = "sequential: tasks take 0.40 ms, handing one over takes 0.60 ms: "
    assert found.get("small_tasks") == (None if text is None else start + text)


def test_what_batches_gain_is_shown_by_warm_repeats_where_there_are_some(make_session: Make) -> None:
    view = make_session(
        {"emulated": [5.0, 0.2, 0.2]}, cold={"emulated": [True, False, False]}, invocations=_tasks(0.4, 0.0006)
    )
    assert warned(view)["small_tasks"].endswith(" about 2.4× as fast")


def test_what_disturbed_a_warm_up_run_disturbs_no_figure(make_events: Any) -> None:
    """Driver, lanes and tasks of the first run are as bad as can be: it is warned about only where it counts."""

    def found(warmup: int) -> set[str]:
        rows = _tasks(0.4, 0.0006)
        events = make_events({"processes": [0.4] * 7}, warmup=warmup, invocations=rows, started={"capacity": 2})
        for at, event in enumerate(events):
            if isinstance(event, RunEnded) and event.run == "r1":
                events[at] = msgspec.structs.replace(event, driver=Driver(0.3, 0, 0, 0, 50.0, 90.0))
            elif isinstance(event, Returned) and event.run != "r1":  # tasks that are long, begun at once
                events[at] = msgspec.structs.replace(event, compute_ms=400.0, returned_s=0.4, started_s=0.0)
            elif isinstance(event, Returned):
                events[at] = msgspec.structs.replace(event, started_s=0.3, finished_s=0.301)
        return warned(fold(events)).keys() & {"loop_lag", "driver_share", "idle_lanes", "small_tasks"}

    assert found(0) == {"loop_lag", "driver_share", "idle_lanes"}
    assert found(1) == set()


def test_tasks_of_a_warm_up_run_are_not_called_too_small(make_events: Any) -> None:
    def found(warmup: int) -> bool:
        events = make_events({"sequential": [0.2]}, warmup=warmup, invocations=_tasks(0.4, 0.0006))
        return "small_tasks" in warned(fold(events))

    assert found(0) and not found(1)


@pytest.mark.parametrize("compute_ms", [12.0, 500.0])
def test_tasks_of_95_percent_efficiency_are_large_enough(of_times: Of, compute_ms: float) -> None:
    assert "small_tasks" not in of_times([0.2] * 6, invocations=_tasks(compute_ms, 0.0006))


@pytest.mark.parametrize(("measured", "named"), [(7, False), (8, True)])
def test_eight_measured_tasks_can_be_called_too_small(of_times: Of, measured: int, named: bool) -> None:
    rows = [*_tasks(0.4, 0.0006, measured), *({"status": "error"} for _ in range(measured, 16))]
    assert ("small_tasks" in of_times([0.004], invocations=rows, started={"capacity": 1})) is named


@pytest.mark.parametrize(("batch", "every"), [(10, 1), (1, 1), (10, 2)])
def test_batches_are_not_called_too_small(of_times: Of, batch: int, every: int) -> None:
    batches = [one | {"batch": batch} if n % every == 0 else one for n, one in enumerate(_tasks(0.4, 0.0006))]
    assert "small_tasks" not in of_times([0.2] * 6, invocations=batches)


@pytest.mark.parametrize("more", [{"ended": {"status": "failed"}}, {"ok": False}])
def test_only_tasks_of_runs_that_ended_well_can_be_too_small(of_times: Of, more: dict[str, Any]) -> None:
    assert "small_tasks" not in of_times([0.2] * 6, invocations=_tasks(0.4, 0.0006), **more)


def test_a_job_without_tasks_has_none_that_are_too_small(make_events: Any) -> None:
    events = [
        event for event in make_events({"sequential": STEADY}, invocations=[]) if not isinstance(event, StageStarted)
    ]
    assert warned(fold(events)) == {}


def test_the_mean_of_warm_tasks_and_the_widest_stage_decide_about_a_batch(make_events: Any) -> None:
    rows = _tasks(0.4, 0.0006)
    for n in range(0, 400, 4):
        rows[n] |= {"compute_ms": 0.8}  # beside 0.4 in the other three of four: 0.5 on average
    rows[1] |= {"cold": True, "compute_ms": 900.0}
    events = make_events({"sequential": [0.2] * 6}, invocations=rows)
    at = max(at for at, event in enumerate(events) if isinstance(event, StageStarted))
    events[at + 1 : at + 1] = [StageStarted("r6", 1, 3, 0.1)]
    assert warned(fold(events))["small_tasks"].startswith(
        "sequential: tasks take 0.50 ms, handing one over takes 0.50 ms: --batch 19 would"
    )


def test_the_backends_without_cold_repeats_are_the_clusters() -> None:
    assert tuple(filter(catalog.is_cluster, catalog.names())) == warnings._OTHERS_WORKERS
