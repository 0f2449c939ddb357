"""`http-api`: through an HTTP API of API Gateway, signed for `execute-api`, payload format 2.0.

The front (the HTTP API) times out after 30 s, fixed, and reports nothing about failures behind it. The handler puts its
answer, errors too, into the body; Lambda's limit of 6 MB holds although the front itself accepts 10 MB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.signed_client import SignedClient
from lbench.engine.backends.base import Outcome
from lbench.engine.backends.lambda_.letters import read_front
from lbench.engine.backends.lambda_.transport import Waiting, of_this_call
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Answer, Event

__all__ = ["FRONT_TIMEOUT_S", "Fronted"]

FRONT_TIMEOUT_S = 30.0  # API Gateway's, of an HTTP API's integration; it cannot be raised


class Fronted(Waiting):
    """One function behind the front, at the route of its name."""

    def __init__(
        self, place: Resolved, credentials: Callable[[], Credentials], route: str, timeout_s: float = FRONT_TIMEOUT_S
    ) -> None:
        """Nothing is opened yet. `place` is the front's; `timeout_s` is its timeout, for messages.

        Raises:
            BackendError: the front's URL cannot be used.
        """
        self._client = SignedClient(place, credentials, service="execute-api", what="HTTP API")
        super().__init__(self._client)
        self._path = f"{self._client.base}/{quote(route, safe='-_.~')}"
        self._target = f"{self._client.pool.target_prefix}{self._path}"
        self._headers = {"host": self._client.pool.host, "content-type": "application/json"}
        self._timeout_s = timeout_s

    async def carry(
        self, event: Event, payload: bytes, deadline_s: float, allowance_s: float, arriving: Callable[[], None]
    ) -> tuple[Outcome, Answer | None]:
        """Post the event and wait."""
        sent_s = asyncio.get_running_loop().time()
        response = await self._client.post(
            self._path, "", self._target, self._headers, payload, deadline_s + allowance_s
        )
        outcome, answer = read_front(response, response.arrived_s - sent_s, self._timeout_s, deadline_s)
        return of_this_call(event, outcome, answer, response.connection.abort)
