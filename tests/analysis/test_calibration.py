"""Fitting the model: parameters that are seen in sums only, and whole sessions made from known ones."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.analysis.calibration import calibrate, parameter_file
from lbench.analysis.parameter_fits import Fitted, round_trips, second_part
from lbench.engine.journal.events import Dispatched, Event, Returned, RunEnded, StageStarted, Warned
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import Pricing
from lbench.engine.session.view import SessionView, fold
from lbench.engine.simulation.parameters import lambda_model
from lbench.errors import InputError
from tests.session_events import DRIVER, run_answered, run_planned, run_started, session_started


@pytest.mark.parametrize(("median", "sigma"), [(0.24, 0.35), (1.0, 0.2), (0.02, 0.6)])
def test_a_part_of_a_sum_is_found_although_the_other_one_is_skewed(median: float, sigma: float) -> None:
    rng = np.random.default_rng(3)
    first = 0.065 * np.exp(0.95 * rng.normal(size=4000))
    sums = 0.065 * np.exp(0.95 * rng.normal(size=4000)) + median * np.exp(sigma * rng.normal(size=4000))
    found, spread = second_part(sums, first)
    assert found == pytest.approx(median, rel=0.05, abs=0.005)
    assert second_part(sums, first, sigma)[1] == sigma
    assert median < 0.1 or spread == pytest.approx(sigma, abs=0.1)


def test_a_sum_without_a_second_part_has_next_to_none() -> None:
    first = np.full(100, 0.05)
    assert second_part(first, first)[0] < 1e-4


@pytest.mark.parametrize(("wait_s", "sigma", "within"), [(0.012, 0.6, 0.05), (0.065, 0.95, 0.15)])
def test_the_round_trip_of_each_run_is_separated_from_a_skewed_wait(wait_s: float, sigma: float, within: float) -> None:
    """By the least of the times it would be the wait's least too long: 12 and 30 %."""
    rng = np.random.default_rng(1)
    trips = np.array([0.022, 0.027, 0.030, 0.034, 0.041])
    run = np.repeat(np.arange(5), 400)
    outside = trips[run] + wait_s * np.exp(sigma * rng.normal(size=len(run)))
    found = [round_trips(outside, run)[run == one][0] for one in range(5)]
    assert np.median(found) == pytest.approx(0.030, rel=within)
    assert found[4] - found[0] == pytest.approx(0.019, rel=0.5)


def test_a_wait_without_skewness_leaves_the_round_trip_above_0() -> None:
    times = 0.001 + 1e-4 * np.linspace(-1, 1, 100)
    assert 0 < round_trips(times, np.zeros(100, dtype=np.int64)).min() <= 0.001


