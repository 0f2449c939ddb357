"""Drives one job over one backend: concurrency, retries, hedging, budget, cancel and pause, the same for all backends.

The only clock is the event loop's, and nothing here knows a thread or a socket, so the same code runs in virtual
time. What the job itself computes (making tasks, decoding, merging) goes through `engine.steps`, outside the loop; what
an attempt is, is `engine.attempts`'.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from lbench.engine.attempts import Attempts
from lbench.engine.backends.base import OVER_BUDGET, Backend, Outcome
from lbench.engine.blame import tally
from lbench.engine.budget import OverBudget, Purse
from lbench.engine.events import StageEnded, StageStarted, Warned
from lbench.engine.journal import Sink
from lbench.engine.pending import Pending
from lbench.engine.policy import Policy, backoff_s
from lbench.engine.steps import Offload, RunFailed, Steps, inline, measured, offload_to_thread
from lbench.engine.stragglers import Stragglers
from lbench.errors import LbenchError
from lbench.workloads.model import Job, Task
from lbench.workloads.objects import Place

__all__ = ["Policy", "RunCancelled", "RunFailed", "Runner", "backoff_s", "inline", "offload_to_thread"]


class RunCancelled(LbenchError):
    """The run was told to stop."""


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
        purse: Purse | None = None,
        store: Callable[[], Place] | None = None,
    ) -> None:
        """`on_result(stage, index, task, encoded result)` is called on the loop: it must be quick.

        `store()` gives the place of the run's store; it is called where the job's own code runs (`steps`).
        """
        self.steps = Steps(offload, store)
        self.attempts = Attempts(run_id, backend, sink, policy)
        self._run_id = run_id
        self._sink = sink
        self._policy = policy
        self._on_result = on_result
        self._purse = purse
        self._tasks: list[Task] = []
        self._rng = random.Random(policy.seed)
        self._loop = asyncio.get_running_loop()
        self._capacity = backend.capacity if policy.concurrency is None else policy.concurrency
        self._taken_s = self._loop.time()  # when the service last took a call
        self._in_flight: set[asyncio.Task[None]] = set()
        self._unbegun: dict[asyncio.Task[None], Pending] = {}  # of those, the ones that have not had their turn yet
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by task: those that wait to be tried again
        self._held = 0  # places kept by throttled tasks until they try again
        self._ready: deque[Pending] = deque()
        self._doubles: deque[Pending] = deque()  # stragglers to be issued once more, when there is a place
        self._stragglers = None if policy.hedge is None else Stragglers(policy.hedge, self._issue_again)
        self._missing = 0
        self._results: list[Any] = []
        self._failed: list[str] = []  # why each task that failed for good did, where the run keeps going
        self._costs_s: list[tuple[float, float]] = []  # of the stage's tasks: computing, and the rest of the round trip
        self._stage = -1
        self._stage_done: asyncio.Future[None] | None = None
        self._paused = False
        self._cancelled = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's clock started."""
        return self.attempts.elapsed_s

    def start_clock(self, at_s: float | None = None) -> float:
        """Now is the run's zero (or `at_s` was, on the loop's clock); returns it."""
        return self.attempts.start_clock(at_s)

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
            OverBudget: what is left of the budget is not enough for another attempt.
        """
        results: list[Any] | None = None
        while True:
            if self._cancelled:
                raise RunCancelled("the run was cancelled")
            tasks, answer = await self.steps.advance(job, results)
            if tasks is None:
                return answer
            self._tasks = tasks
            encoded = await self.steps.encode(tasks)
            began_s = self.elapsed_s
            raw = await self._run_stage(encoded)
            elapsed_s = self.elapsed_s - began_s
            decoded = await self.steps.decode(raw)
            results = measured(decoded, self._costs_s, elapsed_s=elapsed_s, places=self._capacity)

    # -- one stage

    async def _run_stage(self, encoded: list[bytes]) -> list[Any]:
        self._stage += 1
        now_s = self.elapsed_s
        self._sink.write(StageStarted(run=self._run_id, index=self._stage, tasks=len(encoded), at_s=now_s))
        self._results = [None] * len(encoded)
        self._costs_s = []
        self._missing = len(encoded)
        self._ready = deque(Pending(i, data, now_s) for i, data in enumerate(encoded))
        if self._stragglers is not None:
            self._stragglers.begin_stage(len(encoded))
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
        self._doubles.clear()
        if self._stragglers is not None:
            self._stragglers.stop()
        if self._purse is not None:
            self._purse.wait(None)
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

    # -- dispatch

    def _fill(self) -> None:
        done = self._stage_done
        while (
            done is not None
            and not done.done()
            and not self._paused
            and len(self._in_flight) + self._held < self._capacity
            and (pending := self._next()) is not None
        ):
            task = self._loop.create_task(self._attempt(pending))
            self._in_flight.add(task)
            if pending.hold is not None:
                self._unbegun[task] = pending
            task.add_done_callback(self._attempt_over)

    def _next(self) -> Pending | None:
        """What to dispatch now, stragglers first; None where there is nothing, or no money for it at the moment."""
        while self._doubles:
            pending = self._doubles.popleft()
            if pending.flying and not pending.done and self._pay_for(pending):
                return pending
            assert self._stragglers is not None
            self._stragglers.withdraw(pending)  # it has come while its double waited, or there is no money to spare
        if not self._ready:
            return None
        if not self._pay_for(self._ready[0]):
            self._wait_for_money()
            return None
        return self._ready.popleft()

    def _pay_for(self, pending: Pending) -> bool:
        """Keep back what its next attempt may cost; False: there is not enough."""
        if self._purse is None:
            return True
        pending.hold = self._purse.take()
        return pending.hold is not None

    def _wait_for_money(self) -> None:
        """What is in flight may cost less than is kept for it; if nothing is, there is nothing to wait for."""
        purse = self._purse
        assert purse is not None
        if not purse.in_use:
            self._finish_stage(OverBudget(purse.why_it_stopped()))
            return
        purse.wait(self._fill)
        note = purse.limited(len(self._in_flight), self._capacity)
        if note is not None:
            self._sink.write(Warned("budget", note, self._run_id))

    async def _attempt(self, pending: Pending) -> None:
        if pending.hold is not None:
            del self._unbegun[asyncio.current_task()]  # type: ignore[arg-type]
        outcome, took_s = await self.attempts.make(pending, self._stage, self._stragglers)
        self._settle(pending, outcome, took_s)

    def _attempt_over(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        unbegun = self._unbegun.pop(task, None) if self._unbegun else None
        if unbegun is not None and unbegun.hold is not None:  # cancelled before it did anything
            unbegun.hold.give_back()
        if not task.cancelled() and (error := task.exception()) is not None:
            failed = error if isinstance(error, LbenchError) else RunFailed(f"{type(error).__name__}: {error}")
            self._finish_stage(failed)
        self._fill()

    def _issue_again(self, stragglers: list[Pending]) -> None:
        for pending in stragglers:
            pending.queued_s = self.elapsed_s
        self._doubles.extend(stragglers)
        self._fill()

    # -- what follows from an outcome

    def _settle(self, pending: Pending, outcome: Outcome, took_s: float) -> None:
        failure = outcome.failure
        if failure is None or not failure.untaken:
            self._taken_s = self._loop.time()
        if self._stage_done is None or self._stage_done.done() or pending.done:
            return  # it came too late: recorded, and that is all
        if failure is None or outcome.result is not None:  # it may be the failure that was to be measured
            self._take(pending, outcome, took_s)
            return
        if failure.type == OVER_BUDGET:
            self._finish_stage(OverBudget(f"stopped by --max-usd: task {pending.index}: {failure.message}"))
            return
        if pending.flying:
            return  # its double, or what it doubles, may still answer
        wait_s = pending.wait_before_retry(
            failure, self._policy, self._rng, now_s=self._loop.time(), taken_s=self._taken_s
        )
        if wait_s is None:
            self._give_up(pending, pending.why_it_failed(failure, self._policy))
        elif wait_s <= 0:
            self._again(pending)
        else:
            # A throttled task keeps its place: what were sent in its stead would only be throttled as well.
            pending.holds = failure.untaken
            self._held += pending.holds
            self._timers[pending.index] = self._loop.call_later(wait_s, self._again, pending)

    def _give_up(self, pending: Pending, why: str) -> None:
        """The task has failed for good, and so has the run: at once, or when its stage's other tasks have run."""
        if not self._policy.keep_going:
            self._finish_stage(RunFailed(why))
            return
        pending.done = True
        self._failed.append(why)
        self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._finish_stage(RunFailed(tally(self._failed, len(self._results))) if self._failed else None)

    def _take(self, pending: Pending, outcome: Outcome, took_s: float) -> None:
        """The task has its result."""
        pending.done = True
        if outcome.compute_ms is not None:
            compute_s = outcome.compute_ms / 1000
            once_s = ((outcome.connect_ms or 0.0) + (outcome.init_ms or 0.0) + (outcome.fetch_ms or 0.0)) / 1000
            self._costs_s.append((compute_s, max(0.0, took_s - compute_s - once_s)))
        self._results[pending.index] = outcome.result
        if self._on_result is not None:
            self._on_result(self._stage, pending.index, self._tasks[pending.index], outcome.result)
        self._one_less()
        if self._missing and self._stragglers is not None:
            self._stragglers.returned(took_s - outcome.collected_s)

    def _again(self, pending: Pending) -> None:
        self._timers.pop(pending.index, None)
        pending.queued_s = self.elapsed_s
        if pending.holds:
            pending.holds = False
            self._held -= 1
            self._ready.appendleft(pending)
        else:
            self._ready.append(pending)
        self._fill()
