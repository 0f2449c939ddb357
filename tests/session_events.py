"""A session written by hand: events as an engine would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lbench.engine.journal.events import (
    Answered,
    Dispatched,
    Event,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionEnded,
    SessionStarted,
    StageStarted,
)
from lbench.engine.machine.fingerprint import Environment, MachineSample
from lbench.engine.model import Answer, Driver, Pricing, Schedule

CREATED = "2026-01-01T00:00:00+00:00"
DRIVER = Driver(0.0, 0.0, 0.0, 0.0, 1.0, 2.0)


def session_started(environment: Environment, identity: str = "s") -> SessionStarted:
    """The first event of a session."""
    return SessionStarted(identity, identity, CREATED, "0", environment, format="lbench.journal", version=1)


def run_planned(run: str, backend: str, repeat: int, **more: Any) -> RunPlanned:
    """A run of probe whose label is its backend's name."""
    origin = "emulated" if backend == "emulated" else "measured"
    usual: dict[str, Any] = {"workload": "probe", "params": {}, "seed": 1, "warmup": False, "schedule": "isolated"}
    return RunPlanned(run=run, backend=backend, label=backend, origin=origin, repeat=repeat, **(usual | more))


def run_started(run: str, **more: Any) -> RunStarted:
    """The start of a run, in 0.1 s and with two lanes."""
    usual: dict[str, Any] = {
        "started": CREATED,
        "setup_s": 0.1,
        "settings": {},
        "transport": None,
        "oversubscribed": False,
        "code_digest": "d",
        "package_digest": None,
        "pricing": Pricing(),
        "capacity": 2,
    }
    return RunStarted(run=run, **(usual | more))


def run_answered(run: str, *, ok: bool = True, digest: str = "same") -> Answered:
    """The answer of a run, checked."""
    return Answered(run, Answer(ok=ok, check="equal", digest=digest))


def session_events(
    backends: dict[str, Sequence[float]],
    *,
    warmup: int = 0,
    environment: Environment | None = None,
    ok: bool | None = True,
    digests: dict[str, str] | None = None,
    started: dict[str, Any] | None = None,
    ended: dict[str, Any] | None = None,
    invocations: Sequence[dict[str, Any]] = ({},),
    schedule: Schedule = "isolated",
    cold: dict[str, Sequence[bool | None]] | None = None,
    samples: Sequence[MachineSample] = (),
) -> list[Event]:
    """One session: each backend's makespans; the first `warmup` of each are warm-up runs.

    Where runs alternate, a backend's n-th run is in round n. `cold`: for each run, whether its environments were new.
    """
    events: list[Event] = [session_started(environment or Environment(usable_cores=2.0, load_1m=0.0))]
    number = 0
    for label, times in backends.items():
        for index, seconds in enumerate(times):
            number += 1
            run = f"r{number}"
            events += [
                run_planned(
                    run,
                    label,
                    index if index < warmup else index - warmup,
                    warmup=index < warmup,
                    schedule=schedule,
                    tasks=len(invocations),
                    round=index if schedule == "alternating" else None,
                    cold=cold[label][index] if cold is not None and label in cold else None,
                ),
                run_started(run, **(started or {})),
                StageStarted(run, 0, len(invocations), 0.0),
            ]
            for n, own in enumerate(invocations):
                events.append(Dispatched(run, n, 0, n, 0, 0.0, 0.0))
                events.append(Returned(run, n, **{"status": "ok", "returned_s": seconds, "compute_ms": 1.0, **own}))
            events += [Sampled(run, sample) for sample in samples]
            events.append(
                RunEnded(**{"run": run, "status": "ok", "makespan_s": seconds, "driver": DRIVER, **(ended or {})})
            )
            if ok is not None:
                events.append(run_answered(run, ok=ok, digest=(digests or {}).get(label, "same")))
    events.append(SessionEnded(complete=True))
    return events
