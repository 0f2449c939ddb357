"""The process that samples a job: `python -m lbench.engine.sampling.process FILE`.

The file holds the request (JSON, `Request`); the verdict (JSON, `Verdict`) goes to standard output. A user's job runs here,
its tasks in worker processes, and all of it within a time limit: a job or a task that does not end ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.folders import tree_bytes
from lbench.engine.backends.base import Call, Outcome, Published
from lbench.engine.backends.local.audit_hook import WATCH, noticed
from lbench.engine.backends.local.backend import LocalBackend, open_local
from lbench.engine.backends.settings import LocalSettings, SequentialSettings
from lbench.engine.machine import fingerprint as machine
from lbench.engine.machine.processor_time import Usage
from lbench.engine.measure.run_store import RunStore
from lbench.engine.plan.prepared_job import keep
from lbench.engine.processes.lifeline import begin_to_answer
from lbench.engine.runner.job_steps import Answer, EndedStage, JobSteps, RunFailed, offload_to_thread
from lbench.engine.sampling.model import Noticed, Request, Sample, SampledStage, Verdict
from lbench.engine.sampling.overhead import hand_over_s
from lbench.errors import InputError, LbenchError
from lbench.workloads import parameters, registry
from lbench.workloads.model import Task
from lbench.workloads.objects import Place
from lbench.workloads.own.tracebacks import missing_hint
from lbench.workloads.parameters import settable

__all__ = ["main", "spread_order"]

_STAGES = 10_000  # kept
_MOST_TASKS = 20_000  # of a stage that are run one by one
_TOGETHER_S = 3.0  # with all workers busy
_TOGETHER_LEAST_S = 0.001  # shorter tasks show the hand-over, not the machine
_FIRST_LONGER, _FIRST_LEAST_S = 1.2, 0.001  # than the others: the first task is tried again
_POLL_S = 0.05  # of the temporary folder
_COUNT_S = 0.2  # of tasks, after which their worker is counted again
_ENDLESS = 10  # stages: a job that has yielded so many and no answer when the time is over may never end
_COMPUTING = Usage()
_OWN = {"data.lbds", "noticed", "objects", "request.json"}  # in the folder, of the sample itself
_GOLDEN = 0.618033988749895


class _Refused(Exception):
    """The job cannot be sampled; the message says why."""


def spread_order(count: int) -> list[int]:
    """The numbers below `count` in an order whose every beginning is spread over them all (steps of the golden ratio)."""
    step = max(1, round(count * _GOLDEN))
    while math.gcd(step, count) != 1:
        step += 1
    return [number * step % count for number in range(count)]


async def _sample(request: Request) -> Sample:
    folder = Path(request.folder)
    description = registry.describe(request.workload)
    params = parameters.parse(description.params, request.params, tasks=request.tasks, seed=request.seed)
    path = None if request.data is None else Path(request.data)

    def load() -> tuple[Any, Any]:
        workload = registry.load(description)
        return workload, workload.load(params, path, request.encoding)

    workload, data = await asyncio.to_thread(load)
    published: Published | None = None
    if data is not None:
        data, _, published = await asyncio.to_thread(keep, data, folder / "data.lbds")
    workers = max(1, math.ceil(machine.usable_cores()))
    sampler = _Sampler(request, workers, published)
    async with sampler.opened("sequential", watch=request.watch) as backend:
        watching = asyncio.create_task(sampler.watch_scratch())
        await sampler.run(backend, workload.job(params, data))
        watching.cancel()
    overhead_s, contention = await sampler.together()
    return Sample(
        workload=description.name,
        params=settable(params),
        stages=sampler.stages,
        complete=sampler.complete,
        before_s=sampler.before_s,
        init_s=sampler.init_s,
        data_bytes=0 if published is None else published.bytes,
        overhead_s=overhead_s,
        workers=workers,
        contention=contention,
        limit_s=request.limit_s,
        longest_unended_s=sampler.unended_s,
        stores=sampler.stores,
        scratch_bytes=sampler.scratch_bytes if request.watch else None,
        noticed=sampler.noticed if request.watch else None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class _Sampler:
    """The state of one sample."""

    def __init__(self, request: Request, workers: int, published: Published | None) -> None:
        self.stages: list[SampledStage] = []
        self.complete = False
        self.before_s = self.init_s = 0.0
        self.unended_s: float | None = None
        self.stores = False
        self.scratch_bytes = 0
        self.noticed: list[Noticed] = []
        self._request = request
        self._workers = workers
        self._published = published
        self._name = registry.describe(request.workload).pinned
        self._first: list[tuple[bytes, float]] = []  # tasks of the first stage, with their seconds alone
        self._end_s = 0.0

    @contextlib.asynccontextmanager
    async def opened(self, name: str, *, watch: bool = False) -> AsyncIterator[LocalBackend]:
        """A local backend with the job's data; its workers are watched if wished."""
        settings = SequentialSettings() if name == "sequential" else LocalSettings(concurrency=self._workers)
        record = Path(self._request.folder) / "noticed"
        if watch:
            os.environ[WATCH] = str(record)
        try:
            backend = open_local(name, settings, self._workers, preload=self._name)
        finally:
            os.environ.pop(WATCH, None)
        async with backend:
            await backend.publish(self._published)
            yield backend
        if watch:
            self.noticed = [Noticed(kind, what) for kind, what in noticed(record)]

    async def run(self, backend: LocalBackend, job: Any) -> None:
        """Run the job's tasks one after the other until it ends or the time is over."""
        loop = asyncio.get_running_loop()
        self._end_s = loop.time() + self._request.limit_s
        starts = [info.init_ms for info in backend.environments() if info.init_ms is not None]
        self.init_s = max(starts, default=0.0) / 1000
        store = RunStore(backend, Path(self._request.folder), "s")

        def place() -> Place:
            self.stores = True
            return store.place()

        steps = JobSteps(offload_to_thread, place)
        ended: EndedStage | None = None
        try:
            while True:
                began_s = loop.time()
                step = await self._advance(steps, job, ended)
                spent_s = loop.time() - began_s
                if self.stages:
                    self.stages[-1] = msgspec.structs.replace(self.stages[-1], between_s=spent_s)
                else:
                    self.before_s = spent_s
                if isinstance(step, Answer):
                    self.complete = True
                    return
                late = bool(self.stages) and loop.time() > self._end_s
                if len(self.stages) >= (_ENDLESS if late else _STAGES):
                    self._refuse_endless()
                if late:
                    return
                ended = await self._stage(backend, *step)
                if ended is None:
                    return
        finally:
            await store.clear()

    async def _advance(self, steps: JobSteps, job: Any, ended: EndedStage | None) -> Any:
        left_s = max(1.0, self._end_s - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left_s):
                return await steps.advance(job, ended)
        except TimeoutError:
            where = "before its first stage" if ended is None else f"after stage {len(self.stages)}"
            raise _Refused(
                f"the job's own code {where} did not end within {self._request.limit_s:g} s: "
                "does it ever? --for SECONDS gives it longer"
            ) from None

    def _refuse_endless(self) -> None:
        raise _Refused(
            f"the job has yielded {len(self.stages):,} stages in {self._request.limit_s:g} s and no answer: "
            "does it ever end? --for SECONDS gives it longer"
        )

    async def _stage(self, backend: LocalBackend, tasks: list[Task], encoded: list[bytes]) -> EndedStage | None:
        """Run a stage's tasks, spread over it; None: not all of them."""
        number = len(self.stages)
        results: dict[int, Any] = {}
        rows: list[tuple[int, float, int, int, int]] = []
        count = _Count(backend)
        for index in spread_order(len(tasks))[:_MOST_TASKS]:
            left_s = self._end_s - asyncio.get_running_loop().time()
            if left_s <= 0 and rows:
                break
            outcome = await backend.invoke(
                Call(task=encoded[index], stage=number, index=index, attempt=0, deadline_s=max(1.0, left_s))
            )
            if outcome.failure is not None:
                if outcome.failure.kind != "timeout":
                    raise _Refused(_failure_text(outcome, index, len(tasks)))
                self.unended_s = max(self.unended_s or 0.0, max(1.0, left_s))
                if not rows and not number:
                    self.stages.append(_stage_of(len(tasks), rows, encoded[index]))
                break
            assert outcome.result is not None and outcome.compute_ms is not None
            results[index] = outcome.result
            seconds = outcome.compute_ms / 1000
            rows.append((index, seconds, len(encoded[index]), len(outcome.result), outcome.peak_rss_mb or 0))
            if not number:
                self._first.append((encoded[index], seconds))
            count.task(seconds, last=len(rows) == len(tasks))
        used = count.usage
        if not number and len(rows) > 1:
            rows[0] = await self._without_imports(
                backend, rows[0], median_s=statistics.median(row[1] for row in rows[1:])
            )
        if rows or not tasks:
            self.stages.append(_stage_of(len(tasks), sorted(rows), used=used))
        if len(results) < len(tasks):
            return None
        raw = [results[index] for index in range(len(tasks))]
        times = {index: seconds for index, seconds, *_ in rows}
        return EndedStage(raw, [(times[index], 0.0) for index in range(len(tasks))], sum(times.values()), 1)

    async def _without_imports(
        self, backend: LocalBackend, row: tuple[int, float, int, int, int], median_s: float
    ) -> tuple[int, float, int, int, int]:
        """The first task's row, by a second try where it took longer than the others.

        What only a worker's first task does (imports inside a function, caches) belongs to the worker's start: a new
        environment on Lambda does it too.
        """
        index, seconds, *sizes = row
        left_s = self._end_s - asyncio.get_running_loop().time()
        if seconds < _FIRST_LONGER * median_s + _FIRST_LEAST_S or left_s <= 0:
            return row
        call = Call(task=self._first[0][0], stage=0, index=index, attempt=0, deadline_s=max(1.0, left_s))
        again = await backend.invoke(call)
        if again.failure is not None or again.compute_ms is None or again.compute_ms / 1000 >= seconds:
            return row
        again_s = again.compute_ms / 1000
        self.init_s += seconds - again_s
        self._first[0] = (self._first[0][0], again_s)
        return (index, again_s, sizes[0], sizes[1], sizes[2])

    async def watch_scratch(self) -> None:
        """Keep the largest size of the temporary folder."""
        while True:
            size = await asyncio.to_thread(_scratch_bytes, Path(self._request.folder))
            self.scratch_bytes = max(self.scratch_bytes, size)
            await asyncio.sleep(_POLL_S)

    async def together(self) -> tuple[float, float]:
        """The hand-over of a task to one of all workers, and how much slower tasks are when all workers are busy."""
        async with self.opened("processes") as backend:
            overhead_s = await hand_over_s(backend, Path(self._request.folder))
            long = [one for one in self._first if one[1] >= _TOGETHER_LEAST_S]
            if self._workers == 1 or len(long) < 2:
                return overhead_s, 1.0
            queue, ratios = iter(_filling(long, self._workers)), []
            deadline_s = max(1.0, 4 * max(seconds for _, seconds in long))

            async def lane() -> None:
                for task, alone_s in queue:
                    outcome = await backend.invoke(Call(task, stage=0, index=0, attempt=0, deadline_s=deadline_s))
                    if outcome.failure is None and outcome.compute_ms is not None:
                        ratios.append(outcome.compute_ms / 1000 / alone_s)

            await asyncio.gather(*(lane() for _ in range(self._workers)))
        return overhead_s, max(1.0, statistics.median(ratios)) if ratios else 1.0


