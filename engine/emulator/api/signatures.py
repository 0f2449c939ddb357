"""Verification of Signature Version 4 on the server's side, with AWS's errors."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from lbench.engine.emulator.core.errors import Refusal
from lbench.workloads.sigv4 import Credentials, canonical_path, canonical_query

__all__ = ["Verifier"]

SKEW_S = 300  # AWS: Lambda allows 5 minutes either way
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<scope>[^,\s]+),?\s*"
    r"SignedHeaders=(?P<names>[^,\s]+),?\s*Signature=(?P<signature>[0-9a-f]+)"
)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


class Verifier:
    """Checks requests to one service in one region against one set of credentials."""

    def __init__(self, credentials: Credentials, region: str | None, service: str = "lambda") -> None:
        """`region` None: any."""
        self._credentials = credentials
        self._region = region
        self._service = service
        self._scope: list[str] = []  # the last one, and its signing key
        self._key = b""
        self._stamp = ""  # the last one, and its time
        self._sent_s = 0

    def check(
        self,
        method: str,
        target: str,
        headers: Mapping[bytes, bytes],
        body: bytes | bytearray | str | None,
        at: float | None = None,
    ) -> None:
        """Accept or refuse a request.

        Args:
            method: in capitals.
            target: path and query as they were sent.
            headers: names in lower case.
            body: as it was sent; its SHA-256 in hex, or the text that S3 allows in its place; None: it was not
                received, so that everything but the signature itself is checked.
            at: seconds since the epoch; None: now.

        Raises:
            Refusal: with AWS's error name, status 403.
        """
        given = headers.get(b"authorization", b"").decode("latin-1")
        if not given:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        found = _AUTHORIZATION.fullmatch(given.strip())
        if found is None:
            raise Refusal("IncompleteSignatureException", f"Authorization header is not complete or not known: {given}")
        stamp = headers.get(b"x-amz-date", b"").decode("latin-1")
        scope = found["scope"].split("/")
        if len(scope) != 4 or scope[3] != "aws4_request" or not stamp.startswith(scope[0]):
            raise Refusal(
                "InvalidSignatureException", f"Credential should be scoped to a valid date, not '{scope[0]}'."
            )
        if not hmac.compare_digest(found["key"].encode(), self._credentials.access_key.encode()):
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        if self._region not in (None, scope[1]):
            raise Refusal(
                "InvalidSignatureException", f"Credential should be scoped to a valid region, not '{scope[1]}'. "
            )
        if scope[2] != self._service:
            raise Refusal(
                "InvalidSignatureException", f"Credential should be scoped to correct service: '{self._service}'. "
            )
        self._check_clock(stamp, time.time() if at is None else at)
        names = found["names"].split(";")
        if "host" not in names:
            raise Refusal("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
        if body is not None and not hmac.compare_digest(
            self._signature(method, target, headers, names, stamp, scope, body), found["signature"]
        ):
            raise Refusal("InvalidSignatureException", _MISMATCH)

    def _check_clock(self, stamp: str, now: float) -> None:
        try:
            if stamp != self._stamp:
                self._sent_s, self._stamp = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")), stamp
        except ValueError:
            raise Refusal(
                "IncompleteSignatureException",
                f"Date must be in ISO-8601 'basic format'. Got '{stamp}'. See http://en.wikipedia.org/wiki/ISO_8601",
            ) from None
        sent = self._sent_s
        if sent < now - SKEW_S:
            text = f"Signature expired: {stamp} is now earlier than {_basic(now - SKEW_S)} ({_basic(now)} - 5 min.)"
            raise Refusal("InvalidSignatureException", text)
        if sent > now + SKEW_S:
            most = f"{_basic(now + SKEW_S)} ({_basic(now)} + 5 min.)"
            text = f"Signature not yet current: {stamp} is still later than {most}"
            raise Refusal("InvalidSignatureException", text)

    def _signature(
        self,
        method: str,
        target: str,
        headers: Mapping[bytes, bytes],
        names: list[str],
        stamp: str,
        scope: list[str],
        body: bytes | bytearray | str,
    ) -> str:
        path, _, query = target.partition("?")
        values = [(name, headers.get(name.encode("latin-1"), b"").decode("utf-8", "replace")) for name in names]
        lines = "\n".join(f"{name}:{' '.join(value.split())}" for name, value in values)
        payload = body if isinstance(body, str) else hashlib.sha256(body).hexdigest()
        request = (
            f"{method}\n{canonical_path(path, self._service)}\n{canonical_query(query)}\n"
            f"{lines}\n\n{';'.join(names)}\n{payload}"
        )
        hashed = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{hashed}"
        if scope != self._scope:
            key = f"AWS4{self._credentials.secret_key}".encode()
            for part in scope:
                key = hmac.digest(key, part.encode(), "sha256")
            self._scope, self._key = scope, key
        return hmac.digest(self._key, to_sign.encode(), "sha256").hex()


def _basic(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
