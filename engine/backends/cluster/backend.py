"""The base of the cluster backends: slots, calls as bytes, clocks, missing files of a worker, deadlines.

A call goes to the slot with the fewest calls under way; a slot that joins later is used from then on, and the calls of one
that is lost fail as attempts, which the runner repeats. Nothing is retried here.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from lbench.engine.backends.base import Call, EnvironmentInfo, Failure, Outcome, Published
from lbench.engine.backends.cluster.shared_store import SharedStore
from lbench.engine.backends.cluster.slots import Slots
from lbench.engine.backends.lambda_.remote_clock import RemoteClock
from lbench.errors import BackendError
from lbench.workloads.encoding import decode
from lbench.workloads.objects import Place
from lbench.workloads.own.importer import is_pinned, pinned_parts
from lbench.workloads.own.snapshot import read_snapshot
from lbench.workloads.s3 import ObjectStoreError

__all__ = ["DEADLINE_EXCEEDED", "WORKER_LOST", "ClusterBackend", "LostWorker", "Workers"]

DEADLINE_EXCEEDED = "DeadlineExceeded"  # Failure.type: the task took longer than it may
WORKER_LOST = "WorkerLost"  # Failure.type: the worker or its connection ended under the call
_LATE_S = 5.0  # that a worker has to stop a task at its deadline before the call is given up
_WORTH_MS = 200.0  # so much work is handed to a worker ahead: it never waits for the next call
_MOST_AHEAD = 64
_LEAST_MS = 0.5  # a task is never counted as shorter: handing it over takes as long


class LostWorker(Exception):
    """The worker of a call has ended."""


class Workers(Protocol):
    """How bytes reach workers. `slots` changes while workers join and leave; `changed` is called then."""

    slots: list[str]  # each runs one call at a time
    broken: str | None  # why no call can be sent any more
    notes: list[str]
    changed: Callable[[], None]

    @property
    def count(self) -> int:
        """The workers that are paid for: one may have several slots."""
        ...

    async def open(self) -> None:
        """Connect, or start what is needed.

        Raises:
            BackendError: it cannot be reached; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Disconnect, and stop what was started."""
        ...

    async def send(self, slot: str, request: dict[str, Any]) -> bytes:
        """Run `remote.run` with this request, encoded, in a slot and return its answer.

        Raises:
            LostWorker: the worker has ended, or cannot be reached any more.
            BackendError: the whole cluster has gone.
        """
        ...

    async def stop(self, slot: str, call: str) -> None:
        """Stop a running call, as far as that is possible."""
        ...

    def replaced(self, slot: str) -> None:
        """Use this worker no more until it is found again: another process than before answers there."""
        ...


class ClusterBackend:
    """Runs calls on workers that are not lbench's own. See `lbench.engine.backends.base.Backend`, and `Elastic`."""

    origin: Literal["measured", "emulated", "simulated"] = "measured"
    transport: str | None = None
    package_digest: str | None = None
    on_cancel: Literal["stop", "detach"] = "stop"
    start_allowance_s = 120.0  # a worker's first call imports the libraries, and may be sent the data
    oversubscribed = False

    def __init__(
        self,
        workers: Workers,
        *,
        workload: str,
        blas_threads: int = 1,
        store: SharedStore | None = None,
        settings: dict[str, str | int | float | bool | None] | None = None,
        concurrency: int | None = None,
    ) -> None:
        """`concurrency`: use so many slots at most."""
        self.settings = settings or {}
        self.own_s3: dict[str, int] = {}
        self.on_growth: Callable[[], None] = lambda: None
        self._workers = workers
        self._workload = workload
        self._code = _code_of(workload)
        self._files: dict[str, bytes] | None = None
        self._blas = blas_threads
        self._store = store
        self._exchanges = False  # whether tasks have been given a place in the store
        self._concurrency = concurrency
        self._data: dict[str, Any] | None = None
        self._content: bytes | None = None
        self._slots = Slots()
        self._compute_ms: float | None = None  # of the tasks lately
        self._known: dict[str, tuple[EnvironmentInfo, RemoteClock]] = {}
        self._calls = 0
        self._counts: list[tuple[float, int]] = []  # the workers from each moment on

    @property
    def notes(self) -> list[str]:
        return self._workers.notes

    @property
    def capacity(self) -> int:
        """The slots that there are, times the calls handed to each ahead."""
        return max(1, len(self._slots)) * self._slots.ahead

    @property
    def workers(self) -> int:
        return self._workers.count

    def worker_seconds(self, since_s: float, until_s: float) -> float:
        ends = [*(at_s for at_s, _ in self._counts[1:]), math.inf]
        return sum(
            count * max(0.0, min(end_s, until_s) - max(at_s, since_s))
            for (at_s, count), end_s in zip(self._counts, ends, strict=True)
        )

    async def __aenter__(self) -> Self:
        self._workers.changed = self._refresh
        try:
            if self._store is not None:
                await self._store.open()
            await self._workers.open()
        except BaseException:
            if self._store is not None:
                await self._store.close()
            raise
        self._refresh()
        self.settings["concurrency"] = self.capacity
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._workers.close()
        finally:
            if self._store is not None:
                await self._store.close()

    def _refresh(self) -> None:
        before = self.capacity
        self._counts.append((asyncio.get_running_loop().time(), self._workers.count))
        self._slots.update(self._workers.slots[: self._concurrency])
        if self._workers.broken is not None:
            self._slots.fail(BackendError(self._workers.broken))
        elif self.capacity > before:
            self.on_growth()

    async def publish(self, data: Published | None) -> None:
        """Note the data set: a worker that lacks it is sent it with its first call, and checks the digest."""
        path = None if data is None else str(data.path)
        if self._data is None or data is None or self._data["digest"] != data.digest:
            self._content = None
        self._data = None if data is None else {"digest": data.digest, "path": path}
        self._compute_ms, self._slots.ahead = None, 1

    async def renew(self) -> None:
        raise BackendError("the workers of a cluster cannot be restarted from here: leave out --cold-repeats")

    async def invoke(self, call: Call) -> Outcome:
        slot = await self._slots.take()
        self._calls += 1
        name = f"{call.run}-{call.number}-{self._calls}"
        loop = asyncio.get_running_loop()
        request: dict[str, Any] = {
            "call": name, "task": bytes(call.task), "deadline_s": call.deadline_s, "blas": self._blas,
            "workload": self._workload, "code": self._code, "data": self._data,
            "s3": self._store.s3 if self._store is not None and self._exchanges else None,
        }  # fmt: skip
        outcome = Outcome(request_bytes=len(call.task), environment=slot)
        sent_s = loop.time()
        try:
            async with asyncio.timeout(call.deadline_s + self.start_allowance_s + _LATE_S):
                answer = await self._ask(slot, request)
        except TimeoutError:
            await self._workers.stop(slot, name)
            outcome.failure = _too_late(call.deadline_s)
            return outcome
        except LostWorker as lost:
            outcome.ended = True
            if loop.time() - sent_s > call.deadline_s:  # a task that nothing else stops ends with its worker
                outcome.failure = _too_late(call.deadline_s)
            else:
                outcome.failure = Failure("error", WORKER_LOST, str(lost), retriable=True)
            return outcome
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._workers.stop(slot, name))
            raise
        finally:
            self._slots.give(slot)
        self._fill(outcome, answer, sent_s, loop.time())
        if answer.get("stopped"):
            outcome.failure = _too_late(call.deadline_s)
        elif error := answer.get("error"):
            kind, message, tail = error
            outcome.failure = Failure(
                "error", kind, message, retriable=kind == ObjectStoreError.__name__, log_tail=tail
            )
        else:
            outcome.result = answer["result"]
            outcome.response_bytes = len(answer["result"])
        return outcome

    async def _ask(self, slot: str, request: dict[str, Any]) -> dict[str, Any]:
        """Send a call, and once more with what the worker lacks."""
        answer: dict[str, Any] = await self._sent(slot, request)
        if needs := answer.get("needs"):
            if "data" in needs and self._data is not None:
                if self._content is None:
                    self._content = await asyncio.to_thread(Path(self._data["path"]).read_bytes)
                request["data"] = {**self._data, "content": self._content}
            if "code" in needs:
                request["code"] = {**(request["code"] or {}), "files": await asyncio.to_thread(self._all_files)}
            answer = await self._sent(slot, request)
            if answer.get("needs"):
                raise LostWorker(f"{slot} was restarted while it was being set up")
        return answer

    async def _sent(self, slot: str, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = decode(await self._workers.send(slot, request))
        if answer.get("moved"):
            self._workers.replaced(slot)
            raise LostWorker(f"the worker {slot} was restarted")
        return answer

    def _fill(self, outcome: Outcome, answer: dict[str, Any], sent_s: float, arrived_s: float) -> None:
        environment = str(answer["environment"])
        if environment not in self._known:
            self._known[environment] = EnvironmentInfo(environment, created_s=sent_s), RemoteClock()
        info, clock = self._known[environment]
        clock.observe(sent_s, answer["began"], answer["ended"], arrived_s)
        outcome.environment, outcome.returned_s = environment, arrived_s
        outcome.cold = bool(answer["cold"])
        outcome.fetch_ms, outcome.compute_ms = answer.get("fetch_ms"), answer.get("compute_ms")
        requests: dict[str, int] = answer.get("s3", {})
        outcome.s3_bytes = requests.pop("bytes", 0)
        outcome.s3_requests = requests
        if outcome.cold:
            outcome.init_ms = info.init_ms = answer.get("import_ms")
        began, ended = clock.local(answer["began"]), clock.local(answer["ended"])
        if began is not None and ended is not None:
            outcome.started_s = min(max(began, sent_s), arrived_s)
            outcome.finished_s = min(max(ended, outcome.started_s), arrived_s)
        if outcome.compute_ms is not None:
            self._look_ahead(outcome.compute_ms)

    def _look_ahead(self, compute_ms: float) -> None:
        """Hand over several short tasks ahead; a long one would wait behind another while a worker is idle."""
        before = self._compute_ms
        self._compute_ms = compute_ms if before is None else 0.9 * before + 0.1 * compute_ms
        self._slots.ahead = min(_MOST_AHEAD, max(1, int(_WORTH_MS / max(self._compute_ms, _LEAST_MS))))

    def _all_files(self) -> dict[str, bytes]:
        if self._files is None:
            self._files = read_snapshot(pinned_parts(self._workload)[0])
        return self._files

    def environments(self) -> list[EnvironmentInfo]:
        """All environments seen so far, with the current estimate of their clocks."""
        for info, clock in self._known.values():
            info.clock_offset_s, info.clock_bound_s = clock.offset_s, clock.bound_s
        return [info for info, _ in self._known.values()]

    async def left(self) -> list[str]:
        """Nothing: what a task leaves on a worker is not looked for there."""
        return []

    def temporary(self, run: str) -> Place | None:
        """A new place in the shared `store`; None: a folder of this machine is enough.

        Raises:
            BackendError: it cannot be made.
        """
        self._exchanges = True
        return None if self._store is None else self._store.temporary(run)

    async def clear(self, place: Place) -> None:
        assert self._store is not None
        await self._store.clear(place, self.own_s3)


def _code_of(workload: str) -> dict[str, Any] | None:
    """The code of a user's workload as a worker receives it; None: lbench's own workload."""
    if not is_pinned(workload):
        return None
    folder, module, function = pinned_parts(workload)
    return {"digest": folder.name, "module": module, "function": function}


def _too_late(deadline_s: float) -> Failure:
    return Failure("timeout", DEADLINE_EXCEEDED, f"no result within the deadline of {deadline_s:g} s", retriable=True)
