"""How a run is told to the journal: its beginning, its end, and the environments that it saw."""

from __future__ import annotations

import asyncio
from datetime import datetime

from lbench.engine.backends.base import Backend, EnvironmentInfo
from lbench.engine.billing.budget import OverBudget
from lbench.engine.journal.events import RunEnded, RunStarted
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.model import Driver, LambdaEnvironment, Pricing, RunStatus
from lbench.engine.plan.prepared_job import Prepared
from lbench.engine.runner.runner import RunCancelled, Runner
from lbench.errors import LbenchError

__all__ = ["relative", "run_ended", "run_started", "verdict_of"]


def run_started(
    run: str,
    job: Prepared,
    backend: Backend,
    *,
    started: datetime,
    setup_s: float | None,
    pricing: Pricing,
    notes: list[str],
) -> RunStarted:
    """The event that a run's clock starts; `setup_s`: what opening its backend took, None where it was open."""
    return RunStarted(
        run=run,
        started=started.isoformat(timespec="milliseconds"),
        setup_s=None if setup_s is None else round(setup_s, 6),
        settings=dict(backend.settings),
        transport=backend.transport,
        oversubscribed=backend.oversubscribed,
        code_digest=code_digest(job.description.code),
        package_digest=backend.package_digest,
        pricing=pricing,
        notes=notes,
        data=job.info,
        capacity=backend.capacity,
    )


def verdict_of(ended: BaseException | None) -> tuple[RunStatus, str | None]:
    """How a run went that ended so (None: with an answer), and why it has failed."""
    match ended:
        case None:
            return "ok", None
        case RunCancelled() | asyncio.CancelledError():  # by a person; by the end of the session
            return "cancelled", None
        case OverBudget():
            return "over_budget", str(ended)
        case LbenchError():
            return "failed", str(ended)
        case _:
            return "failed", "the engine failed: see engine.log"


def run_ended(
    run: str,
    runner: Runner,
    backend: Backend,
    ended: BaseException | None,
    *,
    elapsed_s: float,
    cpu_s: float,
    lag: LagMeter | None = None,
    overlaps: list[str] | None = None,
) -> RunEnded:
    """The event that a run's clock has stopped. Takes the S3 requests that the backend has counted beside its calls.

    Args:
        run: its id.
        runner: what drove it.
        backend: where.
        ended: as in `verdict_of`.
        elapsed_s: since its clock started.
        cpu_s: of the driver's process in that time.
        lag: of the driver's loop in that time, where it was measured.
        overlaps: the runs that were under way at some time of it.
    """
    status, error = verdict_of(ended)
    return RunEnded(
        run=run,
        status=status,
        makespan_s=elapsed_s if status == "ok" else None,
        driver=Driver(
            cpu_s=round(cpu_s, 6),
            encode_s=round(runner.steps.encode_s, 6),
            decode_s=round(runner.steps.decode_s, 6),
            merge_s=round(runner.steps.merge_s, 6),
            loop_lag_p99_ms=None if lag is None else lag.quantile_ms(0.99),
            loop_lag_max_ms=None if lag is None else lag.quantile_ms(1.0),
        ),
        error=error,
        s3_put=backend.own_s3.pop("put", 0),
        s3_get=backend.own_s3.pop("get", 0),
        s3_bytes=backend.own_s3.pop("bytes", 0),
        overlaps=overlaps or [],
    )


def relative(info: EnvironmentInfo, zero_s: float) -> LambdaEnvironment:
    """An environment as the journal tells it: its moments in seconds since a run's zero (on the loop's clock)."""

    def since(moment_s: float | None) -> float | None:
        return None if moment_s is None else round(moment_s - zero_s, 6)

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
