"""The calls of recorded runs on Lambda, as arrays."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.engine.simulation.platform import BURST

Floats = NDArray[np.float64]

OK = STATUSES.index("ok")


class Calls(msgspec.Struct, frozen=True):
    """The good calls of all runs, as arrays."""

    run: NDArray[np.int64]
    environment: NDArray[np.int64]  # numbered over all runs; -1: not known
    cold: NDArray[np.bool_]
    burst: NDArray[np.bool_]  # sent with many others when nothing was under way
    first: NDArray[np.bool_]  # of its environment's wave
    compute_s: Floats
    inside_s: Floats
    init_s: Floats
    trip_s: Floats  # from dispatch to return
    request_mb: Floats
    response_mb: Floats
    key: NDArray[np.int64]  # the same for the same task of the same job

    @property
    def outside_s(self) -> Floats:
        """The part of the round trip that is network and service."""
        return self.trip_s - self.inside_s - np.where(self.cold & ~np.isnan(self.init_s), self.init_s, 0.0)


def calls_of(runs: list[RunView], keys: dict[tuple[str, ...], int], dispatch_s: float) -> Calls:
    """The good calls of these runs; `keys` numbers their tasks and is filled."""
    parts: dict[str, list[Any]] = defaultdict(list)
    environments: dict[tuple[str, str], int] = {}
    for number, run in enumerate(runs):
        columns = run.columns
        rows = np.flatnonzero((columns["status"] == OK) & (columns["dispatched_s"] == columns["dispatched_s"]))
        if not len(rows):
            continue
        names = columns.environments
        label = f"{run.planned.label}/{run.started.package_digest if run.started else ''}"
        codes = [
            -1 if code < 0 else environments.setdefault((label, names[code]), len(environments))
            for code in columns["environment"][rows].tolist()
        ]
        job = job_key(run)
        started, finished = columns["started_s"][rows], columns["finished_s"][rows]
        compute = columns["compute_ms"][rows].astype(np.float64) / 1000
        inside = finished - started
        inside = np.where(np.isnan(inside), compute, inside)
        stages, tasks = columns["stage"][rows], columns["task"][rows]
        burst, first, ahead = _waves(run, rows)
        # In virtual time all calls of a wave leave at one moment: the driver's own time for those ahead is in the trip.
        queue_s = ahead * (dispatch_s if run.planned.origin == "simulated" else 0.0)
        parts["run"].append(np.full(len(rows), number))
        parts["environment"].append(np.array(codes))
        parts["cold"].append(columns["cold"][rows] == 1)
        parts["burst"].append(burst)
        parts["first"].append(first)
        parts["compute_s"].append(compute)
        parts["inside_s"].append(inside)
        parts["init_s"].append(columns["init_ms"][rows].astype(np.float64) / 1000)
        parts["trip_s"].append(columns["returned_s"][rows] - columns["dispatched_s"][rows] - queue_s)
        parts["request_mb"].append(np.maximum(columns["request_bytes"][rows], 0) / 1e6)
        parts["response_mb"].append(np.maximum(columns["response_bytes"][rows], 0) / 1e6)
        parts["key"].append(
            np.array(
                [
                    keys.setdefault((*job, str(stage), str(task)), len(keys))
                    for stage, task in zip(stages.tolist(), tasks.tolist(), strict=True)
                ]
            )
        )
    arrays: dict[str, Any] = {
        name: np.concatenate(parts[name]) if parts[name] else np.empty(0, dtype=np.int64)
        for name in Calls.__struct_fields__
    }
    return Calls(**arrays)


def job_key(run: RunView) -> tuple[str, ...]:
    """What makes two runs the same work."""
    planned = run.planned
    memory = "" if run.started is None else str(run.started.pricing.memory_mb)
    return planned.workload, msgspec.json.encode(planned.params).decode(), str(planned.seed), memory


def _waves(run: RunView, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Which calls left in a burst of many, which were the first of their place in the stage, and how many left ahead."""
    columns = run.columns
    burst, first = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    ahead = np.zeros(len(rows), dtype=np.int64)
    capacity = run.started.capacity if run.started is not None else 1
    for stage in range(len(run.stages)):
        inside = np.flatnonzero(columns["stage"][rows] == stage)
        order = inside[np.argsort(columns["dispatched_s"][rows][inside], kind="stable")]
        wave = order[:capacity]
        first[wave] = True
        ahead[wave] = np.arange(len(wave)) + 1
        burst[wave] = len(wave) >= BURST
    return burst, first, ahead
