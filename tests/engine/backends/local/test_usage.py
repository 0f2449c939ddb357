"""What tasks do with their time is counted over a run, and left out where it would be a guess."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux counts so")


async def test_tasks_that_sleep_wait_and_those_that_compute_do_not(opened, call) -> None:
    async with opened("sequential") as backend:
        for name, waits in (("probe.sleep", True), ("probe.spin", False)):
            backend.begin_count()
            await backend.invoke(call(name, number=0, seconds=0.3))
            counted = backend.counted()
            assert counted is not None and counted.threads == 1
            assert (counted.wait > 0.5) is waits


async def test_a_worker_that_was_replaced_leaves_it_unknown(opened, call) -> None:
    async with opened("processes", 2) as backend:
        assert backend.counted() is None  # nothing was begun
        backend.begin_count()
        await backend.invoke(call("probe.sleep", number=0, seconds=0.3))
        assert backend.counted() is not None
        await backend.invoke(call("faults.crash", how="exit"))
        await backend.publish(None)
        assert backend.counted() is None
