"""ExploreState: the newest update wins, at once; on fakes, and on real worker processes."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from pathlib import Path

import pytest

from lbench.engine.backends.base import Outcome
from lbench.engine.backends.local.backend import open_local
from lbench.engine.backends.settings import LocalSettings, SequentialSettings
from lbench.engine.billing.bill import run_bill
from lbench.engine.explore import warm_pool as warm
from lbench.engine.explore.explorer import Explorer
from lbench.engine.export.document import document
from lbench.engine.journal.events import (
    Dispatched,
    Event,
    Previewed,
    Returned,
    RunEnded,
    RunPlanned,
    SessionStarted,
    Warned,
    decode_event,
)
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.service.client import new_session_folder
from lbench.engine.session.view import fold
from lbench.errors import BackendError
from lbench.workloads import registry
from lbench.workloads.encoding import decode, encode

LOCAL = BackendChoice("processes", "processes")


class Watched:
    """An explorer at work, and the events of its journal as they come."""

    def __init__(self, folder: Path, fakes) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.journal = Journal(folder)
        self.journal.listen(self._lines)
        self.journal.write(SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", fakes.machine, "lbench.journal", 1))
        self.explorer = Explorer(folder, self.journal)
        self._news = asyncio.Event()

    def _lines(self, lines: bytes) -> None:
        self.events += [decode_event(line) for line in lines.splitlines()]
        self._news.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def statuses(self) -> list[str]:
        return [event.status for event in self.of(RunEnded)]

    @property
    def view(self):
        return fold(self.events)


@pytest.fixture
async def watched(fakes):
    made = Watched(new_session_folder(), fakes)
    work = asyncio.create_task(made.explorer.work())
    yield made
    made.explorer.stop()
    await work
    made.journal.close()


@pytest.fixture
def backends(monkeypatch, fakes):
    """Backends by label, in place of real ones; the probe's own answer, after so long."""
    made = {}

    def open_backend(choice, plan, found=None):
        backend = made[choice.label]
        if isinstance(backend, Exception):
            raise backend
        return backend

    monkeypatch.setattr(warm, "open_backend", open_backend)
    monkeypatch.setattr(warm, "_DETACHED_S", 0.05)
    return made


def answers(seconds, billed_ms=None):
    def deed(call):
        number = decode(call.task)[1]["number"]
        return seconds, Outcome(result=encode(number), billed_ms=billed_ms, response_bytes=100, printed_bytes=0)

    return deed


def probe(label="a", tasks=4):
    return Plan("probe", {}, tasks=tasks, backends=[BackendChoice("processes", label)])


async def test_an_update_is_a_run_whose_makespan_counts_from_its_arrival(watched, backends, fakes):
    backends["a"] = fakes.Backend(answers(0.01))
    watched.explorer.update(probe(), 7)
    await watched.until(lambda: watched.statuses() == ["ok"])
    run = watched.view.runs["x1"]
    assert run.planned.interaction.generation == 7 and run.planned.interaction.step is None
    assert run.planned.warmup  # the first on its backend
    assert run.makespan_s >= run.columns["returned_s"].max() >= 0.01
    assert "explored: the answer was not checked" in run.started.notes


async def test_a_newer_update_cancels_the_older_and_stops_its_dispatch(watched, backends, fakes):
    backends["a"] = slow = fakes.Backend(answers(30.0), capacity=2)
    watched.explorer.update(probe(tasks=50), 1)
    await watched.until(lambda: len(watched.of(Dispatched)) == 2)
    slow._script = answers(0.001)
    watched.explorer.update(probe(tasks=3), 2)
    await watched.until(lambda: watched.statuses() == ["cancelled", "ok"])
    first = [event for event in watched.of(Dispatched) if event.run == "x1"]
    assert len(first) == 2 and watched.view.runs["x1"].makespan_s is None


async def test_only_the_newest_update_runs_after_one_is_prepared(watched, backends, fakes):
    backends["a"] = fakes.Backend(answers(0.001))
    for generation in range(1, 101):
        watched.explorer.update(probe(), generation)
    await watched.until(lambda: "ok" in watched.statuses())
    assert [event.interaction.generation for event in watched.of(RunPlanned)] == [100]


