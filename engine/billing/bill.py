"""A run's bill, from its journal so far."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from lbench.config.limits import limits
from lbench.engine.cost import charges as cost
from lbench.engine.cost.format import usd_short, usd_text
from lbench.engine.cost.rent import rent_usd
from lbench.engine.model import Cost, CostTexts, Quantities, S3Usage
from lbench.engine.session.columns import BILLED_SOURCES, STATUSES
from lbench.engine.session.view import RunView

__all__ = ["lost_deadlines", "printed_bytes", "quantities", "run_bill", "run_cost_of", "s3_usage"]

_RAN = [STATUSES.index(name) for name in ("ok", "error", "timeout", "superseded")]
_CANCELLED, _SUPERSEDED = STATUSES.index("cancelled"), STATUSES.index("superseded")
_TIMEOUT = STATUSES.index("timeout")
_ESTIMATED = BILLED_SOURCES.index("estimated")
_UNSURE_S = 1.0  # since its dispatch, in which a call in flight may yet be throttled, or is on its way


def _elapsed_ms(run: RunView, mask: Any, now_s: float | None) -> Any:
    """What is counted of the masked rows: since dispatch, to their return or until now, at most what can be billed."""
    assert run.started is not None
    columns = run.columns
    ends = columns["returned_s"][mask]
    if now_s is not None:
        ends = np.where(np.isnan(ends), now_s, ends)
    elapsed = ends - columns["dispatched_s"][mask]
    known = ~np.isnan(elapsed)
    elapsed = np.ceil(np.maximum(elapsed[known], 0) * 1000)
    elapsed = np.minimum(elapsed, cost.worst_ms(run.started.pricing.deadline_s))
    return np.where(_unended(run)[mask][known], cost.lost_deadline_ms(), elapsed).astype(np.int64)


def _unended(run: RunView) -> Any:
    """Which rows gave no reply for so long that nothing seems to have ended them at their deadline.

    An event may wait in Lambda's queue, and a user's own function has no deadline of ours: neither is judged.
    """
    assert run.started is not None
    columns, pricing = run.columns, run.started.pricing
    if run.started.transport == "event" or pricing.print_limit_bytes is None:
        return np.zeros(len(columns), dtype=bool)
    waited_ms = (columns["returned_s"] - columns["dispatched_s"]) * 1000
    late = waited_ms > cost.worst_ms(pricing.deadline_s)
    return (columns["status"] == _TIMEOUT) & (columns["billed_ms"] < 0) & late


def lost_deadlines(run: RunView) -> int:
    """How many invocations outlived their deadline: AWS billed more than it allows, or no reply came for longer."""
    if run.started is None or run.started.pricing.rates is None:
        return 0
    billed = run.columns["billed_ms"] > cost.worst_ms(run.started.pricing.deadline_s)
    return int((billed | _unended(run)).sum()) if run.started.pricing.print_limit_bytes is not None else 0


def _last_s(run: RunView) -> float:
    """The last moment of a run in its journal, in seconds since its start."""
    columns = run.columns
    moments = np.concatenate([columns["dispatched_s"], columns["returned_s"]])
    moments = moments[~np.isnan(moments)]
    return max(float(moments.max()) if len(moments) else 0.0, run.samples[-1].t_s if run.samples else 0.0)


def _ran(run: RunView) -> Any:
    """Which rows are billed: those that have ended, without those that certainly never ran."""
    ran = np.isin(run.columns["status"], _RAN)
    ran[run.columns.unrun] = False
    return ran


def run_bill(run: RunView, now_s: float | None = None) -> cost.RunCost:
    """The bill of a run so far: what has returned, with what was abandoned and (given `now_s`) surely runs, estimated.

    `now_s` is seconds since the run's start; a run whose engine is gone is counted to the last that was heard of it. A local
    run has only its machine's rent.
    """
    assert run.started is not None
    pricing = run.started.pricing
    if pricing.rates is None:
        seconds = run.makespan_s if run.makespan_s is not None else now_s
        rent = None
        if pricing.worker_usd_per_hour is not None and run.ended is not None and run.ended.worker_s is not None:
            rent = rent_usd(Decimal(pricing.worker_usd_per_hour), run.ended.worker_s)
            return cost.RunCost(cost.CostItems(machine_rent=rent), tuple(pricing.unpriced))
        if pricing.rent_usd_per_hour is not None and seconds is not None:
            rent = rent_usd(Decimal(pricing.rent_usd_per_hour), seconds)
        return cost.RunCost(cost.CostItems(machine_rent=rent), tuple(pricing.unpriced))
    counted = quantities(run, now_s)
    assert counted is not None
    return cost.run_cost(
        pricing.rates,
        counted.billed_ms,
        memory_mb=counted.memory_mb,
        ephemeral_mb=pricing.ephemeral_mb,
        requests=counted.requests,
        s3_requests={"put": counted.s3_put, "get": counted.s3_get},
        s3_byte_s=counted.s3_byte_s,
        transfer_bytes=counted.transfer_bytes,
        log_bytes=counted.log_bytes,
    )


def quantities(run: RunView, now_s: float | None = None) -> Quantities | None:
    """What the bill of a run counts (`run_bill`); None where nothing is charged."""
    if run.started is None or run.started.pricing.rates is None:
        return None
    pricing = run.started.pricing
    assert pricing.memory_mb is not None
    if run.status == "interrupted" and now_s is None:
        now_s = _last_s(run)
    columns = run.columns
    status, billed = columns["status"], columns["billed_ms"]
    ran = _ran(run)
    ran = ran | (status == _CANCELLED)  # an audit may have found its billed time
    known = ran & (billed >= 0)
    open_ended = ran & (billed < 0)
    estimated = _elapsed_ms(run, open_ended, now_s)
    if now_s is not None:
        until_s = now_s - _UNSURE_S if run.status == "running" else now_s
        in_flight = (status < 0) & (columns["dispatched_s"] <= until_s)
        estimated = np.concatenate([estimated, _elapsed_ms(run, in_flight, until_s)])
    received = columns["response_bytes"]
    calls = int(known.sum()) + len(estimated)
    cold = int((ran & (columns["cold"] == 1)).sum())
    return Quantities(
        requests=calls,
        billed_ms=int(billed[known].sum(dtype=np.int64)) + int(estimated.sum()),
        memory_mb=pricing.memory_mb,
        storage_mb=max(0, pricing.ephemeral_mb - limits().ephemeral_min_mb),
        s3_put=run.s3_put,
        s3_get=run.s3_get,
        s3_byte_s=run.s3_bytes * _length_s(run, now_s),
        transfer_bytes=int(received[received > 0].sum(dtype=np.int64)),
        log_bytes=cost.log_bytes(calls, cold, printed_bytes(run), marked=pricing.marked),
    )


def _length_s(run: RunView, now_s: float | None) -> int:
    """The run's whole seconds so far, rounded up: as if what it has put into S3 had lain there from its start."""
    length_s = run.makespan_s if run.makespan_s is not None else now_s
    if length_s is None:
        returned = run.columns["returned_s"]
        length_s = float(np.nanmax(returned)) if not np.isnan(returned).all() else 0.0
    return math.ceil(length_s)


