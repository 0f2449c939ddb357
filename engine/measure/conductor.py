"""Carries out a plan: loads the data, opens the backends, runs the job on each in the schedule's order, checks answers.

All work that belongs to no run's clock happens here, between the runs: nothing else computes while a run is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from lbench.engine.backends import catalog
from lbench.engine.backends.base import Backend
from lbench.engine.billing.budget import Budget, Purse
from lbench.engine.billing.pricing import pricing_of
from lbench.engine.journal.events import Paused, Phase, RunEnded, Warned
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME, Journal
from lbench.engine.measure.judge import Judge
from lbench.engine.measure.recorded_run import open_purse
from lbench.engine.measure.run import Measurer
from lbench.engine.measure.setup import DATA_NAME, Common, PlannedRun, apart, plan_runs, prepare
from lbench.engine.model import RunStatus
from lbench.engine.plan.open_backend import open_backend, survey_choice
from lbench.engine.plan.plan import BackendChoice, Plan, schedule_of
from lbench.engine.session.view import fold
from lbench.errors import LbenchError

__all__ = ["Conductor"]

_Entry = tuple[PlannedRun, Backend, float | None]  # a run, its open backend, and for the first run the time to open it


class Conductor:
    """Carries out one plan at a time. `cancel` and `pause` act on the plan under way."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._numbers = itertools.count(1)
        self._cancelled = False
        self._budget: Budget | None = None
        self._recorded: set[str] = set()  # runs of the plan whose end is, or will be, in the journal
        self._auditing: asyncio.Task[None] | None = None
        self._measurer = Measurer(folder, journal)
        self._judge = Judge(folder, journal, lambda: self._cancelled)

    def cancel(self) -> None:
        """Stop the runs under way and start no other; or stop reading AWS's log."""
        self._cancelled = True
        self._measurer.cancel()
        if self._auditing is not None:
            self._auditing.cancel()

    def pause(self, paused: bool) -> None:
        """Stop dispatching; or go on."""
        self._measurer.pause(paused)
        self._journal.write(Paused(paused))

    async def carry_out(self, plan: Plan) -> bool:
        """Carry out a validated plan; returns whether it came to its end and was not cancelled.

        Raises:
            LbenchError: no run is possible, for example because the data cannot be read.
        """
        self._judge.begin()
        self._measurer.broken.clear()
        self._budget = None if plan.max_usd is None else Budget(Decimal(str(plan.max_usd)))
        groups: list[list[PlannedRun]] = []
        try:
            job = await prepare(plan, self._folder, self._journal)
            await self._survey(plan, job)
            groups = plan_runs(plan, job, self._numbers, self._journal)
            if schedule_of(plan) == "isolated":
                for group in groups:
                    await self._series(job, [group])
            elif plan.schedule is None:
                await self._beside(job, groups)
            else:
                await self._series(job, groups)
            if plan.audit:
                await self._audit()
            return not self._cancelled
        finally:
            self._measurer.close()
            self._record_skipped(groups)
            self._cancelled = False  # here, not at the start: a cancel may come before the plan's first step
            self._journal.write(Phase(""))
            (self._folder / DATA_NAME).unlink(missing_ok=True)

    # -- before the runs

    async def _survey(self, plan: Plan, job: Common) -> None:
        """Check the backends that are not on this machine before any run begins, when nothing has been spent."""
        at_once = job.limits.at_once
        for choice in plan.backends:
            if not catalog.shares_machine(choice.name):
                self._journal.write(Phase(f"looking for {choice.label} on AWS"))
            job.found[choice.label] = await survey_choice(choice, plan, at_once)

    # -- the runs

    async def _beside(self, job: Common, groups: list[list[PlannedRun]]) -> None:
        """Run the local backends one after the other, and those on AWS beside the first of them, run beside run."""
        here, away = apart(groups)
        async with contextlib.AsyncExitStack() as stack:
            beside = deque(await self._open_all(job, away, stack))
            for group in here:
                async with contextlib.AsyncExitStack() as own:
                    for turn in await self._open_all(job, [group], own):
                        await self._at_once(job, turn + (beside.popleft() if beside else []))
            for turn in beside:
                await self._at_once(job, turn)

    async def _series(self, job: Common, groups: list[list[PlannedRun]]) -> None:
        """Open the backends of these groups and run them turn by turn, or at once if the schedule is concurrent."""
        async with contextlib.AsyncExitStack() as stack:
            for turn in await self._open_all(job, groups, stack):
                if job.plan.schedule == "concurrent":
                    await self._at_once(job, turn)
                else:
                    for entry in turn:
                        await self._judge.judge(job, entry[0], await self._one(job, *entry))

    async def _open_all(
        self, job: Common, groups: list[list[PlannedRun]], stack: contextlib.AsyncExitStack
    ) -> list[list[_Entry]]:
        """Open the backends of these groups; returns their runs, turn by turn."""
        opened: list[tuple[list[PlannedRun], Backend, float]] = []
        for group in groups:
            if self._cancelled:
                return []
            label = group[0].choice.label
            purse = self._purse(job, group[0].choice)
            if purse is not None and not purse.affords_one:
                self._record_unstarted(group, purse.why_it_stopped(), "over_budget")
                continue
            try:
                backend, setup_s = await stack.enter_async_context(self._opened(job, group[0].choice))
            except (LbenchError, OSError) as error:
                self._record_unstarted(group, f"{label} could not be opened: {error}")
                continue
            opened.append((group, backend, setup_s))
        turns = max((len(group) for group, _, _ in opened), default=0)
        return [
            [(group[turn], backend, setup_s if turn == 0 else None) for group, backend, setup_s in opened]
            for turn in range(turns)
        ]

    async def _at_once(self, job: Common, turn: list[_Entry]) -> None:
        """Run these at the same time and check them afterwards, so that nothing computes beside a run."""
        answers = await asyncio.gather(*(self._one(job, *entry) for entry in turn))
        for (run, _, _), answer in zip(turn, answers, strict=True):
            await self._judge.judge(job, run, answer)

    @contextlib.asynccontextmanager
    async def _opened(self, job: Common, choice: BackendChoice) -> AsyncIterator[tuple[Backend, float]]:
        self._journal.write(Phase(f"starting {choice.label}"))
        started = time.monotonic()
        async with open_backend(choice, job.plan, job.found.get(choice.label)) as backend:
            await backend.publish(job.published)
            yield backend, time.monotonic() - started
            self._journal.write(Phase(f"closing {choice.label}"))

    def _purse(self, job: Common, choice: BackendChoice) -> Purse | None:
        pricing = pricing_of(choice, job.plan, job.limits, job.ephemeral_mb(choice.label))
        return open_purse(self._budget, choice, job.plan, job.limits, pricing)

    def _record_unstarted(self, group: list[PlannedRun], why: str, status: RunStatus = "failed") -> None:
        self._measurer.broken.add(group[0].choice.label)
        for run in group:
            self._recorded.add(run.id)
            self._journal.write(RunEnded(run=run.id, status=status, makespan_s=None, driver=None, error=why))

    async def _one(self, job: Common, run: PlannedRun, backend: Backend, setup_s: float | None) -> Any:
        if self._skips(run):
            return None
        try:
            # The data are there already; this waits for workers that are being replaced.
            await backend.publish(job.published)
        except (LbenchError, OSError) as error:
            self._record_unstarted([run], f"{run.choice.label} has broken down: {error}")
            return None
        if self._skips(run):  # a cancel may have come meanwhile
            return None
        self._recorded.add(run.id)
        return await self._measurer.measure(job, run, backend, setup_s, self._purse(job, run.choice))

    def _record_skipped(self, groups: list[list[PlannedRun]]) -> None:
        """Record an end for the planned runs that will not begin: followers of the journal wait for one."""
        for run in itertools.chain.from_iterable(groups):
            if run.id not in self._recorded:
                self._journal.write(RunEnded(run=run.id, status="cancelled", makespan_s=None, driver=None))
        self._recorded.clear()

    def _skips(self, run: PlannedRun) -> bool:
        return self._cancelled or run.choice.label in self._measurer.broken

    # -- after the runs

    async def _audit(self) -> None:
        """Replace estimated billed times by those in AWS's log, unless a cancel comes first."""
        if not self._cancelled:
            self._auditing = asyncio.get_running_loop().create_task(self._read_log())
            try:
                await asyncio.wait({self._auditing})
            finally:
                self._auditing.cancel()
                ended, self._auditing = self._auditing, None
            if not ended.cancelled():
                ended.result()
                return
        self._journal.write(Warned("audit", "cancelled before all of AWS's log was read: estimates stay"))

    async def _read_log(self) -> None:
        from lbench.engine.billing.audit import audit

        self._journal.write(Phase("reading AWS's log"))
        await self._journal.sync()
        view = fold(await asyncio.to_thread(lambda: list(read_events(self._folder / JOURNAL_NAME))))
        try:
            result = await audit(view.runs.values(), self._journal.write)
        except LbenchError as error:
            self._journal.write(Warned("audit", f"the audit failed, estimates stay: {error}"))
            return
        if result.found < result.wanted:
            text = f"the log has {result.found} of {result.wanted} invocations: the others stay estimates"
            self._journal.write(Warned("audit", text))
        await self._journal.sync()
