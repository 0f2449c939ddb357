"""How an event gets to the function and its answer back: one small interface, three ways (`--transport`).

`direct` waits on the connection, to 900 s. `event` queues the call and finds the answer in S3 (`event_transport`), for
what outlives a connection. `http-api` goes through API Gateway (`http_api`), whose patience ends after 30 s: the way of
the original study, here to show what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lbench.engine.backends.aws_client.invoke_api import InvokeClient
from lbench.engine.backends.base import Outcome
from lbench.engine.backends.lambda_.outcomes import mixed_up, read_reply
from lbench.workloads.wire import Answer, Event

__all__ = ["INLINE_BYTES", "Direct", "Transport", "Waiting", "of_this_call"]

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
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float, arriving: Callable[[], None]
    ) -> tuple[Outcome, Answer | None]:
        """Send the event (`payload` is its JSON) and wait for what becomes of it.

        Args:
            event: as it was prepared.
            payload: the same as JSON.
            deadline_s: what the task may take once it has begun.
            allowance_s: what may come on top: an environment's start, the way there and back.
            arriving: told when the function has ended and its answer is only to be fetched, where that is a step of its own.

        Raises:
            ConnectionLost: no whole answer came, and nothing is known of why.
        """
        ...

    async def close(self) -> None:
        """Stop waiting; close what is open."""
        ...


class _Connections(Protocol):
    async def open(self, connections: int) -> None: ...
    async def close(self) -> None: ...


class Waiting:
    """A way on which the answer comes back on the connection that the call went out on."""

    event_bytes = INLINE_BYTES

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections

    async def open(self, connections: int) -> None:
        """Open so many connections."""
        await self._connections.open(connections)

    def prepare(self, event: Event) -> None:
        """What it brings back must fit."""
        event.result_limit = INLINE_BYTES

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


def of_this_call(
    event: Event, outcome: Outcome, answer: Answer | None, drop: Callable[[], None] | None
) -> tuple[Outcome, Answer | None]:
    """What came, if it is this call's; else its connection is a response behind, and is dropped."""
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
