"""A pool of worker processes of constant size; a call takes the next idle environment.

A worker that dies, or is ended because its call was cancelled, is replaced at once by a new generation. Processes that its
tasks have started end with it, even outside its process group: the pool's guardian finds them.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from lbench.config.limits import TOO_MANY_PROCESSES, no_more_processes
from lbench.engine.backends.base import EnvironmentInfo, Published
from lbench.engine.backends.local.worker_process import Lane, WorkerProcess
from lbench.engine.processes.child import describe_exit
from lbench.engine.processes.guardian_client import Guard
from lbench.errors import BackendError
from lbench.workloads.own.tracebacks import missing_hint

__all__ = ["Pool"]

_STARTS = 3  # failed starts in a row, before the pool gives up


class Pool:
    """`processes` workers of `threads` lanes each, named by `letter` and number (w0, w1; replaced: w0.1)."""

    def __init__(
        self,
        name: str,
        letter: str,
        processes: int,
        threads: int,
        env: Mapping[str, str],
        preload: str | None,
    ) -> None:
        self.environments: list[EnvironmentInfo] = []  # ended ones too
        self._name = name
        self._letter = letter
        self._threads = threads
        self._env = env
        self._preload = preload
        self._data: Published | None = None
        self._folder: Path | None = None  # of the run
        self._slots: list[WorkerProcess | None] = [None] * processes
        self._generations = [0] * processes
        self._failed_starts = [0] * processes
        self._living: dict[WorkerProcess, int] = {}  # workers whose process has not ended, with their numbers
        self._numbers = itertools.count()
        self._guard: Guard | None = None
        self._idle: deque[Lane] = deque()
        self._waiting: deque[asyncio.Future[Lane]] = deque()
        self._changed = asyncio.Event()
        self._broken: BackendError | None = BackendError(f"the backend {name} is not open")

    # -- for the backend

    async def open(self) -> None:
        """Start all workers and wait until they are ready.

        Raises:
            BackendError: one cannot be started; nothing is left running.
        """
        self._broken = None
        try:
            self._guard = Guard("workers")
        except OSError as error:
            why = TOO_MANY_PROCESSES if no_more_processes(error) else error.strerror
            raise BackendError(f"cannot start a process for {self._name}: {why}") from None
        try:
            for slot in range(len(self._slots)):
                self._start(slot)
            await self.all_ready()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End all workers and wait until they have ended; their calls fail, and no lane is handed out any more."""
        self._break(f"the backend {self._name} was closed")
        self._idle.clear()
        for worker in self._living:
            worker.child.kill()
        while self._living:
            self._changed.clear()
            await self._changed.wait()
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.close()

    async def all_ready(self) -> None:
        """Wait until every worker is ready (one may be in the middle of being replaced).

        Raises:
            BackendError: the pool is broken.
        """
        if self._broken is None:
            self._start_missing(len(self._slots))
        while True:
            if self._broken is not None:
                raise self._broken
            if all(worker is not None and worker.ready for worker in self._slots):
                return
            self._changed.clear()
            await self._changed.wait()

    async def set_data(self, data: Published | None, folder: Path | None = None) -> None:
        """Have every worker, and each that replaces one, map the data and work in the run's folder; returns when all do.

        Raises:
            BackendError: it cannot be mapped, or a call is running.
        """
        await self.all_ready()
        if data == self._data and folder == self._folder:
            return
        if len(self._idle) != len(self._slots) * self._threads:
            raise BackendError("cannot publish data while calls are running: wait for them or cancel them")
        self._data, self._folder = data, folder
        self._idle.clear()
        for worker in self._slots:
            assert worker is not None
            self._set_up(worker)
        await self.all_ready()

    async def renew(self) -> None:
        """End all workers and wait until they have ended. `take` starts the next ones as they are needed.

        Raises:
            BackendError: the pool is broken.
        """
        await self.all_ready()
        ending = set(self._living)
        self._idle.clear()
        self._slots = [None] * len(self._slots)
        for worker in ending:
            worker.child.kill()
        while ending & self._living.keys():
            self._changed.clear()
            await self._changed.wait()

    def _start_missing(self, most: int, cold: bool | None = None) -> None:
        """Start workers in slots that have none, at most so many."""
        for slot in [slot for slot, worker in enumerate(self._slots) if worker is None][: max(0, most)]:
            self._start(slot, cold)

    def take_now(self) -> Lane | None:
        """The lane that has been idle longest, if there is one and no call waits for it."""
        return self._idle.popleft() if self._idle and not self._waiting else None

    def take_next(self) -> Lane | None:
        """A lane behind whose running call another may wait."""
        return next((lane for lane in self._lanes() if lane.accepts_next and not lane.cold), None)

    @property
    def next_calls(self) -> int:
        """The calls that wait behind another."""
        return sum([worker.waiting for worker in self._slots if worker is not None])

    def pids(self) -> list[int]:
        """The process ids of the workers that are there."""
        return [worker.child.pid for worker in self._slots if worker is not None]

    def _lanes(self) -> Iterator[Lane]:
        return (lane for worker in self._slots if worker is not None for lane in worker.lanes)

    async def take(self) -> Lane:
        """Wait for the next free lane. It returns to the pool by itself when its call is answered.

        Raises:
            BackendError: the pool is broken.
        """
        while True:
            if self._broken is not None:
                raise self._broken
            waiting: asyncio.Future[Lane] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            if None in self._slots:
                self._start_missing(math.ceil(len(self._waiting) / self._threads) - self._starting, cold=True)
            try:
                lane = await waiting
            except asyncio.CancelledError:
                if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                    self._free(waiting.result())  # the lane came in the same turn of the loop as the cancel
                raise
            if not lane.worker.ended:
                return lane

    def replace(self, worker: WorkerProcess) -> None:
        """End a process in mid-call, at once, and start the next."""
        if worker.ended:
            return
        worker.replaced = True
        worker.child.kill()
        worker.detach()
        self._renew(worker)

    @property
    def _starting(self) -> int:
        return sum(worker is not None and not worker.was_ready for worker in self._slots)

    # -- lanes come free

    def _free(self, lane: Lane) -> None:
        if not lane.worker.ready or lane.reply is not None:  # being set up (`_is_ready` follows), ended, or it goes on
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(lane)
                return
        self._idle.append(lane)

    # -- workers come and go

    def _start(self, slot: int, cold: bool | None = None) -> None:
        generation = self._generations[slot]
        self._generations[slot] += 1
        suffix = f".{generation}" if generation else ""
        names = [f"{self._letter}{slot * self._threads + i}{suffix}" for i in range(self._threads)]
        guard, number = self._guard, next(self._numbers)
        assert guard is not None
        try:
            worker = WorkerProcess(
                names, {**self._env, **guard.variables(number)}, on_reply=self._free, on_end=self._ended
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            self._break(f"cannot start a worker process of {self._name} ({why}): lower its concurrency")
            return
        for lane in worker.lanes:
            lane.cold = cold
        self._slots[slot] = worker
        self._living[worker] = number
        guard.watch(worker.child.pid)
        self.environments.extend(lane.info for lane in worker.lanes)
        self._set_up(worker)

    def _set_up(self, worker: WorkerProcess) -> None:
        data = str(self._data.path) if self._data is not None else None
        folder = str(self._folder) if self._folder is not None else None
        worker.set_up(self._preload, data, folder, self._is_ready)

    def _is_ready(self, worker: WorkerProcess, why_not: str | None) -> None:
        if why_not is not None:
            kind, _, message = why_not.partition(": ")
            hint = missing_hint(kind, message) if ":" in (self._preload or "") else ""
            self._break(f"cannot set up a worker of {self._name}: {why_not}{hint}")
            return
        self._failed_starts[self._slots.index(worker)] = 0
        for lane in worker.lanes:
            self._free(lane)
        self._changed.set()

    def _ended(self, worker: WorkerProcess) -> None:
        number = self._living.pop(worker)
        if self._guard is not None:
            self._guard.let_go(worker.child.pid, number)
        if worker in self._slots and not worker.was_ready:
            self._failed_starts[self._slots.index(worker)] += 1
        self._renew(worker)
        self._changed.set()

    def _renew(self, worker: WorkerProcess) -> None:
        if self._broken is not None or worker not in self._slots:
            return
        self._idle = deque(lane for lane in self._idle if lane.worker is not worker)
        slot = self._slots.index(worker)
        if self._failed_starts[slot] < _STARTS:
            self._start(slot, None if worker.lanes[0].cold is None else True)
            return
        lines = [line.strip() for line in worker.tail().splitlines() if line.strip()]
        why = lines[-1] if lines else f"it {describe_exit(worker.child.returncode)}"
        self._break(f"a worker of {self._name} failed {_STARTS} times to start: {why}")

    def _break(self, why: str) -> None:
        if self._broken is None:
            self._broken = BackendError(why)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(self._broken)
        self._changed.set()
