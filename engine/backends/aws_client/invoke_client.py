"""Calls Lambda's Invoke, by a thin client of our own or by aioboto3's (`sdk_client`).

`fast` signs with a cached key and speaks HTTP through `http_pool`; `aioboto3` is there for comparison. Neither repeats a
call that may have run: retries belong to the runner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

from lbench.engine.backends.aws_client.connection import Response
from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_api import InvokeClient, Kind, Reply, seconds
from lbench.engine.backends.aws_client.signed_client import SignedClient, error_type_of, text_of
from lbench.workloads.sigv4 import Credentials, encode_query

__all__ = ["FastClient", "make_client", "reply_of"]


class FastClient(SignedClient):
    """Calls Invoke over kept-alive connections, signed with a cached key."""

    def __init__(self, place: Resolved, credentials: Callable[[], Credentials]) -> None:
        """Nothing is opened yet.

        Raises:
            BackendError: the endpoint, the proxy or the CA bundle cannot be used.
        """
        super().__init__(place, credentials, service="lambda", what="Lambda endpoint")
        self._targets: dict[str, tuple[str, str, str]] = {}  # path, query, request target
        common = {"host": self.pool.host, "content-type": "application/json"}
        self._headers: dict[Kind, dict[str, str]] = {
            "RequestResponse": common | {"x-amz-invocation-type": "RequestResponse", "x-amz-log-type": "Tail"},
            "Event": common | {"x-amz-invocation-type": "Event"},
        }

    async def invoke(self, function: str, payload: bytes, timeout_s: float, kind: Kind = "RequestResponse") -> Reply:
        """Call a function (a name, an ARN, either with `:qualifier`) and wait for its result, or until it is queued.

        Raises:
            ConnectionLost: no complete response came.
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
        target = f"{self.pool.target_prefix}{path}"
        self._targets[function] = path, query, f"{target}?{query}" if query else target
        return self._targets[function]


def reply_of(response: Response) -> Reply:
    """Read a response of Invoke."""
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
    """Make the client of that name, not yet open.

    The thin client calls `credentials.renew` once they have expired, where there is one (`ChainCredentials`).

    Raises:
        BackendError: the endpoint, the proxy or the CA bundle cannot be used.
    """
    if kind == "aioboto3":
        from lbench.engine.backends.aws_client.sdk_client import Aioboto3Client

        return Aioboto3Client(place, credentials)
    return FastClient(place, credentials)
