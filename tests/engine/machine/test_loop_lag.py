from __future__ import annotations

import asyncio

from lbench.engine.machine.loop_lag import LagMeter
from lbench.engine.virtual_time import VirtualTimeLoop, run_virtual


def _hold_up(seconds):
    """What blocks the loop for so long, in virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._jumping.now_s += seconds


def measured(*holds_s, run_s=10.0):
    """A meter that ran for `run_s`, and the loop was held up at moments 1 s apart."""

    async def main():
        meter = LagMeter()
        meter.start()
        for number, seconds in enumerate(holds_s):
            asyncio.get_running_loop().call_later(1.0 + number, _hold_up, seconds)
        await asyncio.sleep(run_s)
        meter.stop()
        return meter

    return run_virtual(main())


def test_a_free_loop_has_no_lag():
    meter = measured()
    assert meter.quantile_ms(0.99) == 0.0
    assert meter.quantile_ms(1.0) == 0.0


def test_the_longest_hold_up_is_the_greatest_lag():
    meter = measured(0.5, 0.2)
    assert 480 <= meter.quantile_ms(1.0) <= 500
    assert meter.quantile_ms(0.5) == 0.0


def test_a_quantile_is_by_nearest_rank():
    async def main():
        meter = LagMeter()
        meter._lags_s = [n / 1000 for n in range(1, 101)]
        return [meter.quantile_ms(q) for q in (0.0, 0.01, 0.5, 0.99, 1.0)]

    assert run_virtual(main()) == [1.0, 1.0, 50.0, 99.0, 100.0]


def test_a_run_too_short_for_a_sample_has_no_lag_to_tell():
    meter = measured(run_s=0.01)
    assert meter.quantile_ms(0.99) is None


def test_a_delay_that_lasts_to_the_end_of_the_run_is_reported():
    async def main():
        meter = LagMeter()
        meter.start()
        await asyncio.sleep(0.005)
        _hold_up(2.0)
        meter.stop()
        return meter.quantile_ms(1.0)

    assert 1980 <= run_virtual(main()) <= 2000


def test_a_stopped_meter_leaves_no_timer():
    async def main():
        meter = LagMeter()
        meter.start()
        meter.stop()
        meter.stop()
        await asyncio.sleep(1)
        return meter.quantile_ms(1.0)

    assert run_virtual(main()) is None
