"""What a run costs, as far as the journal has told it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from lbench.engine import cost
from lbench.engine.columns import STATUSES
from lbench.engine.model import Cost, CostTexts
from lbench.engine.session import RunView

__all__ = ["run_bill", "run_cost_of"]

_RAN = [STATUSES.index(name) for name in ("ok", "error", "timeout", "superseded")]
_CANCELLED = STATUSES.index("cancelled")


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
    received = columns["response_bytes"]
    most = cost.worst_ms(pricing.deadline_s)
    estimated = np.minimum(np.ceil(np.maximum(elapsed, 0) * 1000), most).astype(np.int64)
    return cost.run_cost(
        pricing.rates,
        int(billed[known].sum(dtype=np.int64)) + int(estimated.sum()),
        memory_mb=pricing.memory_mb,
        ephemeral_mb=pricing.ephemeral_mb,
        requests=int(known.sum()) + len(estimated),
        s3_requests={"put": run.s3_put, "get": run.s3_get},
        transfer_bytes=int(received[received > 0].sum(dtype=np.int64)),
    )


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