# -- whole sessions, made from known parameters


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals by fewer resamples than usual, in a tenth of the time."""
    monkeypatch.setattr("lbench.analysis.parameter_fits._RESAMPLES", 40)


def call(
    *,
    at_s: float,
    outside_s: float,
    compute_s: float = 0.1,
    init_s: float | None = None,
    environment: str = "e0",
    **measured: Any,
) -> dict[str, Any]:
    """A call: `outside_s` on the network and in the service, half before the function begins; a cold one has an `init_s`."""
    started_s = at_s + outside_s / 2 + (init_s or 0.0)
    return {
        "at_s": at_s,
        "status": "ok",
        "environment": environment,
        "cold": init_s is not None,
        "started_s": started_s,
        "finished_s": started_s + compute_s,
        "returned_s": started_s + compute_s + outside_s / 2,
        "compute_ms": compute_s * 1000,
        "init_ms": None if init_s is None else init_s * 1000,
        "request_bytes": 100,
        "response_bytes": 100,
    } | measured


def session(*runs: Sequence[dict[str, Any]], backend: str = "lambda", capacity: int = 4, **how: Any) -> SessionView:
    """A run of each sequence of calls, one task each; `how`: of the plan, the start or the end of each run."""
    events: list[Event] = [session_started(Environment())]
    names = {"origin", "workload", "params"}
    for number, calls in enumerate(runs):
        run = f"r{number}"
        started = {name: value for name, value in how.items() if name in ("transport", "pricing")}
        events += [
            msgspec.structs.replace(
                run_planned(run, backend, number), **{name: how[name] for name in names & how.keys()}
            ),
            run_started(run, capacity=capacity, **started),
            StageStarted(run, 0, len(calls), 0.0),
        ]
        for n, one in enumerate(calls):
            at_s, task = one["at_s"], one.get("task", n)
            rest = {name: value for name, value in one.items() if name not in ("at_s", "task")}
            events += [Dispatched(run, n, 0, task, 0, at_s, at_s), Returned(run, n, **rest)]
        status = how.get("status", "ok")
        events += [RunEnded(run=run, status=status, makespan_s=60.0, driver=DRIVER), run_answered(run)]
        if how.get("paused"):
            events.append(Warned("paused", "it was paused", run))
    return fold(events)


def lone_calls(
    seed: int, *, rtt_s: float = 0.03, cold: int = 5, warm: int = 60, allocation_s: float = 0.4, init_s: float = 0.2
) -> list[dict[str, Any]]:
    """A run whose calls come singly: cold ones first, then warm ones with a lognormal wait of 20 ms."""
    rng = np.random.default_rng(seed)
    calls = []
    for n in range(cold + warm):
        wait_s = 0.02 * float(np.exp(0.8 * rng.normal()))
        if n < cold:
            outside_s = rtt_s + wait_s + allocation_s * float(np.exp(0.1 * rng.normal()))
            calls.append(call(at_s=5.0 * n, outside_s=outside_s, init_s=init_s * float(np.exp(0.1 * rng.normal()))))
        else:
            calls.append(call(at_s=5.0 * n, outside_s=rtt_s + wait_s))
    return calls


def fitted(*sessions: SessionView, backend: str = "lambda") -> dict[str, Fitted]:
    return {one.name: one for one in calibrate(sessions, lambda_model(), backend).fitted}


def untold(*sessions: SessionView) -> dict[str, str]:
    """What the data cannot tell, by its first name."""
    texts = calibrate(sessions, lambda_model()).untold
    return {text.partition(":")[0]: text for text in texts}


TRIPS = (0.020, 0.030, 0.045, 0.030, 0.035, 0.028, 0.033)


def test_the_parts_of_a_call_are_found_again() -> None:
    runs = [lone_calls(seed, rtt_s=rtt_s) for seed, rtt_s in enumerate(TRIPS)]
    found = fitted(session(*runs))
    assert found["rtt_s"].value == pytest.approx(0.030, rel=0.15)
    assert found["rtt_s"].sigma == pytest.approx(np.std(np.log(TRIPS), ddof=1), rel=0.25)
    assert found["invoke_overhead_s"].value == pytest.approx(0.020, rel=0.2)
    assert found["invoke_overhead_s"].sigma == pytest.approx(0.8, rel=0.2)
    assert found["allocation_s"].value == pytest.approx(0.4, rel=0.1)
    assert found["init_s"].value == pytest.approx(0.2, rel=0.05)
    assert found["init_s"].sigma == pytest.approx(0.1, rel=0.4)
    assert "start_delay_s" not in found and "concurrency" not in found
    counts = {"rtt_s": 420, "invoke_overhead_s": 420, "allocation_s": 35, "init_s": 35}
    assert {name: found[name].count for name in counts} == counts
    for name in counts:
        assert found[name].kind == "95 %" and found[name].low is not None and found[name].high is not None
        assert found[name].low < found[name].value < found[name].high
    model = lambda_model()
    assert (found["rtt_s"].model, found["allocation_s"].model) == (model.rtt_s.median, model.allocation_s.median)


def test_bursts_show_the_delay_of_their_start_and_the_drivers_own_pace() -> None:
    rng = np.random.default_rng(1)

    def burst(rtt_s: float, cold: bool) -> list[dict[str, Any]]:
        waits = 0.1 * np.exp(0.5 * rng.normal(size=40))
        return [
            call(at_s=0.003 * n, outside_s=rtt_s + wait + 0.5 * cold, init_s=0.2 if cold else None, environment=f"e{n}")
            for n, wait in enumerate(waits.tolist())
        ]

    found = fitted(session(*[burst(0.03, number == 0) for number in range(4)], capacity=40))
    assert "invoke_overhead_s" not in found
    assert found["rtt_s"].value + found["start_delay_s"].value == pytest.approx(0.13, rel=0.15)
    assert found["start_delay_s"].value == pytest.approx(0.1, rel=0.25)
    assert found["allocation_s"].value == pytest.approx(0.5, rel=0.1)
    assert found["driver_dispatch_s"].value == pytest.approx(0.003)
    assert (found["driver_dispatch_s"].count, found["driver_dispatch_s"].kind) == (4, "range")


@pytest.mark.parametrize(
    ("name", "field"), [("uplink_mb_per_s", "request_bytes"), ("downlink_mb_per_s", "response_bytes")]
)
def test_payloads_of_different_sizes_show_the_rate_of_their_way(name: str, field: str) -> None:
    def run(seed: int, rate: float, most: float) -> list[dict[str, Any]]:
        calls = lone_calls(seed)
        for n, one in enumerate(calls):
            size_mb = most * (n % 10) / 9
            for end in ("returned_s",) if field == "response_bytes" else ("started_s", "finished_s", "returned_s"):
                one[end] += size_mb / rate
            one[field] = int(size_mb * 1e6)
        return calls

    found = fitted(session(*[run(seed, 8.0, 4.0) for seed in range(6)]))
    assert found[name].value == pytest.approx(8.0, rel=0.1) and found[name].count == 360
    other = {"uplink_mb_per_s", "downlink_mb_per_s"} - {name}
    assert not other & found.keys()
    small = session(*[run(seed, 8.0, 0.19) for seed in range(6)])
    assert name not in fitted(small)
    assert "some above 0.2 MB" in untold(small)[name]


def test_repeated_tasks_show_how_much_environments_and_calls_differ() -> None:
    rng = np.random.default_rng(5)
    speeds = 0.10 * rng.normal(size=40)

    def run(cold: bool) -> list[dict[str, Any]]:
        return [
            call(
                at_s=5.0 * n, outside_s=0.05, compute_s=0.1 * float(np.exp(speeds[n] + 0.03 * rng.normal())),
                init_s=0.2 if cold else None, environment=f"e{n}", task=int(task),
            )
            for n, task in enumerate(rng.permutation(40))
        ]  # fmt: skip

    found = fitted(session(*[run(number == 0) for number in range(8)]))
    for name, value in (("environment_sigma", float(np.std(speeds, ddof=1))), ("task_sigma", 0.03)):
        one = found[name]
        assert one.value == pytest.approx(value, rel=0.1) and one.low is not None and one.high is not None
        assert one.low < value < one.high and (one.kind, one.sigma, one.count) == ("95 %", None, 320)
        assert one.what == "calls on 40 environments"
    once = session(run(True))
    assert "at least two repeats" in untold(once)["environment_sigma, task_sigma"]


def local(compute_s: float, backend: str = "sequential", tasks: int = 40, **how: Any) -> SessionView:
    calls = [call(at_s=float(n), outside_s=0.001, compute_s=compute_s, environment="w0") for n in range(tasks)]
    return session(calls, backend=backend, **how)


@pytest.mark.parametrize(("memory_mb", "ratio"), [(None, 2.0), (1769, 2.0), (3538, 2.0), (885, 2.0 * 885 / 1769)])
def test_a_core_here_is_worth_what_the_same_tasks_take_there_on_a_whole_vcpu(
    memory_mb: int | None, ratio: float
) -> None:
    there = session(lone_calls(1, warm=35), pricing=Pricing(memory_mb=memory_mb))  # tasks of 100 ms
    found = fitted(there, local(0.05))["core_ratio"]
    assert found.value == pytest.approx(ratio)
    assert (found.count, found.what) == (40, "tasks, against sequential")


def test_sequential_runs_are_preferred_and_what_is_not_the_same_job_or_too_short_or_disturbed_is_left_out() -> None:
    there = session(lone_calls(1, warm=35))
    assert fitted(there, local(0.025, "processes"), local(0.05))["core_ratio"].value == pytest.approx(2.0)
    assert fitted(there, local(0.025, "processes"))["core_ratio"].what == "tasks, against processes"
    for other in (
        local(0.05, params={"n": 2}),
        local(0.05, workload="kmeans"),
        local(0.004),
        local(0.05, paused=True),
        local(0.05, status="failed"),
        local(0.05, tasks=2),
        local(0.05, origin="simulated"),
    ):
        found = calibrate([there, other], lambda_model())
        assert "core_ratio" not in {one.name for one in found.fitted}
        assert any(text.startswith("core_ratio: the same job on this machine") for text in found.untold)
    assert (
        "holds for this code and this machine"
        in untold(there, local(0.05))["core_ratio holds for this code and this machine"]
    )


def test_throttled_calls_show_the_most_that_ran_at_once() -> None:
    def run(throttled: bool, at_once: int) -> list[dict[str, Any]]:
        calls = lone_calls(1)
        calls += [call(at_s=400.0, outside_s=0.05, environment=f"e{n}") for n in range(at_once)]
        if throttled:
            calls.append({"at_s": 400.0, "status": "throttled", "returned_s": 400.1})
        return calls

    found = fitted(session(run(True, 7), run(True, 9), run(False, 12)))["concurrency"]
    assert (found.value, found.low, found.high, found.kind, found.count) == (9, 7, 9, "range", 2)
    (once,) = [one for one in calibrate([session(run(True, 7))], lambda_model()).fitted if one.name == "concurrency"]
    assert (once.value, once.low, once.high) == (7, None, None)
    assert "no call was throttled" in untold(session(run(False, 7)))["concurrency, ramp"]


@pytest.mark.parametrize(("count", "kind"), [(3, "range"), (5, "range"), (6, "95 %"), (7, "95 %")])
def test_an_interval_over_fewer_than_six_runs_is_a_range(count: int, kind: str) -> None:
    trips = TRIPS[:count]
    runs = [lone_calls(seed, rtt_s=rtt_s) for seed, rtt_s in enumerate(trips)]
    found = calibrate([session(*runs)], lambda_model())
    rtt = next(one for one in found.fitted if one.name == "rtt_s")
    assert rtt.kind == kind and rtt.low is not None and rtt.high is not None
    if kind == "range":
        assert rtt.low == pytest.approx(min(trips), rel=0.2) and rtt.high == pytest.approx(max(trips), rel=0.2)
    assert not [text for text in found.untold if "from run to run" in text] and rtt.runs == count


def test_of_one_run_or_two_the_calls_are_resampled_and_that_is_said() -> None:
    text = (
        "how rtt_s, invoke_overhead_s, init_s and allocation_s differ from run to run: the interval is of the calls of "
        "fewer than 3 runs"
    )
    for runs in (1, 2):
        found = calibrate([session(*[lone_calls(seed) for seed in range(runs)])], lambda_model())
        rtt = next(one for one in found.fitted if one.name == "rtt_s")
        assert rtt.kind == "95 %" and rtt.sigma == lambda_model().rtt_s.sigma
        assert text in found.untold and rtt.runs == runs
        assert any(one.startswith("rtt_s: its sigma, from run to run, is the model's") for one in found.untold)


def test_few_warm_calls_are_named_and_the_models_own_parameters_stand_in() -> None:
    few = session(lone_calls(1, warm=4, cold=30))
    found = fitted(few)
    assert "rtt_s" not in found and "invoke_overhead_s" not in found
    assert found["allocation_s"].value == pytest.approx(0.4 + 0.05 - 0.03, abs=0.06)
    assert "5 warm calls with small payloads are needed" in untold(few)["rtt_s, invoke_overhead_s"]
    some = session(lone_calls(1, warm=29))
    text = untold(some)["rtt_s and invoke_overhead_s are separated by the skewness of the latter alone, which is taken for "
                        "lognormal, with the model's sigma"]  # fmt: skip
    assert text.endswith("its own needs 30 warm calls, singly, got 29")
    assert "with the model's sigma" not in " ".join(untold(session(lone_calls(1, warm=30))).values())
    assert untold(some)["start_delay_s"].endswith("5 warm calls in bursts of 8 or more are needed, got 0")


def test_only_runs_that_ended_well_undisturbed_and_direct_are_fitted() -> None:
    good = session(lone_calls(1))
    for bad in (session(lone_calls(2), paused=True), session(lone_calls(2), status="failed"), local(0.05)):
        assert calibrate([good, bad], lambda_model()).runs == 1
        with pytest.raises(InputError, match="no finished run on AWS Lambda to calibrate with"):
            calibrate([bad], lambda_model())
    with pytest.raises(InputError, match="the backends here are sequential "):
        calibrate([local(0.05)], lambda_model())
    with pytest.raises(InputError, match="the backends here are none "):
        calibrate([], lambda_model())
    with pytest.raises(InputError, match="no finished run on emulated"):
        calibrate([good], lambda_model(), "emulated")
    with pytest.raises(InputError, match="no run has transport direct"):
        calibrate([session(lone_calls(1), transport="event")], lambda_model())
    assert calibrate([session(lone_calls(1), transport="direct")], lambda_model()).calls == 65
    with pytest.raises(InputError, match="must be at least 5, got 4"):
        calibrate([session(lone_calls(1, cold=4))], lambda_model())


def test_figures_of_no_aws_say_what_they_describe() -> None:
    assert calibrate([session(lone_calls(1))], lambda_model()).notes == []
    emulated = session(lone_calls(1), backend="emulated", origin="emulated")
    assert calibrate([emulated], lambda_model(), "emulated").notes == [
        "these runs were emulated: the parameters describe that, not AWS Lambda"
    ]


def test_the_file_of_parameters_is_read_back_with_the_origin_of_each() -> None:
    found = calibrate([session(*[lone_calls(seed) for seed in range(6)])], lambda_model())
    once = Fitted(name="concurrency", value=7.0, low=None, high=None, model=1000.0, count=1, what="runs")
    text = parameter_file(msgspec.structs.replace(found, fitted=[*found.fitted, once]), "session s", "2026-11-29")
    read = tomllib.loads(text)
    rtt = next(one for one in found.fitted if one.name == "rtt_s")
    assert read["rtt_s"]["median"] == pytest.approx(rtt.value, rel=1e-5)
    assert read["rtt_s"]["sigma"] == pytest.approx(rtt.sigma, rel=1e-3)
    assert read["rtt_s"]["source"] == f"session s: 360 warm calls, singly, 95 %: {rtt.low:.4g} to {rtt.high:.4g}"
    assert str(read["rtt_s"]["date"]) == "2026-11-29"
    assert (read["concurrency"]["value"], read["concurrency"]["source"]) == (7, "session s: 1 runs, once")