def s3_usage(run: RunView) -> S3Usage | None:
    """What of S3 a run is charged for; None where nothing is charged."""
    if run.started is None or run.started.pricing.rates is None:
        return None
    now_s = _last_s(run) if run.status == "interrupted" else None
    return S3Usage(run.s3_put, run.s3_get, run.s3_bytes, _length_s(run, now_s) / 3600)


def printed_bytes(run: RunView) -> int:
    """Bytes that tasks have written to the log: prints as the handler counted them, and what is known of tracebacks."""
    printed = run.columns["printed_bytes"]
    tails = sum(len(text.encode()) for text in run.columns.log_tails.values())
    return int(printed[printed >= 0].sum(dtype=np.int64)) + tails


def run_cost_of(run: RunView) -> Cost | None:
    """A run's cost as in the session document."""
    if run.started is None:
        return None
    bill = run_bill(run)
    pricing = run.started.pricing
    known = pricing.rates
    estimated = [] if known is None else _estimated(run)
    return Cost(
        usd=None if bill.usd is None else usd_text(bill.usd),
        bound_usd=pricing.bound_usd,
        items=CostTexts(**bill.items.texts()),
        region=known.region if known else None,
        architecture=known.architecture if known else None,
        price_date=known.price_date if known else None,
        price_source=known.price_source if known else None,
        unpriced=list(bill.left_out),
        quantities=quantities(run),
        assumed=list(bill.assumed),
        machine_rent_basis=pricing.rent_basis,
        estimated=estimated,
    )


