"""A stack is taken away: its bucket emptied first, since CloudFormation does not remove one that holds anything."""

from __future__ import annotations

import contextlib
from typing import Any

from lbench.config.aws import AwsError
from lbench.lambda_src.bucket import BucketGone, empty_bucket
from lbench.lambda_src.stack import Stack, Stacks

__all__ = ["remove_stack"]

_TURNS = 4  # a run that has not ended may put something into the bucket in between


async def remove_stack(session: Any, stacks: Stacks, stack: Stack) -> None:
    """Remove the stack and all that is in its bucket; returns when it has gone.

    Raises:
        AwsError: something of it cannot be removed; the message names it.
    """
    for _ in range(_TURNS):
        bucket = await stacks.bucket(stack)
        if bucket is not None:
            with contextlib.suppress(BucketGone):
                await empty_bucket(session, bucket)
        await stacks.delete(stack)
        left = await stacks.settled(stack.id, f"removing the stack {stack.name}")
        if left is None:
            return
        stack = left
    why = await stacks.failure(stack.id) or f"it is still {stack.status}"
    raise AwsError(
        f"the stack {stack.name} in {stacks.region} cannot be removed: {why}; "
        "remove that in the console, then run `lbench destroy` again"
    )
