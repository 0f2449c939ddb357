"""A deadline that is set anew again and again passes at the time that was set last."""

from __future__ import annotations

import asyncio

from lbench.engine.deadline import Deadline
from lbench.engine.virtual_time import VirtualTimeLoop


def passed(settings: list[tuple[float, float | None]]) -> list[float]:
    """When it passes, on a virtual clock; `settings`: at which second for which second it is set, None: cleared."""
    found: list[float] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        deadline = Deadline(lambda: found.append(round(loop.time() - start_s, 6)))
        for at_s, until_s in settings:
            await asyncio.sleep(start_s + at_s - loop.time())
            if until_s is None:
                deadline.clear()
            else:
                deadline.set(start_s + until_s)
        await asyncio.sleep(1000)
        deadline.close()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())
    return found


def test_the_last_setting_counts_whether_it_is_later_or_earlier() -> None:
    assert passed([(0, 300), (1, 11)]) == [11]
    assert passed([(0, 10), (1, 300), (2, 302)]) == [302]


def test_what_has_ended_does_not_pass_and_a_later_one_still_does() -> None:
    assert passed([(0, 5), (1, None), (4, 9), (20, 25), (22, None), (30, 35)]) == [9, 35]
    assert passed([(0, 5), (1, None)]) == []
