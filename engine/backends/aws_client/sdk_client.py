"""Calls Invoke by aioboto3, for comparison with the thin client. Its retries are off; importing it costs 0.65 s."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from lbench.config.aws_errors import without_secrets
from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_api import Kind, Reply, seconds
from lbench.workloads.sigv4 import Credentials

__all__ = ["Aioboto3Client", "isolated_session"]

_READ_LIMIT_S = 7200.0  # above every deadline: `invoke` has its own limit

# Session variables that keep botocore from reading the user's profiles, files and endpoints.
_ISOLATED: dict[str, tuple[Any, Any, Any, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ignore_configured_endpoint_urls": (None, None, True, None),
}


def _source(credentials: Callable[[], Credentials]) -> Any:
    """A credential source for aiobotocore that returns the current credentials at every request."""
    from aiobotocore.credentials import AioCredentials, ReadOnlyCredentials

    class Current(AioCredentials):  # type: ignore[misc]
        async def load_credentials(self) -> Any:
            return self

        async def get_frozen_credentials(self) -> Any:
            now = credentials()
            return ReadOnlyCredentials(now.access_key, now.secret_key, now.token)

    first = credentials()
    return Current(first.access_key, first.secret_key, first.token)


def isolated_session(credentials: Callable[[], Credentials], region: str) -> Any:
    """An aioboto3 session with these credentials; it reads none of the user's profiles, files or endpoints."""
    import aioboto3
    from aiobotocore.session import AioSession

    inner = AioSession(session_vars=_ISOLATED)
    inner.register_component("credential_provider", _source(credentials))
    return aioboto3.Session(botocore_session=inner, region_name=region)


class Aioboto3Client:
    """aioboto3's Lambda client without retries."""

    def __init__(self, place: Resolved, credentials: Callable[[], Credentials]) -> None:
        self._place = place
        self._credentials = credentials
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self, connections: int) -> None:
        """Make the client; aioboto3 opens connections on demand."""
        from aiobotocore.config import AioConfig

        session = isolated_session(self._credentials, self._place.region)
        config = AioConfig(
            max_pool_connections=max(10, connections),
            read_timeout=_READ_LIMIT_S,
            retries={"total_max_attempts": 1, "mode": "standard"},
            proxies={scheme: self._place.proxy for scheme in ("http", "https") if self._place.proxy},
        )
        self._client = await self._stack.enter_async_context(
            session.client("lambda", endpoint_url=self._place.endpoint, config=config, verify=self._place.ca_file)
        )

    async def invoke(self, function: str, payload: bytes, timeout_s: float, kind: Kind = "RequestResponse") -> Reply:
        from botocore.exceptions import BotoCoreError, ClientError

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.invoke(
                    FunctionName=function,
                    Payload=payload,
                    InvocationType=kind,
                    **({"LogType": "Tail"} if kind == "RequestResponse" else {}),
                )
                body = await answer["Payload"].read()
        except TimeoutError:
            raise ConnectionLost(f"no answer within {timeout_s:g} s", timed_out=True) from None
        except ClientError as error:
            return _refusal(error.response, loop.time())
        except (BotoCoreError, OSError) as error:
            message = f"{type(error).__name__}: {without_secrets(str(error))}"
            raise ConnectionLost(message, unsent=_unsent(error)) from None
        return Reply(
            answer["StatusCode"],
            body,
            loop.time(),
            request_id=answer["ResponseMetadata"].get("RequestId"),
            function_error=answer.get("FunctionError"),
            log_result=answer.get("LogResult"),
            ended=answer["ResponseMetadata"].get("HTTPHeaders", {}).get("x-lbench-ended"),
        )

    async def close(self) -> None:
        await self._stack.aclose()


def _unsent(error: Exception) -> bool:
    """Whether aiohttp could not open a connection; botocore's own error classes do not distinguish that."""
    from aiohttp import ClientConnectorError

    return isinstance(getattr(error, "kwargs", {}).get("error"), ClientConnectorError)


def _refusal(response: dict[str, Any], arrived_s: float) -> Reply:
    metadata, error = response["ResponseMetadata"], response["Error"]
    return Reply(
        metadata["HTTPStatusCode"],
        msgspec.json.encode({"message": error.get("Message", ""), "Reason": response.get("Reason")}),
        arrived_s,
        request_id=metadata.get("RequestId"),
        error_type=error.get("Code"),
        retry_after_s=seconds(metadata.get("HTTPHeaders", {}).get("retry-after")),
    )
