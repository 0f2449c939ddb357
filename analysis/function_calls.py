"""Calls of a user's deployed function: cold and warm calls, billed time, memory, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from lbench.analysis.statistics import enough_for, quantile
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView

__all__ = ["CallGroup", "Calls", "calls_of"]

_CODE = {name: code for code, name in enumerate(STATUSES)}
_SAMPLES = [_CODE[name] for name in ("ok", "error", "timeout")]


class CallGroup(msgspec.Struct, frozen=True):
    """The cold or the warm calls, in milliseconds; None: no such call, or the figure was not reported."""

    count: int
    duration_p50_ms: float | None  # the Duration of the REPORT line
    duration_p99_ms: float | None  # this and the next p99: None below 300 calls
    init_p50_ms: float | None
    init_p99_ms: float | None
    round_trip_p50_ms: float | None  # measured on this machine
    billed_p50_ms: float | None


class Calls(msgspec.Struct, frozen=True):
    """All calls of one backend's runs, warm-up left out."""

    cold: CallGroup
    warm: CallGroup
    unknown: int  # calls without a REPORT line
    errors: dict[str, int]  # errors of the function, by type
    throttled: int  # throttled by Lambda, then retried
    discarded: int  # warm calls that force_cold left out
    missing: int  # samples that runs lack because too many calls were discarded
    billed_ms: int
    memory_mb: int | None
    max_memory_mb: int | None  # the largest Max Memory Used


def calls_of(runs: Iterable[RunView]) -> Calls:
    """The calls of these runs, cold and warm apart; those of warm-up runs are left out."""
    kept = [run for run in runs if not run.planned.warmup and run.started is not None]

    def column(name: str) -> Any:
        return np.concatenate([run.columns[name] for run in kept]) if kept else np.empty(0)

    status, cold, billed = column("status"), column("cold"), column("billed_ms")
    sample = np.isin(status, _SAMPLES)
    trips_ms = (column("returned_s") - column("dispatched_s")) * 1000
    memory, used = column("memory_mb"), column("max_memory_mb")
    errors: Counter[str] = Counter()
    for run in kept:
        for row, error in run.columns.errors.items():
            if int(run.columns["status"][row]) in (_CODE["error"], _CODE["timeout"]):
                errors[error.type] += 1

    def group(mask: Any) -> CallGroup:
        compute, init = column("compute_ms")[mask], column("init_ms")[mask]
        return CallGroup(
            count=int(mask.sum()),
            duration_p50_ms=quantile(_known(compute), 0.5),
            duration_p99_ms=_p99(_known(compute)),
            init_p50_ms=quantile(_known(init), 0.5),
            init_p99_ms=_p99(_known(init)),
            round_trip_p50_ms=quantile(_known(trips_ms[mask]), 0.5),
            billed_p50_ms=quantile(billed[mask & (billed >= 0)].astype(float), 0.5),
        )

    return Calls(
        cold=group(sample & (cold == 1)),
        warm=group(sample & (cold == 0)),
        unknown=int((sample & (cold < 0)).sum()),
        errors=dict(errors.most_common()),
        throttled=int((status == _CODE["throttled"]).sum()),
        discarded=int((status == _CODE["superseded"]).sum()),
        missing=sum(_missing(run) for run in kept),
        billed_ms=int(billed[billed > 0].sum(dtype=np.int64)),
        memory_mb=int(memory.max()) if (memory > 0).any() else None,
        max_memory_mb=int(used.max()) if (used > 0).any() else None,
    )


def _missing(run: RunView) -> int:
    if run.status != "ok":
        return 0  # the report names runs that did not end well
    asked = int(run.planned.params.get("invocations", 0))
    return max(0, asked - int(np.isin(run.columns["status"], _SAMPLES).sum()))


def _known(values: Any) -> Any:
    return values[np.isfinite(values)]


def _p99(values: Any) -> float | None:
    return quantile(values, 0.99) if enough_for(0.99, len(values)) else None
