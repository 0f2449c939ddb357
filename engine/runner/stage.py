"""One stage of a run: its tasks are dispatched, tried again, hedged and paid for, until each has its result."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lbench.engine.backends.base import OVER_BUDGET, Outcome
from lbench.engine.billing.budget import OverBudget, Purse
from lbench.engine.journal.events import Warned
from lbench.engine.journal.writer import Sink
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.attempt import Attempts
from lbench.engine.runner.failure_text import tally
from lbench.engine.runner.hedging import Stragglers
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.task_state import Pending
from lbench.errors import LbenchError
from lbench.workloads.model import Task

__all__ = ["Means", "Stage"]


@dataclass(slots=True)
class Means:
    """What all stages of a run are driven by."""

    run_id: str
    sink: Sink
    attempts: Attempts
    policy: Policy
    capacity: int  # how many attempts may be under way at once
    purse: Purse | None
    on_result: Callable[[int, int, Task, Any], None] | None
    rng: random.Random  # of the backoff's jitter
    stragglers: Stragglers | None
    paused: bool = False


class Stage:
    """`await drive()` until it is over; `finish` ends it before, and `fill` dispatches what there is a place for."""

    def __init__(self, means: Means, number: int, tasks: list[Task], encoded: list[bytes]) -> None:
        """`encoded`: the tasks as they travel."""
        self.results: list[Any] = [None] * len(encoded)
        self.costs_s: list[tuple[float, float]] = []  # of its tasks: computing, and the rest of the round trip
        self._means = means
        self._number = number
        self._tasks = tasks
        self._policy = means.policy
        self._purse = means.purse
        self._stragglers = means.stragglers
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._taken_s = self._loop.time()  # when the service last took a call
        self._in_flight: set[asyncio.Task[None]] = set()
        self._unbegun: dict[asyncio.Task[None], Pending] = {}  # of those, the ones that have not had their turn yet
        self._timers: dict[int, asyncio.TimerHandle] = {}  # by task: those that wait to be tried again
        self._held = 0  # places kept by throttled tasks until they try again
        queued_s = means.attempts.elapsed_s
        self._ready = deque(Pending(i, data, queued_s) for i, data in enumerate(encoded))
        self._doubles: deque[Pending] = deque()  # stragglers to be issued once more, when there is a place
        self._missing = len(encoded)
        self._failed: list[str] = []  # why each task that failed for good did, where the run keeps going

    async def drive(self) -> None:
        """To its end: each task has its result, and nothing of it is under way any more.

        Raises:
            LbenchError: a task has failed for good, what it was finished with, or that there is no money left.
        """
        if self._stragglers is not None:
            self._stragglers.begin_stage(len(self.results), self._issue_again)
        if not self._missing:
            self.finish()
        self.fill()
        try:
            await self._done
        finally:
            await self._abandon()

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

    def finish(self, error: LbenchError | None = None) -> None:
        """End it now: with its results, or with why there are none."""
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    # -- dispatch

    def fill(self) -> None:
        """Dispatch, as far as there are tasks, places and money."""
        while (
            not self._done.done()
            and not self._means.paused
            and len(self._in_flight) + self._held < self._means.capacity
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
            self.finish(OverBudget(purse.why_it_stopped()))
            return
        purse.wait(self.fill)
        note = purse.limited(len(self._in_flight), self._means.capacity)
        if note is not None:
            self._means.sink.write(Warned("budget", note, self._means.run_id))

    async def _attempt(self, pending: Pending) -> None:
        if pending.hold is not None:
            del self._unbegun[asyncio.current_task()]  # type: ignore[arg-type]
        outcome, took_s = await self._means.attempts.make(pending, self._number, self._stragglers)
        self._settle(pending, outcome, took_s)

    def _attempt_over(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        unbegun = self._unbegun.pop(task, None) if self._unbegun else None
        if unbegun is not None and unbegun.hold is not None:  # cancelled before it did anything
            unbegun.hold.give_back()
        if not task.cancelled() and (error := task.exception()) is not None:
            failed = error if isinstance(error, LbenchError) else RunFailed(f"{type(error).__name__}: {error}")
            self.finish(failed)
        self.fill()

    def _issue_again(self, stragglers: list[Pending]) -> None:
        for pending in stragglers:
            pending.queued_s = self._means.attempts.elapsed_s
        self._doubles.extend(stragglers)
        self.fill()

    # -- what follows from an outcome

    def _settle(self, pending: Pending, outcome: Outcome, took_s: float) -> None:
        failure = outcome.failure
        if failure is None or not failure.untaken:
            self._taken_s = self._loop.time()
        if self._done.done() or pending.done:
            return  # it came too late: recorded, and that is all
        if failure is None or outcome.result is not None:  # it may be the failure that was to be measured
            self._take(pending, outcome, took_s)
            return
        if failure.type == OVER_BUDGET:
            self.finish(OverBudget(f"stopped by --max-usd: task {pending.index}: {failure.message}"))
            return
        if pending.flying:
            return  # its double, or what it doubles, may still answer
        wait_s = pending.wait_before_retry(
            failure, self._policy, self._means.rng, now_s=self._loop.time(), taken_s=self._taken_s
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
            self.finish(RunFailed(why))
            return
        pending.done = True
        self._failed.append(why)
        self._one_less()

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.finish(RunFailed(tally(self._failed, len(self.results))) if self._failed else None)

    def _take(self, pending: Pending, outcome: Outcome, took_s: float) -> None:
        """The task has its result."""
        pending.done = True
        if outcome.compute_ms is not None:
            compute_s = outcome.compute_ms / 1000
            once_s = ((outcome.connect_ms or 0.0) + (outcome.init_ms or 0.0) + (outcome.fetch_ms or 0.0)) / 1000
            self.costs_s.append((compute_s, max(0.0, took_s - compute_s - once_s)))
        self.results[pending.index] = outcome.result
        if self._means.on_result is not None:
            self._means.on_result(self._number, pending.index, self._tasks[pending.index], outcome.result)
        self._one_less()
        if self._missing and self._stragglers is not None:
            self._stragglers.returned(took_s - outcome.collected_s)

    def _again(self, pending: Pending) -> None:
        self._timers.pop(pending.index, None)
        pending.queued_s = self._means.attempts.elapsed_s
        if pending.holds:
            pending.holds = False
            self._held -= 1
            self._ready.appendleft(pending)
        else:
            self._ready.append(pending)
        self.fill()
