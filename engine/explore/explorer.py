"""Exploring: a session whose runs are a person's interactions. Backends stay open; a newer update cancels the older.

An update waits in a place for one: a newer one takes it, so holding a key down never queues up work. Cancelling stops
dispatch at once; on local backends the tasks stop too (`backends.local`: in 1 to 2 ms, where replacing a worker takes 100
and more), on Lambda they are left behind and counted (`abandoned`). A run's clock starts when its update arrives: its
makespan is the latency of the interaction, to the last result decoded and merged. Answers are not checked.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from lbench.engine.backends.base import Backend
from lbench.engine.billing.budget import Budget, Purse
from lbench.engine.billing.pricing import pricing_of, s3_each
from lbench.engine.explore.coarse import CoarseFirst
from lbench.engine.explore.previews import LivePreviews
from lbench.engine.explore.warm_pool import Warm
from lbench.engine.journal.events import EnvironmentSeen, RunPlanned, Warned
from lbench.engine.journal.writer import Journal
from lbench.engine.measure.run_events import relative, run_ended, run_started
from lbench.engine.model import Interaction, Pricing
from lbench.engine.plan.plan import Plan
from lbench.engine.plan.policy import Policy
from lbench.engine.plan.prepared_job import Prepared
from lbench.engine.runner.job_steps import offload_to_thread
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.errors import BackendError, LbenchError
from lbench.workloads.parameters import settable

__all__ = ["Explorer", "Update"]

_UNCHECKED = "explored: the answer was not checked"


@dataclass(slots=True)
class Update:
    """What a person wants to see now: a plan with one backend. `step` of a scripted sequence, or None: by hand."""

    plan: Plan
    generation: int
    step: int | None = None
    at_s: float = 0.0  # when it arrived, on the loop's clock


class Explorer:
    """Carries out the newest update; `work` goes on until `stop`."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._numbers = itertools.count(1)
        self._repeats: dict[str, itertools.count[int]] = {}
        self._warm_up_over: set[tuple[str, str]] = set()  # (label, workload) with a finished interaction
        self._next: Update | None = None  # the place for one
        self._script: deque[Update] = deque()
        self._ending = False
        self._budget: Budget | None = None
        self._awake = asyncio.Event()
        self._runner: Runner | None = None
        self._loop = asyncio.get_running_loop()

    # -- commands

    def update(self, plan: Plan, generation: int) -> None:
        """Show this instead of whatever is being computed or waits."""
        self._script.clear()
        self._next = Update(plan, generation, at_s=self._loop.time())
        self._stop_current()

    def script(self, plans: list[Plan], generation: int) -> None:
        """One interaction after the other, each begun when the one before has ended."""
        self._next = None
        self._script = deque(Update(plan, generation, step) for step, plan in enumerate(plans))
        self._stop_current()

    def cancel(self) -> None:
        """Stop, and show nothing else."""
        self._next = None
        self._script.clear()
        self._stop_current()

    def stop(self) -> None:
        """End `work` in good order."""
        self._ending = True
        self.cancel()

    def _stop_current(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
        self._awake.set()

    # -- the work

    async def work(self) -> None:
        """Until `stop` is called; then everything is closed."""
        previews = LivePreviews(self._folder, self._journal)
        try:
            async with Warm(self._folder, self._journal) as warm:
                while not self._ending:
                    self._awake.clear()  # from here on it says that something newer has come, or that it was cancelled
                    if (update := self._taken()) is not None:
                        await self._carry_out(update, warm, previews)
                    else:
                        await self._awake.wait()
        finally:
            previews.close()

    def _taken(self) -> Update | None:
        if self._next is not None:
            update, self._next = self._next, None
            return update
        if self._script:
            update = self._script.popleft()
            update.at_s = self._loop.time()
            return update
        return None

    async def _carry_out(self, update: Update, warm: Warm, previews: LivePreviews) -> None:
        plan, choice = update.plan, update.plan.backends[0]
        try:
            backend, setup_s = await warm.backend(choice, plan)
            job = await warm.prepare(plan)
            if self._awake.is_set():
                return
            await backend.publish(job.published)
        except (LbenchError, OSError) as error:
            if isinstance(error, BackendError):
                warm.forget(choice)
            self._script.clear()
            self._journal.write(Warned("explore", f"{choice.label}: {error}"))
            self._journal.flush()
            return
        if self._awake.is_set():
            return
        await self._run(update, job, backend, setup_s, previews)

    async def _run(
        self,
        update: Update,
        job: Prepared,
        backend: Backend,
        setup_s: float | None,
        previews: LivePreviews,
    ) -> None:
        plan, choice = update.plan, update.plan.backends[0]
        run = f"x{next(self._numbers)}"
        coarse = CoarseFirst(job, backend.capacity)
        params = coarse.params
        self._journal.write(
            RunPlanned(
                run=run,
                workload=job.description.name,
                params=settable(params),
                seed=plan.seed,
                backend=choice.name,
                label=choice.label,
                origin=backend.origin,
                repeat=next(self._repeats.setdefault(choice.label, itertools.count())),
                warmup=(choice.label, plan.workload) not in self._warm_up_over,
                schedule="isolated",
                tasks=params.tasks,
                interaction=Interaction(update.generation, update.step, len(coarse.tasks)),
            )
        )
        limits = job.workload.limits(params)
        deployed_mb = backend.settings.get("ephemeral_mb")
        pricing = pricing_of(choice, plan, limits, deployed_mb if isinstance(deployed_mb, int) else None)
        purse = self._purse(plan, pricing, s3_each(choice, plan, limits))
        if purse is not None:
            purse.watch(backend.own_s3)
        notes = [*backend.notes, *job.workload.notes(params), _UNCHECKED, *coarse.notes]
        started = datetime.now(UTC) - timedelta(seconds=self._loop.time() - update.at_s)
        self._journal.write(
            run_started(run, job, backend, started=started, setup_s=setup_s, pricing=pricing, notes=notes)
        )
        draw = coarse.drawer(previews)
        policy = Policy(timeout_s=plan.timeout_s, retries=plan.retries, seed=plan.seed)
        runner = Runner(run, backend, self._journal, policy, offload=offload_to_thread, on_result=draw, purse=purse)
        runner.start_clock(update.at_s)
        previews.begin(run)
        self._runner = runner
        ended: BaseException | None = None
        cpu_s = time.process_time()
        gc.disable()  # a collection is not in anybody's way here
        try:
            await runner.run(coarse.steps())
            self._warm_up_over.add((choice.label, plan.workload))
        except RunCancelled as stopped:
            ended = stopped
        except LbenchError as failure:
            ended = failure
            self._script.clear()
        except BaseException as failure:  # the session ends, or the engine has failed
            ended = failure
            raise
        finally:
            elapsed_s = runner.elapsed_s
            cpu_s = time.process_time() - cpu_s
            gc.enable()
            self._runner = None
            if purse is not None:
                purse.count_own()
            if ended is None:
                await self._last_blocks(previews)
            else:
                previews.begin(None)
            for info in backend.environments():
                if info.id in runner.attempts.environments:
                    self._journal.write(EnvironmentSeen(run, relative(info, update.at_s)))
            self._journal.write(run_ended(run, runner, backend, ended, elapsed_s=elapsed_s, cpu_s=cpu_s))
            self._journal.flush()

    def _purse(self, plan: Plan, pricing: Pricing, each: dict[str, int]) -> Purse | None:
        """The way to the session's budget, which the first plan with one has set; None: nothing is charged or limited."""
        if plan.max_usd is None or pricing.rates is None:
            return None
        if self._budget is None:
            self._budget = Budget(Decimal(str(plan.max_usd)))
        return Purse(self._budget, pricing, each)

    async def _last_blocks(self, previews: LivePreviews) -> None:
        """Told before the run's end, so that a viewer has the whole picture with it; unless something newer waits."""
        drawn = asyncio.ensure_future(previews.drawn())
        awake = asyncio.ensure_future(self._awake.wait())
        try:
            await asyncio.wait({drawn, awake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drawn.cancel()
            awake.cancel()
            previews.begin(None)
