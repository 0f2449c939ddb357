"""Interactive sessions: each run is one interaction of a person. Backends stay open; a newer update cancels the older.

One update can wait, and a newer one replaces it, so holding a key down never queues up work. A cancel stops dispatch at
once; on local backends the tasks stop, too (`backends.local`: in 1 to 2 ms, where replacing a worker takes 100 and more), on
Lambda they run on and are counted (`Attempts`). A run's clock starts when its update arrives: its makespan is the latency
of the interaction, up to the last result decoded and merged. Answers are not checked.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from lbench.engine.backends.base import Backend, Elastic, Outcome
from lbench.engine.billing.budget import Budget
from lbench.engine.billing.pricing import pricing_of
from lbench.engine.explore.coarse import CoarseFirst
from lbench.engine.explore.warm_pool import WarmPool
from lbench.engine.journal.events import RunPlanned, Warned
from lbench.engine.journal.previews import PreviewWriter
from lbench.engine.journal.writer import Journal
from lbench.engine.measure.run_record import RunRecord, open_purse
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
    """What a person wants to see now: a plan with one backend. `step` counts in a scripted sequence; None: by hand."""

    plan: Plan
    generation: int
    step: int | None = None
    at_s: float = 0.0  # when it arrived, on the loop's clock


class Explorer:
    """Carries out the newest update; `work` runs until `stop`."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._numbers = itertools.count(1)
        self._repeats: dict[str, itertools.count[int]] = {}
        self._warm_up_over: set[tuple[str, str]] = set()  # (label, workload) with a finished interaction
        self._next: Update | None = None  # the one update that can wait
        self._script: deque[Update] = deque()
        self._ending = False
        self._budget: Budget | None = None
        self._awake = asyncio.Event()
        self._runner: Runner | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def begun(self) -> bool:
        """Whether any interaction was recorded."""
        return bool(self._repeats)

    # -- commands

    def update(self, plan: Plan, generation: int) -> None:
        """Show this instead of the update that is computed or waits."""
        self._script.clear()
        self._next = Update(plan, generation, at_s=self._loop.time())
        self._stop_current()

    def script(self, plans: list[Plan], generation: int) -> None:
        """Run these interactions one after the other."""
        self._next = None
        self._script = deque(Update(plan, generation, step) for step, plan in enumerate(plans))
        self._stop_current()

    def cancel(self) -> None:
        """Stop, and show nothing."""
        self._next = None
        self._script.clear()
        self._stop_current()

    def stop(self) -> None:
        """Let `work` end and close everything."""
        self._ending = True
        self.cancel()

    def _stop_current(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
        self._awake.set()

    # -- the work

    async def work(self) -> None:
        """Carry out updates until `stop` is called; then close everything."""
        previews = PreviewWriter(self._folder, self._journal, interactive=True)
        try:
            async with WarmPool(self._folder, self._journal) as warm:
                while not self._ending:
                    self._awake.clear()  # set from here on: a newer update has come, or a cancel
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

    async def _carry_out(self, update: Update, warm: WarmPool, previews: PreviewWriter) -> None:
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
        await self._run(update, job, backend, setup_s, previews, warm.detached)

    async def _run(
        self,
        update: Update,
        job: Prepared,
        backend: Backend,
        setup_s: float | None,
        previews: PreviewWriter,
        detached: set[asyncio.Task[Outcome]],
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
        workers = backend.workers if isinstance(backend, Elastic) else None
        deployed_mb = backend.settings.get("ephemeral_mb")
        pricing = pricing_of(choice, plan, limits, deployed_mb if isinstance(deployed_mb, int) else None, workers)
        purse = open_purse(self._budget_of(plan, pricing), choice, plan, limits, pricing)
        runner = Runner(
            run,
            backend,
            self._journal,
            Policy(timeout_s=plan.timeout_s, retries=plan.retries, seed=plan.seed),
            offload=offload_to_thread,
            on_result=coarse.drawer(run, previews),
            purse=purse,
            detached=detached,
        )
        recorded = RunRecord(
            run=run,
            job=job,
            backend=backend,
            journal=self._journal,
            runner=runner,
            started=datetime.now(UTC) - timedelta(seconds=self._loop.time() - update.at_s),
            setup_s=setup_s,
            pricing=pricing,
            notes=[*backend.notes, *job.workload.notes(params), _UNCHECKED, *coarse.notes],
            purse=purse,
            only_reached=True,
        )
        with recorded:
            previews.begin(run)
            self._runner = runner
            gc.disable()  # a collection would only delay the picture
            try:
                await recorded.drive(coarse.steps(), update.at_s)
            finally:
                gc.enable()
                self._runner = None
                try:
                    if recorded.error is None:
                        await self._last_blocks(previews)
                finally:
                    previews.end(run)
        self._journal.flush()
        if recorded.error is None:
            self._warm_up_over.add((choice.label, plan.workload))
        elif not isinstance(recorded.error, RunCancelled):
            self._script.clear()

    def _budget_of(self, plan: Plan, pricing: Pricing) -> Budget | None:
        """The session's budget, which the first charged plan with a limit sets; None: this run has no limit."""
        if plan.max_usd is None or pricing.rates is None:
            return None
        if self._budget is None:
            self._budget = Budget(Decimal(str(plan.max_usd)))
        return self._budget

    async def _last_blocks(self, previews: PreviewWriter) -> None:
        """Wait for the last blocks, so that a viewer has the whole picture at the run's end; unless a newer update waits."""
        drawn = asyncio.ensure_future(previews.drawn())
        awake = asyncio.ensure_future(self._awake.wait())
        try:
            await asyncio.wait({drawn, awake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drawn.cancel()
            awake.cancel()
