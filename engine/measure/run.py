"""One run, measured: from the moment before its clock starts until its record is whole."""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lbench.engine.backends import catalog
from lbench.engine.backends.base import Backend
from lbench.engine.billing.budget import OverBudget, Purse
from lbench.engine.billing.pricing import pricing_of
from lbench.engine.journal.events import EnvironmentSeen, Phase, Sampled, Warned
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.machine.monitor import Sampler
from lbench.engine.measure.previews import Previews
from lbench.engine.measure.run_events import relative, run_ended, run_started
from lbench.engine.measure.run_store import Temporary
from lbench.engine.measure.setup import Common, PlannedRun
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed, offload_to_thread
from lbench.engine.runner.runner import Runner
from lbench.errors import BackendError, LbenchError

__all__ = ["Measuring"]

_SAMPLE_S = 1.0


class Measuring:
    """Measures the runs of a session, one or several at a time. `cancel` and `pause` act on those that are under way."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.broken: set[str] = set()  # labels whose run failed: the same would happen again
        self._folder = folder
        self._journal = journal
        self._runners: dict[str, Runner] = {}
        self._intervals: dict[str, tuple[float, float | None]] = {}
        self._paused = False

    def cancel(self) -> None:
        """Stop them."""
        for runner in self._runners.values():
            runner.cancel()

    def pause(self, paused: bool) -> None:
        """Stop dispatching, also in runs that are to come; or go on."""
        self._paused = paused
        for runner in self._runners.values():
            if paused:
                runner.pause()
            else:
                runner.resume()

    async def measure(
        self, job: Common, run: PlannedRun, backend: Backend, setup_s: float | None, purse: Purse | None
    ) -> Any:
        """The run itself. Returns the answer, or None where there is none."""
        plan = job.plan
        notes = [*backend.notes, *job.workload.notes(job.params)]
        hedge = plan.hedge
        if hedge is not None and catalog.shares_machine(run.choice.name):
            hedge = None
            notes.append("no hedging: what is issued once more would take this machine's cores from the others")
        policy = Policy(
            timeout_s=plan.timeout_s, retries=plan.retries, seed=plan.seed, keep_going=plan.keep_going, hedge=hedge
        )
        if purse is not None:
            purse.watch(backend.own_s3)
        previews = self._open_previews(job, run.id)
        on_result = None if previews is None else previews.add
        temporary = Temporary(backend, self._folder, run.id)
        runner = Runner(
            run.id,
            backend,
            self._journal,
            policy,
            offload=offload_to_thread,
            on_result=on_result,
            store=temporary.place,
            purse=purse,
        )
        self._runners[run.id] = runner  # from here on a cancel reaches it, though its clock has not started
        if self._paused:
            runner.pause()
        pricing = pricing_of(run.choice, plan, job.workload.limits(job.params), job.ephemeral_mb(run.choice.label))
        steps = job.workload.job(job.params, job.data)
        lag = LagMeter()
        self._journal.write(Phase(""))
        now = datetime.now(UTC)
        self._journal.write(
            run_started(run.id, job, backend, started=now, setup_s=setup_s, pricing=pricing, notes=notes)
        )
        self._journal.flush()
        await asyncio.to_thread(gc.collect)  # and the job's thread is there before the clock starts
        gc.freeze()  # what is there already is not walked again while the run is measured
        sampling = asyncio.get_running_loop().create_task(self._sample(run.id, runner))
        cpu_s = time.process_time()
        lag.start()
        zero_s = runner.start_clock()
        self._intervals[run.id] = (zero_s, None)
        ended: BaseException | None = None
        answer: Any = None
        try:
            answer = await runner.run(steps)
        except LbenchError as failure:
            ended = failure
            if isinstance(failure, RunFailed | BackendError | OverBudget):
                self.broken.add(run.choice.label)
        except BaseException as failure:  # the engine ends and cannot wait for the job's own code; or it has failed
            ended = failure
            raise
        finally:
            elapsed_s = runner.elapsed_s
            cpu_s = time.process_time() - cpu_s
            lag.stop()
            sampling.cancel()
            if previews is not None:
                previews.close()
            del self._runners[run.id]
            gc.unfreeze()
            self._intervals[run.id] = (zero_s, zero_s + elapsed_s)
            for info in backend.environments():
                self._journal.write(EnvironmentSeen(run.id, relative(info, zero_s)))
            try:
                if (left := await temporary.clear()) is not None:
                    self._journal.write(Warned("left", left, run.id))
            finally:
                if purse is not None:
                    purse.count_own()
                self._journal.write(
                    run_ended(
                        run.id,
                        runner,
                        backend,
                        ended,
                        elapsed_s=elapsed_s,
                        cpu_s=cpu_s,
                        lag=lag,
                        overlaps=self._overlapping(run.id, zero_s),
                    )
                )
            await self._journal.sync()
        return answer

    def _open_previews(self, job: Common, run_id: str) -> Previews | None:
        """The growing preview, where somebody wants to look and there is something to see."""
        drawn = job.workload.previewer(job.params, job.data) if job.plan.preview else None
        return None if drawn is None else Previews(self._folder, self._journal, run_id, drawn)

    def _overlapping(self, run_id: str, zero_s: float) -> list[str]:
        """The runs that were under way at some time of this one (known at its end; theirs name it too)."""
        return [
            other
            for other, (_, end_s) in self._intervals.items()
            if other != run_id and (end_s is None or end_s > zero_s)
        ]

    async def _sample(self, run_id: str, runner: Runner) -> None:
        with Sampler() as sampler:
            while True:
                self._journal.write(Sampled(run_id, sampler.read(runner.elapsed_s)))
                await asyncio.sleep(_SAMPLE_S)
