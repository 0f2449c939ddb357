"""Measures one run: from before its clock starts until its record is whole."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from lbench.engine.backends import catalog
from lbench.engine.backends.base import Backend, Elastic
from lbench.engine.billing.budget import OverBudget, Purse
from lbench.engine.billing.pricing import pricing_of
from lbench.engine.journal.events import Answered, Phase, RunEnded, Sampled, Warned
from lbench.engine.journal.previews import PreviewWriter
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.machine.monitor import Sampler
from lbench.engine.measure.run_record import RunRecord
from lbench.engine.measure.run_store import RunStore
from lbench.engine.measure.setup import Common, PlannedRun
from lbench.engine.measure.virtual_run import ThreadSink, VirtualRun
from lbench.engine.model import EXCHANGES, Answer, Pricing
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.batches import batched
from lbench.engine.runner.job_steps import RunFailed, offload_to_thread
from lbench.engine.runner.runner import Runner
from lbench.errors import BackendError, LbenchError
from lbench.workloads.model import Task
from lbench.workloads.whole.tasks import whole_job

__all__ = ["Measured", "Measurer"]


@dataclass(slots=True, frozen=True)
class Measured:
    """What a run came to."""

    answer: Any  # None: it has none
    makespan_s: float | None  # None: it failed
    cold: bool | None  # whether all environments that it reached were new; None: it does not apply
    paused: bool = False  # while its clock ran: its makespan counts in no figure


_SAMPLE_S = 1.0
_LONGEST_S = 86_400.0  # of a whole job in one piece
_PREVIEWS_S = 0.5  # for the last results of a run to be drawn


class Measurer:
    """Measures the runs of a session, one or several at a time. `cancel` and `pause` act on the runs under way."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.broken: set[str] = set()  # labels of backends with a failed run: they are not used again
        self._folder = folder
        self._journal = journal
        self._runners: dict[str, tuple[str, Runner | VirtualRun]] = {}  # by run: the label of its backend
        self._virtual_zeros: dict[str, datetime] = {}  # by label: when virtual time was 0
        self._intervals: dict[str, tuple[float, float | None]] = {}
        self._previews: PreviewWriter | None = None
        self._disturbed: set[str] = set()  # runs that were paused while their clock ran
        self._paused = False
        self._paused_at_s = 0.0
        self._held_s = 0.0

    @property
    def held_s(self) -> float:
        """How long all was paused, or stood still while a run was measured, so far."""
        return self._held_s + (time.monotonic() - self._paused_at_s if self._paused else 0.0)

    def cancel(self) -> None:
        for _, runner in self._runners.values():
            runner.cancel()

    def pause(self, paused: bool) -> None:
        """Stop dispatching in these runs and later ones; or go on."""
        if paused != self._paused:
            if self._paused:
                self._held_s += time.monotonic() - self._paused_at_s
            self._paused, self._paused_at_s = paused, time.monotonic()
        for run, (label, runner) in self._runners.items():
            if not paused:
                runner.resume()
                continue
            runner.pause()
            if isinstance(runner, Runner):  # virtual time stands still meanwhile
                self._warn_of_pause(run, label)

    def _warn_of_pause(self, run: str, label: str) -> None:
        text = f"{label} was paused while its clock ran: its time includes the pause and counts in no figure"
        self._warn(run, text)

    def _warn_of_standstill(self, run: str, label: str, still_s: float) -> None:
        self._held_s += still_s
        text = (
            f"{label} was under way while the engine stood still for {still_s:.0f} s (stopped, or the machine slept): "
            "its time counts in no figure"
        )
        self._warn(run, text)

    def _warn(self, run: str, text: str) -> None:
        self._journal.write(Warned("paused", text, run))
        self._disturbed.add(run)

    def close(self) -> None:
        """End the thread that draws previews."""
        if self._previews is not None:
            self._previews.close()
            self._previews = None

    async def measure(
        self, job: Common, run: PlannedRun, backend: Backend, setup_s: float | None, purse: Purse | None
    ) -> Measured:
        plan = job.plan
        notes = [*backend.notes, *job.workload.notes(job.params)]
        hedge = plan.hedge
        if hedge is not None and not catalog.hedges(run.choice.name):
            hedge = None
            notes.append("hedging is off on this backend: duplicates would compete for this machine's cores")
        whole = run.choice.name == "loop"  # its one task is the entire job
        policy = Policy(
            timeout_s=_LONGEST_S if whole else plan.timeout_s,
            retries=plan.retries,
            seed=plan.seed,
            keep_going=plan.keep_going,
            hedge=hedge,
        )
        workers = backend.workers if isinstance(backend, Elastic) else None
        pricing = pricing_of(run.choice, plan, job.limits, job.ephemeral_mb(run.choice.label), workers)
        if backend.origin == "simulated":
            return await self._simulate(job, run, backend, policy, purse, pricing, notes)
        store = RunStore(backend, self._folder, run.id)
        runner = Runner(
            run.id,
            backend,
            self._journal,
            policy,
            offload=offload_to_thread,
            on_result=None if whole or plan.batch else self._begin_previews(job, run.id),
            store=store.place,
            purse=purse,
        )
        if whole:
            steps = whole_job(job.plan.workload, job.params)
        else:
            steps = job.workload.job(job.params, job.data)
            if plan.batch not in (None, 1):
                steps = batched(steps, plan.batch)
        # From here on a cancel reaches it, although its clock has not started.
        self._runners[run.id] = run.choice.label, runner
        if self._paused:
            runner.pause()
            self._warn_of_pause(run.id, run.choice.label)
        self._journal.write(Phase(""))
        lag = LagMeter()
        recorded = RunRecord(
            run=run.id,
            job=job,
            backend=backend,
            journal=self._journal,
            runner=runner,
            started=datetime.now(UTC),
            setup_s=setup_s,
            pricing=pricing,
            notes=notes,
            purse=purse,
            lag=lag,
        )
        try:
            with recorded:
                answer = await self._drive(recorded, runner, steps, run.id, store)
                if store.used and backend.origin == "measured" and not catalog.is_paid(run.choice.name):
                    recorded.end_notes.append(EXCHANGES)
                if still_s := lag.still_s:
                    self._warn_of_standstill(run.id, run.choice.label, still_s)
            makespan_s = recorded.elapsed_s if recorded.error is None else None
            return Measured(answer, makespan_s, runner.attempts.cold, paused=run.id in self._disturbed)
        finally:
            if isinstance(recorded.error, RunFailed | BackendError | OverBudget):
                self.broken.add(run.choice.label)
            self._runners.pop(run.id)
            with contextlib.suppress(LbenchError):
                for text in await backend.left():
                    self._journal.write(Warned("left", f"{run.choice.label}: {text}", run.id))
            await self._journal.sync()

    async def _simulate(
        self,
        job: Common,
        run: PlannedRun,
        backend: Backend,
        policy: Policy,
        purse: Purse | None,
        pricing: Pricing,
        notes: list[str],
    ) -> Measured:
        """Run the job in virtual time. Nothing of this machine is measured."""
        from lbench.engine.backends.simulated.backend import SimulatedBackend
        from lbench.engine.measure.simulated_job import simulated_job

        assert isinstance(backend, SimulatedBackend)
        try:
            found = simulated_job(job, run.choice, backend)
        except BackendError as error:
            self.broken.add(run.choice.label)
            self._journal.write(RunEnded(run.id, "failed", None, None, str(error)))
            return Measured(None, None, None)
        steps, batch = found.steps, job.plan.batch
        if batch is not None and batch != 1 and not found.batched:
            steps = batched(steps, batch)
        store = RunStore(backend, self._folder, run.id)
        sink = ThreadSink(self._journal)
        begins_s = backend.begin_run()
        virtual = VirtualRun(begins_s)
        # Simulated runs follow each other in virtual time, so that a replay shows them one after the other.
        zero = self._virtual_zeros.setdefault(run.choice.label, datetime.now(UTC) - timedelta(seconds=begins_s))
        self._runners[run.id] = run.choice.label, virtual
        if self._paused:
            virtual.pause()
        self._journal.write(Phase(""))
        drawn = self._begin_previews(job, run.id) if found.computed and not job.plan.batch else None

        async def main() -> tuple[RunRecord, Any, bool | None]:
            runner = Runner(run.id, backend, sink, policy, on_result=drawn, store=store.place, purse=purse)
            virtual.begin(runner)
            recorded = RunRecord(
                run=run.id,
                job=job,
                backend=backend,
                journal=sink,
                runner=runner,
                started=zero + timedelta(seconds=begins_s),
                setup_s=None,
                pricing=pricing,
                notes=[*notes, *found.notes],
                purse=purse,
            )
            with recorded:
                answer = await recorded.drive(steps)
            sink.hand_over()
            return recorded, answer, runner.attempts.cold

        try:
            (recorded, answer, cold), now_s = await virtual.carry_out(main)
            backend.end_run(now_s)
            if isinstance(recorded.error, RunFailed | BackendError | OverBudget):
                self.broken.add(run.choice.label)
            if found.check is not None and recorded.error is None:
                self._journal.write(Answered(run.id, Answer(ok=None, check=found.check, digest="")))
            makespan_s = recorded.elapsed_s if recorded.error is None else None
            return Measured(answer if found.computed else None, makespan_s, cold)
        finally:
            self._runners.pop(run.id)
            if drawn is not None:
                await self._end_previews(run.id)
            if (left := await store.clear()) is not None:
                self._journal.write(Warned("left", left, run.id))
            await self._journal.sync()

    async def _drive(self, recorded: RunRecord, runner: Runner, steps: Any, run_id: str, store: RunStore) -> Any:
        """Run the job undisturbed and sampled, then clear what it leaves."""
        loop = asyncio.get_running_loop()
        self._journal.flush()
        await asyncio.to_thread(gc.collect)  # this also starts the job's thread before the clock
        gc.freeze()  # the collector passes over all older objects while the run is measured
        sampler = Sampler()
        sampling = loop.create_task(self._sample(run_id, runner, sampler))
        self._intervals[run_id] = (loop.time(), None)
        try:
            return await recorded.drive(steps)
        finally:
            sampling.cancel()
            with sampler:  # what happened since the last sample, which is all of a run below a second
                self._journal.write(Sampled(run_id, sampler.read(recorded.elapsed_s)))
            gc.unfreeze()
            recorded.overlaps = self._overlapping(run_id, recorded.zero_s)
            self._intervals[run_id] = (recorded.zero_s, recorded.zero_s + recorded.elapsed_s)
            try:
                await self._end_previews(run_id)
            finally:
                if (left := await store.clear()) is not None:
                    self._journal.write(Warned("left", left, run_id))

    def _begin_previews(self, job: Common, run_id: str) -> Callable[[int, int, Task, Any], None] | None:
        """A function that draws each result; None: no preview was asked for, or the workload has none."""
        previewer = job.workload.previewer(job.params, job.data) if job.plan.preview else None
        if previewer is None:
            return None
        if self._previews is None:
            self._previews = PreviewWriter(self._folder, self._journal)
        self._previews.begin(run_id)
        return partial(self._previews.add, run_id, previewer)

    async def _end_previews(self, run_id: str) -> None:
        if self._previews is not None:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PREVIEWS_S):
                        await self._previews.drawn()
            finally:
                self._previews.end(run_id)

    def _overlapping(self, run_id: str, zero_s: float) -> list[str]:
        """The runs that were under way at some time of this one, known at its end; their records name this one, too."""
        return [
            other
            for other, (_, end_s) in self._intervals.items()
            if other != run_id and (end_s is None or end_s > zero_s)
        ]

    async def _sample(self, run_id: str, runner: Runner, sampler: Sampler) -> None:
        while True:
            self._journal.write(Sampled(run_id, sampler.read(runner.elapsed_s)))
            await asyncio.sleep(_SAMPLE_S)
