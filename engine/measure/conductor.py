"""Carries out a plan: loads the data, opens the backends, runs the job on each in the schedule's order, checks answers.

All work that belongs to no run's clock happens here, between the runs: nothing else computes while a run is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from lbench.engine.backends import catalog
from lbench.engine.backends.base import Backend
from lbench.engine.billing.budget import Budget, Purse
from lbench.engine.billing.pricing import pricing_of
from lbench.engine.journal.events import ComparisonEnded, Paused, Phase, RunEnded, Warned
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME, Journal
from lbench.engine.measure.judge import Judge
from lbench.engine.measure.run import Measured, Measurer
from lbench.engine.measure.run_record import open_purse
from lbench.engine.measure.setup import DATA_NAME, Common, PlannedRun, PlannedRuns, prepare
from lbench.engine.measure.simulated_job import refuse_unknown
from lbench.engine.measure.stop_rule import SeriesEnd, StopRule, baselines
from lbench.engine.model import ComparisonEnd, RunStatus
from lbench.engine.plan.open_backend import open_backend, survey_choice
from lbench.engine.plan.plan import BackendChoice, Plan, fixed_repeats, planned_runs, schedule_of
from lbench.engine.session.view import fold
from lbench.errors import InputError, LbenchError

if TYPE_CHECKING:
    from lbench.engine.backends.lambda_.preflight import Survey

__all__ = ["Conductor"]

_GRAVEST: tuple[ComparisonEnd, ...] = ("cancelled", "failed", "time", "precision", "count")


@dataclass(slots=True, frozen=True)
class _Entry:
    """A run of a round, and where it runs."""

    run: PlannedRun
    number: int  # of the round
    backend: Backend
    setup_s: float | None  # the time that opening the backend took; None: it was open already


@dataclass(slots=True, frozen=True)
class _Opened:
    choice: BackendChoice
    backend: Backend
    setup_s: float

    def entry(self, runs: PlannedRuns, number: int) -> _Entry:
        """The backend's run of a round."""
        run = runs.by_label[self.choice.label][number]
        return _Entry(run, number, self.backend, None if number else self.setup_s)


