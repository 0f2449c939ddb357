"""Carries an event to the function and its answer back: one small interface, three transports (`--transport`).

`direct` waits on the connection, to 900 s. `event` queues the call and finds the answer in S3
(`event_transport`), for calls that outlive a connection. `http-api` goes through API Gateway (`http_api_transport`), which
times out after 30 s: the original study used it, and it is here to show its cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lbench.config.limits import INLINE_BYTES
from lbench.engine.backends.aws_client.invoke_api import InvokeClient
from lbench.engine.backends.base import Outcome
from lbench.engine.backends.lambda_.outcomes import mixed_up, read_reply
from lbench.workloads.wire import Answer, Event

__all__ = ["Direct", "Transport", "Waiting", "of_this_call"]


class Transport(Protocol):
    """One function, reached by one transport."""

    event_bytes: int  # the largest event as JSON; what is larger goes through S3

    async def open(self, connections: int) -> None:
        """Prepare for so many concurrent calls.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        ...

    def prepare(self, event: Event) -> None:
        """Set in the event where its answer goes."""
        ...

    async def carry(
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float, arriving: Callable[[], None]
    ) -> tuple[Outcome, Answer | None]:
        """Send the event (`payload` is its JSON) and wait for its outcome.

        Args:
            event: as it was prepared.
            payload: the same as JSON.
            deadline_s: the task's limit once it has begun.
            allowance_s: added to it: an environment's start, the round trip.
            arriving: called once the function has ended and its answer remains to be fetched, where that is a separate step.

        Raises:
            ConnectionLost: no complete response came.
        """
        ...

    async def close(self) -> None:
        """Stop waiting; close what is open."""
        ...


class _Connections(Protocol):
    async def open(self, connections: int) -> None: ...
    async def close(self) -> None: ...


class Waiting:
    """A transport whose answer comes back on the connection of its call."""

    event_bytes = INLINE_BYTES

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections

    async def open(self, connections: int) -> None:
        """Open this many connections."""
        await self._connections.open(connections)

    def prepare(self, event: Event) -> None:
        """Limit the answer to what fits into a response."""
        event.result_limit = INLINE_BYTES

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


def of_this_call(
    event: Event, outcome: Outcome, answer: Answer | None, drop: Callable[[], None] | None
) -> tuple[Outcome, Answer | None]:
    """Check that a response belongs to this call; else its connection is out of step, and is closed."""
    if answer is None or answer.call in (None, event.call):
        return outcome, answer
    assert outcome.returned_s is not None
    return mixed_up(outcome.returned_s, drop), None


class Direct(Waiting):
    """Invoke, synchronously: the connection stays open until the function has ended."""

    def __init__(self, client: InvokeClient, function: str) -> None:
        super().__init__(client)
        self._client = client
        self._function = function

    async def carry(
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float, arriving: Callable[[], None]
    ) -> tuple[Outcome, Answer | None]:
        """Invoke and wait."""
        reply = await self._client.invoke(self._function, payload, deadline_s + allowance_s)
        outcome, answer = read_reply(reply, deadline_s)
        return of_this_call(event, outcome, answer, reply.drop)