async def test_a_held_key_ends_with_the_last_state_and_no_more_runs_than_presses(watched, backends, fakes):
    backends["a"] = fakes.Backend(answers(0.02), capacity=2)
    for generation in range(1, 101):
        watched.explorer.update(probe(tasks=6), generation)
        await asyncio.sleep(0)
    await watched.until(lambda: "ok" in watched.statuses())
    runs = watched.of(RunPlanned)
    assert len(runs) <= 100 and runs[-1].interaction.generation == 100
    assert watched.statuses()[-1] == "ok" and set(watched.statuses()[:-1]) <= {"cancelled"}


async def test_a_scripted_sequence_runs_step_by_step_and_a_hand_made_update_ends_it(watched, backends, fakes):
    backends |= {"a": fakes.Backend(answers(0.001)), "b": fakes.Backend(answers(0.001))}
    watched.explorer.script([probe("a"), probe("b"), probe("b"), probe("a")], 1)
    await watched.until(lambda: len(watched.statuses()) == 4)
    planned = [(event.label, event.interaction.step, event.warmup) for event in watched.of(RunPlanned)]
    assert planned == [("a", 0, True), ("b", 1, True), ("b", 2, False), ("a", 3, False)]
    backends["b"]._script = answers(30.0)
    watched.explorer.script([probe("b"), probe("a"), probe("a")], 2)
    await watched.until(lambda: len(watched.of(RunPlanned)) == 5)
    watched.explorer.update(probe("a"), 3)
    await watched.until(lambda: len(watched.statuses()) == 6)
    assert watched.statuses()[4:] == ["cancelled", "ok"]
    assert watched.of(RunPlanned)[-1].interaction.step is None


async def test_cancel_leaves_the_backend_open_for_the_next_update(watched, backends, fakes):
    backends["a"] = slow = fakes.Backend(answers(30.0))
    watched.explorer.update(probe(), 1)
    await watched.until(lambda: watched.of(Dispatched))
    watched.explorer.cancel()
    await watched.until(lambda: watched.statuses() == ["cancelled"])
    slow._script = answers(0.001)
    watched.explorer.update(probe(), 2)
    await watched.until(lambda: watched.statuses() == ["cancelled", "ok"])
    assert watched.view.runs["x2"].started.setup_s is None


async def test_an_update_that_cannot_begin_is_a_warning_and_the_next_one_works(watched, backends, fakes):
    backends |= {"a": BackendError("no workers today"), "b": fakes.Backend(answers(0.001))}
    watched.explorer.update(probe("a"), 1)
    await watched.until(lambda: watched.of(Warned))
    assert watched.of(Warned)[0].text == "a: no workers today"
    watched.explorer.update(probe("b"), 2)
    await watched.until(lambda: watched.statuses() == ["ok"])


async def test_a_cancelled_call_on_a_remote_backend_runs_on_and_its_cost_counts(watched, backends, fakes):
    backends["a"] = remote = fakes.Backend(answers(0.2, billed_ms=201), capacity=2)
    watched.explorer.update(probe(tasks=2), 1)
    await watched.until(lambda: len(watched.of(Dispatched)) == 2)
    remote._script = answers(0.001, billed_ms=2)
    watched.explorer.update(probe(tasks=2), 2)
    await watched.until(lambda: watched.statuses() == ["cancelled", "ok"])
    assert remote.cancelled == 0

    def left():
        columns = watched.view.runs["x1"].columns
        return sorted(zip(columns["status"].tolist(), columns["billed_ms"].tolist(), strict=True))

    superseded = 5
    await watched.until(lambda: left() == [(superseded, 201), (superseded, 201)])
    assert watched.view.runs["x1"].in_flight == 0


async def test_an_explored_session_is_exported_as_any_other(watched, backends, fakes):
    backends["a"] = fakes.Backend(answers(0.001))
    watched.explorer.update(probe(), 1)
    await watched.until(lambda: watched.statuses() == ["ok"])
    exported = document(watched.view)
    assert [(run.id, run.interaction.generation, run.answer) for run in exported.runs] == [("x1", 1, None)]


OWN = """
from lbench import Task


def work(number):
    return number


def job():
    return (yield [Task(work, number=number) for number in range(2)])
"""


