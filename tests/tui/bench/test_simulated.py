"""A simulated run of a thousand environments opens in Bench like any other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lbench.engine.journal.events import SessionStarted
from lbench.engine.journal.writer import Journal
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.measure.conductor import Conductor
from lbench.engine.plan.parse import parse_backend
from lbench.engine.plan.plan import Plan
from lbench.tui.app import LbenchApp
from lbench.tui.feeds.replay import RecordedFeed


@pytest.fixture
async def thousand(tmp_path: Path) -> Path:
    """A session of one cold and one warm run."""
    folder = tmp_path / "data/lbench/sessions/20261122-120000-abcd"
    folder.mkdir(parents=True)
    plan = Plan(
        workload="probe",
        params={"kind": "spin", "seconds": 5},
        tasks=1000,
        repeats=2,
        backends=[parse_backend("simulated", {})],
    )
    journal = Journal(folder)
    journal.write(SessionStarted("s", "s", "2026-11-22T10:00:00Z", "0", Environment(), "lbench.journal", 1))
    assert await Conductor(folder, journal).carry_out(plan)
    journal.close()
    return folder


async def test_a_thousand_simulated_environments_open_in_bench(
    thousand: Path, app_of: Callable[..., LbenchApp], screen_text: Callable[[LbenchApp], str]
) -> None:
    feed = await asyncio.to_thread(RecordedFeed.of, thousand)
    while feed.catch_up(1.0):
        pass
    app = app_of(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        app.tick()
        await pilot.pause()
        text = screen_text(app)
    assert "simulated" in text
    assert re.search(r"repeat \d · 1–\d+ of 1,000", text)
    assert "uncomputed" in text