def _filling(tasks: list[tuple[bytes, float]], workers: int) -> list[tuple[bytes, float]]:
    """As many of the tasks as keep all workers busy for the time that there is, one for each at the least."""
    chosen: list[tuple[bytes, float]] = []
    room_s = _TOGETHER_S * workers
    for task in tasks:
        if len(chosen) >= workers and room_s < task[1]:
            break
        chosen.append(task)
        room_s -= task[1]
    return chosen


class _Count:
    """What a stage's tasks do with their time, as far as their worker was counted: a task that is cut off ends that too.

    The first task counts only where it is the only one: it may have imported.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._since_s = 0.0  # of the tasks since the last count
        self._tasks = 0
        self.usage = _COMPUTING
        backend.begin_count()

    def task(self, seconds: float, *, last: bool) -> None:
        """Take a task that has ended; `last`: of the stage."""
        self._tasks += 1
        self._since_s += seconds
        if not last and self._since_s < _COUNT_S and self._tasks > 1:
            return
        self._since_s = 0.0
        self.usage = self._backend.counted() or self.usage
        if self._tasks == 1:
            self._backend.begin_count()


def _stage_of(
    tasks: int, rows: list[tuple[int, float, int, int, int]], unended: bytes | None = None, used: Usage = _COMPUTING
) -> SampledStage:
    return SampledStage(
        tasks=tasks,
        indices=[row[0] for row in rows],
        compute_s=[row[1] for row in rows],
        request_bytes=[row[2] for row in rows] or ([] if unended is None else [len(unended)]),
        response_bytes=[row[3] for row in rows],
        peak_mb=[row[4] for row in rows],
        wait=used.wait,
        threads=used.threads,
        ready=used.ready,
    )


def _failure_text(outcome: Outcome, index: int, tasks: int) -> str:
    failure = outcome.failure
    assert failure is not None
    remedy = missing_hint(failure.type, failure.message) or ": correct it first"
    return f"task {index + 1} of {tasks:,} fails on this machine: {failure.type}: {failure.message}{remedy}"


def _scratch_bytes(folder: Path) -> int:
    """Bytes of the temporary files of tasks, without the sample's own."""
    places = [one for one in folder.iterdir() if one.name not in _OWN]
    places += Path("/tmp").glob(f"lbench-run-{os.getpid()}-*")  # where a long TMPDIR does not serve
    return sum(map(tree_bytes, places))


def main() -> None:
    """Answer one request."""
    out = begin_to_answer()
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Request)
    tempfile.tempdir = os.environ["TMPDIR"] = request.folder
    asyncio.run(_answer(request, out))


async def _answer(request: Request, out: int) -> None:
    try:
        verdict = Verdict(await _sample(request))
    except RunFailed as error:
        verdict = Verdict(None, f"{error}: correct it first")
    except (_Refused, InputError) as error:
        verdict = Verdict(None, str(error))
    except (LbenchError, OSError, MemoryError) as error:
        verdict = Verdict(None, f"{type(error).__name__}: {error}")
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.json.encode(verdict))
    os._exit(0)  # the loop would wait for the thread of a job that never ends


if __name__ == "__main__":
    main()
