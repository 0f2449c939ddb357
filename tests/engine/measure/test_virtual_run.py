"""Simulated runs under the conductor: cancelled, paused, beside others, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbench.engine.journal.events import RunEnded, RunPlanned, RunStarted, SessionStarted
from lbench.engine.journal.reader import read_events
from lbench.engine.journal.writer import JOURNAL_NAME, Journal
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.measure.conductor import Conductor
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan


def plan(*backends: str, tasks: int = 2000, seconds: float = 0.01, **fields: Any) -> Plan:
    chosen = [parse_backend(text, {}) for text in backends or ("simulated",)]
    params = {"kind": "spin", "seconds": seconds}
    return Plan(workload="probe", params=params, tasks=tasks, backends=chosen, **fields)


async def carry_out(
    folder: Path, plan: Plan, during: Callable[[Conductor, bytes], None] | None = None
) -> tuple[bool, list[Any]]:
    journal = Journal(folder)
    journal.write(SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", 1))
    conductor = Conductor(folder, journal)
    if during is not None:
        journal.listen(lambda lines: during(conductor, lines))
    try:
        done = await conductor.carry_out(plan)
    finally:
        journal.close()
    return done, list(read_events(folder / JOURNAL_NAME))


async def test_a_cancel_reaches_a_run_in_virtual_time(tmp_path: Path) -> None:
    def cancel(conductor: Conductor, lines: bytes) -> None:
        if b'"event":"dispatched"' in lines:
            conductor.cancel()

    done, events = await carry_out(tmp_path, plan(tasks=20_000, repeats=1), cancel)
    assert not done
    assert [event.status for event in events if isinstance(event, RunEnded)] == ["cancelled"]


async def test_a_paused_run_waits_and_virtual_time_stands_still(tmp_path: Path) -> None:
    paused = asyncio.Event()

    def pause(conductor: Conductor, lines: bytes) -> None:
        if b'"event":"dispatched"' in lines and not paused.is_set():
            paused.set()
            conductor.pause(True)
            asyncio.get_running_loop().call_later(0.3, conductor.pause, False)

    _, events = await carry_out(tmp_path, plan(tasks=4_000, repeats=1), pause)
    (tmp_path / "plain").mkdir()
    _, plain = await carry_out(tmp_path / "plain", plan(tasks=4_000, repeats=1))
    (ended,), (usual,) = ([one for one in found if isinstance(one, RunEnded)] for found in (events, plain))
    assert ended.status == usual.status == "ok"
    assert ended.makespan_s is not None and usual.makespan_s is not None
    assert (
        ended.makespan_s < 3 * usual.makespan_s
    )  # what is in flight at the pause ends first, cold; then the rest begins


async def test_a_budget_ends_a_simulated_run(tmp_path: Path) -> None:
    _, events = await carry_out(tmp_path, plan(tasks=2000, seconds=2.0, repeats=1, max_usd=0.05))
    (ended,) = (event for event in events if isinstance(event, RunEnded))
    assert ended.status == "over_budget"
    assert "--max-usd" in (ended.error or "")


async def test_simulated_runs_come_last_in_a_round_and_overlap_nothing(tmp_path: Path) -> None:
    backends = ("simulated", "sequential", "threads")
    _, events = await carry_out(tmp_path, plan(*backends, tasks=3, repeats=3, schedule="concurrent"))
    labels = {event.run: event.label for event in events if isinstance(event, RunPlanned)}
    order = [labels[event.run] for event in events if isinstance(event, RunStarted)]
    assert [order[place] for place in (2, 5, 8)] == ["simulated"] * 3
    for event in events:
        if isinstance(event, RunEnded) and labels[event.run] == "simulated":
            assert event.overlaps == []
            assert event.driver is None
