"""Which worker gets the next call."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.engine.backends.cluster.slots import Slots


async def test_calls_go_to_the_worker_with_the_fewest_and_of_these_to_the_one_idle_longest() -> None:
    slots = Slots()
    slots.ahead = 2
    slots.update(["a", "b", "c"])
    assert [await slots.take() for _ in range(4)] == ["a", "b", "c", "a"]
    slots.give("c")
    slots.give("b")
    assert [await slots.take() for _ in range(3)] == ["c", "b", "c"]


async def test_a_full_slot_takes_its_next_calls_together_once_it_is_half_empty() -> None:
    slots = Slots()
    slots.ahead = 4
    slots.update(["a"])
    assert [await slots.take() for _ in range(4)] == ["a"] * 4
    waiting = [asyncio.ensure_future(slots.take()) for _ in range(3)]
    await asyncio.sleep(0)
    slots.give("a")
    await asyncio.sleep(0)
    assert not any(call.done() for call in waiting)
    slots.give("a")
    await asyncio.sleep(0)
    assert [call.done() for call in waiting] == [True, True, False]
    slots.ahead = 8  # shorter tasks: there is room at once
    slots.give("a")
    assert await waiting[2] == "a"


async def test_a_call_that_waits_gets_the_slot_that_joins_and_none_that_left() -> None:
    slots = Slots()
    slots.update(["a"])
    assert await slots.take() == "a"
    waiting = asyncio.ensure_future(slots.take())
    await asyncio.sleep(0)
    slots.update(["b"])  # a has gone
    assert await waiting == "b"
    slots.give("a")
    late = asyncio.ensure_future(slots.take())
    await asyncio.sleep(0)
    assert not late.done()
    slots.give("b")
    assert await late == "b"


async def test_a_cancelled_call_gives_its_place_back_and_a_broken_cluster_refuses_all() -> None:
    slots = Slots()
    slots.update(["a"])
    assert await slots.take() == "a"
    cancelled, waiting = asyncio.ensure_future(slots.take()), asyncio.ensure_future(slots.take())
    await asyncio.sleep(0)
    slots.give("a")  # to the first, which is cancelled before it runs again
    cancelled.cancel()
    assert await waiting == "a"
    last = asyncio.ensure_future(slots.take())
    await asyncio.sleep(0)
    slots.fail(RuntimeError("gone"))
    for call in (last, slots.take()):
        with pytest.raises(RuntimeError, match="gone"):
            await call


@given(st.lists(st.tuples(st.sampled_from("tgu"), st.integers(0, 4)), max_size=60), st.integers(1, 5))
def test_no_slot_ever_has_more_calls_than_it_may(steps: list[tuple[str, int]], ahead: int) -> None:
    async def run() -> None:
        slots = Slots()
        slots.ahead = ahead
        taken: list[str] = []
        present: list[str] = []
        for step, number in steps:
            if step == "u":
                present = [f"s{one}" for one in range(number)]
                slots.update(present)
                taken = [slot for slot in taken if slot in present]
            elif step == "t":
                waiting = asyncio.ensure_future(slots.take())
                await asyncio.sleep(0)
                if waiting.done():
                    taken.append(waiting.result())
                else:
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)
                    assert all(taken.count(slot) > ahead // 2 for slot in present)
            elif taken:
                slots.give(taken.pop(number % len(taken)))
            assert all(taken.count(slot) <= ahead for slot in present)

    asyncio.run(run())
