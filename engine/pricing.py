"""Which prices a run is charged by, and what a run as the journal tells it costs."""

from __future__ import annotations

import platform
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from lbench.config.prices import rates
from lbench.engine import cost, machine
from lbench.engine.backends.base import Backend
from lbench.engine.backends.settings import LambdaSettings
from lbench.engine.columns import STATUSES
from lbench.engine.events import Pricing
from lbench.engine.model import Cost, CostTexts
from lbench.engine.plan import BackendChoice, Plan
from lbench.engine.session import RunView
from lbench.workloads.model import Limits

__all__ = ["bound_of", "host_architecture", "pricing_of", "run_bill", "run_cost_of", "running_usd"]

_RAN = [STATUSES.index(name) for name in ("ok", "error", "timeout", "superseded")]
_CANCELLED = STATUSES.index("cancelled")


def host_architecture() -> str:
    """Lambda's name for the architecture of this machine."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def bound_of(choice: BackendChoice, plan: Plan, limits: Limits) -> cost.Bound | None:
    """The most that one run on this backend can cost; None for a local one."""
    if choice.name != "emulated":
        return None
    # The data set is put once, and each attempt may get its arguments and data and put its result.
    settings = msgspec.convert(choice.settings, LambdaSettings)
    attempts = 1 + plan.retries
    s3 = None
    if limits.tasks is not None and limits.s3_requests is not None:
        own = limits.tasks * attempts * 2 + 1
        s3 = {"put": own + limits.s3_requests, "get": own + limits.s3_requests}
    return cost.bound_usd(
        rates(settings.region, settings.arch or host_architecture()),
        tasks=limits.tasks,
        attempts=attempts,
        deadline_s=plan.timeout_s,
        memory_mb=settings.memory,
        s3_requests=s3,
    )


def pricing_of(choice: BackendChoice, backend: Backend, plan: Plan, limits: Limits) -> Pricing:
    """What the journal records about prices when a run starts."""
    bound = bound_of(choice, plan, limits)
    if bound is None:
        rent = cost.machine_rent(machine.usable_cores(), machine.memory_bytes(), 3600.0)
        return Pricing(rent_usd_per_hour=cost.usd_text(rent.usd), rent_basis=rent.description)
    settings = msgspec.convert(choice.settings, LambdaSettings)
    return Pricing(
        rates=rates(settings.region, settings.arch or host_architecture()),
        memory_mb=settings.memory,
        bound_usd=None if bound.usd is None else cost.usd_text(bound.usd),
        unpriced=list(bound.left_out),
        deadline_s=plan.timeout_s,
    )


def _elapsed_of(run: RunView, mask: Any, now_s: float | None) -> Any:
    """Seconds since dispatch of the masked rows, to their return or until now."""
    columns = run.columns
    ends = columns["returned_s"][mask]
    if now_s is not None:
        ends = np.where(np.isnan(ends), now_s, ends)
    elapsed = ends - columns["dispatched_s"][mask]
    return elapsed[~np.isnan(elapsed)]


def run_bill(run: RunView, now_s: float | None = None) -> cost.RunCost:
    """The bill of a run so far: what has returned, with what was abandoned and (given `now_s`) runs, estimated.

    `now_s` is seconds since the run's start. A local run has only its machine's rent.
    """
    assert run.started is not None
    pricing = run.started.pricing
    if pricing.rates is None:
        seconds = run.makespan_s if run.makespan_s is not None else now_s
        rent = None
        if pricing.rent_usd_per_hour is not None and seconds is not None:
            hourly = Decimal(pricing.rent_usd_per_hour)
            rent = (hourly * Decimal(round(seconds * 1000)) / 3_600_000).quantize(Decimal("1e-12"))
        return cost.RunCost(cost.CostItems(machine_rent=rent))
    assert pricing.memory_mb is not None
    columns = run.columns
    status, billed = columns["status"], columns["billed_ms"]
    ran = np.isin(status, _RAN)
    known = ran & (billed >= 0)
    open_ended = (ran & (billed < 0)) | (status == _CANCELLED)
    if now_s is not None:
        open_ended = open_ended | (status < 0)
    elapsed = _elapsed_of(run, open_ended, now_s)
    most = cost.worst_ms(pricing.deadline_s)
    estimated = np.minimum(np.ceil(np.maximum(elapsed, 0) * 1000), most).astype(np.int64)
    return cost.run_cost(
        pricing.rates,
        int(billed[known].sum(dtype=np.int64)) + int(estimated.sum()),
        memory_mb=pricing.memory_mb,
        ephemeral_mb=pricing.ephemeral_mb,
        requests=int(known.sum()) + len(estimated),
        s3_requests={"put": run.s3_put, "get": run.s3_get},
    )


def running_usd(run: RunView, now_s: float | None = None) -> Decimal | None:
    """What a run has cost so far; None for a local one or one that has not started."""
    return None if run.started is None else run_bill(run, now_s).usd


def run_cost_of(run: RunView) -> Cost | None:
    """A run's cost as the session document tells it."""
    if run.started is None:
        return None
    bill = run_bill(run)
    pricing = run.started.pricing
    known = pricing.rates
    return Cost(
        usd=None if bill.usd is None else cost.usd_text(bill.usd),
        bound_usd=pricing.bound_usd,
        items=CostTexts(**bill.items.texts()),
        region=known.region if known else None,
        architecture=known.architecture if known else None,
        price_date=known.price_date if known else None,
        price_source=known.price_source if known else None,
        unpriced=list(bill.left_out),
        machine_rent_basis=pricing.rent_basis,
    )
