"""A stack is taken away: its bucket emptied first, since CloudFormation does not remove one that holds anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from lbench.config.aws import AwsError
from lbench.lambda_src.bucket import BucketGone, empty_bucket
from lbench.lambda_src.stack import Stack, Stacks, refuse_protected

__all__ = ["remove_stack"]

_TURNS = 4  # a run that has not ended may put something into the bucket in between


def _never(stack: Stack) -> bool:
    return False


async def remove_stack(session: Any, stacks: Stacks, stack: Stack, *, unless: Callable[[Stack], bool] = _never) -> bool:
    """Remove the stack and all that is in its bucket.

    Args:
        session: see `config.aws.aws_session`.
        stacks: of its region.
        stack: as it was found.
        unless: asked again and again whether it may still go: another machine may be making something of it.

    Returns:
        whether it has gone; else it is left for what `unless` says.

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
                await empty_bucket(session, bucket)
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
        f"the stack {stack.name} in {stacks.region} cannot be removed: {why}; "
        "remove that in the console, then run `lbench destroy` again"
    )
