"""How an event gets to the function and its answer back: one small interface, three ways (`--transport`).

`direct` waits on the connection, to 900 s. `event` queues the call and finds the answer in S3 (`event_transport`), for
what outlives a connection. `http-api` goes through API Gateway (`http_api`), whose patience ends after 30 s: the way of
the original study, here to show what it costs.
"""

from __future__ import annotations

from typing import Protocol

from lbench.engine.backends.answers import mixed_up, read_reply
from lbench.engine.backends.base import Outcome
from lbench.engine.backends.lambda_client import InvokeClient
from lbench.workloads.wire import Answer, Event

__all__ = ["INLINE_BYTES", "Direct", "Transport"]

INLINE_BYTES = 6_000_000  # JSON each way; AWS's own limit is 6,291,556


class Transport(Protocol):
    """One function, reached in one way."""

    event_bytes: int  # the largest event as JSON; what is larger goes through S3

    async def open(self, connections: int) -> None:
        """Get ready for so many calls at once.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        ...

    def prepare(self, event: Event) -> None:
        """Say in the event where its answer goes."""
        ...

    async def carry(
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float
    ) -> tuple[Outcome, Answer | None]:
        """Send the event (`payload` is its JSON) and wait for what becomes of it.

        Args:
            event: as it was prepared.
            payload: the same as JSON.
            deadline_s: what the task may take once it has begun.
            allowance_s: what may come on top: an environment's start, the way there and back.

        Raises:
            ConnectionLost: no whole answer came, and nothing is known of why.
        """
        ...

    async def close(self) -> None:
        """Stop waiting; close what is open."""
        ...


class Direct:
    """Invoke, synchronously: the connection stays open until the function has ended."""

    event_bytes = INLINE_BYTES

    def __init__(self, client: InvokeClient, function: str) -> None:
        self._client = client
        self._function = function

    async def open(self, connections: int) -> None:
        """Open so many connections."""
        await self._client.open(connections)

    def prepare(self, event: Event) -> None:
        """The answer comes back on the connection."""
        event.result_limit = INLINE_BYTES

    async def carry(
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float
    ) -> tuple[Outcome, Answer | None]:
        """Invoke and wait."""
        reply = await self._client.invoke(self._function, payload, deadline_s + allowance_s)
        outcome, answer = read_reply(reply, deadline_s)
        if answer is not None and answer.call not in (None, event.call):
            return mixed_up(reply.arrived_s, reply.drop), None
        return outcome, answer

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
