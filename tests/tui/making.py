"""Makes up journals: deterministic sessions that look like real ones, at any size and cut at any moment.

The screens are tested on these: the journal is faked, never the UI. Loaded by path (tests and benchmarks are no packages).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lbench.config.prices import rates
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Answered,
    Dispatched,
    EnvironmentSeen,
    Event,
    Phase,
    Previewed,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
    Warned,
    encode_lines,
)
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import Answer, Driver, ErrorInfo, LambdaEnvironment, Pricing
from lbench.workloads.encoding import encode

START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
MACHINE = Environment(
    cpu_model="AMD EPYC 7B13",
    logical_cores=8,
    physical_cores=4,
    usable_cores=8.0,
    cgroup_quota=None,
    cpu_governor=None,
    memory_bytes=32 * 2**30,
    os="Linux 6.18 x86_64 (Debian GNU/Linux 12)",
    python="CPython 3.13.1",
    packages={"lbench": "0.1.0", "numpy": "2.4.6"},
    blas_threads=None,
    load_1m=0.4,
    hostname="bench-01",
)
MANDELBROT = {
    "size": 1000,
    "width": None,
    "height": None,
    "max_iterations": 500,
    "window": [-1.5, 1.0, -1.25, 1.25],
    "assignment": "interleaved",
    "kernel": "numpy",
}


class Kind(msgspec.Struct, frozen=True):
    """How one backend behaves."""

    backend: str
    places: int  # workers or environments
    task_s: float = 0.064
    spread: float = 0.12
    overhead_s: float = 0.0004
    init_s: float | None = None  # of a cold start, on Lambda-like backends
    mishaps: bool = False  # an error, a throttle, a timeout, a superseded attempt

    @property
    def remote(self) -> bool:
        """Whether it is Lambda or looks like it."""
        return self.init_s is not None


SEQUENTIAL = Kind("sequential", 1)
PROCESSES = Kind("processes", 2, task_s=0.0655)
EMULATED = Kind("emulated", 8, task_s=0.066, spread=0.2, overhead_s=0.0017, init_s=0.6, mishaps=True)
USUAL = (SEQUENTIAL, PROCESSES, EMULATED)


def _pricing(kind: Kind) -> Pricing:
    if kind.remote:
        return Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769, bound_usd="0.0497", deadline_s=300.0)
    return Pricing(rent_usd_per_hour="0.4032", rent_basis="rent of an equal EC2 machine: 8 vCPU of m7i")


def _attempts(kind: Kind, run: str, tasks: int, rng: random.Random, warm: bool) -> Iterator[tuple[float, Event]]:
    """(when, event) of all attempts of a stage, out of order."""
    free = [0.002 + 0.0003 * place for place in range(kind.places)]
    cold = [kind.remote and not warm] * kind.places
    names = [
        f"2026/11/22/[$LATEST]{rng.getrandbits(64):016x}" if kind.remote else f"w{place}"
        for place in range(kind.places)
    ]
    todo = [(task, 0, 0.001) for task in range(tasks)]
    n = 0
    while todo:
        task, attempt, ready = todo.pop(0)
        place = min(range(kind.places), key=lambda index: free[index])
        begun = max(free[place], ready)
        init = kind.init_s * rng.uniform(0.85, 1.3) if kind.init_s is not None and cold[place] else 0.0
        compute = kind.task_s * max(0.3, rng.gauss(1.0, kind.spread))
        if rng.random() < 0.02:
            compute *= 1.6
        fetch = kind.task_s * 0.12 if kind.remote and cold[place] else 0.0
        status, error = "ok", None
        if kind.mishaps and attempt == 0:
            if task == 17:
                status, error = "error", ErrorInfo("ValueError", "row 17 cannot be computed", True)
            elif task == 29:
                status, error = "throttled", ErrorInfo("TooManyRequestsException", "Rate Exceeded.", True)
            elif task == 41:
                status, error, compute = "timeout", ErrorInfo("Timeout", "the deadline of 0.3 s has passed", True), 0.3
            elif task == 53:
                status = "superseded"
        dispatched = begun
        started = dispatched + kind.overhead_s + init
        finished = started + fetch + compute
        returned = finished + kind.overhead_s
        yield (
            dispatched,
            Dispatched(
                run=run,
                n=n,
                stage=0,
                task=task,
                attempt=attempt,
                queued_s=ready,
                dispatched_s=dispatched,
                environment=None if kind.remote else names[place],
            ),
        )
        if status == "throttled":
            returned = dispatched + 0.01
            yield returned, Returned(run=run, n=n, status="throttled", returned_s=returned, error=error)
        else:
            billed = max(1, round((init + fetch + compute) * 1000 + 1))
            yield (
                returned,
                Returned(
                    run=run,
                    n=n,
                    status=status,  # type: ignore[arg-type]
                    returned_s=returned,
                    environment=names[place],
                    cold=cold[place] if kind.remote else None,
                    started_s=started,
                    finished_s=finished,
                    init_ms=init * 1000 if cold[place] else None,
                    fetch_ms=fetch * 1000 if kind.remote else None,
                    compute_ms=compute * 1000,
                    billed_ms=billed if kind.remote else None,
                    billed_source="report" if kind.remote else None,
                    memory_mb=1769 if kind.remote else None,
                    max_memory_mb=71 if kind.remote else None,
                    request_bytes=312,
                    response_bytes=20_310,
                    via_s3=False,
                    request_id=f"{rng.getrandbits(32):08x}-4a4e-4b57-9620-{n:012x}" if kind.remote else None,
                    log_tail="START\nValueError: row 17 cannot be computed\nEND" if status == "error" else None,
                    error=error,
                ),
            )
            cold[place] = False
        free[place] = returned + 0.0003
        if status in ("error", "throttled", "timeout", "superseded"):
            todo.insert(min(len(todo), kind.places), (task, attempt + 1, returned + 0.02))
        n += 1


def _numbered(attempts: Iterator[tuple[float, Event]]) -> list[tuple[float, Event]]:
    """In the order of time, the invocations numbered in the order of their dispatch."""
    events = sorted(attempts, key=lambda item: item[0])
    numbers: dict[int, int] = {}
    for _, event in events:
        if isinstance(event, Dispatched):
            numbers[event.n] = len(numbers)
        event.n = numbers[event.n]  # type: ignore[union-attr]
    return events


def events(
    kinds: tuple[Kind, ...] = USUAL,
    *,
    tasks: int = 100,
    repeats: int = 3,
    seed: int = 7,
    failing: str | None = None,
    identity: str = "20261122-120000-abcd",
) -> list[tuple[datetime, Event]]:
    """A whole session, each event with the moment at which it happened."""
    rng = random.Random(seed)
    now = START
    events: list[tuple[datetime, Event]] = []

    def record(event: Event, at: datetime | None = None) -> None:
        events.append((at or now, event))

    record(
        SessionStarted(
            id=identity,
            name="the first comparison",
            created=now.isoformat(timespec="milliseconds"),
            lbench_version="0.1.0",
            environment=MACHINE,
            format="lbench.journal",
            version=JOURNAL_VERSION,
        )
    )
    runs = [
        (kind, repeat, f"r{number}")
        for number, (kind, repeat) in enumerate(
            ((kind, repeat) for kind in kinds for repeat in range(repeats)), start=1
        )
    ]
    for kind, repeat, run in runs:
        record(
            RunPlanned(
                run=run,
                workload="mandelbrot",
                params=MANDELBROT,
                seed=1,
                backend=kind.backend,
                label=kind.backend,
                origin="emulated" if kind.remote else "measured",
                repeat=repeat,
                warmup=False,
                schedule="isolated",
                tasks=tasks,
            )
        )
    for kind, repeat, run in runs:
        if repeat == 0:
            record(Phase(f"starting {kind.backend}"))
            now += timedelta(seconds=0.5)
            record(Phase(""))
        zero = now
        record(
            RunStarted(
                run=run,
                started=zero.isoformat(timespec="milliseconds"),
                setup_s=0.5,
                settings={"concurrency": kind.places},
                transport="direct" if kind.remote else None,
                oversubscribed=False,
                code_digest="c0de",
                package_digest=None,
                pricing=_pricing(kind),
                capacity=kind.places,
            )
        )
        record(StageStarted(run=run, index=0, tasks=tasks, at_s=0.001))
        attempts = _numbered(_attempts(kind, run, tasks, rng, warm=repeat > 0))
        stop_s = attempts[len(attempts) // 2][0] if kind.backend == failing else None
        last = 0.0
        for at_s, event in attempts:
            if stop_s is not None and at_s > stop_s:
                break
            record(event, zero + timedelta(seconds=at_s))
            last = at_s
        now = zero + timedelta(seconds=last + 0.002)
        if stop_s is None:
            record(StageEnded(run=run, index=0, at_s=last + 0.001))
            if kind.remote:
                for place in range(min(kind.places, 64)):
                    info = LambdaEnvironment(id=f"env{place}", init_ms=600.0, memory_mb=1769, cpu_share_method="cgroup")
                    record(EnvironmentSeen(run=run, info=info))
        driver = Driver(0.05, 0.001, 0.002, 0.004, 0.3, 0.9)
        status = "ok" if stop_s is None else "failed"
        why = None if stop_s is None else "task 17 failed 3 times: ValueError: row 17 cannot be computed"
        record(
            RunEnded(
                run=run, status=status, makespan_s=last + 0.002 if stop_s is None else None, driver=driver, error=why
            )
        )
        if stop_s is None:
            record(Phase(f"checking the answer of {kind.backend}"))
            now += timedelta(seconds=0.2)
            record(Answered(run=run, answer=Answer(True, "every count is the same", "d1935")))
            record(Phase(""))
    record(Warned("load", "the machine was busy (load 3.1 on 8 cores): results may be slow", None))
    record(SessionEnded(complete=failing is None, reason=None if failing is None else "a run failed"))
    return events


def _counts(side: int = 200) -> Any:
    """A small Mandelbrot set: brightness 0..254, 255 inside."""
    x, y = np.meshgrid(np.linspace(-2.0, 0.6, side), np.linspace(-1.3, 1.3, side))
    c = x + 1j * y
    z = np.zeros_like(c)
    counts = np.full(c.shape, 60)
    for step in range(60):
        z = np.where(np.abs(z) <= 2, z * z + c, z)
        counts = np.where((np.abs(z) > 2) & (counts == 60), step, counts)
    shade = np.log1p(counts) * (254 / np.log1p(60))
    return np.where(counts == 60, 255, shade).astype(np.uint8)


def with_pictures(
    events: list[tuple[datetime, Event]], folder: Path, *, tasks: int = 100
) -> list[tuple[datetime, Event]]:
    """The same session with a growing picture: its blocks go to `previews.bin` in the folder."""
    picture = _counts()
    folder.mkdir(parents=True, exist_ok=True)
    more: list[tuple[datetime, Event]] = []
    task_of: dict[tuple[str, int], int] = {}
    with (folder / "previews.bin").open("wb") as file:
        for at, event in events:
            more.append((at, event))
            if isinstance(event, Dispatched):
                task_of[event.run, event.n] = event.task
            if isinstance(event, Returned) and event.status == "ok":
                task = task_of[event.run, event.n]
                block = {"kind": "rows", "width": 200, "height": 200, "first": task, "step": tasks}
                data = encode({**block, "values": np.ascontiguousarray(picture[task::tasks])})
                more.append((at, Previewed(event.run, 0, task, file.tell(), len(data))))
                file.write(data)
    return more


def write_session(folder: Path, events: list[tuple[datetime, Event]], *, until_s: float | None = None) -> Path:
    """Write a journal into `folder`, whole or cut `until_s` after the session's beginning; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    end = None if until_s is None else START + timedelta(seconds=until_s)
    lines = encode_lines([event for at, event in events if end is None or at <= end])
    (folder / "events.jsonl").write_bytes(lines)
    return folder
