"""One timer for all calls: each still expires at its own deadline."""

from __future__ import annotations

import asyncio
from typing import Any

from lbench.engine.backends.local.deadlines import Deadlines
from lbench.engine.virtual_time import VirtualTimeLoop


def expired(calls: list[tuple[str, float, float, float | None]]) -> list[tuple[str, float]]:
    """Calls as (name, begin, deadline, end or None) on a virtual clock: which expire, and when."""
    found: list[tuple[str, float]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        names: dict[Any, str] = {}
        deadlines = Deadlines(lambda future, lane: found.append((names[future], round(loop.time() - start_s, 6))))
        for name, begin_s, deadline_s, end_s in calls:
            future: asyncio.Future[Any] = loop.create_future()
            names[future] = name
            loop.call_later(begin_s, deadlines.begin, future, None, deadline_s)
            if end_s is not None:
                loop.call_later(end_s, deadlines.end, future)
        await asyncio.sleep(1000)
        deadlines.close()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
    return found


def test_each_call_expires_at_its_own_deadline_whatever_the_order() -> None:
    assert expired([("a", 0, 300, None), ("b", 1, 10, None), ("c", 2, 300, None)]) == [
        ("b", 11),
        ("a", 300),
        ("c", 302),
    ]


def test_what_has_ended_does_not_expire_and_a_later_call_still_does() -> None:
    assert expired([("a", 0, 5, 1), ("b", 4, 5, None), ("c", 20, 5, 22), ("d", 30, 5, None)]) == [("b", 9), ("d", 35)]
