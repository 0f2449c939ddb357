"""What tests wait for in an app that a pilot drives."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from textual.worker import WorkerError

from lbench.tui.app import LbenchApp


async def settled(pilot: Any) -> None:
    """Wait for what goes on in threads."""
    for worker in list(pilot.app.workers):
        with contextlib.suppress(WorkerError):
            await worker.wait()
    await pilot.pause()


async def wait_until_drawn(app: LbenchApp, pilot: Any) -> None:
    """Wait until slow parts are drawn, too: every fourth frame."""
    for _ in range(5):
        app.tick()
        await pilot.pause()


async def until(app: LbenchApp, pilot: Any, ready: Callable[[], object]) -> None:
    """Wait until something holds, while frames are drawn."""
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s:
        app.tick()
        if ready():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never happened")
