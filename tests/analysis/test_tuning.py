"""Tuning: the model finds a made-up function again, the front is a front, and the picks are its ends and its middle."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.analysis.statistics import Estimate
from lbench.analysis.tuning import (
    SHARE_PERIODS_MS,
    Candidate,
    Tuned,
    caveats,
    fit_model,
    front,
    memory_text,
    next_candidate,
    picks_of,
    tuning_sentence,
)
from lbench.cli.tune_run import tune_plan
from lbench.engine.emulator.resources import cgroups, duty_cycle
from lbench.engine.emulator.resources.cpu import METHODS
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.errors import InputError

ENVIRONMENTS = 4


def one(memory_mb: int, tasks: int, seconds: float, usd: float, cv: float = 0.01) -> Tuned:
    return Tuned(
        candidate=Candidate(memory_mb, tasks),
        tasks=tasks,
        environments=ENVIRONMENTS,
        makespan_s=Estimate(seconds, count=3),
        cold_s=None,
        usd=Estimate(usd, count=3),
        cv=cv,
        runs=4,
        times_s=(seconds,) * 3,
    )


def made_up(memory_mb: int, tasks: int, threads: int = 1) -> Tuned:
    speed = min(memory_mb / 1769, threads)
    seconds = 0.2 + 8.0 * math.ceil(tasks / ENVIRONMENTS) / tasks / speed + 0.002 * tasks
    usd = (8.0 / speed + 0.01 * tasks) * memory_mb / 1769 * 3e-5 + 2e-7 * tasks
    return one(memory_mb, tasks, seconds, usd)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_model_finds_a_made_up_function_again(threads: int) -> None:
    measured = [made_up(m, n, threads) for m, n in ((1769, 16), (885, 16), (1769, 4), (3538, 16), (512, 8))]
    model = fit_model(measured)
    assert model is not None and model.threads == threads
    for memory_mb, tasks in ((885, 32), (3538, 8), (1769, 64)):
        seconds, usd = model.expected(Candidate(memory_mb, tasks), tasks)
        true = made_up(memory_mb, tasks, threads)
        assert seconds == pytest.approx(true.makespan_s.value, rel=0.1)
        assert usd == pytest.approx(true.usd.value, rel=0.1)


def test_the_next_candidate_is_one_that_is_expected_to_improve_the_front() -> None:
    measured = [made_up(1769, 512), made_up(885, 512), made_up(1769, 128)]
    waiting = [(Candidate(m, n), n) for m in (512, 885, 1769, 3538) for n in (4, 16, 128, 512)]
    left = [pair for pair in waiting if pair[0] not in [one.candidate for one in measured]]
    found = next_candidate(measured, left)
    assert found is not None
    chosen = made_up(found[0].memory_mb, found[0].tasks or 1)
    ends = front([*measured, chosen])
    assert chosen in ends
    assert found[1] == pytest.approx(chosen.makespan_s.value, rel=0.3)
    assert next_candidate(measured, []) is None
    assert next_candidate([], left) is None


times = st.floats(0.01, 100)


@given(st.lists(st.tuples(times, times), min_size=1, max_size=20))
def test_no_other_candidate_is_as_good_in_both_as_one_on_the_front(values: list[tuple[float, float]]) -> None:
    measured = [one(128 + n, n + 1, *pair) for n, pair in enumerate(values)]
    ends = front(measured)
    picks = picks_of(measured)
    assert picks is not None
    for other in measured:
        beaten = any(
            end.makespan_s.value <= other.makespan_s.value and end.usd.value <= other.usd.value for end in ends
        )
        assert beaten
    assert picks.fastest.makespan_s.value == min(x.makespan_s.value for x in measured)
    assert picks.cheapest.usd.value == min(x.usd.value for x in measured)
    assert picks.balanced in ends


def test_more_than_one_vcpu_pays_only_for_tasks_that_are_parallel_inside() -> None:
    text = memory_text([one(1769, 8, 2.0, 1.0), one(3538, 8, 1.98, 2.0)])
    assert text.startswith(
        "more than 1,769 MB (one vCPU) pays only for tasks that are parallel inside: here 3,538 MB is 1.01×"
    )
    assert text.endswith("for 2.00× the dollars")
    assert memory_text([one(1769, 8, 2.0, 1.0)]).endswith("not measured here")
    unlike = [(2.0, 2.2, 1.8), (1.7, 1.6, 1.75)]
    base, other = (
        msgspec.structs.replace(one(mb, 8, times[0], 1.0), times_s=times)
        for mb, times in zip((1769, 3538), unlike, strict=True)
    )
    assert "3,538 MB is 1.18× (range of 3: 1.03–1.38; not settled) as fast as" in memory_text([base, other])
    single = msgspec.structs.replace(other, times_s=(1.7,))
    assert "3,538 MB is 1.18× (once; not settled) as fast as" in memory_text([base, single])


def test_what_more_memory_brought_is_settled_by_enough_repeats() -> None:
    base, other = (
        msgspec.structs.replace(one(mb, 8, seconds, 1.0), times_s=tuple(seconds + 0.01 * n for n in range(8)))
        for mb, seconds in ((1769, 2.0), (3538, 1.5))
    )
    assert "3,538 MB is 1.33× (95 %: 1.29–1.36) as fast as 1,769 MB for 1.00× the dollars" in memory_text([base, other])


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (3, "512 MB × 4 tasks, 512 MB × 5 tasks and 512 MB × 6 tasks"),
        (4, "512 MB × 4 tasks, 512 MB × 5 tasks, 512 MB × 6 tasks and 1 other"),
        (6, "512 MB × 4 tasks, 512 MB × 5 tasks, 512 MB × 6 tasks and 3 others"),
    ],
)
def test_the_first_three_that_are_as_good_are_named_and_the_others_counted(others: int, named: str) -> None:
    fast = one(1769, 8, 1.0, 1.0)
    alike = [
        msgspec.structs.replace(one(512, 4 + n, 1.001, 2.0), times_s=(0.9, 1.001, 1.1), usds=(1.9, 2.0, 2.1))
        for n in range(others)
    ]
    measured = [msgspec.structs.replace(fast, times_s=(0.95, 1.0, 1.05), usds=(0.99, 1.0, 1.01)), *alike]
    assert caveats(measured)[0] == f"fastest: 1,769 MB × 8 tasks cannot be distinguished from {named}"
    assert tuning_sentence(measured, "emulated", "emulated").startswith(
        "fastest and cheapest: 1,769 MB × 8 tasks, 1.00 s, not settled, "
    )


def test_a_pick_is_not_claimed_beyond_its_interval() -> None:
    fast, slow = one(1769, 8, 1.0, 2.0), one(885, 8, 3.0, 1.0)
    fast = msgspec.structs.replace(fast, times_s=(0.98, 1.0, 1.02), usds=(1.99, 2.0, 2.01))
    slow = msgspec.structs.replace(slow, times_s=(2.9, 3.0, 3.1), usds=(0.99, 1.0, 1.01))
    assert caveats([fast, slow]) == []
    near = msgspec.structs.replace(one(512, 8, 1.01, 2.5), times_s=(0.97, 1.01, 1.05), usds=(2.4, 2.5, 2.6))
    assert caveats([fast, slow, near]) == ["fastest: 1,769 MB × 8 tasks cannot be distinguished from 512 MB × 8 tasks"]
    far = [
        msgspec.structs.replace(one(512, tasks, 2.0, 2.5), times_s=(1.8, 2.0, 2.2), usds=(2.4, 2.5, 2.6))
        for tasks in (4, 6)
    ]
    assert caveats([far[0], fast, slow, far[1]])[0] == (
        "fastest: 1,769 MB × 8 tasks is ahead of 512 MB × 4 tasks and 512 MB × 6 tasks, which is not settled with "
        "3 repeats and 3 comparisons"
    )
    unsteady = msgspec.structs.replace(fast, cv=0.12)
    assert caveats([unsteady, slow])[-1] == (
        "1,769 MB × 8 tasks: its repeats differ by 12 % (CV), more than 5 %: not settled"
    )
    crowded = msgspec.structs.replace(fast, oversubscribed=True)
    assert "more environments than this machine can carry" in caveats([crowded, slow])[-1]
    assert caveats([]) == []


@pytest.mark.parametrize(
    ("memory_mb", "task_ms", "method", "named"),
    [
        (512, 3.0, "cgroup-v1", True),
        (512, 30.0, "cgroup-v2", True),
        (512, 300.0, "cgroup-v1", False),
        (512, 90.0, "duty-cycle", True),
        (1769, 3.0, "cgroup-v1", False),
        (512, 3.0, "none", False),
        (512, 3.0, None, False),
    ],
)
def test_short_tasks_of_a_small_size_are_named(memory_mb: int, task_ms: float, method: str | None, named: bool) -> None:
    only = msgspec.structs.replace(one(memory_mb, 4, 1.0, 1.0), task_ms=task_ms, share_method=method)
    found = caveats([only])
    assert not any("where each has one of its own" in line for line in found)
    assert any("gets up to a whole vCPU, a longer one 29 % of it" in line for line in found) == named


def test_more_tasks_than_emulated_environments_are_named() -> None:
    few = msgspec.structs.replace(one(1769, 25, 1.0, 1.0), share_method="cgroup-v1", environments=1)
    more = msgspec.structs.replace(one(1769, 100, 2.0, 2.0), share_method="cgroup-v1", environments=1)
    assert (
        "up to 100 tasks had 1 environment here: where each has one of its own, as on AWS, another number of tasks may be "
        "best"
    ) in caveats([few, more])


def test_the_periods_are_those_of_the_emulator() -> None:
    quota_ms = cgroups._PERIOD_US / 1000
    assert {SHARE_PERIODS_MS[name] for name in ("cgroup-v1", "cgroup-v2", "systemd")} == {quota_ms}
    assert SHARE_PERIODS_MS["duty-cycle"] == duty_cycle.PERIOD_S * 1000
    assert set(SHARE_PERIODS_MS) == {*METHODS} - {"none"}


def plan(*backends: str, workload: str = "mandelbrot") -> Plan:
    return Plan(workload=workload, backends=[parse_backend(text, {}) for text in backends])


def test_candidates_are_sizes_and_numbers_of_tasks_the_usual_ones_first() -> None:
    tune = tune_plan(plan("emulated"), [])
    assert tune.candidates[0] == (Candidate(1769, 100), 100)
    assert {tasks for _, tasks in tune.candidates} == {25, 50, 100, 200}
    assert {one.memory_mb for one, _ in tune.candidates} == {512, 885, 1769, 3538}
    assert tune.sweep.base.repeats == 4
    chosen = tune_plan(plan("emulated"), ["memory=885,1769", "tasks=4,8"])
    assert len(chosen.candidates) == 4
    given = tune_plan(plan("emulated:memory=885"), ["tasks=4"])
    assert given.candidates == ((Candidate(885, 4), 4),)
    with pytest.raises(InputError, match="a memory of the backend's own cannot be used together"):
        tune_plan(plan("emulated:memory=885"), ["memory=512,1769"])


def test_all_emulated_candidates_have_as_many_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbench.cli.tune_run.usable_cores", lambda: 8.0)
    monkeypatch.setattr("lbench.cli.tune_run.memory_bytes", lambda: 2**36)
    tune = tune_plan(plan("emulated"), ["memory=512,1769,3538"])
    assert tune.environments == 4  # 2 vCPU each
    assert tune.sweep.base.backends[0].settings["concurrency"] == 4
    own = tune_plan(plan("emulated:concurrency=3"), ["memory=512,1769"])
    assert own.environments is None and own.sweep.base.backends[0].settings["concurrency"] == 3
    monkeypatch.setattr("lbench.cli.tune_run.usable_cores", lambda: 0.5)
    assert tune_plan(plan("emulated"), ["memory=512,1769"]).environments == 1
    assert tune_plan(plan("simulated:answers=compute"), ["memory=512,1769"]).environments is None


@pytest.mark.parametrize(
    ("backends", "over", "why"),
    [
        (("processes",), [], "one Lambda-like backend"),
        (("emulated", "emulated@two"), [], "one Lambda-like backend"),
        (("emulated",), ["size=1,2"], "--over size: tune varies memory and tasks"),
        (("emulated",), ["memory=64,65"], "memory=6[45]: must be at least 128"),
        (("emulated",), ["memory="], "the sweep is empty"),
        (("emulated",), ["memory=512.5,1000"], "--over memory: the values must be whole numbers from 1 on, got 512.5"),
        (("emulated",), ["tasks=0,1"], "--over tasks: the values must be whole numbers from 1 on, got 0"),
        (("emulated",), ["tasks=1,2", "tasks=4,8"], "--over tasks is given twice"),
        (("emulated",), ["memory=512,20000"], "memory=20000: must be at most 10240"),
    ],
)
def test_what_cannot_be_tuned_is_refused(backends: tuple[str, ...], over: list[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        tune_plan(plan(*backends), over)


def test_the_dollars_of_a_pick_have_their_spread() -> None:
    only = msgspec.structs.replace(one(1769, 8, 1.0, 4e-4), usd=Estimate(4e-4, 3.8e-4, 4.4e-4, 3, "range"))
    assert "$0.0004 (range of 3: $0.00038–0.00044) a run" in tuning_sentence([only], "emulated", "emulated")


def test_the_picks_are_one_sentence_and_equal_ones_are_named_once() -> None:
    found = [one(1769, 8, 1.0, 4e-4), one(512, 8, 3.0, 1e-4, cv=0.2), one(885, 8, 4.0, 5e-4)]
    assert tuning_sentence(found, "emulated", "emulated") == (
        "fastest: 1,769 MB × 8 tasks, 1.00 s, $0.0004 a run; "
        "cheapest and balanced: 512 MB × 8 tasks, 3.00 s, not settled, $0.0001 a run; emulated here."
    )
    assert tuning_sentence(found[:1], "lambda", "measured") == (
        "fastest and cheapest: 1,769 MB × 8 tasks, 1.00 s, $0.0004 a run; on lambda."
    )
    assert "no candidate" in tuning_sentence([], "lambda", "measured")
