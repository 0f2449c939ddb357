"""A sweep's points are sent one after the other; a refused one fails alone, a cancelled one ends the sweep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lbench.engine.model import Sweep
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.errors import InputError
from lbench.tui.scaling.sweep_run import SweepRun, proposed_axis, sweep_of

PLAN = Plan(workload="mandelbrot", params={"size": 64}, backends=[parse_backend("sequential", {})])


def sizes(*values: int) -> SweepRun:
    return SweepRun(sweep_of(PLAN, f"size={','.join(map(str, values))}"))


def view(run: SweepRun, *ended: str, status: str = "ok", others: tuple[str, ...] = ()) -> Any:
    """A session in which comparisons ended so: `others`, then those of the sweep's points one after the other."""
    points = [*run.sweep.points, {"size": 24}]
    sweeps = [None] * len(others) + [Sweep(run.id, dict(point)) for point in points]
    comparisons = [SimpleNamespace(ended_by=one, runs=[f"r{number}"]) for number, one in enumerate((*others, *ended))]
    runs = {
        f"r{n}": SimpleNamespace(status=status, planned=SimpleNamespace(sweep=sweep)) for n, sweep in enumerate(sweeps)
    }
    return SimpleNamespace(comparisons=comparisons, started_runs=[], runs=runs)


def size_of(plan: Plan | None) -> object:
    return None if plan is None else plan.params["size"]


def test_each_point_is_sent_once_the_one_before_has_ended() -> None:
    run = sizes(16, 32, 48)
    assert size_of(run.proceed(None, None, False)) == "16"
    assert run.progress == "point 1 of 3: size=16"
    assert run.proceed(view(run), None, True) is None
    assert size_of(run.proceed(view(run, "count"), None, False)) == "32"
    assert run.proceed(view(run, "count"), None, False) is None  # it is not taken up yet
    assert size_of(run.proceed(view(run, "count", "count"), None, False)) == "48"
    assert run.proceed(view(run, "count", "count", "precision"), None, False) is None
    assert run.over and run.progress == "" and not run.failures


def test_a_plan_that_comes_too_early_is_sent_again() -> None:
    run = sizes(16, 32)
    run.proceed(None, None, False)
    run.proceed(view(run, "count"), None, False)
    busy = "a plan is running: cancel it first"
    assert size_of(run.proceed(view(run, "count"), busy, False)) == "32"
    assert run.proceed(view(run, "count"), busy, True) is None  # another's plan was refused while the point is measured
    assert not run.failures


def test_a_point_that_cannot_be_measured_fails_alone() -> None:
    run = sizes(16, 32)
    run.proceed(None, None, False)
    assert size_of(run.proceed(view(run), "no room", False)) == "32"
    assert run.failures == {"size=16": "no room"}


@pytest.mark.parametrize(("ended", "status"), [("cancelled", "cancelled"), ("count", "over_budget")])
def test_what_is_cancelled_or_out_of_money_ends_the_sweep(ended: str, status: str) -> None:
    run = sizes(16, 32)
    run.proceed(None, None, False)
    assert run.proceed(view(run, ended, status=status), None, False) is None
    assert run.over


def test_what_ran_before_in_that_engine_ends_no_point() -> None:
    run = sizes(16, 32)
    run.proceed(None, None, False)
    others = ("count", "cancelled")
    assert run.proceed(view(run, others=others), None, True) is None  # the first point is only beginning
    assert run.progress == "point 1 of 2: size=16"
    assert size_of(run.proceed(view(run, "count", others=others), None, False)) == "32"
    assert run.proceed(view(run, "count", "count", others=others), None, False) is None and run.over


def test_a_point_can_be_added_to_a_sweep_that_is_over() -> None:
    run = sizes(16, 32)
    run.proceed(None, None, False)
    run.proceed(view(run, "count"), None, False)
    run.proceed(view(run, "count", "count"), None, False)
    assert run.over
    assert run.add({"size": 24}) and not run.add({"size": 24})
    assert size_of(run.proceed(view(run, "count", "count"), None, False)) == "24"


@pytest.mark.parametrize(
    ("params", "name", "expected"),
    [
        ({"size": 64}, None, "size=8..128x2"),
        ({"size": 64}, "max_iterations", "max_iterations=62..1000x2"),
        ({}, "tasks", "tasks=2..32x2"),
        ({}, "workers", "workers=1,2"),
        ({}, "nonsense", "size=125..2000x2"),
        ({"size": 3}, "size", "size=1..6x2"),
    ],
)
def test_the_proposed_axis_lies_around_the_present_value(params: dict[str, Any], name: str, expected: str) -> None:
    text = proposed_axis(Plan(workload="mandelbrot", params=params, backends=[parse_backend("processes", {})]), name)
    assert text == expected
    sweep_of(Plan(workload="mandelbrot", params=params, backends=[parse_backend("processes", {})]), text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--over"),
        ("size=", "empty"),
        ("nonsense=1,2", "nonsense"),
        ("size=1,2 size=3,4", "twice"),
        ("size=0,1", "size"),
    ],
)
def test_a_wrong_axis_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        sweep_of(PLAN, text)
    assert "\n" not in str(refused.value)


def test_what_is_paid_is_left_to_the_command_that_asks() -> None:
    paid = Plan(workload="mandelbrot", backends=[parse_backend("lambda:region=us-east-1", {})])
    with pytest.raises(InputError, match="lbench sweep"):
        sweep_of(paid, "size=16,32")
