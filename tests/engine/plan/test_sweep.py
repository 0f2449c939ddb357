"""What `--over` means, and the plan of each point."""

from __future__ import annotations

from typing import Any

import pytest

from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.sweep import parse_axis, sweep_plan
from lbench.errors import InputError


def plan(*backends: str, **more: Any) -> Plan:
    chosen = [parse_backend(text, {}) for text in backends or ("sequential", "processes", "emulated")]
    return Plan(workload="mandelbrot", backends=chosen, **more)


@pytest.mark.parametrize(
    ("text", "values", "is_range"),
    [
        ("size=1..128x2", (1, 2, 4, 8, 16, 32, 64, 128), True),
        ("size=1..100x10", (1, 10, 100), True),
        ("size=10..20x1.5", (10, 15), True),
        ("size=1..5", (1, 2, 3, 4, 5), True),
        ("size=5,1,3,3", (1, 3, 5), False),
        ("eps=0.5,0.25", (0.25, 0.5), False),
        ("eps=0.1..0.8x2", (0.1, 0.2, 0.4, 0.8), True),
        (" size = 1, 2 ", (1, 2), False),
        ("size=1e3,200", (200, 1000), False),
    ],
)
def test_values_are_listed_or_multiplied(text: str, values: tuple[float, ...], is_range: bool) -> None:
    axis = parse_axis(text)
    assert axis.values == pytest.approx(values) and axis.is_range == is_range


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ([], "name what to vary"),
        (["size"], "must be NAME=V1,V2"),
        (["=1,2"], "must be NAME=V1,V2"),
        (["size="], "the sweep is empty"),
        (["size=7"], "at least two values"),
        (["size=8..1x2"], "must begin with its smaller end"),
        (["size=1..8x1"], "a factor above 1"),
        (["size=0..8x2"], "begin above 0"),
        (["size=1..100000"], "A..B must be at most 200 whole numbers, got 1..100000"),
        (["size=a,b"], "must be numbers, got a"),
        (["size=1,,2"], "must be numbers, got nothing"),
        (["size=1e400,2"], "must be numbers"),
        (["size=nan,2"], "must be numbers"),
        (["size=1.5,2"], "must be whole numbers, got 1.5"),
        (["size=1,2.5"], "must be whole numbers, got 2.5"),
        (["size=1," + "9" * 400], "at most 1e\\+15, got 999999999999999999999999$"),
        (["size=1.." + "9" * 400 + "x2"], "at most 1e\\+15, got 9"),
        (["size=0,5"], "^--over, at size=0: parameter size=0: must be at least 1"),
        (["workers=0,5"], "^--over, at workers=0: .*must be at least 1"),
        (["size=1..128x1.00001"], "must have at most 200 values, got 1..128x1.00001: use a larger factor"),
        (["kernel=numpy,python"], "measure each value with -p kernel=VALUE"),
        (["sise=1,2"], "unknown axis 'sise': did you mean 'size'"),
        (["kernel=1,2"], "only a parameter that is a number"),
        (["size=1,2", "size=3,4"], "given twice"),
        (["size=1,2", "tasks=3,4", "workers=1,2"], "once or twice, got 3"),
        (["size=1..100", "tasks=1..100"], "at most 200 points, got 10,000"),
        (["memory=64,128"], "memory=64"),
    ],
)
def test_other_axes_are_refused(texts: list[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        sweep_plan(plan(), texts)


def test_an_axis_that_no_backend_has_or_that_is_given_is_refused() -> None:
    with pytest.raises(InputError, match=r"no backend has it \(processes\)"):
        sweep_plan(plan("processes"), ["memory=128,256"])
    with pytest.raises(InputError, match="processes has a concurrency of its own: leave it out"):
        sweep_plan(plan("processes:concurrency=4"), ["workers=1,2"])
    with pytest.raises(InputError, match="emulated has a memory of its own: leave it out"):
        sweep_plan(plan("emulated:memory=512"), ["memory=885,1769"])
    with pytest.raises(InputError, match="-p size cannot be used together"):
        sweep_plan(plan(params={"size": "4"}), ["size=1,2"])
    with pytest.raises(InputError, match="--tasks cannot be used together"):
        sweep_plan(plan(tasks=4), ["tasks=1,2"])


def test_each_point_is_a_plan_of_its_own() -> None:
    sweep = sweep_plan(plan("sequential", "processes", "processes:concurrency=2@two"), ["workers=1,4", "size=10,20"])
    assert sweep.points[:2] == [{"workers": 1, "size": 10}, {"workers": 4, "size": 10}]
    point = sweep.at(sweep.points[-1], "id")
    assert (
        point.params == {"size": "20"} and point.sweep is not None and point.sweep.point == {"workers": 4, "size": 20}
    )
    assert [choice.settings.get("concurrency") for choice in point.backends] == [None, 4, 2]
    assert sweep_plan(plan(), ["tasks=2,4"]).at({"tasks": 4}, "id").tasks == 4


def test_the_definition_changes_with_what_is_measured_only() -> None:
    one = sweep_plan(plan(), ["size=1,2"]).definition
    assert sweep_plan(plan(max_usd=1.0), ["size=1,2"]).definition == one
    assert sweep_plan(plan(seed=2), ["size=1,2"]).definition != one
    assert sweep_plan(plan(), ["size=1,3"]).definition != one
