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
from lbench.engine.model import Answer, Driver, Schedule
from lbench.engine.model import Pricing as RunPricing


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
    events: list[Event] = [
        SessionStarted(
            id="s",
            name="s",
            created="2026-01-01T00:00:00+00:00",
            lbench_version="0",
            environment=environment or Environment(usable_cores=2.0, load_1m=0.0),
            format="lbench.journal",
            version=1,
        )
    ]
    number = 0
    for label, times in backends.items():
        for index, seconds in enumerate(times):
            number += 1
            run = f"r{number}"
            events += [
                RunPlanned(
                    run=run,
                    workload="probe",
                    params={},
                    seed=1,
                    backend=label,
                    label=label,
                    origin="emulated" if label == "emulated" else "measured",
                    repeat=index if index < warmup else index - warmup,
                    warmup=index < warmup,
                    schedule=schedule,
                    tasks=len(invocations),
                    round=index if schedule == "alternating" else None,
                    cold=cold[label][index] if cold is not None and label in cold else None,
                ),
                RunStarted(
                    **{  # type: ignore[arg-type]
                        "run": run,
                        "started": "2026-01-01T00:00:00+00:00",
                        "setup_s": 0.1,
                        "settings": {},
                        "transport": None,
                        "oversubscribed": False,
                        "code_digest": "d",
                        "package_digest": None,
                        "pricing": RunPricing(),
                        "capacity": 2,
                        **(started or {}),
                    }
                ),
                StageStarted(run, 0, len(invocations), 0.0),
            ]
            for n, own in enumerate(invocations):
                events.append(Dispatched(run, n, 0, n, 0, 0.0, 0.0))
                events.append(Returned(run, n, **{"status": "ok", "returned_s": seconds, "compute_ms": 1.0, **own}))
            events += [Sampled(run, sample) for sample in samples]
            driver = Driver(0.0, 0.0, 0.0, 0.0, 1.0, 2.0)
            events.append(
                RunEnded(**{"run": run, "status": "ok", "makespan_s": seconds, "driver": driver, **(ended or {})})
            )
            if ok is not None:
                digest = (digests or {}).get(label, "same")
                events.append(Answered(run, Answer(ok=ok, check="equal", digest=digest)))
    events.append(SessionEnded(complete=True))
    return events
