from __future__ import annotations

import asyncio
import itertools

import pytest

from lbench.engine.machine import loop_lag
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


@pytest.mark.parametrize(("hold_s", "still_s"), [(0.9, 0.0), (3.0, 3.0)])
def test_a_loop_that_is_late_by_a_second_or_more_without_using_the_cpu_stood_still(hold_s, still_s):
    assert measured(hold_s).still_s == pytest.approx(still_s, abs=0.03)


def test_all_times_that_a_loop_stood_still_count_the_last_one_too():
    async def main():
        meter = LagMeter()
        meter.start()
        asyncio.get_running_loop().call_later(1.0, _hold_up, 2.0)
        await asyncio.sleep(5.0)
        _hold_up(1.5)
        meter.stop()
        return meter.still_s

    assert run_virtual(main()) == pytest.approx(3.5, abs=0.05)


def test_a_loop_that_is_late_since_it_computes_does_not_stand_still(monkeypatch):
    used_s = itertools.count(step=0.3)
    monkeypatch.setattr(loop_lag.time, "process_time", lambda: next(used_s))
    meter = measured(2.0)
    assert meter.quantile_ms(1.0) >= 1900 and meter.still_s == 0.0


@pytest.mark.parametrize(("slept_s", "still_s"), [(0.4, 0.0), (60.0, 60.0)])
def test_a_machine_that_slept_stood_still_although_the_loop_was_never_late(monkeypatch, slept_s, still_s):
    sleeps_s = iter([100.0, 100.0 + slept_s])
    monkeypatch.setattr(loop_lag, "_sleep_s", lambda: next(sleeps_s))
    assert measured().still_s == pytest.approx(still_s)


def test_the_time_that_this_machine_slept_is_read():
    assert -1.0 < loop_lag._sleep_s() < 100 * 365 * 86_400