async def test_a_users_own_workload_is_recorded_by_its_name_and_its_own_code(watched, backends, fakes, tmp_path):
    own = tmp_path / "mine.py"
    own.write_text(OWN)
    backends["a"] = fakes.Backend(answers(0.001))
    watched.explorer.update(Plan(f"{own}:job", {}, backends=[BackendChoice("processes", "a")]), 1)
    await watched.until(lambda: watched.statuses() == ["ok"])
    run = watched.view.runs["x1"]
    assert run.planned.workload == "mine.py:job"
    assert run.started.code_digest == code_digest(registry.describe(f"{own}:job").code)
    assert run.started.code_digest != code_digest()


def mandelbrot(x, iterations=200, label="processes"):
    params = {"width": 160, "height": 120, "max_iterations": iterations, "window": [x - 0.1, x + 0.1, 0.0, 0.15]}
    return Plan("mandelbrot", params, backends=[BackendChoice("processes", label)], preview=True)


async def test_a_picture_comes_coarse_first_and_no_block_of_an_older_update_follows_a_newer_one(watched):
    watched.explorer.update(mandelbrot(-0.7), 1)
    await watched.until(lambda: watched.statuses() == ["ok"])
    blocks = watched.of(Previewed)
    coarse = watched.view.runs["x1"].planned.interaction.coarse_tasks
    assert coarse and blocks[0].task < coarse  # dispatched first; which worker is the first to end is chance
    assert sorted(event.task for event in blocks) == list(range(2 * coarse))
    for number in range(2, 12):
        watched.explorer.update(mandelbrot(-0.7 + number / 1000, 3000), number)
        await watched.until(lambda: len(watched.of(RunPlanned)) == number)  # noqa: B023
    await watched.until(lambda: watched.statuses()[-1] == "ok" and len(watched.statuses()) == 11)
    newest = 0
    for event in watched.events:
        if isinstance(event, RunPlanned):
            newest = int(event.run[1:])
        elif isinstance(event, Previewed):
            assert event.run == f"x{newest}"
    assert len([event for event in watched.of(Previewed) if event.run == "x11"]) == 2 * coarse


async def test_previews_of_a_long_interactive_session_do_not_fill_the_disk(watched, monkeypatch):
    monkeypatch.setattr("lbench.engine.journal.previews._FILE_BYTES", 50_000)
    for number in range(1, 9):
        watched.explorer.update(mandelbrot(-0.7 + number / 1000), number)
        await watched.until(lambda: len(watched.statuses()) == number)  # noqa: B023
    path = watched.folder / "previews.bin"
    blocks = watched.of(Previewed)
    assert sum(event.length for event in blocks) > 100_000 > path.stat().st_blocks * 512
    assert {event.code for event in watched.of(Warned)} == {"previews"}
    data = path.read_bytes()
    kept = {run: [data[at.offset : at.offset + at.length] for at in blocks if at.run == run] for run in ("x1", "x8")}
    assert not any(b"".join(kept["x1"]))
    assert {decode(block)["kind"] for block in kept["x8"]} == {"rows"}  # the newest is whole


async def test_a_data_set_is_loaded_once_for_parameters_that_it_does_not_depend_on(watched, monkeypatch):
    from lbench.workloads.kmeans.job import WORKLOAD

    loads = []
    whole = type(WORKLOAD).load
    monkeypatch.setattr(
        type(WORKLOAD),
        "load",
        lambda self, params, path, *rest: loads.append(params) or whole(self, params, path, *rest),
    )
    choice = BackendChoice("sequential", "sequential")
    params = {"n_samples": 500, "n_features": 10, "k": 3}
    for number, more in enumerate([{}, {"max_iterations": 2}, {"k": 4}, {}], 1):
        watched.explorer.update(Plan("kmeans", params | more, tasks=1, backends=[choice]), number)
        await watched.until(lambda: len(watched.statuses()) == number)  # noqa: B023
    assert watched.statuses() == ["ok"] * 4
    assert [one.k for one in loads] == [3, 4]


