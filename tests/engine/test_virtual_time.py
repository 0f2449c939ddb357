from __future__ import annotations

import asyncio

import pytest

from lbench.engine.virtual_time import run_virtual


def test_a_year_of_waiting_takes_no_time_and_ends_at_the_right_time():
    async def main():
        await asyncio.sleep(365 * 86_400)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(365 * 86_400)


def test_timers_fire_in_their_order_and_at_their_time():
    fired = []

    async def note(delay_s):
        await asyncio.sleep(delay_s)
        fired.append((delay_s, asyncio.get_running_loop().time()))

    async def main():
        await asyncio.gather(*(note(delay_s) for delay_s in (3.0, 1.0, 2.0, 0.0, 1e-9, 1e6)))

    run_virtual(main())
    assert [delay_s for delay_s, _ in fired] == [0.0, 1e-9, 1.0, 2.0, 3.0, 1e6]
    assert all(moment == pytest.approx(delay_s) for delay_s, moment in fired)


def test_what_can_run_now_runs_before_time_moves_on():
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(1e-6, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return loop.time()

    assert run_virtual(main()) <= 1e-6


def test_a_timeout_expires_at_its_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(3600)


def test_a_wait_that_cannot_end_is_a_deadlock_error():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main())
