"""Runs written by hand, invocation by invocation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lbench.engine.journal.events import Dispatched, Event, Returned, RunEnded, StageEnded, StageStarted
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import Driver, Pricing
from lbench.engine.session.view import SessionView, fold
from tests.session_events import run_answered, run_planned, run_started, session_started


def session_of(runs: Sequence[dict[str, Any]], environment: Environment | None = None) -> SessionView:
    """A session of runs; each has `rows` (dispatched_s, returned_s, lane and what is measured), `lanes`, `makespan_s` ..."""
    events: list[Event] = [session_started(environment or Environment(usable_cores=4.0, physical_cores=4))]
    for number, run in enumerate(runs):
        events += _run(f"r{number}", number, **run)
    return fold(events)


def _run(
    name: str,
    number: int,
    *,
    rows: Sequence[dict[str, Any]],
    lanes: int,
    makespan_s: float,
    backend: str = "processes",
    settings: dict[str, Any] | None = None,
    driver: tuple[float, float] = (0.0, 0.0),
    stage_s: tuple[float, float] | None = None,
    usage: Usage | None = None,
    notes: Sequence[str] = (),
    s3: tuple[int, int] = (0, 0),
    pricing: Pricing | None = None,
) -> list[Event]:
    first, last = stage_s or (0.0, max(row["returned_s"] for row in rows))
    events: list[Event] = [
        run_planned(name, backend, number),
        run_started(name, setup_s=None, settings=settings or {}, capacity=lanes, pricing=pricing or Pricing()),
        StageStarted(name, 0, len(rows), first),
    ]
    for n, row in enumerate(rows):
        own = dict(row)
        begin, lane = own.pop("dispatched_s", 0.0), own.pop("lane", 0)
        task, queued = own.pop("task", n), own.pop("queued_s", first)
        events.append(Dispatched(name, n, 0, task, 0, queued, begin, f"e{lane}"))
        events.append(Returned(name, n, **{"status": "ok", "environment": f"e{lane}", **own}))
    encode_s, decode_s = driver
    events += [
        StageEnded(name, 0, last),
        RunEnded(
            run=name,
            status="ok",
            makespan_s=makespan_s,
            driver=Driver(0.0, encode_s, decode_s, 0.0, None, None),
            usage=usage,
            notes=list(notes),
            s3_put=s3[0],
            s3_get=s3[1],
        ),
        run_answered(name),
    ]
    return events
