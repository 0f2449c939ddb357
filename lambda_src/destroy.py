"""Destroy: stacks, what is in their buckets, and whatever else carries their tag; then it is looked whether all has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from lbench.config.aws import aws_client
from lbench.lambda_src.leftovers import find_leftovers, remove_leftover
from lbench.lambda_src.removing import remove_stack
from lbench.lambda_src.stack import Pause, Say, Stack, Stacks, refuse_foreign, refuse_protected, silent

__all__ = ["Destroyed", "destroy", "find_stacks", "find_stray"]


class Destroyed(msgspec.Struct, frozen=True, kw_only=True):
    """What has come of it."""

    stacks: tuple[str, ...]  # removed
    leftovers: tuple[str, ...]  # ARNs of what was left of them, and is removed too
    left: tuple[str, ...]  # ARNs of what carries the tag still: of a kind that lbench does not deploy


async def find_stacks(session: Any, region: str, names: Sequence[str]) -> list[Stack]:
    """Those of the names that there is a stack of.

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


async def find_stray(session: Any, names: Sequence[str]) -> list[str]:
    """The ARNs of what carries the tag of these names."""
    return sorted({arn for name in names for arn in await find_leftovers(session, name)})


async def destroy(
    session: Any, region: str, names: Sequence[str], *, say: Say = silent, pause: Pause = asyncio.sleep
) -> Destroyed:
    """Remove the stacks of these names, as far as there are any, and all that is left of them.

    Raises:
        InputError: a stack is not lbench's.
        AwsError: AWS refused something, or something cannot be removed.
    """
    removed = []
    async with aws_client(session, "cloudformation") as client:
        stacks = Stacks(client, region, say=say, pause=pause)
        for name in names:
            stack = await stacks.settled(name)
            if stack is None:
                continue
            refuse_foreign(stack, region)
            await remove_stack(session, stacks, stack)
            removed.append(name)
    leftovers, left = [], []
    for name in names:
        say(f"looking for anything left of {name}")
        for arn in await find_leftovers(session, name):
            if await remove_leftover(session, arn):
                leftovers.append(arn)
            else:
                left.append(arn)
    return Destroyed(stacks=tuple(removed), leftovers=tuple(leftovers), left=tuple(left))
