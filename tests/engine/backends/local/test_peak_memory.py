"""Each task's peak memory is its own: neither the engine's, nor that of the task before."""

from __future__ import annotations

import sys

import pytest

from lbench.engine.backends.local.peak_memory import PeakMemory


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark of a process never falls")
async def test_a_small_task_after_a_large_one_has_a_small_peak(opened, call) -> None:
    outcomes = []
    async with opened("sequential") as backend:
        for mib in (1, 200, 1):
            outcomes.append(await backend.invoke(call("faults.fill", mib=mib)))
    before, large, after = (outcome.peak_rss_mb for outcome in outcomes)
    assert 200 <= large <= before + 230
    assert abs(after - before) < 50


async def test_a_task_that_fails_has_a_peak_too(opened, call) -> None:
    async with opened("sequential") as backend:
        outcome = await backend.invoke(call("faults.leave"))
    assert outcome.failure is not None
    assert outcome.peak_rss_mb > 1


async def test_threads_of_one_process_share_a_mark(opened, call) -> None:
    async with opened("threads", 2) as backend:
        outcome = await backend.invoke(call("faults.fill", mib=100))
    assert outcome.peak_rss_mb >= 100


def test_the_mark_is_of_this_process_and_is_reset() -> None:
    memory = PeakMemory()
    block = b"x" * (150 << 20)
    high = memory.kib()
    del block
    memory.begin()
    assert high > 150 << 10
    if sys.platform == "linux":
        assert memory.kib() <= high - (100 << 10)
