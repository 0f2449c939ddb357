"""Invoke: the call that everything here comes down to, by a thin client of our own or by aioboto3's.

`fast` signs with a cached key and speaks HTTP through `http1`; `aioboto3` is there so that anyone can see the
difference. Neither tries a call again: retries are the runner's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Literal, Protocol
from urllib.parse import quote

import msgspec

from lbench.engine.backends.http1 import ConnectionLost, HttpPool, Response, request_head
from lbench.errors import BackendError
from lbench.workloads.sigv4 import Credentials, Signer, encode_query

__all__ = ["Aioboto3Client", "ConnectionLost", "FastClient", "InvokeClient", "Reply", "make_client"]


class Reply(msgspec.Struct):
    """What Invoke answered, before anything in it was decoded."""

    status: int
    body: bytes
    arrived_s: float  # on the loop's clock
    request_id: str | None = None
    function_error: str | None = None  # "Handled" or "Unhandled"; None: the function returned
    log_result: bytes | str | None = None  # base64 of the log's last 4 KB
    error_type: str | None = None  # AWS's name of the error where status is not 200
    retry_after_s: float | None = None
    connect_ms: float | None = None


class InvokeClient(Protocol):
    """Calls functions at one endpoint."""

    async def open(self, connections: int) -> None:
        """Get ready, with connections open where that can be had.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        ...

    async def invoke(self, function: str, payload: bytes, timeout_s: float) -> Reply:
        """Call a function synchronously, asking for its log's tail.

        Raises:
            ConnectionLost: no whole answer came.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class FastClient:
    """The thin client. `credentials` is asked at every call, so that refreshed ones are used at once."""

    def __init__(self, endpoint: str, region: str, credentials: Callable[[], Credentials]) -> None:
        self._pool = HttpPool(endpoint)
        self._endpoint = endpoint
        self._region = region
        self._credentials = credentials
        self._signer = Signer(credentials(), region, "lambda")
        self._targets: dict[str, tuple[str, str]] = {}
        self._headers = {
            "host": self._pool.host,
            "content-type": "application/json",
            "x-amz-invocation-type": "RequestResponse",
            "x-amz-log-type": "Tail",
        }

    async def open(self, connections: int) -> None:
        """Open so many connections.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        try:
            await self._pool.open(connections)
        except ConnectionLost as error:
            raise BackendError(f"the Lambda endpoint {self._endpoint} cannot be reached: {error}") from None

    async def invoke(self, function: str, payload: bytes, timeout_s: float) -> Reply:
        """Call a function (a name, an ARN, either with `:qualifier`) and wait for its answer.

        Raises:
            ConnectionLost: no whole answer came.
        """
        path, query = self._targets.get(function) or self._target(function)
        credentials = self._credentials()
        if credentials is not self._signer.credentials:
            self._signer = Signer(credentials, self._region, "lambda")
        headers = self._signer.sign("POST", path, query, self._headers, hashlib.sha256(payload).hexdigest())
        headers["content-length"] = str(len(payload))
        target = f"{path}?{query}" if query else path
        response = await self._pool.request(request_head("POST", target, headers.items()), payload, timeout_s)
        return _reply(response)

    async def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _target(self, function: str) -> tuple[str, str]:
        name, qualifier = function, ""
        if function.startswith("arn:"):
            if function.count(":") == 7:
                name, _, qualifier = function.rpartition(":")
        elif ":" in function:
            name, _, qualifier = function.rpartition(":")
        path = f"/2015-03-31/functions/{quote(name, safe='-_.~')}/invocations"
        self._targets[function] = path, encode_query([("Qualifier", qualifier)]) if qualifier else ""
        return self._targets[function]


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # a date: not what Lambda sends
        return None


def _reply(response: Response) -> Reply:
    headers = response.headers
    reply = Reply(
        response.status,
        response.body,
        response.arrived_s,
        request_id=_text(headers, b"x-amzn-requestid"),
        function_error=_text(headers, b"x-amz-function-error"),
        log_result=headers.get(b"x-amz-log-result"),
        connect_ms=response.connect_ms,
    )
    if response.status != 200:
        named = _text(headers, b"x-amzn-errortype")
        reply.error_type = named.partition(":")[0] if named else None
        reply.retry_after_s = _seconds(_text(headers, b"retry-after"))
    return reply


# botocore's variables that would bring in the user's profiles, files and endpoints: none of them is asked.
_ISOLATED: dict[str, tuple[Any, Any, Any, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ignore_configured_endpoint_urls": (None, None, True, None),
}


class Aioboto3Client:
    """aioboto3's Lambda client with its retries off: the thin client's measure."""

    def __init__(
        self,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        *,
        read_timeout_s: float = 930.0,
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._credentials = credentials
        self._read_timeout_s = read_timeout_s
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self, connections: int) -> None:
        """Make the client; aioboto3 opens its connections as they are needed."""
        import aioboto3
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession

        keys = self._credentials()
        session = aioboto3.Session(
            botocore_session=AioSession(session_vars=_ISOLATED),
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
            region_name=self._region,
        )
        config = AioConfig(
            max_pool_connections=max(10, connections),
            read_timeout=self._read_timeout_s,
            retries={"total_max_attempts": 1, "mode": "standard"},
            tcp_keepalive=True,
            proxies={},
        )
        self._client = await self._stack.enter_async_context(
            session.client("lambda", endpoint_url=self._endpoint, config=config)
        )

    async def invoke(self, function: str, payload: bytes, timeout_s: float) -> Reply:
        """Call a function and wait for its answer.

        Raises:
            ConnectionLost: no whole answer came.
        """
        import asyncio

        from botocore.exceptions import BotoCoreError, ClientError

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.invoke(FunctionName=function, Payload=payload, LogType="Tail")
                body = await answer["Payload"].read()
        except TimeoutError:
            raise ConnectionLost(f"no answer within {timeout_s:g} s", timed_out=True) from None
        except ClientError as error:
            return _refusal(error.response, loop.time())
        except (BotoCoreError, OSError) as error:
            raise ConnectionLost(f"{type(error).__name__}: {error}") from None
        return Reply(
            answer["StatusCode"],
            body,
            loop.time(),
            request_id=answer["ResponseMetadata"].get("RequestId"),
            function_error=answer.get("FunctionError"),
            log_result=answer.get("LogResult"),
        )

    async def close(self) -> None:
        """Close the client."""
        await self._stack.aclose()


def _refusal(response: dict[str, Any], arrived_s: float) -> Reply:
    about, error = response["ResponseMetadata"], response["Error"]
    return Reply(
        about["HTTPStatusCode"],
        msgspec.json.encode({"message": error.get("Message", ""), "Reason": response.get("Reason")}),
        arrived_s,
        request_id=about.get("RequestId"),
        error_type=error.get("Code"),
        retry_after_s=_seconds(about.get("HTTPHeaders", {}).get("retry-after")),
    )


def make_client(
    kind: Literal["fast", "aioboto3"], endpoint: str, region: str, credentials: Callable[[], Credentials]
) -> InvokeClient:
    """The client of that name, not yet open."""
    if kind == "aioboto3":
        return Aioboto3Client(endpoint, region, credentials)
    return FastClient(endpoint, region, credentials)
