"""Invoke: the call that everything here comes down to, by a thin client of our own or by aioboto3's (`sdk_client`).

`fast` signs with a cached key and speaks HTTP through `http1`; `aioboto3` is there so that anyone can see the
difference. Neither tries a call again that may have run: retries are the runner's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, Protocol
from urllib.parse import quote, urlsplit

import msgspec

from lbench.engine.backends.dialing import ssl_context
from lbench.engine.backends.http1 import ConnectionLost, HttpPool, Response, request_head
from lbench.engine.backends.resolving import Resolved
from lbench.errors import BackendError
from lbench.workloads.sigv4 import Credentials, Signer, encode_query
from lbench.workloads.skew import clock_offset

__all__ = ["ConnectionLost", "FastClient", "InvokeClient", "Reply", "make_client", "seconds"]

_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"))


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
    drop: Callable[[], None] | None = None  # ends its connection: the reply turned out to be another call's


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
    """The thin client. `credentials` is asked at every call, so that renewed ones are used at once.

    A refusal that is about the signature alone (this machine's clock is off; the credentials have expired and others are to
    be had) is mended and the call sent again: a request that was refused for its signature ran nothing.
    """

    def __init__(self, place: Resolved, credentials: Callable[[], Credentials]) -> None:
        """Nothing is opened yet.

        Raises:
            BackendError: the endpoint, the proxy or the CA bundle cannot be used.
        """
        try:
            secure = place.endpoint.startswith("https:") or (place.proxy or "").startswith("https:")
            self._pool = HttpPool(
                place.endpoint, context=ssl_context(place.ca_file) if secure else None, proxy=place.proxy
            )
        except (ValueError, OSError) as error:
            raise BackendError(f"the Lambda endpoint {place.endpoint} cannot be used: {error}") from None
        self._endpoint = place.endpoint
        self._base = quote(urlsplit(place.endpoint).path.rstrip("/"), safe="/~%")
        self._region = place.region
        self._credentials = credentials
        self._signer = Signer(credentials(), place.region, "lambda")
        self._targets: dict[str, tuple[str, str, str]] = {}  # path, query, request target
        self._headers = {
            "host": self._pool.host,
            "content-type": "application/json",
            "x-amz-invocation-type": "RequestResponse",
            "x-amz-log-type": "Tail",
        }

    @property
    def resent(self) -> int:
        """How many requests went out twice because an idle connection had been closed."""
        return self._pool.resent

    @property
    def clock_offset_s(self) -> float:
        """AWS's clock minus this machine's, where a refused signature has told it; else 0."""
        return self._signer.offset_s

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
        path, query, target = self._targets.get(function) or self._target(function)
        digest = hashlib.sha256(payload).hexdigest()
        for last in (False, False, True):  # at most once for the clock and once for the credentials
            credentials = self._credentials()
            if credentials is not self._signer.credentials:
                self._signer = Signer(credentials, self._region, "lambda", offset_s=self._signer.offset_s)
            signer, offset_s = self._signer, self._signer.offset_s
            headers = signer.sign("POST", path, query, self._headers, digest)
            headers["content-length"] = str(len(payload))
            head = request_head("POST", target, headers.items(), self._pool.hop_headers)
            response = await self._pool.request(head, payload, timeout_s)
            reply = _reply(response)
            if reply.status not in (400, 403) or last or not await self._mended(reply, response, credentials, offset_s):
                return reply
        raise AssertionError("unreachable")

    async def _mended(self, reply: Reply, response: Response, used: Credentials, offset_s: float) -> bool:
        """Whether the signature was refused for what is now different."""
        offset = clock_offset(reply.error_type, _text(response.headers, b"date"), offset_s)
        if offset is not None:
            self._signer.offset_s = offset
            return True
        renew = getattr(self._credentials, "renew", None)
        if renew is None or reply.error_type not in _EXPIRED:
            return False
        return await renew(used) is not used

    async def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _target(self, function: str) -> tuple[str, str, str]:
        name, qualifier = function, ""
        if function.startswith("arn:"):
            if function.count(":") == 7:
                name, _, qualifier = function.rpartition(":")
        elif ":" in function:
            name, _, qualifier = function.rpartition(":")
        path = f"{self._base}/2015-03-31/functions/{quote(name, safe='-_.~')}/invocations"
        query = encode_query([("Qualifier", qualifier)]) if qualifier else ""
        target = f"{self._pool.target_prefix}{path}"
        self._targets[function] = path, query, f"{target}?{query}" if query else target
        return self._targets[function]


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def seconds(text: str | None) -> float | None:
    """A header's number of seconds; None: it is none."""
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
        drop=response.connection.abort,
    )
    if response.status != 200:
        named = _text(headers, b"x-amzn-errortype")
        reply.error_type = named.partition(":")[0] if named else None
        reply.retry_after_s = seconds(_text(headers, b"retry-after"))
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
        from lbench.engine.backends.sdk_client import Aioboto3Client

        return Aioboto3Client(place, credentials)
    return FastClient(place, credentials)
