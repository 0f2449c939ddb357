"""Drives one job over one backend: concurrency, retries, hedging, budget, cancel and pause, the same for all backends.

The only clock is the event loop's, and nothing here knows a thread or a socket, so the same code runs in virtual
time. `stage` runs a stage, `attempt` an attempt; the job's own code (making tasks, merging results) runs in
`job_steps`, outside the loop.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

from lbench.engine.backends.base import Backend, Elastic, Outcome
from lbench.engine.billing.budget import Purse
from lbench.engine.journal.events import StageEnded, StageStarted
from lbench.engine.journal.writer import Sink
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.attempt import Attempts
from lbench.engine.runner.hedging import Stragglers
from lbench.engine.runner.job_steps import Answer, EndedStage, JobSteps, Offload, inline
from lbench.engine.runner.stage import RunContext, Stage
from lbench.errors import LbenchError
from lbench.workloads.model import Job, Task
from lbench.workloads.objects import Place

__all__ = ["RunCancelled", "Runner"]


class RunCancelled(LbenchError):
    """The run was cancelled."""


class Runner:
    """One run. `await run(job)` returns the answer; `cancel`, `pause` and `resume` act while it runs."""

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
        detached: set[asyncio.Task[Outcome]] | None = None,
    ) -> None:
        """`on_result(stage, index, task, encoded result)` is called on the loop and must be quick.

        `store()` returns the place of the run's store; it is called in the thread of the job's own code (`job_steps`).
        `detached` is for interactive runs: it holds the calls that run on after a cancel (`Backend.on_cancel`).
        """
        self.steps = JobSteps(offload, store)
        self.attempts = Attempts(run_id, backend, sink, policy, detached)
        self._context = RunContext(
            run_id,
            sink,
            self.attempts,
            policy,
            backend,
            purse=purse,
            on_result=on_result,
            rng=random.Random(policy.seed),
            stragglers=None if policy.hedge is None else Stragglers(policy.hedge),
        )
        self._numbers = itertools.count()
        self._stage: Stage | None = None  # the latest
        self._cancelled = False
        if isinstance(backend, Elastic):
            backend.on_growth = self._fill

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's clock started."""
        return self.attempts.elapsed_s

    def start_clock(self, at_s: float | None = None) -> float:
        """Set the run's zero to now, or to `at_s` on the loop's clock, and return it."""
        return self.attempts.start_clock(at_s)

    def pause(self) -> None:
        """Dispatch nothing until `resume`; attempts under way go on."""
        self._context.paused = True

    def resume(self) -> None:
        """Dispatch again."""
        self._context.paused = False
        self._fill()

    def _fill(self) -> None:
        if self._stage is not None:
            self._stage.fill()

    def cancel(self) -> None:
        """Stop at once: dispatch nothing, abandon the attempts under way."""
        self._cancelled = True
        if self._stage is not None:
            self._stage.finish(RunCancelled("the run was cancelled"))

    async def run(self, job: Job) -> Any:
        """Run the job to its answer.

        Raises:
            RunFailed: a task or the job failed; the message says which and why.
            RunCancelled: `cancel` was called.
            OverBudget: the rest of the budget is not enough for another attempt.
        """
        ended: EndedStage | None = None
        while True:
            self._stop_if_cancelled()
            step = await self.steps.advance(job, ended)
            if isinstance(step, Answer):
                return step.value
            ended = await self._run_stage(*step)

    def _stop_if_cancelled(self) -> None:
        if self._cancelled:
            raise RunCancelled("the run was cancelled")

    async def _run_stage(self, tasks: list[Task], encoded: list[bytes]) -> EndedStage:
        run, number, began_s = self._context, next(self._numbers), self.elapsed_s
        run.sink.write(StageStarted(run=run.run_id, index=number, tasks=len(tasks), at_s=began_s))
        self._stop_if_cancelled()
        self._stage = stage = Stage(run, number, tasks, encoded)
        await stage.drive()
        ended_s = self.elapsed_s
        run.sink.write(StageEnded(run=run.run_id, index=number, at_s=ended_s))
        return EndedStage(stage.results, stage.costs_s, ended_s - began_s, run.capacity)
