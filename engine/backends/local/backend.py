"""The local backends: warm worker processes on this machine, one environment each (`threads`: several).

    sequential  1 process  x 1 thread
    loop        1 process  x 1 thread, and the whole job as one task
    threads     1 process  x N threads
    processes   N processes x 1 thread

The engine never computes a task. Only ending its process stops a running Python function for certain, so a cancel and a
deadline replace the worker; on `threads` the other calls of that process are lost too (`SIBLING_LOST`).

Replacing takes 0.1 s with numpy, 1 to 2 s with scikit-learn: too long for a person who waits for the next picture. So
the cancel of an interactive call first asks the worker to stop its tasks (`worker.STOP`), on `threads` all of them. It
does at its next bytecode; a worker that is deep in C code is replaced after the time that another takes to start.
"""

from __future__ import annotations

import asyncio
import os
from typing import Literal, Self

from lbench.engine.backends.base import SIBLING_LOST, Call, EnvironmentInfo, Failure, Outcome, Published
from lbench.engine.backends.local import frames
from lbench.engine.backends.local.pool import Pool
from lbench.engine.backends.local.worker import STOP
from lbench.engine.backends.local.worker_process import START_LIMIT_S, Lane, WorkerProcess
from lbench.engine.backends.local.workspace import Workspace, sweep
from lbench.engine.backends.settings import LocalSettings, SequentialSettings
from lbench.engine.machine.processor_time import ProcessorTime, Usage, total_time, usage
from lbench.engine.machine.thread_variables import THREAD_VARIABLES
from lbench.engine.processes.child import describe_exit
from lbench.errors import count_text
from lbench.workloads.encoding import decode
from lbench.workloads.functions import WHOLE
from lbench.workloads.own.importer import is_pinned
from lbench.workloads.own.tracebacks import trimmed

__all__ = ["DEADLINE_EXCEEDED", "WORKER_DIED", "LocalBackend", "open_local"]

DEADLINE_EXCEEDED = "DeadlineExceeded"  # Failure.type: the task took longer than it may
WORKER_DIED = "WorkerDied"  # Failure.type: the process ended under the call

_GRACE_S = 0.1  # the shortest time that a worker gets to stop
_AGAIN_S = 0.003
_SHORT_MS = 20.0  # a task that may keep another waiting while other workers are idle


