"""Sweeps written by hand: a session with a plan a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lbench.engine.journal.events import ComparisonEnded, Event, RunEnded
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import ComparisonEnd, Pricing, Sweep
from lbench.engine.session.view import SessionView, fold
from tests.session_events import DRIVER, run_answered, run_planned, run_started, session_started

RENT = Pricing(rent_usd_per_hour="0.10", rent_basis="rent of an equal machine at $0.10 an hour")
ENVIRONMENT = Environment(usable_cores=4.0, load_1m=0.0, hostname="here", physical_cores=2, logical_cores=4)

Times = Mapping[str, Sequence[float]]


def sweep_session(points: Sequence[tuple[dict[str, Any], Times]], **how: Any) -> SessionView:
    """As `sweep_events`, folded."""
    return fold(sweep_events(points, **how))


def sweep_events(
    points: Sequence[tuple[dict[str, Any], Times]],
    *,
    workload: str = "probe",
    identity: str = "s",
    sweep: bool = True,
    sweep_id: str = "w1",
    params: Mapping[str, Any] | None = None,
    oversubscribed: Sequence[str] = (),
    failed: Sequence[tuple[dict[str, Any], str]] = (),
    stopped: Sequence[dict[str, Any]] = (),
    environment: Environment = ENVIRONMENT,
    settings: Mapping[str, Any] | None = None,
) -> list[Event]:
    """Each point with the makespans of each backend; the n-th repeats of a point are one round, cold before warm.

    A label is a backend's name, with a temperature after a space where it has one ("emulated warm"). Comparisons are
    recorded where some point was `stopped`: one for each point.
    """
    events: list[Event] = [session_started(environment, identity)]
    number = 0
    for index_of_point, (point, backends) in enumerate(points):
        before = number
        own = {name: value for name, value in point.items() if name not in ("workers", "memory", "tasks")}
        for name, times in backends.items():
            label, _, temperature = name.partition(" ")
            cold_before = len(backends.get(f"{label} cold", ())) if temperature == "warm" else 0
            for index, seconds in enumerate(times, cold_before):
                number += 1
                run = f"{identity}{number}"
                events += [
                    run_planned(
                        run,
                        label,
                        index,
                        workload=workload,
                        params={**(params or {}), **own},
                        schedule="alternating",
                        round=index,
                        tasks=point.get("tasks"),
                        cold={"cold": True, "warm": False}.get(temperature),
                        sweep=Sweep(sweep_id, point) if sweep else None,
                    ),
                    run_started(
                        run,
                        settings={"concurrency": point["workers"]} if "workers" in point else dict(settings or {}),
                        oversubscribed=label in oversubscribed,
                        pricing=Pricing() if label in ("emulated", "lambda") else RENT,
                        capacity=point.get("workers", 2),
                    ),
                ]
                bad = (point, label) in failed
                events.append(
                    RunEnded(
                        run=run,
                        status="failed" if bad else "ok",
                        makespan_s=None if bad else seconds,
                        driver=DRIVER,
                        error="a task failed" if bad else None,
                    )
                )
                if not bad:
                    events.append(run_answered(run))
        if stopped:
            runs = [f"{identity}{one}" for one in range(before + 1, number + 1)]
            ended_by: ComparisonEnd = "cancelled" if point in stopped else "count"
            events.append(ComparisonEnded(f"c{index_of_point}", runs, ended_by, 1, ""))
    return events
