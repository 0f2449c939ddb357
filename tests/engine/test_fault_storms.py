"""1,000 throttles, resets and timeouts lose no task and count none twice, and an hour of them leaks nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import tracemalloc
from collections import Counter
from typing import Any

import pytest

from lbench.engine.backends.base import Outcome
from lbench.engine.backends.lambda_.emulated import open_emulated
from lbench.engine.backends.settings import EmulatedSettings
from lbench.engine.journal.events import Dispatched, Event, Returned, StageStarted
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.model import Task

pytestmark = pytest.mark.slow

SEEDS = range(20)
FAULTS = 1000  # at least
DEADLINE_S = 30.0


class Ledger:
    """A sink that keeps counts only: each attempt ends once, and each task has one result."""

    def __init__(self) -> None:
        self.tasks = 0
        self.results = 0
        self.hedges = 0
        self.statuses: Counter[str] = Counter()
        self._open: dict[int, tuple[int, int]] = {}
        self._done: set[tuple[int, int]] = set()  # of the latest stage
        self._next = 0

    def write(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._done.clear()
            self.tasks += event.tasks
        elif isinstance(event, Dispatched):
            assert event.n == self._next
            self._next += 1
            self.hedges += event.hedge_of is not None
            self._open[event.n] = (event.stage, event.task)
        elif isinstance(event, Returned):
            task = self._open.pop(event.n)  # a second end is a KeyError
            self.statuses[event.status] += 1
            if event.status == "ok":
                assert task not in self._done, f"{task} was counted twice"
                self._done.add(task)
                self.results += 1

    @property
    def faults(self) -> int:
        return self.statuses.total() - self.statuses["ok"] - self.statuses["superseded"]

    def assert_settled(self) -> None:
        assert not self._open, f"{len(self._open)} attempts have no end"


def weather(fakes: Any, rng: random.Random, share: float) -> Any:
    """What happens to an attempt: a fault in this share of all, of every kind, else its result after some time."""
    kinds = [
        lambda: (rng.uniform(0, 1), fakes.throttled()),
        lambda: (0.01, fakes.throttled(after=rng.uniform(0, 3))),
        lambda: (rng.uniform(0, 5), fakes.failed(type_="ConnectionResetError")),
        lambda: (0.0, fakes.unreached()),
        lambda: (0.0, fakes.sibling()),
        lambda: (DEADLINE_S, fakes.failed("timeout", "DeadlineExceeded")),
        lambda: (4 * DEADLINE_S, fakes.ok_as("late")),  # the runner's own deadline ends it
    ]

    def deed(call: Any) -> Any:
        call.placed(f"e{rng.randrange(8)}")
        if rng.random() < share:
            return rng.choice(kinds)()
        return rng.expovariate(1), fakes.ok(call)

    return deed


def quiet(fakes: Any, deed: Any, capacity: int) -> Any:
    """A scripted backend that remembers no calls."""
    backend = fakes.Backend(deed, capacity=capacity)

    class Nothing(list):  # type: ignore[type-arg]
        def append(self, _: Any) -> None:
            pass

    backend.calls = Nothing()
    return backend


def storm(fakes: Any, seed: int, stages: int = 3, tasks: int = 60) -> Ledger:
    rng = random.Random(seed)
    ledger = Ledger()
    results: Counter[tuple[int, int]] = Counter()

    def job() -> Any:
        for _ in range(stages):
            answer = yield fakes.tasks(tasks)
            assert answer == list(range(tasks))
        return "whole"

    async def main() -> None:
        runner = Runner(
            "r1",
            quiet(fakes, weather(fakes, rng, 0.4), rng.randint(1, 12)),
            ledger,
            Policy(timeout_s=DEADLINE_S, retries=60, seed=seed, hedge=rng.choice([None, 0.9])),
            on_result=lambda stage, index, task, result: results.update([(stage, index)]),
        )
        assert await runner.run(job()) == "whole"

    run_virtual(main())
    ledger.assert_settled()
    assert ledger.tasks == ledger.results == stages * tasks
    assert set(results.values()) == {1} and len(results) == stages * tasks
    return ledger


def test_no_task_is_lost_or_counted_twice_in_storms_of_faults(fakes: Any) -> None:
    total: Counter[str] = Counter()
    for seed in SEEDS:
        total += storm(fakes, seed).statuses
    print(f"seeds {SEEDS.start} to {SEEDS.stop - 1}: {dict(total)}")
    assert sum(count for status, count in total.items() if status not in ("ok", "superseded")) >= FAULTS


@pytest.mark.parametrize("transport", ["direct", "event"])
async def test_no_task_is_lost_or_counted_twice_by_the_emulator_with_faults(transport: str) -> None:
    chosen = EmulatedSettings(
        transport=transport,  # type: ignore[arg-type]
        concurrency=4,
        cpu_share="none",
        throttle_rate=0.3,
        fail_rate=0.1,
        lost_rate=0.1 if transport == "direct" else 0.0,  # whoever loses an event's answer sends it again
        duplicate_rate=0.1,
        condition_seed=3,
    )
    tasks, ledger = 150, Ledger()

    def job() -> Any:
        return (yield [Task("probe.noop", number=number) for number in range(tasks)])

    async with open_emulated(chosen, usable_cores=2, memory_bytes=2**33, preload="probe") as backend:
        policy = Policy(timeout_s=20.0, retries=30, backoff_base_s=0.01, backoff_cap_s=0.1)
        assert await Runner("r1", backend, ledger, policy).run(job()) == list(range(tasks))
    ledger.assert_settled()
    print(f"{transport}, seed 3: {dict(ledger.statuses)}")
    assert ledger.tasks == ledger.results == tasks
    assert ledger.faults >= 20


HOUR_S = 3600.0
GROWTH_BYTES, GROWTH_OBJECTS = 100_000, 500


def test_an_hour_of_every_fault_at_once_does_not_grow(fakes: Any) -> None:
    """One run of an hour of virtual time, with hedges, pauses, and runs beside it that are cancelled."""
    rng = random.Random(1)
    marks: list[tuple[float, int, int]] = []  # (virtual seconds, bytes, objects)
    ledger = Ledger()

    def mark(now_s: float) -> None:
        gc.collect()
        marks.append((now_s, tracemalloc.get_traced_memory()[0], len(gc.get_objects())))

    def job(loop: asyncio.AbstractEventLoop) -> Any:
        while loop.time() < HOUR_S:
            if loop.time() >= len(marks) * HOUR_S / 12:
                mark(loop.time())
            assert (yield fakes.tasks(40)) == list(range(40))
        mark(loop.time())
        return "whole"

    async def beside(runner: Runner, detached: set[asyncio.Task[Outcome]]) -> None:
        while True:
            await asyncio.sleep(rng.uniform(0, 20))
            runner.pause()
            await asyncio.sleep(rng.uniform(0, 2))
            runner.resume()
            backend = quiet(fakes, weather(fakes, rng, 0.4), 3)
            other = Runner("r2", backend, Ledger(), Policy(timeout_s=5.0, retries=2), detached=detached)
            work = asyncio.ensure_future(other.run(fakes.one_stage(5)))
            await asyncio.sleep(rng.uniform(0, 4))
            other.cancel()
            with contextlib.suppress(RunCancelled, RunFailed):
                await work

    async def main() -> None:
        detached: set[asyncio.Task[Outcome]] = set()
        policy = Policy(timeout_s=DEADLINE_S, retries=60, hedge=0.9)
        runner = Runner("r1", quiet(fakes, weather(fakes, rng, 0.4), 8), ledger, policy)
        other = asyncio.ensure_future(beside(runner, detached))
        assert await runner.run(job(asyncio.get_running_loop())) == "whole"
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await other
        for work in detached:
            work.cancel()

    tracemalloc.start()
    try:
        run_virtual(main())
    finally:
        tracemalloc.stop()
    ledger.assert_settled()
    assert ledger.tasks == ledger.results > 1000
    assert ledger.faults > FAULTS and ledger.hedges > 20
    for now_s, size, objects in marks:
        print(f"{now_s:7.0f} s: {size:,} bytes, {objects:,} objects")
    print(f"seed 1: {dict(ledger.statuses)}, {ledger.hedges} duplicates")
    early, late = marks[1 : len(marks) // 2], marks[len(marks) // 2 :]
    assert min(size for _, size, _ in late) - min(size for _, size, _ in early) < GROWTH_BYTES
    assert min(objects for *_, objects in late) - min(objects for *_, objects in early) < GROWTH_OBJECTS