def _estimated(run: RunView) -> list[str]:
    """Which amounts of a bill are estimates, of what, and how much more it can be."""
    columns = run.columns
    status, billed, source = columns["status"], columns["billed_ms"], columns["billed_source"]
    texts = []
    abandoned = ((status == _CANCELLED) | (status == _SUPERSEDED)) & (billed < 0)
    if count := int(abandoned.sum()):
        texts.append(
            f"duration: {count} abandoned invocation{'s' * (count > 1)} counted up to then; on AWS each runs on "
            f"to its end, at most to its deadline{_more(run, abandoned)}"
        )
    if run.status == "interrupted" and (count := int((status < 0).sum())):
        texts.append(
            f"duration: {count} invocation{'s' * (count > 1)} under way when the engine ended, counted to the last that "
            f"was recorded; on AWS each runs on to its end, at most to its deadline{_more(run, status < 0)}"
        )
    if count := int(_unended(run).sum()):
        texts.append(
            f"duration: {count} invocation{'s' * (count > 1)} without a reply long after the deadline, counted to the "
            f"function's timeout of {limits().timeout_max_s} s"
        )
    ran = _ran(run) & (status != _SUPERSEDED) & ~_unended(run)
    if count := int((ran & ((billed < 0) | (source == _ESTIMATED))).sum()):
        more = _more(run, ran & (billed < 0))
        texts.append(
            f"duration: {count} invocation{'s' * (count > 1)} without AWS's report, by this machine's clock{more}"
        )
    if len(columns):
        texts.append(f"logs: by the length of AWS's own lines{_uncounted_prints(run)}")
    return texts


def _uncounted_prints(run: RunView) -> str:
    """How many invocations printed an unknown amount, and how much more that can cost."""
    assert run.started is not None
    pricing = run.started.pricing
    assert pricing.rates is not None
    count = int((_ran(run) & (run.columns["printed_bytes"] < 0)).sum())
    if not count:
        return ""
    whose = f"; what {count} invocation{'s' * (count > 1)} printed was not counted"
    if pricing.print_limit_bytes is None or pricing.rates.logs_gb_usd is None:
        return whose
    most = cost.logs_usd(pricing.rates, count * pricing.print_limit_bytes)
    return f"{whose}: at most {usd_short(most, up=True)} more" if most else whose


def _more(run: RunView, mask: Any) -> str:
    """How much more than is counted these invocations can have cost."""
    assert run.started is not None
    pricing = run.started.pricing
    assert pricing.rates is not None and pricing.memory_mb is not None
    counted = _elapsed_ms(run, mask, _last_s(run) if run.status == "interrupted" else None)
    more_ms = len(counted) * cost.worst_ms(pricing.deadline_s) - int(counted.sum())
    usd = cost.invocation_usd(pricing.rates, more_ms, pricing.memory_mb, pricing.ephemeral_mb)
    more = cost.total_usd((usd.duration, usd.storage))
    return f"; at most {usd_short(more, up=True)} more" if more else ""
