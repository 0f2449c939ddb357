"""The memory that functions of a new AWS account may have: less than Lambda's maximum, until AWS raises it."""

from __future__ import annotations

import re
from typing import Any

from lbench.config.limits import limits

__all__ = ["memory_limit", "memory_limit_in", "memory_limit_text"]

_REFUSAL = re.compile(r"memory_?size.*less than or equal to (\d+)", re.I | re.S)


async def memory_limit(client: Any, stack: str) -> int | None:
    """The most MB that the account's functions may have, where that is less than Lambda's; None: no less, or not known.

    No service reports this limit. A function that does not exist is asked to have Lambda's maximum: Lambda checks the size
    first, so a refusal that names a smaller maximum is the account's. Nothing can be changed by it.

    Args:
        client: of Lambda.
        stack: the deployment; the caller's policy covers functions whose name begins so.
    """
    from botocore.exceptions import ClientError

    try:
        await client.update_function_configuration(
            FunctionName=f"{stack}-memory-limit", MemorySize=limits().memory_max_mb
        )
    except ClientError as error:
        return memory_limit_in(str(error.response.get("Error", {}).get("Message", "")))
    return None


def memory_limit_in(refusal: str) -> int | None:
    """The limit that AWS's refusal of a memory size names, where it is less than Lambda's."""
    found = _REFUSAL.search(refusal)
    return int(found[1]) if found is not None and int(found[1]) < limits().memory_max_mb else None


def memory_limit_text(most: int) -> str:
    """What the limit is, and what to do."""
    return (
        f"AWS limits the functions of this (new) account to {most:,} MB: use at most that, or open a case for more in the "
        "AWS console (Support Center, service limit increase, Lambda function memory)"
    )