class LocalBackend:
    """Runs calls in warm worker processes, as `lbench.engine.backends.base.Backend` requires.

    `preload` names the workload whose task functions are imported before `__aenter__` returns. `cold` is None
    in the outcomes of its workers: no first call waits for a start. `renew` reports those that calls start.
    A worker's start time is in its `EnvironmentInfo`; the data are mapped before any call too, and that time is in
    `fetch_ms` of the worker's first call after it.
    """

    origin: Literal["measured", "emulated", "simulated"] = "measured"
    transport: str | None = None
    package_digest: str | None = None
    on_cancel: Literal["stop", "detach"] = "stop"
    start_allowance_s: float = START_LIMIT_S  # for a call that waits while a worker is being replaced

    def __init__(
        self,
        name: str,
        *,
        processes: int = 1,
        threads: int = 1,
        blas_threads: int = 1,
        preload: str | None = None,
        usable_cores: int | None = None,
    ) -> None:
        self.name = name
        self.capacity = processes * threads
        self.settings: dict[str, str | int | float | bool | None] = {
            "concurrency": self.capacity,
            "blas_threads": blas_threads,
        }
        busy = self.capacity * blas_threads
        self.oversubscribed = usable_cores is not None and busy > usable_cores
        self.notes: list[str] = []
        self.own_s3: dict[str, int] = {}  # there is no S3 here
        if self.oversubscribed:
            cores = count_text(usable_cores or 0, "usable core")
            self.notes.append(f"oversubscribed: {count_text(busy, 'thread')} on {cores}")
        env = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(blas_threads))
        letter = "t" if threads > 1 or name == "threads" else "w"
        imports = WHOLE + preload if name == "loop" and preload is not None else preload
        self._pool = Pool(name, letter, processes, threads, env, imports)
        own = preload is not None and is_pinned(preload)
        self._compute_ms: float | None = None  # of the longest task lately
        self._computed_s = 0.0  # of all tasks together
        self._count: tuple[list[int], ProcessorTime | None, float] = ([], None, 0.0)
        self._workspace = Workspace(preload) if own and preload is not None else None

    async def __aenter__(self) -> Self:
        """Start the workers and wait until each has imported what it needs."""
        if self._workspace is not None:
            await asyncio.to_thread(sweep)
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the workers and whatever their tasks have started; calls still running fail."""
        await self._pool.close()
        if self._workspace is not None:
            await asyncio.to_thread(self._workspace.close)

    async def publish(self, data: Published | None) -> None:
        """Have every worker, and each that replaces one, map the data; returns when all are ready for calls.

        Called before each run it also waits for workers that are being replaced, and gives a user's tasks a new working
        folder.

        Raises:
            BackendError: the file cannot be mapped, or calls are still running.
        """
        await self._pool.all_ready()
        folder = None if self._workspace is None else await asyncio.to_thread(self._workspace.begin)
        await self._pool.set_data(data, folder)
        self._compute_ms = None  # another job's tasks

    async def renew(self) -> None:
        """End all workers. Calls start the next ones, as `concurrent.futures` does; `publish` starts those still missing."""
        await self._pool.renew()

    async def invoke(self, call: Call) -> Outcome:
        """Run one call in the environment that has been idle longest, or the next to be free.

        `call.placed` is called when the request goes out, not while it waits for a worker to be replaced, nor while it waits
        behind another call (`call.may_wait`). From then on `call.deadline_s` counts; at the deadline the worker is replaced.

        Raises:
            BackendError: workers can no longer be started.
        """
        begun = False
        loop = asyncio.get_running_loop()

        def begin(at_s: float) -> None:
            nonlocal begun
            begun = True
            if call.begin is not None:
                call.begin(at_s)
            lane.deadline.set(loop.time() + call.deadline_s)
            call.placed(lane.id)

        behind = None
        lane_now = self._pool.take_now()
        if lane_now is None and call.may_wait and len(call.task) < frames.PIECE_BYTES:
            behind = self._pool.take_next()
        lane = lane_now or behind or await self._pool.take()
        worker = lane.worker
        if behind is not None:
            future = lane.send_next(call.task, begin)
        else:
            sent_s = loop.time()
            future = lane.send(frames.CALL, call.task)
            begin(sent_s)
        try:
            reply, arrived = await future
        except TimeoutError:
            message = f"no result within the deadline of {call.deadline_s:g} s"
            failure = Failure("timeout", DEADLINE_EXCEEDED, message, retriable=True)
            return Outcome(failure=failure, environment=lane.id, request_bytes=len(call.task))
        except EOFError:
            failure = _lost(worker, lane, await worker.child.wait(), begun=begun)
            return Outcome(failure=failure, environment=lane.id, request_bytes=len(call.task))
        except asyncio.CancelledError:
            if call.interactive and lane.reply is future:
                await self._stop(lane)
            raise
        finally:
            if future in (lane.reply, lane.next):  # too late, or cancelled while the task runs or waits in the worker
                self._pool.replace(worker)
        fetch_ms, worker.fetch_ms = worker.fetch_ms, None
        cold = lane.cold
        if cold:
            lane.cold = False
        failed = reply.kind == frames.FAILURE
        compute_ms = (reply.finished_s - reply.started_s) * 1000
        self._compute_ms = compute_ms if self._compute_ms is None else max(compute_ms, 0.9 * self._compute_ms)
        self._computed_s += compute_ms / 1000
        return Outcome(
            result=None if failed else reply.body,
            failure=_raised(reply.body) if failed else None,
            environment=lane.id,
            cold=cold,
            init_ms=lane.info.init_ms if cold else None,
            started_s=reply.started_s,
            finished_s=reply.finished_s,
            returned_s=arrived,
            fetch_ms=fetch_ms,
            compute_ms=compute_ms,
            request_bytes=len(call.task),
            response_bytes=len(reply.body),
            peak_rss_mb=-(-reply.peak_kib // 1024) or None,
        )

    def pids(self) -> list[int]:
        """The process ids of the workers that are there."""
        return self._pool.pids()

    def begin_count(self) -> None:
        pids = self.pids()
        self._count = (pids, total_time(pids), self._computed_s)

    def counted(self) -> Usage | None:
        """What the tasks have done since `begin_count`; None: they were short, or the system does not tell, or workers
        have been replaced.
        """
        pids, before, computed_s = self._count
        return usage(self._computed_s - computed_s, before, total_time(pids)) if pids == self.pids() else None

    async def _stop(self, lane: Lane) -> None:
        """Stop the lane's task. The lane is free again when its worker replies; nobody reads that reply."""
        worker = lane.worker
        lane.deadline.clear()
        lane.reply = stopped = asyncio.get_running_loop().create_future()
        stopped.add_done_callback(lambda future: future.cancelled() or future.exception())
        grace_s = max(_GRACE_S, (lane.info.init_ms or 0.0) / 1000)
        wait_s = _AGAIN_S
        try:
            # Repeated: a signal that arrives before the task has begun stops nothing.
            while not stopped.done() and grace_s > 0 and worker.child.returncode is None:
                os.kill(worker.child.pid, STOP)
                await asyncio.wait({stopped}, timeout=min(wait_s, grace_s))
                grace_s, wait_s = grace_s - wait_s, 2 * wait_s
        finally:
            if lane.reply is stopped:
                self._pool.replace(worker)

    def environments(self) -> list[EnvironmentInfo]:
        """All environments so far; one that replaced another has the number of its generation in its name."""
        return list(self._pool.environments)

    def temporary(self, run: str) -> None: ...

    async def clear(self, place: object) -> None: ...

    async def left(self) -> list[str]:
        """What a user's tasks have left where a later run could find it (`workspace`)."""
        return [] if self._workspace is None else await asyncio.to_thread(self._workspace.left)

    @property
    def ahead(self) -> int:
        """One call for each environment, where none of the last tasks was long (`LooksAhead`)."""
        return self.capacity if self._compute_ms is not None and self._compute_ms < _SHORT_MS else 0

    @property
    def waiting(self) -> int:
        """The calls that wait in an environment behind another (`LooksAhead`)."""
        return self._pool.next_calls


