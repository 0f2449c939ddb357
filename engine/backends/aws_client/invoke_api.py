"""Lambda's Invoke as the backends use it: the reply's fields, and the interface of a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

__all__ = ["InvokeClient", "Kind", "Reply", "seconds"]

Kind = Literal["RequestResponse", "Event"]


class Reply(msgspec.Struct):
    """Invoke's response, undecoded."""

    status: int
    body: bytes
    arrived_s: float  # on the loop's clock
    request_id: str | None = None
    function_error: str | None = None  # "Handled" or "Unhandled"; None: the function returned
    log_result: bytes | str | None = None  # base64 of the log's last 4 KB
    ended: str | None = None  # the environment that ended with the call; only the emulator reports it
    error_type: str | None = None  # AWS's name of the error where status is not 200
    retry_after_s: float | None = None
    connect_ms: float | None = None
    drop: Callable[[], None] | None = None  # closes its connection, where the reply belongs to another call


class InvokeClient(Protocol):
    """Calls functions at one endpoint."""

    async def open(self, connections: int) -> None:
        """Prepare for calls; opens connections where the client can do that ahead.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        ...

    async def invoke(self, function: str, payload: bytes, timeout_s: float, kind: Kind = "RequestResponse") -> Reply:
        """Call a function and wait for its result and the tail of its log; the kind `Event` only queues the call.

        Raises:
            ConnectionLost: no complete response came.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def seconds(text: str | None) -> float | None:
    """Parse a header of seconds; None: it is absent, or not a number."""
    try:
        return None if text is None else float(text)
    except ValueError:  # a date: not what Lambda sends
        return None
