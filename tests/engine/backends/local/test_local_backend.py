"""What the local backends promise while all goes well."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

import numpy as np
import psutil
import pytest

from lbench.engine.backends.base import Backend, Outcome, Published
from lbench.engine.backends.local.backend import LocalBackend, open_local
from lbench.engine.backends.settings import LocalSettings, SequentialSettings
from lbench.errors import BackendError
from lbench.workloads.dataset import Dataset, write_dataset
from lbench.workloads.encoding import decode

NAMES = ["sequential", "threads", "processes"]


async def run_all(backend: LocalBackend, calls, slots: int) -> list[Outcome]:
    """As a runner does: so many slots, each with one call at a time."""
    outcomes: dict[int, Outcome] = {}
    numbered = enumerate(calls)

    async def slot() -> None:
        for number, one in numbered:
            outcomes[number] = await backend.invoke(one)

    await asyncio.gather(*(slot() for _ in range(slots)))
    return [outcomes[number] for number in sorted(outcomes)]


@pytest.mark.parametrize("name", NAMES)
async def test_every_call_gets_its_own_result_and_times_in_order(opened, call, name) -> None:
    loop = asyncio.get_running_loop()
    async with opened(name, 3) as backend:
        before = loop.time()
        outcomes = await run_all(backend, [call("probe.noop", number=i) for i in range(40)], backend.capacity)
        after = loop.time()
    assert [decode(outcome.result) for outcome in outcomes] == list(range(40))
    for outcome in outcomes:
        assert outcome.failure is None
        assert before <= outcome.started_s <= outcome.finished_s <= outcome.returned_s <= after
        assert outcome.compute_ms == pytest.approx((outcome.finished_s - outcome.started_s) * 1000)


@pytest.mark.parametrize(
    ("name", "names"),
    [("sequential", {"w0"}), ("threads", {"t0", "t1", "t2"}), ("processes", {"w0", "w1", "w2"})],
)
async def test_an_environment_runs_one_call_at_a_time_even_when_more_are_asked_for(opened, call, name, names) -> None:
    async with opened(name, 3) as backend:
        calls = [call("probe.sleep", number=i, seconds=0.001) for i in range(60)]
        outcomes = await run_all(backend, calls, slots=12)
        assert {info.id for info in backend.environments()} == names
    assert {outcome.environment for outcome in outcomes} == names
    for name in names:
        spans = sorted((o.started_s, o.finished_s) for o in outcomes if o.environment == name)
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


@pytest.mark.parametrize(("name", "processes"), [("threads", 1), ("processes", 2)])
async def test_calls_really_run_side_by_side(opened, call, tmp_path, name, processes) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    os.mkfifo(a)
    os.mkfifo(b)
    async with opened(name, 2) as backend:
        # Each waits for the other: one opens `a` to write and the other to read, then the same with `b`.
        met = await asyncio.gather(
            backend.invoke(call("faults.meet", fifo=a, other=b)),
            backend.invoke(call("faults.answer", fifo=b, other=a)),
        )
    places = [decode(outcome.result) for outcome in met]
    assert len({pid for pid, _ in places}) == processes
    assert len({tuple(place) for place in places}) == 2


async def test_placed_gets_the_environment_when_the_call_goes_out(opened, call) -> None:
    placed_in: list[str] = []
    async with opened("processes") as backend:
        outcome = await backend.invoke(call("probe.noop", number=1, placed=placed_in.append))
    assert placed_in == [outcome.environment] == ["w0"]


async def test_an_environment_knows_when_it_was_made_and_what_its_start_took(opened) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with opened("processes", 2) as backend:
        infos = backend.environments()
        assert all(info.ended_s is None for info in infos)
    for info in infos:
        assert before < info.created_s < info.ended_s <= loop.time()
        assert 0 < info.init_ms < (loop.time() - before) * 1000


@pytest.mark.parametrize("name", NAMES)
async def test_a_large_result_comes_back_unchanged(opened, call, name) -> None:
    blob = os.urandom(1 << 20) * 8
    async with opened(name, 2) as backend:
        outcomes = await run_all(backend, [call("probe.carry", number=i, blob=blob) for i in range(3)], 2)
    assert all(decode(outcome.result) == blob for outcome in outcomes)
    assert all(outcome.response_bytes == len(outcome.result) > len(blob) for outcome in outcomes)


def published(folder: Path, name: str, values: list[int]) -> Published:
    path = folder / name
    digest = write_dataset(Dataset({"x": np.array(values)}, source="a test", rows=3, columns=1), path)
    return Published(path, digest, path.stat().st_size)


@pytest.mark.parametrize("name", NAMES)
async def test_published_data_are_mapped_read_only_and_timed_once_per_worker(opened, call, tmp_path, name) -> None:
    async with opened(name, 2) as backend:
        await backend.publish(None)
        assert decode((await backend.invoke(call("faults.total"))).result) is None
        await backend.publish(published(tmp_path, "one", [1, 2, 3]))
        outcomes = await run_all(backend, [call("faults.total") for _ in range(8)], backend.capacity)
        await backend.publish(published(tmp_path, "two", [10, 20, 30]))
        (later,) = await run_all(backend, [call("faults.total")], 1)
    assert [decode(outcome.result) for outcome in outcomes] == [[6, False]] * 8
    assert decode(later.result) == [60, False]
    workers = 2 if name == "processes" else 1
    assert sum(outcome.fetch_ms is not None for outcome in outcomes) == workers
    assert later.fetch_ms is not None


async def test_data_that_cannot_be_mapped_break_the_backend_in_one_line(opened, tmp_path) -> None:
    path = tmp_path / "data"
    path.write_text("no data set, surely")
    async with opened("processes", 2) as backend:
        with pytest.raises(BackendError, match="is not an lbench data set"):
            await backend.publish(Published(path, "0", 19))


async def test_data_are_not_changed_under_a_running_call(opened, hold, tmp_path) -> None:
    async with opened("processes", 2) as backend:
        held = await hold(backend)
        with pytest.raises(BackendError, match="while calls are running"):
            await backend.publish(published(tmp_path, "one", [1, 2, 3]))
        held.task.cancel()


async def test_workers_start_with_one_blas_thread_and_little_imported(opened, call) -> None:
    async with opened("processes", preload="probe") as backend:
        outcome = await backend.invoke(call("faults.about", names=["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]))
    about = decode(outcome.result)
    assert about["environment"] == {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert "lbench.workloads.probe.tasks" in about["modules"]
    assert not {"sklearn", "scipy", "botocore", "aiohttp", "click", "rich", "PIL"} & set(about["modules"])


async def test_leaving_the_backend_leaves_no_process_and_takes_no_call(opened, call) -> None:
    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)}

    before = children()
    async with opened("processes", 2) as backend:
        assert len(children() - before) == 3  # two workers, and their guardian
    assert children() <= before
    with pytest.raises(BackendError, match="closed"):
        await backend.invoke(call("probe.noop", number=1))


async def test_a_backend_that_was_never_entered_says_so(call) -> None:
    with pytest.raises(BackendError, match="not open"):
        await open_local("processes", LocalSettings(), 2).invoke(call("probe.noop", number=1))


def test_the_settings_decide_capacity_and_whether_it_is_too_much() -> None:
    assert open_local("sequential", SequentialSettings(), 4).capacity == 1
    for name in ("threads", "processes"):
        backend: Backend = open_local(name, LocalSettings(), 4)
        assert (backend.capacity, backend.oversubscribed, backend.notes) == (4, False, [])
        many = open_local(name, LocalSettings(concurrency=3, blas_threads=2), 4)
        assert (many.capacity, many.oversubscribed) == (3, True)
        assert many.notes == ["oversubscribed: 6 threads on 4 usable cores"]
        assert many.settings == {"concurrency": 3, "blas_threads": 2}
        assert open_local(name, LocalSettings(concurrency=2), 1).notes == ["oversubscribed: 2 threads on 1 usable core"]