@pytest.mark.parametrize("name", ["processes", "threads"])
async def test_the_cancel_of_an_interactive_call_stops_the_task_and_keeps_the_worker(name, fakes):
    settings = LocalSettings(concurrency=2)
    backend = open_local(name, settings, 2, preload="probe")

    def call(index, seconds):
        from lbench.engine.backends.base import Call

        task = encode(["probe.spin", {"seconds": seconds, "number": index}])
        placed = asyncio.Event()
        return Call(task, 0, index, 0, 60.0, lambda environment: placed.set(), interactive=True), placed

    async with backend:
        pids = [worker.child.pid for worker in backend._pool._slots]
        calls = [call(index, 60.0) for index in range(2)]
        running = [asyncio.create_task(backend.invoke(one)) for one, _ in calls]
        for _, placed in calls:
            await placed.wait()
        for task in running:
            task.cancel()
        async with asyncio.timeout(30):
            await asyncio.gather(*running, return_exceptions=True)
            outcomes = await asyncio.gather(*(backend.invoke(call(index, 0.0)[0]) for index in range(2)))
        assert [decode(outcome.result) for outcome in outcomes] == [0, 1]
        assert [worker.child.pid for worker in backend._pool._slots] == pids


async def test_a_worker_whose_task_will_not_stop_is_replaced(monkeypatch):
    backend = open_local("sequential", SequentialSettings(), 1, preload="probe")
    from lbench.engine.backends.base import Call
    from lbench.engine.backends.local import backend as local

    monkeypatch.setattr(local, "STOP", 0)  # as if the signal met C code that never comes back
    async with backend:
        pid = backend._pool._slots[0].child.pid
        placed = asyncio.Event()
        task = encode(["probe.spin", {"seconds": 60.0, "number": 0}])
        call = Call(task, 0, 0, 0, 60.0, lambda environment: placed.set(), interactive=True)
        running = asyncio.create_task(backend.invoke(call))
        await placed.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await backend.publish(None)
        assert backend._pool._slots[0].child.pid != pid


async def test_a_spending_limit_holds_for_the_whole_interactive_session(watched, backends, fakes):
    remote = fakes.Backend(answers(0.001, billed_ms=5000))
    backends["emulated"] = remote
    plan = Plan("probe", {}, tasks=2, backends=[parse_backend("emulated", {})], timeout_s=1.0, max_usd=0.002)
    for generation in range(1, 40):
        watched.explorer.update(plan, generation)
        await watched.until(lambda: len(watched.statuses()) == generation)  # noqa: B023
        if watched.statuses()[-1] == "over_budget":
            break
    assert watched.statuses()[0] == "ok" and watched.statuses()[-1] == "over_budget"
    spent = sum(run_bill(run).usd for run in watched.view.runs.values())
    assert 0 < spent <= Decimal("0.002")


async def test_a_detached_call_releases_the_rest_of_its_budget_when_it_ends(watched, backends, fakes):
    remote = fakes.Backend(answers(0.2, billed_ms=1))
    backends["emulated"] = remote
    plan = Plan("probe", {}, tasks=2, backends=[parse_backend("emulated", {})], timeout_s=1.0, max_usd=0.002)
    watched.explorer.update(plan, 1)
    await watched.until(lambda: len(watched.of(Dispatched)) == 2)
    watched.explorer.update(plan, 2)  # both are left to themselves, at their worst until they end
    await watched.until(lambda: watched.statuses()[-1:] == ["ok"])
    assert watched.explorer._budget.kept_usd == 0
    assert watched.explorer._budget.spent_usd < Decimal("0.00002")


async def test_on_aws_the_calls_of_a_superseded_update_run_on_and_their_bill_counts(watched, aws_lambda):
    bucket = await asyncio.to_thread(aws_lambda.deploy)

    def plan(seconds):
        choice = parse_backend("lambda:concurrency=2", {})
        return Plan(
            "probe", {"kind": "sleep", "seconds": seconds}, tasks=2, backends=[choice], timeout_s=20.0, max_usd=0.01
        )

    watched.explorer.update(plan(1.0), 1)
    await watched.until(lambda: len(watched.of(Dispatched)) == 2)
    watched.explorer.update(plan(0.0), 2)
    await watched.until(lambda: watched.statuses() == ["cancelled", "ok"])
    await watched.until(lambda: len(watched.of(Returned)) == 4)
    first, second = watched.view.runs.values()
    left = [event for event in watched.of(Returned) if event.run == first.planned.run]
    assert {(event.status, event.billed_source) for event in left} == {("superseded", "report")}
    assert all(event.billed_ms >= 1000 for event in left)
    assert first.planned.origin == "measured"
    assert run_bill(first).usd > run_bill(second).usd > 0
    assert len(aws_lambda.invoked) == 4 and await asyncio.to_thread(aws_lambda.keys, bucket) == []
