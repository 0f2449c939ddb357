"""Sessions of several machines: what is joined, what stands apart, effects, thresholds and how many repeats decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
import scipy.stats

from lbench.analysis.permutation import permutation_test
from lbench.analysis.resumption import joined
from lbench.analysis.session_comparison import Effect, SessionComparison, compare_sessions
from lbench.analysis.session_comparison_text import (
    change_text,
    comparison_sentence,
    comparison_sentences,
    cost_text,
    needed_text,
    permutation_text,
    verdict_lines,
)
from lbench.config.prices import rates
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.model import Answer, DataInfo, Interaction, Pricing
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import InputError
from tests.analysis.sweeps import ENVIRONMENT, sweep_session
from tests.session_events import CREATED


def free(run: RunView, now_s: float | None) -> RunCost:
    return RunCost(CostItems())


def noisy(value: float, count: int, seed: int, noise: float = 0.01) -> list[float]:
    generator = np.random.default_rng(seed)
    return [float(value * np.exp(noise * generator.standard_normal())) for _ in range(count)]


def session(name: str, times: dict[str, Sequence[float]], size: int = 1, **more: Any) -> SessionView:
    return sweep_session([({"size": size}, times)], identity=name, sweep=False, **more)


def effects(found: SessionComparison) -> list[Effect]:
    return [row.effect for job in found.jobs for row in job.rows if row.effect is not None]


def compared(*views: SessionView, threshold: float | None = None) -> SessionComparison:
    named = [(view.header.id, view) for view in views if view.header is not None]
    return compare_sessions(named, free, threshold=threshold)


A = {"processes": noisy(1.0, 8, 1)}


@pytest.mark.parametrize(
    ("factor", "verdict", "claim"), [(1.2, "slower", "slower"), (1.0, "within", "open"), (0.8, "within", "faster")]
)
def test_a_threshold_is_passed_failed_or_left_open(factor: float, verdict: str, claim: str) -> None:
    found = compared(session("a", A), session("b", {"processes": noisy(factor, 8, 2)}), threshold=0.05)
    (effect,) = effects(found)
    assert (effect.verdict, effect.claim, effect.repeats_needed) == (verdict, claim, None)
    assert effect.change.value == pytest.approx(factor - 1, abs=0.02)
    assert effect.ratio.value == pytest.approx(1 / factor, rel=0.02)
    assert [row.session for row in found.slower] == (["b"] if verdict == "slower" else [])


def test_beyond_the_threshold_but_within_its_interval_is_unclear_and_says_how_many_repeats_would_decide() -> None:
    wide = session("b", {"processes": noisy(1.08, 8, 3, 0.08)})
    found = compared(session("a", {"processes": noisy(1.0, 8, 1, 0.08)}), wide, threshold=0.05)
    (effect,) = effects(found)
    assert effect.verdict == "unclear" and found.slower == []
    assert effect.repeats_needed is not None and effect.repeats_needed > 8
    (line,) = verdict_lines(found)
    assert line.startswith("? probe, b processes: unclear whether it is slower by more than 5 %")
    assert line.endswith(f"about {effect.repeats_needed} repeats of each would decide")


def test_more_workers_than_cores_are_compared_and_more_environments_than_it_can_carry_are_not() -> None:
    times = {"processes": noisy(1.0, 8, 1), "emulated": noisy(2.0, 8, 2)}
    crowded = session("b", times, oversubscribed=["processes", "emulated"])
    found = compared(session("a", times), crowded)
    (job,) = found.jobs
    assert [row.name for row in job.rows if row.session == "b"] == ["processes"]
    assert [(one.what, one.why) for one in job.apart] == [("emulated", "more environments than that machine can carry")]


def test_equal_machines_seldom_fail_a_threshold() -> None:
    failed = 0
    for seed in range(120):
        views = [session(name, {"processes": noisy(1.0, 3, 2 * seed + k, 0.06)}) for k, name in enumerate("ab")]
        failed += bool(compared(*views, threshold=0.0).slower)
    assert failed <= 6  # of 120: 5 %


def test_a_ratio_and_its_change_have_the_same_interval() -> None:
    for count in (3, 6, 25):
        found = compared(
            session("a", {"processes": noisy(1.0, count, 1, 0.05)}),
            session("b", {"processes": noisy(1.02, count, 2, 0.05)}),
        )
        (effect,) = effects(found)
        ratio, change = effect.ratio, effect.change
        assert (ratio.kind, ratio.count) == (change.kind, change.count)
        assert ratio.interval is not None and change.interval is not None
        assert [1 / (1 + end) for end in reversed(change.interval)] == pytest.approx(list(ratio.interval))
        assert 1 / (1 + change.value) == pytest.approx(ratio.value)


def test_so_many_repeats_do_decide() -> None:
    """The number that is named is enough in most cases: the spread stays, the interval shrinks."""

    def pair(count: int, seed: int) -> list[SessionView]:
        return [
            session(name, {"processes": noisy(value, count, seed + k, 0.05)})
            for k, (name, value) in enumerate((("a", 1.0), ("b", 1.12)))
        ]

    enough = 0
    for seed in range(20):
        (effect,) = effects(compared(*pair(6, 10 * seed), threshold=0.05))
        count = effect.repeats_needed
        more = None if count is None else compared(*pair(min(200, count), 10 * seed + 5), threshold=0.05)
        enough += more is None or effects(more)[0].verdict == "slower"
    assert enough >= 12


def test_measured_once_is_not_settled_and_does_not_fail() -> None:
    found = compared(session("a", {"processes": [1.0]}), session("b", {"processes": [2.0]}), threshold=0.05)
    (effect,) = effects(found)
    assert (effect.verdict, effect.claim, effect.repeats_needed) == ("unclear", "unsettled", 6)
    assert needed_text(effect) == "6 repeats of each would give an interval"  # of one value no spread is known
    assert comparison_sentence(found) == "b processes against a processes: not settled (+100 %, measured once)."


def test_what_an_interval_leaves_out_is_not_shown_as_that() -> None:
    base = noisy(1.0, 30, 1, 1e-5)
    slower = compared(session("a", {"processes": base}), session("b", {"processes": [1.0002 * one for one in base]}))
    assert comparison_sentence(slower).startswith("b processes is 0.9998× (95 %: 0.9998–0.9998) as fast as")
    (line,) = verdict_lines(
        compared(
            session("a", {"processes": base}), session("b", {"processes": [1.0002 * t for t in base]}), threshold=0.0
        )
    )
    assert "slower by more than 0 % (+0.02 %, 95 %: +0.02 to +0.02 % " in line
    near = session("b", {"processes": [1.0502 * one for one in base]})
    (line,) = verdict_lines(compared(session("a", {"processes": base}), near, threshold=0.05))
    assert line.startswith("✘") and "more than 5 % (+5.02 %, 95 %: +5.02 to +5.02 % " in line


def test_a_change_that_reads_as_nothing_has_no_sign() -> None:
    alike = session("b", {"processes": [0.9999 * one for one in A["processes"]]})
    change = change_text(effects(compared(session("a", A), alike))[0])
    assert change.startswith("0.0 %, 95 %: −")
    equal = {"processes": [1.0] * 6}
    assert change_text(effects(compared(session("a", equal), session("b", equal)))[0]) == "0.0 %, 95 %: 0.0 to 0.0 %"


def test_another_backend_does_not_stand_for_a_label_that_failed_in_the_base() -> None:
    both = {"processes": noisy(1.0, 6, 1), "threads": noisy(2.0, 6, 2)}
    base = session("a", both, failed=[({"size": 1}, "processes")])
    found = compared(base, session("b", both), threshold=0.05)
    assert [row.name for job in found.jobs for row in job.rows if row.effect is not None] == ["threads"]
    assert [(one.session, one.what, one.why) for job in found.jobs for one in job.apart] == [
        ("a", "processes", "a task failed"),
        ("b", "processes", "the base's own processes cannot be compared: a task failed"),
    ]
    crowded = {"processes": noisy(1.0, 6, 1), "emulated cold": noisy(3.0, 6, 2), "emulated warm": noisy(2.0, 6, 3)}
    found = compared(session("a", crowded, oversubscribed=["emulated"]), session("b", crowded))
    assert [row.name for job in found.jobs for row in job.rows if row.effect is not None] == ["processes"]
    assert [one.why for job in found.jobs for one in job.apart if one.session == "b"] == [
        "the base's own emulated cannot be compared: more environments than that machine can carry"
    ] * 2


def test_what_differs_between_the_machines_is_named() -> None:
    other = msgspec.structs.replace(ENVIRONMENT, hostname="there", cpu_model="EPYC", packages={"numpy": "2.3"})
    base = msgspec.structs.replace(ENVIRONMENT, cpu_model="i7", packages={"numpy": "2.4"})
    found = compared(session("a", A, environment=base), session("b", A, environment=other))
    named = {one.what: one.values for one in found.differences}
    assert named == {"host": ("here", "there"), "processor": ("i7", "EPYC"), "numpy": ("2.4", "2.3")}


def test_a_machine_is_named_by_its_processor_without_its_number_of_cores() -> None:
    models = ("AMD EPYC 7302 16-Core Processor", "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz")
    base, other = (msgspec.structs.replace(ENVIRONMENT, cpu_model=model) for model in models)
    (job,) = compared(session("a", A, environment=base), session("b", A, environment=other)).jobs
    machines = [row.machine.partition(", ")[0] for row in job.rows if row.name == "processes"]
    assert machines == ["AMD EPYC 7302", "Xeon Platinum 8375C"]


def test_what_differs_is_of_the_runs_that_are_compared() -> None:
    points = [({"n": n, "tasks": n}, {"processes": noisy(n, 6, n)}) for n in (2, 16)]
    sweep = sweep_session(points, identity="a", sweep_id="w1", settings={"memory": 885})
    one = sweep_session(points[1:], identity="b", sweep_id="w2", settings={"memory": 885})
    assert compared(sweep, one).differences == ()
    other = sweep_session(points[1:], identity="b", sweep_id="w2", settings={"memory": 1769, "arch": None})
    assert [(row.what, row.values) for row in compared(sweep, other).differences] == [
        ("memory of processes", ("885", "1769"))
    ]
    both = sweep_session(points, identity="b", sweep_id="w2", settings={"memory": 1769})
    assert [row.values for row in compared(sweep, both).differences] == [("885", "1769")]
    for run in both.runs.values():
        assert run.started is not None
        run.started.capacity = run.planned.params["n"]
    assert next((row.what, row.values) for row in compared(sweep, both).differences) == (
        "workers of processes",
        ("2", "2, 16"),
    )


@pytest.mark.parametrize(("load", "named"), [(0.4, []), (2.3, [("load at its start", ("0", "2.3"))])])
def test_a_busy_machine_is_a_difference(load: float, named: list[tuple[str, tuple[str, ...]]]) -> None:
    busy = msgspec.structs.replace(ENVIRONMENT, load_1m=load)
    found = compared(session("a", A), session("b", A, environment=busy))
    assert [(row.what, row.values) for row in found.differences] == named


def test_another_major_version_is_another_kernel_and_stands_apart() -> None:
    old = msgspec.structs.replace(ENVIRONMENT, packages={"numpy": "1.26.4"})
    new = msgspec.structs.replace(ENVIRONMENT, packages={"numpy": "2.4.0"})
    found = compared(
        session("a", A, environment=new), session("b", A, environment=new), session("c", A, environment=old)
    )
    (apart,) = found.jobs[0].apart
    assert (apart.session, apart.why) == ("c", "numpy 1.26.4 against 2.4.0: another kernel")
    assert [row.session for row in found.jobs[0].rows] == ["a", "b"]


def test_other_data_and_other_parameters_are_refused_with_the_reason() -> None:
    first, second = session("a", A), session("b", A)
    for run, digest in (
        (next(iter(first.runs.values())), "sha256:aaaa"),
        (next(iter(second.runs.values())), "sha256:bbbb"),
    ):
        assert run.started is not None
        run.started.data = DataInfo("made up", digest, 1, 1, 1)
    with pytest.raises(InputError, match=r"b, probe: other data \(digest bbbb against aaaa\)"):
        compared(first, second)
    with pytest.raises(InputError, match="other parameters: size 2 against 1"):
        compared(session("a", A), session("b", A, size=2))


def test_an_emulated_time_is_not_compared_with_a_measured_one() -> None:
    found = compared(session("a", A), session("b", {**A, "emulated": [2.0] * 6}))
    (apart,) = found.jobs[0].apart
    assert apart.what == "emulated" and "not comparable" in apart.why
    with pytest.raises(
        InputError, match="nothing to compare: b, emulated: its times are emulated, and the base has no"
    ):
        compared(session("a", A), session("b", {"emulated": [2.0] * 6}))


def test_another_backend_is_compared_with_the_fastest_of_the_base() -> None:
    base = session("laptop", {"sequential": noisy(4.0, 6, 1), "processes": noisy(2.0, 6, 2)})
    found = compared(base, session("server", {"threads": noisy(1.0, 6, 3)}))
    (effect,) = effects(found)
    assert effect.against == "laptop processes"
    assert comparison_sentence(found).startswith("server threads is 2.0")


def test_several_workloads_are_corrected_together() -> None:
    def both(name: str, factor: float) -> SessionView:
        points = [({"size": size}, {"processes": noisy(factor * size, 6, size + len(name))}) for size in (1, 2, 3)]
        return sweep_session(points, identity=name, sweep=False)

    found = compared(both("a", 1.0), both("bb", 1.1))
    assert len(effects(found)) == 3
    for effect in effects(found):
        assert effect.test is not None and effect.p_corrected is not None
        assert effect.p_corrected >= effect.test.p
    assert "after Holm's correction" in (permutation_text(effects(found)[0]) or "")


@pytest.mark.parametrize(
    ("views", "why"),
    [
        ([session("a", A)], "sessions to compare must be at least 2"),
        ([session("a", A), session("a", A)], "a is the same session as a"),
        ([session("a", A), session("b", A, workload="mandelbrot")], "no workload with the same parameters in common"),
        ([session("a", A), sweep_session([], identity="b")], "b has no runs"),
    ],
)
def test_what_cannot_be_compared_is_refused(views: list[SessionView], why: str) -> None:
    with pytest.raises(InputError, match=why):
        compared(*views)


def test_a_workload_that_a_session_lacks_is_named_and_no_difference_of_the_machines() -> None:
    whole = [
        joined(
            [session(name, {"processes": noisy(1, 6, seed)}), session(f"{name}2", {"threads": [2.0]}, workload="other")]
        )
        for seed, name in enumerate("ab")
    ]
    lacking = session("c", {"processes": noisy(1, 6, 3)})
    for views in ([*whole, lacking], [whole[0], lacking]):
        found = compare_sessions([(f"s{number}", view) for number, view in enumerate(views)], free)
        last = f"s{len(views) - 1}"
        assert [(one.session, one.what, one.why) for job in found.jobs for one in job.apart] == [
            (last, "other", "it has no runs of this workload")
        ]
        assert [len(job.rows) > 0 for job in found.jobs if job.apart] == [False]
        assert not [one for one in found.differences if "other" in one.what or "threads" in one.what]
    alike = compare_sessions([("s0", whole[0]), ("s1", whole[1])], free)
    assert not [one for job in alike.jobs for one in job.apart]


def test_an_explored_session_is_named_as_one() -> None:
    explored = session("b", A)
    for run in explored.runs.values():
        run.planned = msgspec.structs.replace(run.planned, interaction=Interaction(generation=1))
    with pytest.raises(InputError, match="b has probe as it was explored"):
        compared(session("a", A), explored)


def test_failed_and_cancelled_runs_stand_apart_with_their_reason() -> None:
    bad = session("b", A, failed=[({"size": 1}, "processes")])
    found = compared(session("a", A), session("c", A), bad)
    (apart,) = found.jobs[0].apart
    assert (apart.session, apart.what, apart.why) == ("b", "processes", "a task failed")


def test_zero_durations_are_no_base() -> None:
    found = compared(session("a", A), session("b", {"processes": [0.0, 0.0], "threads": noisy(1.0, 6, 1)}))
    assert [row.label for row in found.jobs[0].rows] == ["processes", "threads"]
    assert found.jobs[0].apart[0].why == "its makespan is not above 0: there is nothing to divide"


# the permutation test


@pytest.mark.parametrize("sizes", [(3, 3), (4, 6), (8, 8), (10, 2), (3, 40)])
def test_the_permutation_test_is_exact_as_scipys(sizes: tuple[int, int]) -> None:
    generator = np.random.default_rng(sum(sizes))
    first, second = (list(generator.lognormal(0.1 * k, 0.2, size)) for k, size in enumerate(sizes))
    found = permutation_test(first, second)

    def statistic(x: Any, y: Any, axis: int) -> Any:
        return np.abs(np.mean(np.log(x), axis=axis) - np.mean(np.log(y), axis=axis))

    reference = scipy.stats.permutation_test(
        (first, second), statistic, vectorized=True, n_resamples=np.inf, alternative="greater"
    )
    assert found is not None and found.exact and found.p == pytest.approx(float(reference.pvalue))


def test_the_permutation_test_of_many_values_is_near_the_exact_p() -> None:
    first, second = noisy(1.0, 12, 1, 0.1), noisy(1.1, 12, 2, 0.1)
    found = permutation_test(first, second)
    exact = scipy.stats.ttest_ind(np.log(first), np.log(second)).pvalue
    assert found is not None and not found.exact and found.p == pytest.approx(float(exact), abs=0.02)


def test_few_values_say_what_p_they_cannot_reach() -> None:
    found = permutation_test([1.0, 1.1, 1.2], [2.0, 2.1, 2.2])
    assert found is not None and (found.p, found.least_p) == (pytest.approx(0.1), pytest.approx(0.1))
    once = effects(compared(session("a", {"processes": noisy(1.0, 10, 1)}), session("b", {"processes": [2.0]})))[0]
    assert permutation_text(once) == "permutation test (exact): p = 0.091; so few values cannot reach 0.05"
    assert permutation_test([1.0], []) is None
    assert permutation_test([1.0], [0.0]) is None


def test_a_claim_that_the_permutation_test_does_not_reach_says_what_it_rests_on() -> None:
    points = [{"n": n} for n in range(1, 13)]
    sessions = [
        sweep_session([(one, {"processes": [factor * x for x in (1.0, 1.01, 1.02, 1.03, 1.04)]}) for one in points],
                      identity=name, sweep=False)
        for name, factor in (("a", 1.0), ("b", 2.0))
    ]  # fmt: skip
    for effect in effects(compared(*sessions)):
        assert effect.claim == "slower" and effect.p_corrected is not None and effect.p_corrected > 0.05
        assert "the claim rests on its interval" in (permutation_text(effect) or "")


def test_dollars_of_a_comparison_say_what_they_are() -> None:
    own = [session(name, {"emulated": noisy(1.0, 6, 1)}) for name in "ab"]
    found = compare_sessions([("a", own[0]), ("b", own[1])], lambda run, _: RunCost(CostItems(duration=Decimal(1))))
    assert cost_text(found) == "cost: of emulated what AWS would charge for it: nothing was spent"
    assert cost_text(compared(*own)) is None


def test_points_of_a_sweep_are_different_jobs() -> None:
    points = [({"n": n, "workers": 2}, {"processes": noisy(0.1 * n, 6, n)}) for n in (1, 2)]
    found = compared(*[sweep_session(points, identity=name) for name in ("a", "b")])
    sentence = comparison_sentence(found)
    assert "b processes on probe n=1 against a processes" in sentence
    assert "b processes on probe n=2 against a processes" in sentence
    one, two = comparison_sentences(found)  # a page has room for one a point
    assert one.startswith("probe n=1: b processes against a processes: ") and two.startswith("probe n=2: b processes")
    assert found.jobs[0].params == {"n": 1, "workers": 2}


def test_sweeps_without_a_common_point_name_both_points() -> None:
    one, other = (
        sweep_session([({"workers": workers}, {"processes": list(A["processes"])})], identity=str(workers))
        for workers in (1, 2)
    )
    with pytest.raises(InputError, match="other parameters: workers 2 against 1"):
        compared(one, other)


# what a row is, and why there is none


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"cpu_model": "Intel(R) Core(TM) i7-1260P CPU @ 2.10GHz"}, "i7-1260P"),
        ({"cpu_model": "AMD EPYC 7B13 64-Core Processor"}, "AMD EPYC 7B13"),
        ({"cpu_model": None, "hostname": "there"}, "there"),
        ({"cpu_model": None, "hostname": None}, "unknown"),
        ({"usable_cores": 4.0, "logical_cores": 12}, "EPYC, 4 of 12 cores"),
        ({"usable_cores": 1.5, "logical_cores": 8}, "EPYC, 1.5 of 8 cores"),
        ({"usable_cores": 12.0, "logical_cores": 12}, "EPYC, 12 cores"),
        ({"usable_cores": 1.0, "logical_cores": None}, "EPYC, 1 core"),
    ],
)
def test_a_machine_is_named_by_its_processor_and_the_cores_that_it_may_use(
    environment: dict[str, Any], name: str
) -> None:
    usual = {"cpu_model": "EPYC", "usable_cores": None, "logical_cores": None}
    there = msgspec.structs.replace(ENVIRONMENT, **{**usual, **environment})
    found = compared(session("a", A, environment=there), session("b", A))
    assert found.jobs[0].rows[0].machine == name


@pytest.mark.parametrize(
    ("region", "memory_mb", "name"),
    [("eu-west-1", 1769, "eu-west-1, 1,769 MB"), ("eu-west-1", None, "eu-west-1"), (None, None, "AWS")],
)
def test_lambda_is_named_by_its_region_and_memory(region: str | None, memory_mb: int | None, name: str) -> None:
    there = session("a", {"lambda": noisy(1.0, 6, 1)})
    for run in there.runs.values():
        assert run.started is not None
        run.started.pricing = Pricing(rates=None if region is None else rates(region, "x86_64"), memory_mb=memory_mb)
    assert compared(there, session("b", {"lambda": noisy(1.0, 6, 2)})).jobs[0].rows[0].machine == name


def test_a_row_has_what_its_repeats_were() -> None:
    times = {"processes": [1.0, 1.1, 0.9], "emulated cold": [3.0], "emulated warm": [2.0, 2.1]}

    def bill(run: RunView, now_s: float | None) -> RunCost:
        here = run.planned.label == "processes"
        return RunCost(CostItems(machine_rent=Decimal(1)) if here else CostItems(duration=Decimal(2)))

    views = [sweep_session([({"tasks": 8}, times)], identity=name, sweep=False) for name in "ab"]
    found = compare_sessions([("first", views[0]), ("second", views[1])], bill)
    assert found.sessions == ("first", "second")
    rows = found.jobs[0].rows
    assert [(row.session, row.label, row.backend, row.temperature, row.name) for row in rows[:3]] == [
        ("first", "processes", "processes", None, "processes"),
        ("first", "emulated", "emulated", "cold", "emulated cold"),
        ("first", "emulated", "emulated", "warm", "emulated warm"),
    ]
    assert [(row.makespan_s.value, row.times_s, row.usd, row.rent_usd) for row in rows[:3]] == [
        (1.0, (1.0, 1.1, 0.9), None, Decimal(1)),
        (3.0, (3.0,), Decimal(2), None),
        (2.05, (2.0, 2.1), Decimal(2), None),
    ]
    assert {(row.tasks, row.capacity, row.created) for row in rows} == {(8, 2, CREATED)}
    assert [row.effect.against for row in rows if row.effect is not None] == [
        "first processes", "first emulated cold", "first emulated warm",
    ]  # fmt: skip


def test_a_label_that_the_base_did_not_run_is_compared_with_its_fastest_warm_row() -> None:
    other = session("b", {"dask": noisy(1.0, 6, 1)})
    base = {"lambda cold": noisy(0.5, 6, 2), "lambda warm": noisy(3.0, 6, 3), "processes": noisy(2.0, 6, 4)}
    assert [one.against for one in effects(compared(session("a", base), other))] == ["a processes"]
    assert [one.against for one in effects(compared(session("a", {"lambda cold": base["lambda cold"]}), other))] == [
        "a lambda cold"
    ]


def test_cold_and_warm_are_not_compared_with_each_other() -> None:
    cold, warm = {"emulated cold": noisy(3.0, 6, 1)}, {"emulated warm": noisy(1.0, 6, 2)}
    found = compared(session("a", A | cold), session("b", A | warm))
    (apart,) = found.jobs[0].apart
    assert (apart.session, apart.what) == ("b", "emulated warm")
    assert apart.why == "the base has no warm repeats of emulated: not comparable"
    found = compared(session("a", A | cold), session("b", A | {"emulated": noisy(1.0, 6, 2)}))
    assert found.jobs[0].apart[0].why == (
        "the base has its cold and warm repeats of emulated apart, and these have neither: not comparable"
    )


def answered(view: SessionView, ok: bool | None, digest: str) -> SessionView:
    for run in view.runs.values():
        run.answer = Answer(ok=ok, check="equal", digest=digest)
    return view


def test_other_answers_stand_apart_where_no_reference_says_which_is_right() -> None:
    def found(ok: tuple[bool | None, bool | None], digests: tuple[str, str]) -> list[str]:
        views = [answered(session(name, A), *one) for name, *one in zip("ab", ok, digests, strict=True)]
        return [f"{one.session}: {one.why}" for one in compared(*views).jobs[0].apart]

    for ok in ((None, True), (True, None), (True, True)):
        assert found(ok, ("x", "y")) == []
    assert found((None, None), ("x", "x")) == []
    views = [answered(session(name, A), None, digest) for name, digest in (("a", "x"), ("b", "y"), ("c", "x"))]
    (job,) = compared(*views).jobs
    assert [(one.session, one.what, one.why) for one in job.apart] == [
        ("b", "probe", "another answer, and neither was checked against a reference")
    ]
    assert [row.session for row in job.rows] == ["a", "c"]
    for run in views[1].runs.values():
        run.answer = None  # of which nothing is known
    assert not compared(*views).jobs[0].apart


def test_a_backend_without_a_row_says_why() -> None:
    def why(change: Callable[[int, RunView], None]) -> str:
        view = session("b", A | {"threads": [1.0, 1.1]})
        for number, run in enumerate(run for run in view.runs.values() if run.planned.label == "threads"):
            change(number, run)
        (apart,) = compared(session("a", A), view).jobs[0].apart
        assert (apart.session, apart.what) == ("b", "threads")
        return apart.why

    def ended(**how: Any) -> Callable[[int, RunView], None]:
        def change(number: int, run: RunView) -> None:
            assert run.ended is not None
            run.ended = msgspec.structs.replace(run.ended, **how)

        return change

    def cut(number: int, run: RunView) -> None:
        run.ended, run.answer, run.interrupted = None, None, number == 1

    def wrong(number: int, run: RunView) -> None:
        run.answer = Answer(ok=False, check="equal", digest="z")

    def paused(number: int, run: RunView) -> None:
        run.paused = True

    assert why(ended(status="failed", error="a task failed")) == "a task failed"
    assert why(ended(makespan_s=0.0)) == "its makespan is not above 0: there is nothing to divide"
    assert why(wrong) == "its answer is wrong"
    assert why(paused) == "its runs were paused"
    assert why(ended(makespan_s=None)) == "its runs have no makespan"
    assert why(ended(status="cancelled", makespan_s=None)) == "no run ended well (cancelled)"
    assert why(cut) == "no run ended well (running, interrupted)"


def test_what_differs_in_the_parameters_is_named() -> None:
    here = sweep_session([({"size": 1, "same": 5, "mine": 2}, A)], identity="a", sweep=False)
    there = sweep_session([({"size": 3, "same": 5, "theirs": 4}, A)], identity="b", sweep=False)
    with pytest.raises(InputError) as refused:
        compared(here, there)
    assert str(refused.value) == (
        "nothing to compare: b, probe: other parameters: size 3 against 1, mine absent against 2, theirs 4 against absent"
    )
    seeded = session("b", A)
    for run in seeded.runs.values():
        run.planned = msgspec.structs.replace(run.planned, seed=7)
    with pytest.raises(InputError) as refused:
        compared(session("a", A), seeded)
    assert str(refused.value) == "nothing to compare: b, probe: other parameters: seed 7 against 1"


def test_the_order_in_which_parameters_were_given_is_no_difference() -> None:
    here = sweep_session([({"x": 1, "y": 2}, A)], identity="a", sweep=False)
    there = sweep_session([({"y": 2, "x": 1}, A)], identity="b", sweep=False)
    assert len(effects(compared(here, there))) == 1


def test_sessions_without_a_common_workload_are_refused_with_what_each_has() -> None:
    two = sweep_session([({}, A), ({}, A)], identity="b", sweep=False, workload="kmeans")
    last = list(two.runs.values())[-1]
    last.planned = msgspec.structs.replace(last.planned, workload="word_count")
    with pytest.raises(InputError) as refused:
        compared(session("a", A), two)
    assert str(refused.value) == (
        "the sessions have no workload with the same parameters in common: a has probe; b has kmeans, word_count"
    )


def test_explored_runs_are_in_no_job() -> None:
    views = [session("a", A), session("b", A)]
    for view in views:
        last = list(view.runs.values())[-1]
        last.planned = msgspec.structs.replace(last.planned, workload="kmeans", interaction=Interaction(generation=1))
    found = compared(*views)
    assert [job.workload for job in found.jobs] == ["probe"] and not found.jobs[0].apart
    assert [len(row.times_s) for row in found.jobs[0].rows] == [7, 7]
