"""Invoke: the call that everything here comes down to, by a thin client of our own or by aioboto3's (`sdk_client`).

`fast` signs with a cached key and speaks HTTP through `http1`; `aioboto3` is there so that anyone can see the
difference. Neither tries a call again that may have run: retries are the runner's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol
from urllib.parse import quote

import msgspec

from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.http_pool import ConnectionLost, Response
from lbench.engine.backends.aws_client.signed_client import SignedClient, error_type_of, text_of
from lbench.workloads.sigv4 import Credentials, encode_query

__all__ = ["ConnectionLost", "FastClient", "InvokeClient", "Kind", "Reply", "make_client", "reply_of", "seconds"]


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


class FastClient(SignedClient):
    """The thin client."""

    def __init__(self, place: Resolved, credentials: Callable[[], Credentials]) -> None:
        """Nothing is opened yet.

        Raises:
            BackendError: the endpoint, the proxy or the CA bundle cannot be used.
        """
        super().__init__(place, credentials, service="lambda", what="Lambda endpoint")
        self._targets: dict[str, tuple[str, str, str]] = {}  # path, query, request target
        common = {"host": self._pool.host, "content-type": "application/json"}
        self._headers: dict[Kind, dict[str, str]] = {
            "RequestResponse": common | {"x-amz-invocation-type": "RequestResponse", "x-amz-log-type": "Tail"},
            "Event": common | {"x-amz-invocation-type": "Event"},
        }

    async def invoke(self, function: str, payload: bytes, timeout_s: float, kind: Kind = "RequestResponse") -> Reply:
        """Call a function (a name, an ARN, either with `:qualifier`) and wait for its answer, or that it is queued.

        Raises:
            ConnectionLost: no whole answer came.
        """
        path, query, target = self._targets.get(function) or self._target(function)
        return reply_of(await self.post(path, query, target, self._headers[kind], payload, timeout_s))

    def _target(self, function: str) -> tuple[str, str, str]:
        name, qualifier = function, ""
        if function.startswith("arn:"):
            if function.count(":") == 7:
                name, _, qualifier = function.rpartition(":")
        elif ":" in function:
            name, _, qualifier = function.rpartition(":")
        path = f"{self.base}/2015-03-31/functions/{quote(name, safe='-_.~')}/invocations"
        query = encode_query([("Qualifier", qualifier)]) if qualifier else ""
        target = f"{self._pool.target_prefix}{path}"
        self._targets[function] = path, query, f"{target}?{query}" if query else target
        return self._targets[function]


def seconds(text: str | None) -> float | None:
    """A header's number of seconds; None: it is none."""
    try:
        return None if text is None else float(text)
    except ValueError:  # a date: not what Lambda sends
        return None


def reply_of(response: Response) -> Reply:
    """A response of Invoke's."""
    headers = response.headers
    reply = Reply(
        response.status,
        response.body,
        response.arrived_s,
        request_id=text_of(headers, b"x-amzn-requestid"),
        function_error=text_of(headers, b"x-amz-function-error"),
        log_result=headers.get(b"x-amz-log-result"),
        connect_ms=response.connect_ms,
        drop=response.connection.abort,
    )
    if reply.function_error is not None:
        reply.ended = text_of(headers, b"x-lbench-ended")
    if response.status != 200:
        reply.error_type = error_type_of(response)
        reply.retry_after_s = seconds(text_of(headers, b"retry-after"))
    return reply


def make_client(
    kind: Literal["fast", "aioboto3"], place: Resolved, credentials: Callable[[], Credentials]
) -> InvokeClient:
    """The client of that name, not yet open.

    Where `credentials` has `renew` (`credentials.ChainCredentials`), the thin client asks it once they have expired.

    Raises:
        BackendError: the endpoint, the proxy or the CA bundle cannot be used.
    """
    if kind == "aioboto3":
        from lbench.engine.backends.aws_client.sdk_client import Aioboto3Client

        return Aioboto3Client(place, credentials)
    return FastClient(place, credentials)
