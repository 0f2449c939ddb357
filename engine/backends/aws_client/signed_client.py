"""Sends POST requests to one AWS endpoint, signed with a cached key: what Invoke and the HTTP API's front share.

`credentials` is called at every request, so that renewed ones are used at once. A refusal of the signature alone (this
machine's clock is off, or the credentials expired and newer ones exist) is corrected, and the request is sent again: a
request with a refused signature ran nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from lbench.config.aws_errors import without_secrets
from lbench.engine.backends.aws_client.connection import ConnectionLost, Response
from lbench.engine.backends.aws_client.dialer import Dialer
from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.http_pool import HttpPool, request_head
from lbench.errors import BackendError
from lbench.workloads.clock_skew import clock_offset
from lbench.workloads.sigv4 import Credentials, Signer

__all__ = ["SignedClient", "error_type_of", "text_of"]

_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"))


class SignedClient:
    """A client of one service at one endpoint."""

    def __init__(
        self, place: Resolved, credentials: Callable[[], Credentials], *, service: str, what: str = "endpoint"
    ) -> None:
        """Nothing is opened yet. `what` names the endpoint in messages.

        Raises:
            BackendError: the endpoint, the proxy or the CA bundle cannot be used.
        """
        self._what = f"{what} {without_secrets(place.endpoint)}"
        try:
            self.pool = HttpPool(Dialer(place.endpoint, proxy=place.proxy, ca_file=place.ca_file))
        except (ValueError, OSError) as error:
            raise BackendError(f"the {self._what} cannot be used: {without_secrets(str(error))}") from None
        self.base = quote(urlsplit(place.endpoint).path.rstrip("/"), safe="/~%")  # what all paths begin with
        self._region = place.region
        self._service = service
        self._credentials = credentials
        self.signer = Signer(credentials(), place.region, service)

    async def open(self, connections: int) -> None:
        """Open this many connections.

        Raises:
            BackendError: the endpoint cannot be reached.
        """
        try:
            await self.pool.open(connections)
        except ConnectionLost as error:
            raise BackendError(f"the {self._what} cannot be reached: {error}") from None

    async def post(
        self, path: str, query: str, target: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response:
        """Send one request; `path` and `query` as they are signed, `target` as in the request line.

        Raises:
            ConnectionLost: no complete response came.
        """
        digest = hashlib.sha256(body).hexdigest()
        for last in (False, False, True):  # at most once for the clock and once for the credentials
            credentials = self._credentials()
            if credentials is not self.signer.credentials:
                self.signer = Signer(credentials, self._region, self._service, offset_s=self.signer.offset_s)
            signer, offset_s = self.signer, self.signer.offset_s
            signed = signer.sign("POST", path, query, headers, digest)
            signed["content-length"] = str(len(body))
            head = request_head("POST", target, signed.items(), self.pool.hop_headers)
            response = await self.pool.request(head, body, timeout_s)
            if response.status not in (400, 403) or last or not await self._corrected(response, credentials, offset_s):
                return response
        raise AssertionError("unreachable")

    async def _corrected(self, response: Response, used: Credentials, offset_s: float) -> bool:
        """Correct the signature's clock or credentials after a refusal; returns whether anything changed."""
        error_type = error_type_of(response)
        offset = clock_offset(error_type, text_of(response.headers, b"date"), offset_s)
        if offset is not None:
            self.signer.offset_s = offset
            return True
        renew = getattr(self._credentials, "renew", None)
        if renew is None or error_type not in _EXPIRED:
            return False
        return await renew(used) is not used

    async def close(self) -> None:
        self.pool.close()


def text_of(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """A header as text; None: it is absent."""
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def error_type_of(response: Response) -> str | None:
    """AWS's name for the error."""
    named = text_of(response.headers, b"x-amzn-errortype")
    return named.partition(":")[0] if named else None
