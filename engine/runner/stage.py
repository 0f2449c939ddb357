"""One stage of a run: dispatches, retries, hedges and pays for its tasks, until each has its result."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lbench.engine.backends.base import OVER_BUDGET, Backend, LooksAhead, Outcome
from lbench.engine.billing.budget import OverBudget, Purse
from lbench.engine.journal.events import Warned
from lbench.engine.journal.writer import Sink
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.attempt import Attempts
from lbench.engine.runner.failure_text import failures_line
from lbench.engine.runner.hedging import Stragglers
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.retry import Pending
from lbench.errors import LbenchError
from lbench.workloads.model import Task

__all__ = ["RunContext", "Stage"]


@dataclass(slots=True)
class RunContext:
    """What all stages of a run share."""

    run_id: str
    sink: Sink
    attempts: Attempts
    policy: Policy
    backend: Backend
    purse: Purse | None
    on_result: Callable[[int, int, Task, Any], None] | None
    rng: random.Random  # source of the backoff's jitter
    stragglers: Stragglers | None
    paused: bool = False

    @property
    def capacity(self) -> int:
        """The most attempts under way at once; a cluster's changes while workers join and leave."""
        wanted = self.policy.concurrency
        return self.backend.capacity if wanted is None else wanted


class Stage:
    """Runs with `await drive()`. `finish` ends it early; `fill` dispatches as many tasks as there are places for."""

    def __init__(self, run: RunContext, number: int, tasks: list[Task], encoded: list[bytes]) -> None:
        """`encoded`: the tasks as they are sent."""
        self.results: list[Any] = [None] * len(encoded)
        self.costs_s: list[tuple[float, float]] = []  # of each task: computing, and the rest of its round trip
        self._run = run
        self._number = number
        self._tasks = tasks
        self._policy = run.policy
        self._purse = run.purse
        self._stragglers = run.stragglers
        # With a budget the next attempt waits for a bill; a cancel that makes room must not meet a second call.
        simple = run.purse is None and run.stragglers is None and not run.attempts.interactive
        all_places = run.capacity >= run.backend.capacity
        self._looks_ahead = run.backend if simple and all_places and isinstance(run.backend, LooksAhead) else None
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._accepted_s = self._loop.time()  # when the service last accepted a call
        self._in_flight: dict[asyncio.Task[None], None] = {}  # in the order of dispatch
        self._recording: set[asyncio.Task[None]] = set()  # those in flight whose call is over
        self._unbegun: dict[asyncio.Task[None], Pending] = {}  # those in flight that have not begun to run
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by task index: the tasks that wait for their retry
        self._kept_places = 0  # by throttled tasks that wait for their retry
        queued_s = run.attempts.elapsed_s
        self._ready = deque(Pending(i, *both, queued_s) for i, both in enumerate(zip(tasks, encoded, strict=True)))
        self._duplicates: deque[Pending] = deque()  # stragglers whose duplicate waits for a place
        self._missing = len(encoded)
        self._failed: list[str] = []  # one line for each task that has failed for good, where the run keeps going

    async def drive(self) -> None:
        """Run the stage until each task has its result; nothing of it is under way afterwards.

        Raises:
            LbenchError: a task has failed for good, the budget is used up, or the error that `finish` was given.
        """
        if self._stragglers is not None:
            self._stragglers.begin_stage(len(self.results), self._queue_duplicates)
        if not self._missing:
            self.finish()
        self.fill()
        try:
            await self._done
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        """Cancel what is still in flight; every backend can take further calls afterwards."""
        self._ready.clear()
        self._duplicates.clear()
        if self._stragglers is not None:
            self._stragglers.stop()
        if self._purse is not None:
            self._purse.wait(None)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._kept_places = 0
        tasks = list(self._in_flight)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def finish(self, error: LbenchError | None = None) -> None:
        """End the stage now: with its results, or with the error that explains why there are none."""
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    # -- dispatch

    def fill(self) -> None:
        """Dispatch while there are tasks, places and budget."""
        while (dispatch := self._next_dispatch()) is not None:
            pending, ahead = dispatch
            task = self._loop.create_task(self._attempt(pending, ahead))
            self._in_flight[task] = None
            if pending.hold is not None:
                self._unbegun[task] = pending
            task.add_done_callback(self._attempt_over)

    def _next_dispatch(self, ended: int = 0) -> tuple[Pending, bool] | None:
        """The task to dispatch now, and whether it waits behind another; None: no task, place or budget.

        `ended`: how many of those in flight have ended.
        """
        if self._done.done() or self._run.paused:
            return None
        capacity = self._run.capacity
        taken = len(self._in_flight) - len(self._recording) + self._kept_places - ended
        waiting = 0 if self._looks_ahead is None or taken < capacity else self._looks_ahead.waiting
        ahead = taken - waiting >= capacity
        if (ahead and not self._may_look_ahead(taken, capacity)) or (pending := self._next()) is None:
            return None
        return pending, ahead

    def _may_look_ahead(self, taken: int, capacity: int) -> bool:
        """Whether one more task may wait in an environment. The last ones may not: each must take the first free place."""
        return (
            self._looks_ahead is not None and len(self._ready) > capacity and taken < capacity + self._looks_ahead.ahead
        )

    def _next(self) -> Pending | None:
        """The task to dispatch now, duplicates first; None: there is none, or no budget for it at the moment."""
        while self._duplicates:
            pending = self._duplicates.popleft()
            if pending.in_flight and not pending.done and self._pay_for(pending):
                return pending
            assert self._stragglers is not None
            self._stragglers.withdraw(pending)  # the result came meanwhile, or the budget is too small
        if not self._ready:
            return None
        if not self._pay_for(self._ready[0]):
            self._wait_for_budget()
            return None
        return self._ready.popleft()

    def _pay_for(self, pending: Pending) -> bool:
        """Reserve what its next attempt may cost; False: the budget is too small."""
        if self._purse is None:
            return True
        pending.hold = self._purse.take()
        return pending.hold is not None

    def _wait_for_budget(self) -> None:
        """Wait for attempts in flight to cost less than was reserved for them; end the run if there are none."""
        purse = self._purse
        assert purse is not None
        if not purse.in_use:
            self.finish(OverBudget(purse.why_it_stopped()))
            return
        purse.wait(self.fill)
        note = purse.limited(len(self._in_flight), self._run.capacity)
        if note is not None:
            self._run.sink.write(Warned("budget", note, self._run.run_id))

    async def _attempt(self, pending: Pending, ahead: bool) -> None:
        """Make an attempt, and further ones in its place where tasks wait in the environments."""
        while await self._attempt_once(pending, ahead):
            if (dispatch := self._next_dispatch(ended=1)) is None:
                return
            pending, ahead = dispatch
            if not ahead:
                self.fill()

    async def _attempt_once(self, pending: Pending, ahead: bool) -> bool:
        """Whether this place can take the next task at once."""
        if pending.hold is not None:
            del self._unbegun[asyncio.current_task()]  # type: ignore[arg-type]
        task = asyncio.current_task()
        assert task is not None

        def freed() -> None:
            self._recording.add(task)
            self.fill()

        # Else an attempt begins at once: its environment may be starting for it.
        deferred = self._looks_ahead is not None and self._looks_ahead.ahead > 0
        # With a budget the next attempt waits for this one's bill, and a duplicate for its own task's result; where the
        # environment has its next call already, there is no hurry.
        early = freed if self._purse is None and self._stragglers is None and not deferred else None
        made = await self._run.attempts.make(
            pending, self._number, self._stragglers, early, deferred=deferred, may_wait=ahead
        )
        if made is not None:
            self._settle(pending, *made)
        elif not self._done.done():
            self._ready.appendleft(pending)  # the environment in which it waited has ended
        return deferred

    def _attempt_over(self, task: asyncio.Task[None]) -> None:
        self._in_flight.pop(task, None)
        self._recording.discard(task)
        unbegun = self._unbegun.pop(task, None) if self._unbegun else None
        if unbegun is not None and unbegun.hold is not None:  # cancelled before it began
            unbegun.hold.give_back()
        if not task.cancelled() and (error := task.exception()) is not None:
            failed = error if isinstance(error, LbenchError) else RunFailed(f"{type(error).__name__}: {error}")
            self.finish(failed)
        self.fill()

    def _queue_duplicates(self, stragglers: list[Pending]) -> None:
        for pending in stragglers:
            pending.queued_s = self._run.attempts.elapsed_s
        self._duplicates.extend(stragglers)
        self.fill()

    # -- outcomes

    def _settle(self, pending: Pending, outcome: Outcome, took_s: float) -> None:
        failure = outcome.failure
        if failure is None or not failure.not_accepted:
            self._accepted_s = self._loop.time()
        if self._done.done() or pending.done:
            return  # too late: it is recorded, nothing else
        if failure is None or outcome.result is not None:  # a failure may itself be the measured result
            self._keep_result(pending, outcome, took_s)
            return
        if failure.type == OVER_BUDGET:
            self.finish(OverBudget(f"stopped by --max-usd: task {pending.index}: {failure.message}"))
            return
        if pending.in_flight:
            return  # its other attempt may still answer
        wait_s = pending.wait_before_retry(
            failure, self._policy, self._run.rng, now_s=self._loop.time(), accepted_s=self._accepted_s
        )
        if wait_s is None:
            self._give_up(pending, pending.why_it_failed(failure, self._policy))
        elif wait_s <= 0:
            self._retry(pending)
        else:
            # A throttled task keeps its place: another one in its place would only be throttled as well.
            pending.keeps_place = failure.not_accepted
            self._kept_places += pending.keeps_place
            self._timers[pending.index] = self._loop.call_later(wait_s, self._retry, pending)

    def _give_up(self, pending: Pending, why: str) -> None:
        """Fail the run with this task: at once, or after the other tasks of the stage where the run keeps going."""
        if not self._policy.keep_going:
            self.finish(RunFailed(why))
            return
        pending.done = True
        self._failed.append(why)
        self._count_down()

    def _count_down(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.finish(RunFailed(failures_line(self._failed, len(self.results))) if self._failed else None)

    def _keep_result(self, pending: Pending, outcome: Outcome, took_s: float) -> None:
        pending.done = True
        if outcome.compute_ms is not None:
            compute_s = outcome.compute_ms / 1000
            once_s = ((outcome.connect_ms or 0.0) + (outcome.init_ms or 0.0) + (outcome.fetch_ms or 0.0)) / 1000
            self.costs_s.append((compute_s, max(0.0, took_s - compute_s - once_s)))
        self.results[pending.index] = outcome.result
        if self._run.on_result is not None:
            self._run.on_result(self._number, pending.index, self._tasks[pending.index], outcome.result)
        self._count_down()
        if self._missing and self._stragglers is not None:
            self._stragglers.returned(took_s - outcome.collected_s)

    def _retry(self, pending: Pending) -> None:
        self._timers.pop(pending.index, None)
        pending.queued_s = self._run.attempts.elapsed_s
        if pending.keeps_place:
            pending.keeps_place = False
            self._kept_places -= 1
            self._ready.appendleft(pending)
        else:
            self._ready.append(pending)
        self.fill()
