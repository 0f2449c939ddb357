"""Parts of the variance: they add up, known components come out, and an estimate below 0 is 0 and said."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.analysis.comparison import by_label
from lbench.analysis.variance import (
    VarianceParts,
    invocation_phases,
    nested_components,
    steadiness_text,
    variance_parts,
    variance_text,
)
from lbench.engine.session.view import SessionView
from tests.analysis.runs import session_of


def made(
    *,
    repeats: int = 6,
    tasks: int = 40,
    lanes: int = 4,
    seed: int = 1,
    between_tasks: float = 0.0,
    between_repeats: float = 0.0,
    between_environments: float = 0.0,
    within: float = 1.0,
    cold_ms: float = 0.0,
    fetch_ms: float = 0.0,
    network_ms: float = 0.0,
    backend: str = "processes",
) -> SessionView:
    """Repeats of tasks on lanes, each dispatched when its lane is free."""
    generator = np.random.default_rng(seed)
    work = 100 + between_tasks * generator.standard_normal(tasks)
    runs = []
    for _ in range(repeats):
        shift = between_repeats * generator.standard_normal()
        lane_shift = between_environments * generator.standard_normal(lanes)
        free, rows = np.zeros(lanes), list[dict[str, Any]]()
        for task in range(tasks):
            lane = int(np.argmin(free))
            computing = work[task] + shift + lane_shift[lane] + within * generator.standard_normal()
            cold = free[lane] == 0 and cold_ms > 0
            init = cold_ms if cold else 0.0
            fetch = fetch_ms * generator.random()
            network = network_ms * generator.random()
            begin = float(free[lane])
            free[lane] = begin + (computing + init + fetch + network) / 1000
            rows.append(
                {
                    "dispatched_s": begin,
                    "returned_s": float(free[lane]),
                    "lane": lane,
                    "compute_ms": float(computing),
                    "fetch_ms": float(fetch),
                    "init_ms": init or None,
                    "cold": cold,
                }
            )
        runs.append({"rows": rows, "lanes": lanes, "makespan_s": float(free.max()), "backend": backend})
    return session_of(runs)


def shares(view: SessionView) -> dict[str, float]:
    ((label, group),) = by_label(view.runs.values()).items()
    found = variance_parts(label, group)
    assert found is not None
    assert sum(part.ms2 for part in found.parts) == pytest.approx(found.whole_ms2)
    assert sum(part.share for part in found.parts) == pytest.approx(1.0)
    return {part.name: part.share for part in found.parts}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("between tasks", {"between_tasks": 20.0}),
        ("between repeats", {"between_repeats": 20.0, "repeats": 12}),
        ("between environments", {"between_environments": 20.0, "repeats": 16}),
        ("within an environment", {"within": 20.0}),
        ("cold starts", {"cold_ms": 300.0}),
        ("fetch", {"fetch_ms": 100.0}),
        ("hand-over", {"network_ms": 100.0}),
        ("network and hand-over", {"network_ms": 100.0, "backend": "emulated"}),
    ],
)
def test_the_largest_part_is_where_the_times_differ_from(name: str, more: dict[str, Any]) -> None:
    found = shares(made(**more))
    assert max(found, key=lambda part: found[part]) == name
    assert found[name] > 0.6


def test_known_components_come_out_of_many_values() -> None:
    generator = np.random.default_rng(4)
    repeats = np.repeat(np.arange(60), 40)
    environments = np.tile(np.repeat(np.arange(8), 5), 60)
    tasks = np.arange(len(repeats))  # none in common
    values = (
        3.0 * generator.standard_normal(60)[repeats]
        + 2.0 * generator.standard_normal((60, 8))[repeats, environments]
        + 1.0 * generator.standard_normal(len(repeats))
    )
    found = nested_components(values, tasks, repeats, environments)
    assert found["between repeats"] == pytest.approx(9, rel=0.35)
    assert found["between environments"] == pytest.approx(4, rel=0.2)
    assert found["within an environment"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("environments", "seed"), [(3.0, 7), (0.0, 3)])
def test_the_components_of_a_balanced_design_are_the_textbook_s(environments: float, seed: int) -> None:
    """Searle et al., 3.3: differences of mean squares, over how many values each is a mean of.

    A part of the environments below 0 counts as 0 for that of the repeats.
    """
    repeats, cells, each = 3, 4, 5
    generator = np.random.default_rng(seed)
    values = (
        5 * generator.standard_normal((repeats, 1, 1))
        + environments * generator.standard_normal((repeats, cells, 1))
        + generator.standard_normal((repeats, cells, each))
    )
    between = cells * each * values.mean(axis=(1, 2)).var(ddof=1)
    environment = each * values.mean(axis=2).var(axis=1, ddof=1).mean()
    within = values.var(axis=2, ddof=1).mean()
    assert (environment > within) == (environments > 0)
    numbers = np.indices(values.shape)
    found = nested_components(values.ravel(), np.arange(values.size), numbers[0].ravel(), numbers[1].ravel())
    assert found == pytest.approx(
        {
            "between tasks": 0.0,
            "between repeats": (between - max(environment, within)) / (cells * each),
            "between environments": (environment - within) / each,
            "within an environment": within,
        }
    )


def test_a_phase_s_part_is_its_covariance_with_the_whole() -> None:
    view = made(cold_ms=80.0, fetch_ms=40.0, network_ms=30.0, within=20.0, between_repeats=10.0)
    ((label, group),) = by_label(view.runs.values()).items()
    found = variance_parts(label, group)
    assert found is not None and "computing" not in found.negative
    phases = [invocation_phases(run) for run in group]
    joined = {name: np.concatenate([own[name] for own in phases]) for name in phases[0]}
    expected = {name: np.cov(joined[name], joined["whole"])[0, 1] for name in ("cold starts", "fetch", "hand-over")}
    computing = np.cov(joined["computing"], joined["whole"])[0, 1]
    whole = sum(expected.values()) + computing
    parts = {part.name: part.share for part in found.parts}
    assert {name: parts[name] for name in expected} == pytest.approx({n: c / whole for n, c in expected.items()})
    named = ("between tasks", "between repeats", "between environments", "within an environment")
    assert sum(parts[name] for name in named) == pytest.approx(computing / whole)
    assert [part.share for part in found.parts] == sorted(parts.values(), reverse=True)


def of_rows(rows: list[dict[str, Any]]) -> VarianceParts | None:
    view = session_of([{"rows": rows, "lanes": 1, "makespan_s": rows[-1]["returned_s"]}])
    return variance_parts("processes", list(view.runs.values()))


def row(place: int, whole_ms: float, compute_ms: float) -> dict[str, Any]:
    begin = float(place)
    return {"queued_s": begin, "dispatched_s": begin, "returned_s": begin + whole_ms / 1000, "compute_ms": compute_ms}


def test_computing_that_takes_the_same_each_time_has_no_part() -> None:
    found = of_rows([row(place, 100.0 + place, 50.0) for place in range(10)])
    assert found is not None
    assert {part.name: part.share for part in found.parts if part.share} == {"hand-over": pytest.approx(1.0)}


def test_computing_that_is_longer_where_the_whole_is_shorter_is_named() -> None:
    found = of_rows([row(place, 200.0 + 10 * place, 150.0 - place) for place in range(10)])
    assert found is not None and found.negative[0] == "computing"
    assert found.parts[0].name == "hand-over" and found.parts[0].share == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(4, 20), st.integers(1, 4))
def test_parts_add_up_to_the_variance_of_the_times(seed: int, repeats: int, tasks: int, lanes: int) -> None:
    view = made(seed=seed, repeats=repeats, tasks=tasks, lanes=lanes, network_ms=5.0, fetch_ms=3.0, cold_ms=20.0)
    ((label, group),) = by_label(view.runs.values()).items()
    found = variance_parts(label, group)
    assert found is not None
    whole = np.concatenate(
        [(run.columns["returned_s"] - run.columns["dispatched_s"]) * 1000 for run in view.runs.values()]
    )
    assert found.whole_ms2 == pytest.approx(sum(part.ms2 for part in found.parts))
    assert found.whole_ms2 == pytest.approx(float(whole.var(ddof=1)), rel=1e-6)


def test_a_negative_estimate_is_0_and_named() -> None:
    for seed in range(30):
        view = made(seed=seed, repeats=3, between_repeats=0.0, within=5.0)
        ((label, group),) = by_label(view.runs.values()).items()
        found = variance_parts(label, group)
        assert found is not None
        assert all(part.ms2 >= 0 for part in found.parts)
        if found.negative:
            one = msgspec.structs.replace(found, negative=("fetch",))
            assert variance_text(one).endswith("; fetch came out below 0 and counts as 0")
            two = msgspec.structs.replace(found, negative=("fetch", "driver"))
            assert variance_text(two).endswith("; fetch and driver came out below 0 and count as 0")
            return
    raise AssertionError("no estimate was below 0")


def test_a_start_that_began_before_the_call_is_no_longer_than_the_call_waited() -> None:
    rows = [
        {"dispatched_s": 0.0, "returned_s": 0.5, "compute_ms": 100.0, "cold": True, "init_ms": 9000.0},
        {"dispatched_s": 0.5, "returned_s": 1.0, "compute_ms": 100.0, "cold": True, "init_ms": 300.0},
        {"dispatched_s": 1.0, "returned_s": 1.5, "compute_ms": 100.0, "cold": False, "init_ms": 300.0},
    ]
    run = {"rows": rows, "lanes": 1, "makespan_s": 1.5, "backend": "emulated"}
    (found,) = session_of([run]).runs.values()
    phases = invocation_phases(found)
    assert phases["cold starts"] == pytest.approx([400.0, 300.0, 0.0])
    assert phases["network and hand-over"] == pytest.approx([0.0, 100.0, 400.0])
    rows = [{"dispatched_s": 0.0, "returned_s": 0.125, "compute_ms": 125.0, "cold": True, "init_ms": 9.0}]
    (found,) = session_of([run | {"rows": rows}]).runs.values()
    assert invocation_phases(found)["cold starts"].tolist() == [0.0]  # it did not wait at all


def test_too_little_has_no_parts() -> None:
    assert variance_parts("x", []) is None
    view = made(repeats=1, tasks=3)
    assert variance_parts("processes", list(view.runs.values())) is None


def test_spreads_stand_side_by_side_without_a_claim() -> None:
    groups = {
        "laptop": list(made(between_repeats=30.0).runs.values()),
        "lambda": list(made(between_repeats=1.0).runs.values()),
    }
    line = steadiness_text(groups)
    assert line is not None and re.fullmatch(
        r"CV of the makespans: laptop \S+ % \(6 repeats\), lambda \S+ % \(6 repeats\); which is steadier was not tested",
        line,
    )
    assert steadiness_text({"laptop": groups["laptop"]}) is None


def test_a_cold_repeat_is_not_in_the_spread_of_warm_ones(make_session: Callable[..., SessionView]) -> None:
    view = make_session(
        {"sequential": [4.0] * 3, "emulated": [20.0, 2.0, 2.0, 2.0]}, cold={"emulated": [True, False, False, False]}
    )
    line = steadiness_text(by_label(view.runs.values()))
    assert line is not None and "emulated 0.0 % (3 repeats)" in line