def _raised(body: bytes | memoryview) -> Failure:
    kind, message, tail = decode(body)
    return Failure("error", kind, message, retriable=False, log_tail=tail)


def _lost(worker: WorkerProcess, lane: Lane, code: int, *, begun: bool) -> Failure:
    if not begun:
        message = f"it waited in {lane.id}, which has ended"
        return Failure("error", SIBLING_LOST, message, retriable=True, unrun=True)
    if worker.replaced:
        message = f"{lane.id} was ended with its process, in which another call was cancelled"
        return Failure("error", SIBLING_LOST, message, retriable=True)
    message = f"the worker process of {lane.id} {describe_exit(code)} while it ran the task"
    return Failure("error", WORKER_DIED, message, retriable=True, log_tail=trimmed(worker.tail()) or None)


def open_local(
    name: str,
    settings: LocalSettings | SequentialSettings,
    usable_cores: int,
    *,
    preload: str | None = None,
) -> LocalBackend:
    """Make the backend of that name (`sequential`, `loop`, `threads` or `processes`), not yet entered.

    `preload` is the name of the workload that it will run.
    """
    concurrency = None if isinstance(settings, SequentialSettings) else settings.concurrency
    count = 1 if name in ("sequential", "loop") else concurrency or usable_cores
    processes, threads = (1, count) if name == "threads" else (count, 1)
    return LocalBackend(
        name,
        processes=processes,
        threads=threads,
        blas_threads=settings.blas_threads,
        preload=preload,
        usable_cores=usable_cores,
    )
