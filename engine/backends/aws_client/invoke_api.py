"""Lambda's Invoke as the backends use it: the reply's fields, and the interface of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

__all__ = ["InvokeClient", "Kind", "Reply", "seconds"]

Kind = Literal["RequestResponse", "Event"]


class Reply(msgspec.Struct):
    """What Invoke answered, before anything in it was decoded."""

    status: int
    body: bytes
    arrived_s: float  # on the loop's clock
    request_id: str | None = None
    function_error: str | None = None  # "Handled" or "Unhandled"; None: the function returned
    log_result: bytes | str | None = None  # base64 of the log's last 4 KB
    ended: str | None = None  # the environment that has ended with the call; only the emulator tells
    error_type: str | None = None  # AWS's name of the error where status is not 200
    retry_after_s: float | None = None
    connect_ms: float | None = None
    drop: Callable[[], None] | None = None  # ends its connection: the reply turned out to be another call's


class InvokeClient(Protocol):
    """Calls functions at one endpoint."""

    async def open(self, connections: int) -> None:
        """Get ready, with connections open where that can be had.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        ...

    async def invoke(self, function: str, payload: bytes, timeout_s: float, kind: Kind = "RequestResponse") -> Reply:
        """Call a function synchronously, asking for its log's tail; or (`Event`) have the call queued.

        Raises:
            ConnectionLost: no whole answer came.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def seconds(text: str | None) -> float | None:
    """A header's number of seconds; None: it is none."""
    try:
        return None if text is None else float(text)
    except ValueError:  # a date: not what Lambda sends
        return None
