"""Writes a recorded session of any number of invocations, a run at a time: three backends, ten repeats each, four lanes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from lbench.config.prices import rates
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Answered,
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
    encode_lines,
)
from lbench.engine.machine.fingerprint import fingerprint
from lbench.engine.model import Answer, Driver, Pricing

__all__ = ["BACKENDS", "LANES", "REPEATS", "planned", "write_large_session"]

BACKENDS, REPEATS, LANES = ("sequential", "processes", "emulated"), 10, 4
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_AT_ONCE = 20_000  # events that are encoded together


def write_large_session(folder: Path, invocations: int) -> Path:
    """A session's folder; its invocations are divided among the runs."""
    folder.mkdir(parents=True)
    each = invocations // (len(BACKENDS) * REPEATS)
    generator = np.random.default_rng(1)
    header = SessionStarted(
        folder.name, "large", _BEGAN.isoformat(), "0", fingerprint(), "lbench.journal", JOURNAL_VERSION
    )
    runs = [
        (f"r{repeat * len(BACKENDS) + number}", backend, repeat)
        for repeat in range(REPEATS)
        for number, backend in enumerate(BACKENDS)
    ]
    with (folder / "events.jsonl").open("wb") as file:
        file.write(encode_lines([header, *(planned(*run, each) for run in runs)]))
        now = _BEGAN
        for run, backend, repeat in runs:
            lanes = 1 if backend == "sequential" else LANES
            events, makespan_s = _run(run, backend, repeat, lanes, each, now, generator)
            for first in range(0, len(events), _AT_ONCE):
                file.write(encode_lines(events[first : first + _AT_ONCE]))
            now += timedelta(seconds=makespan_s + 0.1)
        file.write(encode_lines([SessionEnded(complete=True)]))
    return folder


def planned(run: str, backend: str, repeat: int, tasks: int) -> RunPlanned:
    """The plan of one run of a large session."""
    return RunPlanned(
        run=run,
        workload="probe",
        params={},
        seed=1,
        backend=backend,
        label=backend,
        origin="emulated" if backend == "emulated" else "measured",
        repeat=repeat,
        warmup=False,
        schedule="alternating",
        tasks=tasks,
        round=repeat,
    )


def _run(
    run: str, backend: str, repeat: int, lanes: int, tasks: int, now: datetime, generator: np.random.Generator
) -> tuple[list[Event], float]:
    """The events of a run in the order of time, and its makespan."""
    remote = backend == "emulated"
    compute_ms = generator.lognormal(1.0, 0.3, tasks)
    busy_s = (compute_ms + generator.exponential(0.2, tasks) + 0.4) / 1000
    lane = np.arange(tasks) % lanes
    ends = np.zeros(tasks)
    for one in range(lanes):
        ends[lane == one] = np.cumsum(busy_s[lane == one])
    begins = ends - busy_s
    number = np.empty(tasks, dtype=np.int64)  # in the order of the dispatches
    number[np.argsort(begins, kind="stable")] = np.arange(tasks)
    names = [f"2026/01/01/[$LATEST]{one:032x}" if remote else f"w{one}" for one in range(lanes)]
    moments: list[tuple[float, int, Event]] = []
    rows = zip(number.tolist(), lane.tolist(), begins.tolist(), ends.tolist(), compute_ms.tolist(), strict=True)
    for task, (n, place, begin_s, end_s, compute) in enumerate(rows):
        environment = names[place]
        begun = Dispatched(run, n, 0, task, 0, 0.001, begin_s, None if remote else environment)
        begun_there_s, finished_s = begin_s + 0.0002, end_s - 0.0002
        ended = Returned(
            run, n, "ok", end_s, environment, started_s=begun_there_s, finished_s=finished_s, compute_ms=compute,
            request_bytes=120, response_bytes=300, via_s3=False,
        )  # fmt: skip
        if remote:
            ended.cold = task < lanes and not repeat
            ended.billed_ms, ended.billed_source, ended.memory_mb, ended.max_memory_mb = (
                int(compute) + 1,
                "report",
                1769,
                60,
            )
            ended.request_id = f"{n:08x}-29b5-4782-a3e8-f8b86f867be3"
            ended.init_ms = 120.0 if ended.cold else None
        else:
            ended.peak_rss_mb = 50
        moments += [(begin_s, 1, begun), (end_s, 0, ended)]
    moments.sort(key=lambda moment: moment[:2])
    makespan_s = float(ends.max()) + 0.01
    pricing = Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769) if remote else Pricing()
    started = RunStarted(
        run, now.isoformat(), None, {"concurrency": lanes}, "direct" if remote else None, False, "d", None, pricing,
        capacity=lanes,
    )  # fmt: skip
    driver = Driver(0.1, 0.1, 0.1, 0.0, 1.0, 2.0)
    return [
        started,
        StageStarted(run, 0, tasks, 0.0),
        *(event for _, _, event in moments),
        StageEnded(run, 0, makespan_s - 0.001),
        RunEnded(run, "ok", makespan_s, driver),
        Answered(run, Answer(True, "equal", "same")),
    ], makespan_s
