"""Makes up sweeps: a session with a comparison at each point. Loaded by path, as `making`."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Answered,
    ComparisonEnded,
    Dispatched,
    Event,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
)
from lbench.engine.model import Answer, Driver, Sweep

PLACES = (1, 2, 4, 8, 16, 32, 64, 128)
_SECONDS = {  # of a run at a place
    "sequential": lambda at: 0.02 + 0.43 * at,
    "processes": lambda at: 0.15 + 0.23 * at,
    "emulated": lambda at: 1.4 + 0.035 * at,
}


def _tuned_s(point: dict[str, int]) -> float:
    return 0.4 + 8.0 * 1769 / min(point["memory"], 3538) / point["tasks"] + 0.01 * point["tasks"]


def sweep_events(
    making: ModuleType,
    *,
    identity: str = "20261123-120000-5ee9",
    axis: str = "n_trees",
    places: tuple[int, ...] = PLACES,
    repeats: int = 6,
    sweep: str | None = "ab12cd34-0001",
    factor: float = 1.0,
    whole: bool = True,
    machine: Any = None,
    kinds: Any = None,
    points: tuple[dict[str, int], ...] | None = None,
) -> list[tuple[datetime, Event]]:
    """A sweep of a random forest over a parameter; without `sweep` it is comparisons only. `factor`: of all times.

    `points`: of several axes, in place of `places`; then the times are those of `_tuned_s`.
    """
    rng = random.Random(len(identity) + round(100 * factor))
    now = making.START
    events: list[tuple[datetime, Event]] = []

    def record(event: Event) -> None:
        events.append((now, event))

    created = now.isoformat(timespec="milliseconds")
    record(
        SessionStarted(
            id=identity,
            name=identity,
            created=created,
            lbench_version="0.1.0",
            environment=machine or making.MACHINE,
            format="lbench.journal",
            version=JOURNAL_VERSION,
        )
    )
    number = 0
    for place in range(len(points)) if points is not None else places:
        point = {axis: place} if points is None else points[place]
        memory_mb = point.get("memory", 1769)
        runs = []
        for repeat in range(repeats):
            for kind in kinds or making.USUAL:
                number += 1
                runs.append((kind, repeat, f"r{number}"))
        for kind, repeat, run in runs:
            record(
                RunPlanned(
                    run=run,
                    workload="random_forest",
                    params=(point if points is None else {}) | {"max_depth": 8},
                    seed=1,
                    backend=kind.backend,
                    label=kind.backend,
                    origin="emulated" if kind.remote else "measured",
                    repeat=repeat,
                    warmup=False,
                    schedule="alternating",
                    tasks=1,
                    sweep=None if sweep is None else Sweep(sweep, point),
                    round=repeat,
                )
            )
        for kind, _, run in runs:
            usual_s = _SECONDS[kind.backend](place) if points is None else _tuned_s(point)
            took_s = factor * usual_s * rng.uniform(0.94, 1.09)
            zero = now.isoformat(timespec="milliseconds")
            record(
                RunStarted(
                    run=run,
                    started=zero,
                    setup_s=0.5,
                    settings={"concurrency": kind.places},
                    transport="direct" if kind.remote else None,
                    oversubscribed=False,
                    code_digest="c0de",
                    package_digest=None,
                    pricing=making._pricing(kind),
                    capacity=kind.places,
                )
            )
            record(StageStarted(run=run, index=0, tasks=point.get("tasks", 1), at_s=0.001))
            name = "e00" if kind.remote else None
            record(
                Dispatched(
                    run=run, n=0, stage=0, task=0, attempt=0, queued_s=0.001, dispatched_s=0.002, environment=name
                )
            )
            now += timedelta(seconds=took_s)
            record(
                Returned(
                    run=run,
                    n=0,
                    status="ok",
                    returned_s=took_s - 0.002,
                    environment="e00" if kind.remote else "w0",
                    cold=False if kind.remote else None,
                    started_s=0.003,
                    finished_s=took_s - 0.003,
                    compute_ms=1000 * (took_s - 0.006),
                    billed_ms=round(1000 * took_s * memory_mb / 1769) if kind.remote else None,
                    billed_source="report" if kind.remote else None,
                    memory_mb=memory_mb if kind.remote else None,
                    request_bytes=312,
                    response_bytes=20_310,
                    via_s3=False,
                )
            )
            record(StageEnded(run=run, index=0, at_s=took_s - 0.001))
            record(
                RunEnded(
                    run=run,
                    status="ok",
                    makespan_s=took_s,
                    driver=Driver(0.05, 0.001, 0.002, 0.004, 0.3, 0.9),
                    error=None,
                )
            )
            record(Answered(run=run, answer=Answer(True, "the accuracy is the same", f"d{place}")))
        names = [run for _, _, run in runs]
        record(ComparisonEnded(f"c{place}", names, "count", repeats, f"{repeats} repeats, as asked"))
    if whole:
        record(SessionEnded(complete=True, reason=None))
    return events


def write_sweep(making: ModuleType, folder: Path, **options: Any) -> Path:
    """Write a sweep's journal into a folder."""
    written: Path = making.write_session(folder, sweep_events(making, identity=folder.name, **options))
    return written
