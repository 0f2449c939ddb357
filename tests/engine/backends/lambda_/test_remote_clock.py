"""The offset of a remote clock always lies within the reported bound."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from lbench.engine.backends.lambda_.remote_clock import RemoteClock

SMALL = st.floats(0, 5, allow_nan=False)
CALLS = st.lists(st.tuples(st.floats(0, 1000), SMALL, SMALL, SMALL, st.booleans()), min_size=1, max_size=10)


@given(offset=st.floats(-1e9, 1e9), calls=CALLS)
@example(offset=-5.043883383231651e-78, calls=[(0.0, 0.0, 1.0, 0.0, False)])  # no way at all, and a rounding
def test_the_true_offset_is_within_the_bound(
    offset: float, calls: list[tuple[float, float, float, float, bool]]
) -> None:
    clock = RemoteClock()
    for sent, out, work, back, cold in calls:
        began = sent + out + offset
        init = out * 0.9 if cold else 0.0
        clock.observe(sent, began, began + work, sent + out + work + back, init)
    assert clock.offset_s is not None and clock.bound_s is not None
    assert abs(clock.offset_s - offset) <= clock.bound_s + 1e-5


def test_more_calls_narrow_the_bound() -> None:
    clock = RemoteClock()
    clock.observe(0.0, 100.5, 100.6, 0.7)
    wide = clock.bound_s
    clock.observe(1.0, 101.01, 101.02, 1.03)
    assert wide is not None and clock.bound_s is not None and clock.bound_s < wide


def test_an_init_before_the_request_is_not_taken_off() -> None:
    clock = RemoteClock()
    clock.observe(10.0, 10.001, 10.002, 10.003, init_s=3.0)  # made ahead of time: it began before it was asked for
    assert clock.offset_s is not None and abs(clock.offset_s) <= 0.002


def test_a_clock_that_was_set_is_followed() -> None:
    clock = RemoteClock()
    clock.observe(0.0, 100.0, 100.1, 0.1)
    clock.observe(1.0, 51.0, 51.1, 1.1)
    assert clock.offset_s is not None and abs(clock.offset_s - 50) < 0.01
    assert clock.local(60.0) is not None


def test_nothing_observed_is_nothing_known() -> None:
    assert RemoteClock().offset_s is None and RemoteClock().local(1.0) is None
