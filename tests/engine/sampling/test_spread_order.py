"""Which tasks a sample takes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lbench.engine.sampling.process import spread_order


@settings(deadline=None)
@given(st.integers(1, 3000))
def test_each_task_is_taken_once(count: int) -> None:
    assert sorted(spread_order(count)) == list(range(count))


def test_every_beginning_is_spread_over_the_stage() -> None:
    first = sorted(spread_order(1000)[:20])
    gaps = [after - before for before, after in zip([0, *first], [*first, 1000], strict=True)]
    assert max(gaps) < 150
