"""Drives one job over one backend: concurrency, retries, deadlines, cancel and pause, the same for all backends.

The only clock is the event loop's, and nothing here knows a thread or a socket, so the same code runs in virtual
time. What the job itself computes (making tasks, decoding, merging) goes through `offload`, outside the loop.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from lbench.engine.backends.base import SIBLING_LOST, Backend, Call, Failure, Outcome
from lbench.engine.events import Dispatched, Returned, StageEnded, StageStarted
from lbench.engine.journal import Sink
from lbench.engine.model import ErrorInfo
from lbench.errors import LbenchError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Job, StageResults, Task

__all__ = ["Policy", "RunCancelled", "RunFailed", "Runner", "backoff_s", "inline", "offload_to_thread"]

T = TypeVar("T")
Offload = Callable[..., Awaitable[Any]]

_THROTTLE_PATIENCE_S = 300.0  # so long, and a deadline, without any call being taken: then the run fails
_SIBLINGS_LIMIT = 100  # a task lost so often with its neighbours is not merely unlucky


class Policy(msgspec.Struct, frozen=True):
    """How a run treats its tasks."""

    timeout_s: float = 300.0  # a task's deadline
    retries: int = 2  # more attempts after a failed one; throttles and lost siblings don't count
    concurrency: int | None = None  # None: the backend's capacity
    seed: int = 1  # of the backoff's jitter
    backoff_base_s: float = 0.1
    backoff_cap_s: float = 20.0


class RunFailed(LbenchError):
    """The run has no answer: a task failed for good, or the job itself did."""


class RunCancelled(LbenchError):
    """The run was told to stop."""


async def inline(function: Callable[..., T], *arguments: Any) -> T:
    """`offload` for virtual time: in place."""
    return function(*arguments)


async def offload_to_thread(function: Callable[..., T], *arguments: Any) -> T:
    """`offload` for real time: in a thread, so that the loop keeps stamping responses."""
    return await asyncio.to_thread(function, *arguments)


def backoff_s(policy: Policy, failures: int, rng: random.Random) -> float:
    """Seconds before the next attempt, after `failures` (from 1) of them: full jitter under a capped exponential.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015), the variant 'full jitter'.
    """
    ceiling = min(policy.backoff_cap_s, policy.backoff_base_s * 2 ** min(failures - 1, 30))
    return rng.uniform(0, ceiling)


class _Pending:
    """A task of the current stage on its way to a result."""

    __slots__ = (
        "attempts",
        "encoded",
        "failures",
        "holds",
        "index",
        "queued_s",
        "siblings",
        "throttled_since_s",
        "throttles",
    )

    def __init__(self, index: int, encoded: bytes, queued_s: float) -> None:
        self.index = index
        self.encoded = encoded
        self.queued_s = queued_s
        self.attempts = 0
        self.failures = 0
        self.throttles = 0
        self.siblings = 0
        self.holds = False  # keeps its place among the concurrent ones while it waits
        self.throttled_since_s: float | None = None


class Runner:
    """One run. `await run(job)` gives the answer; `cancel`, `pause` and `resume` may be called meanwhile."""

    def __init__(
        self,
        run_id: str,
        backend: Backend,
        sink: Sink,
        policy: Policy,
        *,
        offload: Offload = inline,
        on_result: Callable[[int, int, Task, Any], None] | None = None,
    ) -> None:
        """`on_result(stage, index, task, encoded result)` is called on the loop: it must be quick."""
        self.encode_s = 0.0
        self.decode_s = 0.0
        self.merge_s = 0.0
        self.s3_put = 0
        self.s3_get = 0
        self._run_id = run_id
        self._backend = backend
        self._sink = sink
        self._policy = policy
        self._offload = offload
        self._on_result = on_result
        self._tasks: list[Task] = []
        self._rng = random.Random(policy.seed)
        self._loop = asyncio.get_running_loop()
        self._capacity = backend.capacity if policy.concurrency is None else policy.concurrency
        self._patience_s = policy.timeout_s + backend.start_allowance_s
        self._zero_s = self._loop.time()
        self._taken_s = self._zero_s  # when an outcome last was no throttle
        self._next_n = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by task: those that wait to be tried again
        self._held = 0  # places kept by throttled tasks until they try again
        self._ready: deque[_Pending] = deque()
        self._missing = 0
        self._results: list[Any] = []
        self._costs_s: list[tuple[float, float]] = []  # of the stage's tasks: computing, and the rest of the round trip
        self._stage = -1
        self._stage_done: asyncio.Future[None] | None = None
        self._paused = False
        self._cancelled = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's clock started."""
        return self._loop.time() - self._zero_s

    def start_clock(self) -> float:
        """Now is the run's zero; returns it on the loop's clock."""
        self._zero_s = self._loop.time()
        return self._zero_s

    def pause(self) -> None:
        """Dispatch nothing more until `resume`; what is running goes on."""
        self._paused = True

    def resume(self) -> None:
        """Dispatch again."""
        self._paused = False
        self._fill()

    def cancel(self) -> None:
        """Stop at once: nothing more is dispatched, what is running is abandoned."""
        self._cancelled = True
        self._finish_stage(RunCancelled("the run was cancelled"))

    async def run(self, job: Job) -> Any:
        """Drive the job to its answer.

        Raises:
            RunFailed: a task or the job failed; the message says which and why.
            RunCancelled: `cancel` was called.
        """
        results: list[Any] | None = None
        while True:
            if self._cancelled:
                raise RunCancelled("the run was cancelled")
            tasks, answer = await self._offload(self._advance, job, results)
            if tasks is None:
                return answer
            self._tasks = tasks
            encoded = await self._offload(self._encode, tasks)
            began_s = self.elapsed_s
            raw = await self._run_stage(encoded)
            elapsed_s = self.elapsed_s - began_s
            results = self._measured(await self._offload(self._decode, raw), elapsed_s)

    # -- the job's own code; runs wherever `offload` puts it

    def _advance(self, job: Job, results: list[Any] | None) -> tuple[list[Task] | None, Any]:
        started = time.perf_counter()
        try:
            tasks = next(job) if results is None else job.send(results)
        except StopIteration as end:
            return None, end.value
        except (Exception, SystemExit) as error:  # the job is the workload's own code: it may raise anything
            raise RunFailed(f"the job itself failed: {type(error).__name__}: {error}") from error
        finally:
            self.merge_s += time.perf_counter() - started
        if not isinstance(tasks, list) or not all(isinstance(task, Task) for task in tasks):
            raise RunFailed(f"the job must yield lists of tasks, not {type(tasks).__name__}")
        return tasks, None

    def _encode(self, tasks: list[Task]) -> list[bytes]:
        started = time.perf_counter()
        try:
            return [encode([task.function, task.arguments]) for task in tasks]
        except LbenchError as error:
            raise RunFailed(f"a task's arguments cannot be sent: {error}") from None
        finally:
            self.encode_s += time.perf_counter() - started

    def _decode(self, raw: list[Any]) -> list[Any]:
        started = time.perf_counter()
        try:
            return [decode(data) for data in raw]
        except LbenchError as error:
            raise RunFailed(f"a result cannot be read: {error}") from None
        finally:
            self.decode_s += time.perf_counter() - started

    def _measured(self, results: list[Any], elapsed_s: float) -> StageResults:
        computing, other = zip(*self._costs_s, strict=True) if self._costs_s else ((), ())
        return StageResults(
            results,
            elapsed_s=elapsed_s,
            task_s=statistics.median(computing) if computing else None,
            overhead_s=statistics.median(other) if other else None,
            places=self._capacity,
        )

    # -- one stage

    async def _run_stage(self, encoded: list[bytes]) -> list[Any]:
        self._stage += 1
        now_s = self.elapsed_s
        self._sink.write(StageStarted(run=self._run_id, index=self._stage, tasks=len(encoded), at_s=now_s))
        self._results = [None] * len(encoded)
        self._costs_s = []
        self._missing = len(encoded)
        self._ready = deque(_Pending(i, data, now_s) for i, data in enumerate(encoded))
        if self._missing:
            self._stage_done = self._loop.create_future()
            if self._cancelled:
                raise RunCancelled("the run was cancelled")
            self._fill()
            try:
                await self._stage_done
            finally:
                self._stage_done = None
                await self._abandon()
        self._sink.write(StageEnded(run=self._run_id, index=self._stage, at_s=self.elapsed_s))
        return self._results

    async def _abandon(self) -> None:
        """Cancel whatever is still in flight; each backend leaves itself able to go on."""
        self._ready.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._held = 0
        tasks = list(self._in_flight)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def _finish_stage(self, error: LbenchError | None = None) -> None:
        if self._stage_done is None or self._stage_done.done():
            return
        if error is None:
            self._stage_done.set_result(None)
        else:
            self._stage_done.set_exception(error)

    def _fill(self) -> None:
        done = self._stage_done
        while (
            self._ready
            and len(self._in_flight) + self._held < self._capacity
            and not self._paused
            and done is not None
            and not done.done()
        ):
            task = self._loop.create_task(self._attempt(self._ready.popleft()))
            self._in_flight.add(task)
            task.add_done_callback(self._attempt_over)

    def _attempt_over(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failed = error if isinstance(error, LbenchError) else RunFailed(f"{type(error).__name__}: {error}")
            self._finish_stage(failed)
        self._fill()

    async def _attempt(self, pending: _Pending) -> None:
        n, self._next_n = self._next_n, self._next_n + 1
        attempt, pending.attempts = pending.attempts, pending.attempts + 1
        dispatched = Dispatched(
            run=self._run_id,
            n=n,
            stage=self._stage,
            task=pending.index,
            attempt=attempt,
            queued_s=pending.queued_s,
            dispatched_s=self.elapsed_s,
        )
        self._sink.write(dispatched)

        def placed(environment: str) -> None:
            dispatched.environment = environment

        call = Call(
            task=pending.encoded,
            stage=self._stage,
            index=pending.index,
            attempt=attempt,
            deadline_s=self._policy.timeout_s,
            placed=placed,
        )
        try:
            async with asyncio.timeout(self._patience_s):
                outcome = await self._backend.invoke(call)
        except TimeoutError:
            message = f"no result within the deadline of {self._policy.timeout_s:g} s"
            outcome = Outcome(failure=Failure("timeout", "DeadlineExceeded", message, retriable=True))
        except asyncio.CancelledError:
            self._sink.write(
                Returned(
                    run=self._run_id,
                    n=n,
                    status="cancelled",
                    returned_s=self.elapsed_s,
                    environment=dispatched.environment,
                )
            )
            raise
        except Exception as error:  # the backend has broken down; the record stays whole: what was begun has an end
            failure = Failure("error", type(error).__name__, str(error), retriable=False)
            self._record(n, dispatched.environment, Outcome(failure=failure))
            raise
        self._record(n, dispatched.environment, outcome)
        if outcome.failure is None and outcome.compute_ms is not None:
            returned_s = (self._loop.time() if outcome.returned_s is None else outcome.returned_s) - self._zero_s
            compute_s = outcome.compute_ms / 1000
            once_s = ((outcome.connect_ms or 0.0) + (outcome.init_ms or 0.0) + (outcome.fetch_ms or 0.0)) / 1000
            self._costs_s.append((compute_s, max(0.0, returned_s - dispatched.dispatched_s - compute_s - once_s)))
        self._settle(pending, outcome)

    def _record(self, n: int, placed: str | None, outcome: Outcome) -> None:
        failure = outcome.failure
        self.s3_put += outcome.s3_requests.get("put", 0)
        self.s3_get += outcome.s3_requests.get("get", 0)
        zero_s = self._zero_s
        self._sink.write(
            Returned(
                run=self._run_id,
                n=n,
                status="ok" if failure is None else failure.kind,
                returned_s=(self._loop.time() if outcome.returned_s is None else outcome.returned_s) - zero_s,
                environment=outcome.environment or placed,
                cold=outcome.cold,
                started_s=None if outcome.started_s is None else outcome.started_s - zero_s,
                finished_s=None if outcome.finished_s is None else outcome.finished_s - zero_s,
                connect_ms=outcome.connect_ms,
                init_ms=outcome.init_ms,
                fetch_ms=outcome.fetch_ms,
                compute_ms=outcome.compute_ms,
                billed_ms=outcome.billed_ms,
                billed_source=outcome.billed_source,
                memory_mb=outcome.memory_mb,
                max_memory_mb=outcome.max_memory_mb,
                request_bytes=outcome.request_bytes,
                response_bytes=outcome.response_bytes,
                via_s3=outcome.via_s3,
                s3_put=outcome.s3_requests.get("put", 0),
                s3_get=outcome.s3_requests.get("get", 0),
                request_id=outcome.request_id,
                log_tail=failure.log_tail if failure else None,
                error=ErrorInfo(failure.type, failure.message, failure.retriable) if failure else None,
            )
        )

    # -- what follows from an outcome

    def _settle(self, pending: _Pending, outcome: Outcome) -> None:
        failure = outcome.failure
        if failure is None or failure.kind != "throttled":
            self._taken_s = self._loop.time()
        if self._stage_done is None or self._stage_done.done():
            return  # it came while the stage is being abandoned: recorded, and that is all
        if failure is None:
            self._results[pending.index] = outcome.result
            if self._on_result is not None:
                self._on_result(self._stage, pending.index, self._tasks[pending.index], outcome.result)
            self._missing -= 1
            if not self._missing:
                self._finish_stage()
            return
        wait_s = self._wait_before_retry(pending, failure)
        if wait_s is None:
            tries = f" after {pending.attempts} attempts" if pending.attempts > 1 else ""
            if failure.kind == "throttled":
                tries += f", all throttled for {_THROTTLE_PATIENCE_S + self._policy.timeout_s:g} s"
            self._finish_stage(RunFailed(f"task {pending.index} failed{tries}: {failure.type}: {failure.message}"))
        elif wait_s <= 0:
            self._again(pending)
        else:
            # A throttled task keeps its place: what were sent in its stead would only be throttled as well.
            pending.holds = failure.kind == "throttled"
            self._held += pending.holds
            self._timers[pending.index] = self._loop.call_later(wait_s, self._again, pending)

    def _wait_before_retry(self, pending: _Pending, failure: Failure) -> float | None:
        """Seconds to wait before the task is tried again; None: it is not."""
        if failure.kind == "throttled":
            now_s = self._loop.time()
            if pending.throttled_since_s is None:
                pending.throttled_since_s = now_s
            # While others are taken the service is only full, however long one task has to wait for its turn.
            since_s = max(pending.throttled_since_s, self._taken_s)
            if now_s - since_s > _THROTTLE_PATIENCE_S + self._policy.timeout_s:
                return None
            pending.throttles += 1
            wait_s = backoff_s(self._policy, pending.throttles, self._rng)
            return max(wait_s, min(failure.retry_after_s or 0.0, self._policy.backoff_cap_s))
        pending.throttled_since_s = None
        if failure.type == SIBLING_LOST:
            pending.siblings += 1
            return 0.0 if pending.siblings <= _SIBLINGS_LIMIT else None
        pending.failures += 1
        if not failure.retriable or pending.failures > self._policy.retries:
            return None
        return backoff_s(self._policy, pending.failures, self._rng)

    def _again(self, pending: _Pending) -> None:
        self._timers.pop(pending.index, None)
        pending.queued_s = self.elapsed_s
        if pending.holds:
            pending.holds = False
            self._held -= 1
            self._ready.appendleft(pending)
        else:
            self._ready.append(pending)
        self._fill()
