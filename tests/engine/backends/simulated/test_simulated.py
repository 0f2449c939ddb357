"""The simulated backend: the runner on the model in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.backends.base import Failure
from lbench.engine.backends.settings import SimulatedSettings
from lbench.engine.backends.simulated.backend import SimulatedBackend
from lbench.engine.backends.simulated.task_loads import Known, RecordedStage, replay
from lbench.engine.journal.events import Returned
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.runner import Runner
from lbench.engine.simulation.compute import speed
from lbench.engine.simulation.fan_out import Stage, simulate_stage
from lbench.engine.simulation.parameters import lambda_model
from lbench.engine.simulation.platform import Load
from lbench.engine.virtual_time import VirtualTimeLoop
from lbench.workloads.model import Task


class Sink(list):
    def write(self, event: Any) -> None:
        self.append(event)

    @property
    def returned(self) -> list[Returned]:
        return [event for event in self if isinstance(event, Returned)]


def one_run(backend: SimulatedBackend, job: Any, **policy: Any) -> tuple[float, Sink]:
    """Run a job on a loop in virtual time; returns its makespan and its events."""
    sink = Sink()

    async def main() -> float:
        runner = Runner("r1", backend, sink, Policy(**policy))
        runner.start_clock()
        await runner.run(job)
        backend.end_run(asyncio.get_running_loop().time())
        return runner.elapsed_s

    begins_s = backend.begin_run()
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(begins_s)) as runner:
        return runner.run(main()), sink


def spin(tasks: int, seconds: float = 1.0, **more: Any) -> Any:
    def job() -> Any:
        return (yield [Task("probe.spin", number=number, seconds=seconds, **more) for number in range(tasks)])

    return job()


def carry(tasks: int, size_bytes: int) -> Any:
    return (yield [Task("probe.carry", number=number, blob=bytes(size_bytes)) for number in range(tasks)])


def backend(seed: int = 1, **chosen: Any) -> SimulatedBackend:
    return SimulatedBackend(SimulatedSettings(**chosen), seed=seed)


@settings(max_examples=40, deadline=None)
@given(
    tasks=st.integers(1, 60),
    seconds=st.floats(0.01, 60),
    memory=st.integers(128, 10_240),
    threads=st.integers(1, 6),
    warm=st.booleans(),
)
def test_without_spread_the_makespan_is_the_closed_form(
    tasks: int, seconds: float, memory: int, threads: int, warm: bool
) -> None:
    still = backend(spread=0, memory=memory)
    makespan_s, _ = one_run(still, spin(tasks, seconds, threads=threads), timeout_s=900)
    if warm:
        makespan_s, _ = one_run(still, spin(tasks, seconds, threads=threads), timeout_s=900)
    model = lambda_model()
    delay = model.start_delay_s if tasks >= 8 else model.invoke_overhead_s
    expected = tasks * model.driver_dispatch_s.median + model.rtt_s.median + delay.median
    expected += seconds / speed(memory, threads)
    expected += 0.0 if warm else model.allocation_s.median + model.init_of("x86_64", "3.13").median
    assert makespan_s == pytest.approx(expected, rel=0.001, abs=0.001)


@pytest.mark.parametrize(("tasks", "concurrency"), [(100, 100), (240, 40), (5, 5)])
def test_call_by_call_and_stage_by_stage_agree(tasks: int, concurrency: int) -> None:
    makespans = [one_run(backend(seed=seed, concurrency=concurrency), spin(tasks, 2.0))[0] for seed in range(30)]
    stage = Stage(work_s=np.full(tasks, 2.0))
    whole = simulate_stage(
        lambda_model(), stage, memory_mb=1769, environments=concurrency, warm=0, rng=np.random.default_rng(1)
    )
    assert np.median(makespans) == pytest.approx(float(np.median(whole.makespan_s)), rel=0.07)


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    chaos = {"fail_rate": 0.05, "throttle_rate": 0.05, "timeout_rate": 0.01}

    def events(seed: int) -> str:
        return str(one_run(backend(seed=seed, **chaos), spin(200), retries=9, hedge=0.9, timeout_s=10.0)[1])

    assert events(1) == events(1)
    assert events(1) != events(2)


def test_a_repeat_finds_warm_environments_and_after_a_pause_half_of_them() -> None:
    function = backend(idle=400)
    one_run(function, spin(20))
    _, sink = one_run(function, spin(20))
    assert Counter(event.cold for event in sink.returned) == {True: 10, False: 10}
    asyncio.run(function.renew())
    _, sink = one_run(function, spin(20))
    assert all(event.cold for event in sink.returned)


def test_a_new_account_throttles_what_is_above_ten_and_every_task_gets_its_result() -> None:
    _, sink = one_run(backend(account="new", concurrency=50), spin(100, 0.5))
    statuses = Counter(event.status for event in sink.returned)
    assert statuses["ok"] == 100
    assert statuses["throttled"] > 0
    running = sorted(
        moment
        for event in sink.returned
        if event.status == "ok"
        for moment in ((event.started_s, 1), (event.finished_s, -1))
    )
    assert max(np.cumsum([step for _, step in running])) <= 10
    assert all(event.error.unrun for event in sink.returned if event.error is not None)


def test_a_call_that_hangs_is_ended_and_billed_to_its_deadline() -> None:
    _, sink = one_run(backend(timeout_rate=0.2), spin(50), timeout_s=3.0, retries=20)
    hung = [event for event in sink.returned if event.status == "timeout"]
    assert hung
    assert all(3000 <= event.billed_ms < 3600 for event in hung)
    for event in hung:
        after = [
            one for one in sink.returned if one.environment == event.environment and one.started_s > event.started_s
        ]
        assert not after


def test_what_is_billed_is_by_the_model_and_a_cold_start_s_init_is_in_it() -> None:
    _, sink = one_run(backend(spread=0), spin(1))
    (event,) = sink.returned
    assert event.billed_source == "model"
    assert event.billed_ms == pytest.approx(1000 + event.init_ms, abs=1)


def test_large_payloads_go_through_s3_and_share_the_uplink() -> None:
    small_s, _ = one_run(backend(), carry(4, 1000))
    makespan_s, sink = one_run(backend(), carry(4, 20_000_000))
    assert all(event.via_s3 and (event.s3_put, event.s3_get) == (2, 2) for event in sink.returned)
    each_way_s = 4 * 20 / lambda_model().uplink_mb_per_s.median
    assert makespan_s - small_s > each_way_s


def test_memory_buys_speed_to_one_vcpu_and_further_for_tasks_with_threads() -> None:
    def seconds(memory: int, threads: int) -> float:
        _, sink = one_run(backend(memory=memory, spread=0), spin(1, 10.0, threads=threads))
        return sink.returned[0].compute_ms / 1000

    assert seconds(885, 1) == pytest.approx(20, rel=0.01)
    assert seconds(3538, 1) == pytest.approx(10)
    assert seconds(3538, 2) == pytest.approx(5)


def test_a_recording_is_replayed_stage_by_stage_at_the_core_ratio() -> None:
    stages = [RecordedStage([1.0, 2.0], [100, 100], [200, 300]), RecordedStage([0.5], [10], [20])]
    _, sink = one_run(backend(spread=0, core_ratio=2), replay(stages))
    assert sorted(round(event.compute_ms) for event in sink.returned) == [1000, 2000, 4000]
    assert {event.response_bytes for event in sink.returned} == {200, 300, 20}


def test_tasks_that_nothing_is_known_of_are_computed() -> None:
    class Computer:
        import_s = 0.0

        def __call__(self, task: bytes) -> Known | Failure:
            return Known(Load(cpu_s=3.0), task, len(task), len(task))

    def job() -> Any:
        return (yield [Task("mine:simulate", seed=1)])

    computing = SimulatedBackend(SimulatedSettings(spread=0), seed=1, computer=Computer())  # type: ignore[arg-type]
    _, sink = one_run(computing, job())
    assert sink.returned[0].compute_ms == pytest.approx(3000)


def test_the_http_front_gives_up_after_30_seconds() -> None:
    _, sink = one_run(backend(transport="http-api", spread=0), spin(1, 20.0), retries=0)
    assert sink.returned[0].status == "ok"
    with pytest.raises(Exception, match="gives up after 30 s"):
        one_run(backend(transport="http-api", spread=0), spin(1, 40.0), retries=0)


TREES = {
    8: 13.0,
    16: 12.3,
    32: 13.7,
    64: 16.1,
    128: 16.3,
}  # seconds on Lambda in the 2017 study, 10 s a tree at 1,536 MB


def study(seed: int = 1) -> SimulatedBackend:
    return backend(seed=seed, model="study-2017", transport="http-api", memory=1536, concurrency=1000)


@pytest.mark.parametrize(("trees", "measured_s"), TREES.items())
def test_the_2017_study_s_forest_takes_as_long_as_measured(trees: int, measured_s: float) -> None:
    makespans = []
    for seed in range(15):
        function = study(seed)
        one_run(function, spin(trees, 10 * 1536 / 1769))
        makespans.append(one_run(function, spin(trees, 10 * 1536 / 1769))[0])  # warm
    # 15 %, as `simulate_stage` is held to, and what the median of 15 draws differs by.
    assert np.median(makespans) == pytest.approx(measured_s, rel=0.15 + 0.03)


def test_the_2017_study_s_512_trees_are_throttled() -> None:
    _, sink = one_run(study(), spin(512, 10 * 1536 / 1769))
    assert Counter(event.status for event in sink.returned)["throttled"] > 0
    assert Counter(event.status for event in sink.returned)["ok"] == 512
