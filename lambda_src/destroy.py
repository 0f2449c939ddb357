"""Destroys stacks with the content of their buckets, then resources that still carry their tag.

A bucket is emptied first: CloudFormation does not remove one that holds anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from lbench.config.aws import AwsError, aws_client
from lbench.lambda_src.bucket import BucketGone, empty_bucket
from lbench.lambda_src.orphans import find_leftovers, remove_leftover
from lbench.lambda_src.stack import Pause, Say, Stack, Stacks, refuse_foreign, refuse_protected, silent

__all__ = ["find_stacks", "find_stray", "remove_stack", "remove_stacks", "remove_stray"]

_TURNS = 4  # a run that has not ended may put objects into the bucket meanwhile


async def find_stacks(session: Any, region: str, names: Sequence[str]) -> list[Stack]:
    """The stacks that exist among these names.

    Raises:
        InputError: one of them is not lbench's.
        AwsError: one of them is protected.
    """
    async with aws_client(session, "cloudformation") as client:
        stacks = Stacks(client, region)
        found = [stack for name in names if (stack := await stacks.find(name)) is not None]
    for stack in found:
        refuse_foreign(stack, region)
        refuse_protected(stack, region)
    return found


async def find_stray(session: Any, region: str, names: Sequence[str]) -> list[str]:
    """The ARNs of tagged resources whose stack is gone; resources of an existing stack are no leftovers."""
    async with aws_client(session, "cloudformation") as client:
        stacks = Stacks(client, region)
        gone = [name for name in names if await stacks.find(name) is None]
    return sorted({arn for name in gone for arn in await find_leftovers(session, name)})


async def remove_stacks(
    session: Any, region: str, names: Sequence[str], *, say: Say = silent, pause: Pause = asyncio.sleep
) -> list[str]:
    """Remove the stacks of these names, where they exist. One that cannot be removed does not keep the others.

    Returns:
        the names of those that were there.

    Raises:
        InputError: a stack is not lbench's.
        AwsError: AWS refused something, or something cannot be removed.
    """
    removed = []
    problems: list[AwsError] = []
    async with aws_client(session, "cloudformation") as client:
        stacks = Stacks(client, region, say=say, pause=pause)
        for name in names:
            stack = await stacks.settled(name)
            if stack is None:
                continue
            refuse_foreign(stack, region)
            try:
                await remove_stack(session, stacks, stack)
                removed.append(name)
            except AwsError as error:
                problems.append(error)
    if problems:
        gone = f"{', '.join(removed)} was removed; " if removed else ""
        raise AwsError(gone + "; ".join(map(str, problems)), problems[0].code)
    return removed


def _never(stack: Stack) -> bool:
    return False


async def remove_stack(session: Any, stacks: Stacks, stack: Stack, *, unless: Callable[[Stack], bool] = _never) -> bool:
    """Remove the stack and the content of its bucket.

    Args:
        session: see `config.aws.aws_session`.
        stacks: of its region.
        stack: as it was found.
        unless: called before each step; True keeps the stack: another machine may be deploying it.

    Returns:
        whether it was removed; else `unless` kept it.

    Raises:
        AwsError: something of it cannot be removed; the message names it.
    """
    for _ in range(_TURNS):
        if unless(stack):
            return False
        refuse_protected(stack, stacks.region)
        bucket = await stacks.bucket(stack)
        if bucket is not None:
            with contextlib.suppress(BucketGone):
                await empty_bucket(session, bucket, owner=stack.account)
        found = await stacks.settled(stack.id)
        if found is None:
            return True
        if unless(found):
            return False
        await stacks.delete(found)
        left = await stacks.settled(stack.id, f"removing the stack {stack.name}")
        if left is None:
            return True
        stack = left
    why = await stacks.failure(stack.id) or f"it is still {stack.status}"
    raise AwsError(
        f"cannot remove the stack {stack.name} in {stacks.region}: {why}; "
        "remove it in the console, then run `lbench destroy` again"
    )


async def remove_stray(session: Any, arns: Sequence[str]) -> dict[str, str]:
    """Remove leftover resources. One that cannot be removed does not keep the others.

    Returns:
        the ARNs of those that are left, each with the reason.
    """
    left = {}
    for arn in arns:
        try:
            if not await remove_leftover(session, arn):
                left[arn] = "it has the tag but was not created by lbench: check it in the AWS console"
        except AwsError as error:
            left[arn] = str(error)
    return left
