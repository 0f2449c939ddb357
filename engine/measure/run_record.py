"""One run from its first event in the journal to its last: RunStarted, EnvironmentSeen, RunEnded."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from lbench.config.limits import TOO_MANY_PROCESSES, no_more_processes
from lbench.engine.backends.base import Backend, CountsProcessors, Elastic, EnvironmentInfo
from lbench.engine.billing.budget import Budget, OverBudget, Purse
from lbench.engine.billing.pricing import s3_each
from lbench.engine.journal.events import EnvironmentSeen, RunEnded, RunStarted
from lbench.engine.journal.writer import Sink
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import Driver, LambdaEnvironment, Pricing, RunStatus
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.engine.plan.prepared_job import Prepared
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.errors import LbenchError
from lbench.workloads.model import Job, Limits

__all__ = ["RunRecord", "open_purse"]


def open_purse(
    budget: Budget | None, choice: BackendChoice, plan: Plan, limits: Limits, pricing: Pricing
) -> Purse | None:
    """The purse of a run on this backend; None: there is no budget, or the backend is free."""
    if budget is None or pricing.rates is None:
        return None
    return Purse(budget, pricing, s3_each(choice, plan, limits))


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """Records that a run started when it is entered, and how it ended when it is left, whatever ended it.

    `drive` runs the job within the run's clock. All that follows in the `with` block is outside the clock and before the
    last event.
    """

    run: str  # its id
    job: Prepared
    backend: Backend  # open
    journal: Sink
    runner: Runner
    started: datetime
    setup_s: float | None  # the time that opening the backend took; None: it was open
    pricing: Pricing
    notes: list[str]  # conditions to show with the results
    purse: Purse | None = None
    lag: LagMeter | None = None  # measures the delays of the driver's loop
    only_reached: bool = False  # record the environments that this run reached, not all of the backend
    end_notes: list[str] = field(default_factory=list)  # conditions that only the run itself has shown
    overlaps: list[str] = field(default_factory=list)  # ids of the runs that were under way at some time of this one
    error: BaseException | None = None  # what ended the run without an answer
    zero_s: float = 0.0  # on the loop's clock
    elapsed_s: float = 0.0
    cpu_s: float = 0.0  # of this process within the clock
    driven: bool = False
    usage: Usage | None = None  # what the tasks did with their time

    def __enter__(self) -> Self:
        backend = self.backend
        if self.purse is not None:
            self.purse.watch(backend.own_s3)
        self.journal.write(
            RunStarted(
                run=self.run,
                started=self.started.isoformat(timespec="milliseconds"),
                setup_s=None if self.setup_s is None else round(self.setup_s, 6),
                settings=dict(backend.settings),
                transport=backend.transport,
                oversubscribed=backend.oversubscribed,
                code_digest=code_digest(self.job.description.code),
                package_digest=backend.package_digest,
                pricing=self.pricing,
                notes=self.notes,
                data=self.job.info,
                capacity=backend.capacity,
            )
        )
        return self

    async def drive(self, steps: Job, at_s: float | None = None) -> Any:
        """Run the job; returns its answer, or None after an error that ends a run. `at_s`: the clock's zero, if not now."""
        counter = self.backend if at_s is None and isinstance(self.backend, CountsProcessors) else None
        if counter is not None:
            counter.begin_count()
        cpu_s = time.process_time()
        if self.lag is not None:
            self.lag.start()
        self.zero_s = self.runner.start_clock(at_s)
        try:
            return await self.runner.run(steps)
        except LbenchError as error:
            self.error = error
            return None
        except BaseException as error:  # the engine ends and cannot wait for the job's own code; or it has failed
            self.error = error
            raise
        finally:
            self.driven = True
            self.elapsed_s = self.runner.elapsed_s
            self.cpu_s = time.process_time() - cpu_s
            if counter is not None:
                self.usage = counter.counted()
            if self.lag is not None:
                self.lag.stop()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Record the environments and the end, with the S3 requests that the backend has counted beside its calls."""
        reached = self.runner.attempts.environments
        for info in self.backend.environments():
            if not self.only_reached or info.id in reached:
                self.journal.write(EnvironmentSeen(self.run, _relative(info, self.zero_s)))
        if self.purse is not None:
            self.purse.count_own()
        steps, lag, s3 = self.runner.steps, self.lag, self.backend.own_s3
        status, why = _status(self.error if self.driven else error)
        self.journal.write(
            RunEnded(
                run=self.run,
                status=status,
                makespan_s=self.elapsed_s if status == "ok" else None,
                driver=None
                if self.backend.origin == "simulated"
                else Driver(
                    cpu_s=round(self.cpu_s, 6),
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
                cold=self.runner.attempts.cold,
                worker_s=self._worker_s(),
                usage=self.usage,
                notes=self.end_notes,
            )
        )

    def _worker_s(self) -> float | None:
        """The time of all workers within the run's clock; None: the backend is no cluster."""
        if not self.driven or not isinstance(self.backend, Elastic):
            return None
        return round(self.backend.worker_seconds(self.zero_s, self.zero_s + self.elapsed_s), 6)


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
        case _ if no_more_processes(error):
            return "failed", TOO_MANY_PROCESSES
        case _:
            return "failed", "the engine failed: see engine.log"


def _relative(info: EnvironmentInfo, zero_s: float) -> LambdaEnvironment:
    """An environment for the journal: its times in seconds since the run's zero, from times on the loop's clock."""

    def since(time_s: float | None) -> float | None:
        return None if time_s is None else round(time_s - zero_s, 6)

    times = {"created_s": since(info.created_s), "ended_s": since(info.ended_s)}
    return LambdaEnvironment(**{**asdict(info), **times})
