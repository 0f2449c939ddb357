"""Drives one job over one backend: concurrency, retries, hedging, budget, cancel and pause, the same for all backends.

The only clock is the event loop's, and nothing here knows a thread or a socket, so the same code runs in virtual
time. A stage is `engine.stage`'s, and an attempt `engine.attempts`'; what the job itself computes (making tasks, decoding,
merging) goes through `engine.steps`, outside the loop.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

from lbench.engine.backends.base import Backend
from lbench.engine.billing.budget import Purse
from lbench.engine.journal.events import StageEnded, StageStarted
from lbench.engine.journal.writer import Sink
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.attempt import Attempts
from lbench.engine.runner.hedging import Stragglers
from lbench.engine.runner.job_steps import Offload, Steps, inline, measured
from lbench.engine.runner.stage import Means, Stage
from lbench.errors import LbenchError
from lbench.workloads.model import Job, StageResults, Task
from lbench.workloads.objects import Place

__all__ = ["RunCancelled", "Runner"]


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
        self._means = Means(
            run_id,
            sink,
            self.attempts,
            policy,
            capacity=backend.capacity if policy.concurrency is None else policy.concurrency,
            purse=purse,
            on_result=on_result,
            rng=random.Random(policy.seed),
            stragglers=None if policy.hedge is None else Stragglers(policy.hedge),
        )
        self._numbers = itertools.count()
        self._stage: Stage | None = None  # the last
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
        self._means.paused = True

    def resume(self) -> None:
        """Dispatch again."""
        self._means.paused = False
        if self._stage is not None:
            self._stage.fill()

    def cancel(self) -> None:
        """Stop at once: nothing more is dispatched, what is running is abandoned."""
        self._cancelled = True
        if self._stage is not None:
            self._stage.finish(RunCancelled("the run was cancelled"))

    async def run(self, job: Job) -> Any:
        """Drive the job to its answer.

        Raises:
            RunFailed: a task or the job failed; the message says which and why.
            RunCancelled: `cancel` was called.
            OverBudget: what is left of the budget is not enough for another attempt.
        """
        results: StageResults | None = None
        while True:
            if self._cancelled:
                raise RunCancelled("the run was cancelled")
            tasks, answer = await self.steps.advance(job, results)
            if tasks is None:
                return answer
            results = await self._run_stage(tasks)

    async def _run_stage(self, tasks: list[Task]) -> StageResults:
        encoded = await self.steps.encode(tasks)
        means, number, began_s = self._means, next(self._numbers), self.elapsed_s
        means.sink.write(StageStarted(run=means.run_id, index=number, tasks=len(tasks), at_s=began_s))
        if self._cancelled:
            raise RunCancelled("the run was cancelled")
        self._stage = stage = Stage(means, number, tasks, encoded)
        await stage.drive()
        ended_s = self.elapsed_s
        means.sink.write(StageEnded(run=means.run_id, index=number, at_s=ended_s))
        decoded = await self.steps.decode(stage.results)
        return measured(decoded, stage.costs_s, elapsed_s=ended_s - began_s, places=means.capacity)