class Conductor:
    """Carries out one plan at a time. `cancel` and `pause` act on the plan under way."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._numbers = itertools.count(1)
        self._comparisons = itertools.count(1)
        self._cancelled = False
        self._budget: Budget | None = None
        self._recorded: set[str] = set()  # runs of the plan whose end is, or will be, in the journal
        self._auditing: asyncio.Task[None] | None = None
        self._surveying: asyncio.Task[Survey | None] | None = None
        self._measurer = Measurer(folder, journal)
        self._judge = Judge(folder, journal, lambda: self._cancelled)

    def cancel(self) -> None:
        """Stop the runs under way and start no other; or stop looking for a backend, or reading AWS's log."""
        self._cancelled = True
        self._measurer.cancel()
        if self._surveying is not None:
            self._surveying.cancel()
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
        runs: PlannedRuns | None = None
        try:
            job = await prepare(plan, self._folder, self._journal)
            await self._survey(plan, job)
            runs = PlannedRuns(plan, job, self._numbers, self._journal)
            if schedule_of(plan) == "isolated":
                each_s = plan.for_s / len(plan.backends)
                ends = [await self._series(job, runs, [choice], each_s) for choice in plan.backends]
            else:
                ends = [await self._series(job, runs, plan.backends, plan.for_s)]
            self._record_skipped(runs)
            self._record_comparison(runs, ends)
            if plan.audit:
                await self._audit()
            return not self._cancelled
        finally:
            self._measurer.close()
            if runs is not None:
                self._record_skipped(runs)
            self._recorded.clear()
            self._cancelled = False  # here, not at the start: a cancel may come before the plan's first step
            self._journal.write(Phase(""))
            (self._folder / DATA_NAME).unlink(missing_ok=True)

    # -- before the runs

    async def _survey(self, plan: Plan, job: Common) -> None:
        """Check the backends that are not on this machine before any run begins, when nothing has been spent."""
        at_once = job.limits.at_once
        for choice in plan.backends:
            if choice.name == "loop" and not job.workload.has_loop:
                raise InputError(
                    f"loop needs the answer in one piece: add a function reference() to {job.description.name}, or leave "
                    f"-b {choice.label} out"
                )
            if choice.name == "lambda":
                self._journal.write(Phase(f"looking for {choice.label} on AWS"))
            elif catalog.is_cluster(choice.name):
                self._journal.write(Phase(f"looking for {choice.label}"))
            if self._cancelled:
                return
            self._surveying = asyncio.create_task(survey_choice(choice, plan, at_once))
            try:
                await asyncio.wait({self._surveying})
            finally:
                self._surveying.cancel()
                ended, self._surveying = self._surveying, None
            if ended.cancelled():  # a cluster's factory, or a network that answers nothing, is not waited for
                return
            job.found[choice.label] = ended.result()
        refuse_unknown(job.plan, job.limits)

    # -- the runs

    async def _series(self, job: Common, runs: PlannedRuns, choices: list[BackendChoice], limit_s: float) -> SeriesEnd:
        """Open these backends and run them round by round; returns what ended that."""
        automatic = fixed_repeats(job.plan) is None
        rule = StopRule([choice.label for choice in baselines(choices)], limit_s)
        async with contextlib.AsyncExitStack() as stack:
            opened = await self._open_all(job, runs, choices, stack)
            began_s, number = time.monotonic() - self._measurer.held_s, 0

            def elapsed_s() -> float:  # without pauses
                return time.monotonic() - self._measurer.held_s - began_s

            ended_by: ComparisonEnd | None = None
            while ended_by is None:
                living = [one for one in opened if one.choice.label not in self._measurer.broken]
                if self._cancelled:
                    ended_by = "cancelled"
                elif not living:
                    ended_by = "failed"
                elif number == len(runs.by_label[living[0].choice.label]):
                    labels = [one.choice.label for one in living]
                    ended_by = rule.ended_by(labels, elapsed_s(), number) if automatic else "count"
                    if ended_by is None:
                        for one in living:
                            runs.add(one.choice)
                if ended_by is None:
                    await self._round(job, [one.entry(runs, number) for one in living], number, rule)
                    number += 1
            labels = [one.choice.label for one in living]
            every = tuple(choice.label for choice in choices)
            return SeriesEnd(
                ended_by=ended_by,
                rounds=number,
                elapsed_s=elapsed_s(),
                widths=rule.widths(labels),
                labels=every,
                failed=tuple(label for label in every if label not in labels),
                least=number <= planned_runs(job.plan),
            )

    async def _round(self, job: Common, entries: list[_Entry], number: int, rule: StopRule) -> None:
        """Run each of these backends once, in an order drawn by the seed, or at once as the schedule says."""
        plan = job.plan
        # A simulated run may replay this round's, and its CPU time must not disturb any: it comes last, alone.
        simulated = [entry for entry in entries if entry.backend.origin == "simulated"]
        order = [entry for entry in entries if entry not in simulated]
        random.Random(f"{plan.seed}/{number}").shuffle(order)
        beside = []
        if plan.schedule == "concurrent":
            order, beside = [], order
        elif schedule_of(plan) == "concurrent":  # AWS beside the first run on this machine
            here = [
                entry for entry in order if catalog.shares_machine(entry.run.choice.name, entry.run.choice.settings)
            ]
            away = [entry for entry in order if entry not in here]
            order, beside = here[1:], here[:1] + away
        if beside:
            await self._at_once(job, beside, rule)
        for entry in [*order, *simulated]:
            await self._at_once(job, [entry], rule)

    async def _open_all(
        self, job: Common, runs: PlannedRuns, choices: list[BackendChoice], stack: contextlib.AsyncExitStack
    ) -> list[_Opened]:
        """Open these backends; those that cannot be opened are left out."""
        opened: list[_Opened] = []
        for choice in choices:
            if self._cancelled:
                return []
            group = runs.by_label[choice.label]
            purse = self._purse(job, choice)
            if purse is not None and not purse.affords_one:
                self._record_unstarted(group, purse.why_it_stopped(), "over_budget")
                continue
            try:
                backend, setup_s = await stack.enter_async_context(self._opened(job, choice))
            except (LbenchError, OSError) as error:
                self._record_unstarted(group, f"{choice.label} could not be opened: {error}")
                continue
            opened.append(_Opened(choice, backend, setup_s))
        return opened

    async def _at_once(self, job: Common, entries: list[_Entry], rule: StopRule) -> None:
        """Run these at the same time and check them afterwards, so that nothing computes beside a run."""
        measured = await asyncio.gather(*(self._one(job, entry) for entry in entries))
        for entry, found in zip(entries, measured, strict=True):
            if found is None:
                continue
            run = entry.run
            wrong = await self._judge.judge(job, run, found.answer) is False
            warm = not run.warmup and not run.cold and found.cold is not True
            if found.makespan_s is not None and warm and not wrong and not found.paused:
                rule.add(run.choice.label, entry.number, found.makespan_s)

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

    async def _one(self, job: Common, entry: _Entry) -> Measured | None:
        """Measure a run; None: it does not begin."""
        run, backend = entry.run, entry.backend
        if self._skips(run):
            return None
        try:
            # The data are there already; this waits for workers that are being replaced.
            await backend.publish(job.published)
            if run.cold:
                self._journal.write(Phase(f"ending the environments of {run.choice.label}"))
                await backend.renew()
        except (LbenchError, OSError) as error:
            self._record_unstarted([run], f"{run.choice.label} has broken down: {error}")
            return None
        if self._skips(run):  # a cancel may have come meanwhile
            return None
        self._recorded.add(run.id)
        return await self._measurer.measure(job, run, backend, entry.setup_s, self._purse(job, run.choice))

    def _record_skipped(self, runs: PlannedRuns) -> None:
        """Record an end for the planned runs that will not begin: followers of the journal wait for one."""
        for run in itertools.chain.from_iterable(runs.by_label.values()):
            if run.id not in self._recorded:
                self._recorded.add(run.id)
                self._journal.write(RunEnded(run=run.id, status="cancelled", makespan_s=None, driver=None))

    def _record_comparison(self, runs: PlannedRuns, ends: list[SeriesEnd]) -> None:
        """Record which runs belong together, and what ended them."""
        every = [run.id for group in runs.by_label.values() for run in group]
        end = min(ends, key=lambda one: _GRAVEST.index(one.ended_by))
        self._journal.write(
            ComparisonEnded(
                id=f"c{next(self._comparisons)}",
                runs=every,
                ended_by=end.ended_by,
                rounds=max(one.rounds for one in ends),
                text=end.text if len(ends) == 1 else "; ".join(f"{one.labels[0]}: {one.text}" for one in ends),
            )
        )

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
