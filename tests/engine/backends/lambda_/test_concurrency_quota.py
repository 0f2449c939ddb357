"""How many environments a run takes, and how fast they grow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lbench.engine.backends.lambda_.concurrency_quota import Quota, Ramp, choose_concurrency, read_quota
from lbench.engine.virtual_time import run_virtual
from lbench.errors import InputError

AMPLE = Quota(1000, 1000)


@pytest.mark.parametrize(
    ("quota", "asked", "tasks", "expected"),
    [
        (AMPLE, None, 100, 100),  # one a task
        (AMPLE, None, 5000, 900),  # a tenth is left to the rest of the account
        (AMPLE, None, None, 900),
        (AMPLE, 1000, 5000, 1000),  # but for who asks for it
        (Quota(1000, 600), None, 5000, 540),  # what others have reserved is theirs
        (Quota(1000, 900, 50), None, 5000, 50),  # and this one's is all its own
        (Quota(10, 10), None, 100, 9),
        (Quota(1, 1), None, 100, 1),
        (Quota(None, None), None, 5000, 1000),  # nobody tells: the usual limit
        (Quota(None, None), 3000, 5000, 3000),
        (AMPLE, None, 0, 1),
    ],
)
def test_a_run_stays_inside_its_limit(quota: Quota, asked: int | None, tasks: int | None, expected: int) -> None:
    chosen = choose_concurrency(quota, asked, tasks, "us-east-1")
    assert chosen.concurrency == expected
    assert str(expected) in chosen.note


@pytest.mark.parametrize(
    ("quota", "sharers", "expected"),
    [(AMPLE, 2, 450), (AMPLE, 1, 900), (Quota(1000, 900, 51), 2, 25), (Quota(2, 2), 3, 1)],
)
def test_backends_that_run_at_once_take_no_more_than_the_limit_together(
    quota: Quota, sharers: int, expected: int
) -> None:
    assert choose_concurrency(quota, None, 5000, "us-east-1", sharers).concurrency == expected
    assert choose_concurrency(quota, None, 1, "us-east-1", sharers).concurrency == 1


@pytest.mark.parametrize(("quota", "asked"), [(AMPLE, 1001), (Quota(10, 10), 11), (Quota(1000, 900, 5), 6)])
def test_more_than_the_limit_is_refused_where_it_was_asked_for(quota: Quota, asked: int) -> None:
    with pytest.raises(InputError, match=f"--concurrency must be at most {quota.most}, got {asked}"):
        choose_concurrency(quota, asked, 10, "us-east-1")


class Client:
    """Lambda's, for somebody who may not ask everything."""

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal

    async def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 950}}

    async def get_function_concurrency(self, **_: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": self._refusal, "Message": "no"}}, "GetFunctionConcurrency")


@pytest.mark.parametrize("refusal", ["AccessDeniedException", "ResourceNotFoundException"])
async def test_what_may_not_be_asked_or_is_another_account_s_is_not_known(refusal: str) -> None:
    assert (await read_quota(Client(refusal), "arn:aws:lambda:us-east-1:123456789012:function:theirs")).most == 950
    with pytest.raises(ClientError):
        await read_quota(Client("ServiceException"), "mine")


def test_a_reserved_concurrency_of_0_is_refused() -> None:
    with pytest.raises(InputError, match="is 0: raise it"):
        choose_concurrency(Quota(1000, 900, 0), None, 10, "us-east-1")


def test_environments_grow_by_a_burst_and_then_evenly_and_warm_ones_are_free() -> None:
    async def grow() -> tuple[list[float], list[float]]:
        loop = asyncio.get_running_loop()
        ramp = Ramp(10)
        began_s = loop.time()

        async def one() -> float:
            async with ramp:
                at_s = loop.time() - began_s
                await asyncio.sleep(100)
                return at_s

        cold = await asyncio.gather(*(one() for _ in range(15)))
        began_s = loop.time()
        return sorted(cold), await asyncio.gather(*(one() for _ in range(15)))

    cold, warm = run_virtual(grow())
    assert cold == pytest.approx([0.0] * 10 + [1.0, 2.0, 3.0, 4.0, 5.0])
    assert warm == [0.0] * 15


def test_a_call_that_is_cancelled_while_it_waits_gives_its_place_back() -> None:
    async def cancelled() -> int:
        ramp = Ramp(1)

        async def one() -> None:
            async with ramp:
                await asyncio.sleep(100)

        tasks = [asyncio.create_task(one()) for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return ramp._under_way

    assert run_virtual(cancelled()) == 0
