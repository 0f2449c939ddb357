"""One run from its first event in the journal to its last: RunStarted, EnvironmentSeen, RunEnded."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from lbench.engine.backends.base import Backend, EnvironmentInfo
from lbench.engine.billing.budget import Budget, OverBudget, Purse
from lbench.engine.billing.pricing import s3_each
from lbench.engine.journal.events import EnvironmentSeen, RunEnded, RunStarted
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.model import Driver, LambdaEnvironment, Pricing, RunStatus
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.plan.prepared_job import Prepared
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.errors import LbenchError
from lbench.workloads.model import Job, Limits

__all__ = ["RecordedRun", "open_purse"]


def open_purse(
    budget: Budget | None, choice: BackendChoice, plan: Plan, limits: Limits, pricing: Pricing
) -> Purse | None:
    """The purse of a run on this backend; None: there is no budget, or the backend is free."""
    if budget is None or pricing.rates is None:
        return None
    return Purse(budget, pricing, s3_each(choice, plan, limits))


class RecordedRun:
    """Records that a run started when it is entered, and how it ended when it is left, whatever ended it.

    `drive` runs the job within the run's clock. All that follows in the `with` block is outside the clock and before the
    last event.
    """

    def __init__(
        self,
        run: str,
        job: Prepared,
        backend: Backend,
        journal: Journal,
        runner: Runner,
        *,
        started: datetime,
        setup_s: float | None,
        pricing: Pricing,
        notes: list[str],
        purse: Purse | None = None,
        lag: LagMeter | None = None,
        only_reached: bool = False,
    ) -> None:
        """Watch the backend's S3 requests for the purse.

        Args:
            run: its id.
            job: the job that `drive` will run.
            backend: the open backend.
            journal: gets the events.
            runner: the run's runner.
            started: the date of the run.
            setup_s: the time that opening the backend took; None: it was open.
            pricing: the prices that apply.
            notes: conditions to show with the results.
            purse: the run's share of the budget.
            lag: measures the delays of the driver's loop.
            only_reached: record the environments that this run reached, not all of the backend.
        """
        self.zero_s = 0.0  # on the loop's clock
        self.elapsed_s = 0.0
        self.error: BaseException | None = None  # what ended the run without an answer
        self.overlaps: list[str] = []  # ids of the runs that were under way at some time of this one
        self._run = run
        self._job = job
        self._backend = backend
        self._journal = journal
        self._runner = runner
        self._started = started
        self._setup_s = setup_s
        self._pricing = pricing
        self._notes = notes
        self._purse = purse
        self._lag = lag
        self._only_reached = only_reached
        self._driven = False
        self._cpu_s = 0.0
        if purse is not None:
            purse.watch(backend.own_s3)

    def __enter__(self) -> Self:
        backend = self._backend
        self._journal.write(
            RunStarted(
                run=self._run,
                started=self._started.isoformat(timespec="milliseconds"),
                setup_s=None if self._setup_s is None else round(self._setup_s, 6),
                settings=dict(backend.settings),
                transport=backend.transport,
                oversubscribed=backend.oversubscribed,
                code_digest=code_digest(self._job.description.code),
                package_digest=backend.package_digest,
                pricing=self._pricing,
                notes=self._notes,
                data=self._job.info,
                capacity=backend.capacity,
            )
        )
        return self

    async def drive(self, steps: Job, at_s: float | None = None) -> Any:
        """Run the job; returns its answer, or None after an error that ends a run. `at_s`: the clock's zero, if not now."""
        cpu_s = time.process_time()
        if self._lag is not None:
            self._lag.start()
        self.zero_s = self._runner.start_clock(at_s)
        try:
            return await self._runner.run(steps)
        except LbenchError as error:
            self.error = error
            return None
        except BaseException as error:  # the engine ends and cannot wait for the job's own code; or it has failed
            self.error = error
            raise
        finally:
            self._driven = True
            self.elapsed_s = self._runner.elapsed_s
            self._cpu_s = time.process_time() - cpu_s
            if self._lag is not None:
                self._lag.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record the environments and the end, with the S3 requests that the backend has counted beside its calls."""
        reached = self._runner.attempts.environments
        for info in self._backend.environments():
            if not self._only_reached or info.id in reached:
                self._journal.write(EnvironmentSeen(self._run, _relative(info, self.zero_s)))
        if self._purse is not None:
            self._purse.count_own()
        steps, lag, s3 = self._runner.steps, self._lag, self._backend.own_s3
        status, why = _status(self.error if self._driven else error)
        self._journal.write(
            RunEnded(
                run=self._run,
                status=status,
                makespan_s=self.elapsed_s if status == "ok" else None,
                driver=Driver(
                    cpu_s=round(self._cpu_s, 6),
                    encode_s=round(steps.encode_s, 6),
                    decode_s=round(steps.decode_s, 6),
                    merge_s=round(steps.merge_s, 6),
                    loop_lag_p99_ms=None if lag is None else lag.quantile_ms(0.99),
                    loop_lag_max_ms=None if lag is None else lag.quantile_ms(1.0),
                ),
                error=why,
                s3_put=s3.pop("put", 0),
                s3_get=s3.pop("get", 0),
                s3_bytes=s3.pop("bytes", 0),
                overlaps=self.overlaps,
            )
        )


def _status(error: BaseException | None) -> tuple[RunStatus, str | None]:
    """The status of a run that this error ended (None: it has an answer), and the text of a failure."""
    match error:
        case None:
            return "ok", None
        case RunCancelled() | asyncio.CancelledError():  # by a person; by the end of the session
            return "cancelled", None
        case OverBudget():
            return "over_budget", str(error)
        case LbenchError():
            return "failed", str(error)
        case _:
            return "failed", "the engine failed: see engine.log"


def _relative(info: EnvironmentInfo, zero_s: float) -> LambdaEnvironment:
    """An environment for the journal: its times in seconds since the run's zero, from times on the loop's clock."""

    def since(time_s: float | None) -> float | None:
        return None if time_s is None else round(time_s - zero_s, 6)

    return LambdaEnvironment(
        id=info.id,
        created_s=since(info.created_s),
        ended_s=since(info.ended_s),
        init_ms=info.init_ms,
        cpu_model=info.cpu_model,
        memory_mb=info.memory_mb,
        cpu_share_method=info.cpu_share_method,
        clock_offset_s=info.clock_offset_s,
        clock_bound_s=info.clock_bound_s,
    )
