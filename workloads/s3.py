"""Objects in S3 over the standard library's HTTP client: what the handler needs, and the driver uses too.

boto3 would cost each cold start 300 to 400 ms. Here: get, put, list, create, delete; streams, checks digests, tries again
after a 5xx or a broken connection. A client is for one thread at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from lbench.errors import BackendError
from lbench.workloads.s3_connection import Connector
from lbench.workloads.sigv4 import EMPTY_SHA256, Credentials, Signer, encode_path, encode_query
from lbench.workloads.wire import Object

__all__ = ["ObjectStoreError", "S3Client", "credentials_from_environment"]

_CHUNK = 1 << 18
_READ = 1 << 20  # at a time, where it is known how much comes: fewer turns for the interpreter's lock
_LARGE = 1 << 20
_PAGE = 1000  # keys in a listing, and objects deleted by a request, at most
_RETRIED = frozenset((408, 429, 500, 502, 503, 504))


class ObjectStoreError(BackendError):
    """S3 refused, or could not be reached. The driver tells it from a task's own error by this class's name."""


def credentials_from_environment() -> Credentials:
    """Those of the function's role, which Lambda puts into the environment.

    Raises:
        ObjectStoreError: there are none.
    """
    try:
        return Credentials(
            os.environ["AWS_ACCESS_KEY_ID"],
            os.environ["AWS_SECRET_ACCESS_KEY"],
            os.environ.get("AWS_SESSION_TOKEN") or None,
        )
    except KeyError as error:
        raise ObjectStoreError(f"no credentials for S3: {error} is not set in the environment") from None


class S3Client:
    """One endpoint of S3: its connection, its signer, and a count of the requests made that cost something."""

    def __init__(
        self,
        credentials: Credentials | Callable[[], Credentials],
        *,
        region: str = "us-east-1",
        endpoint: str | None = None,
        proxy: str | None = None,
        ca_file: str | None = None,
        owner: str | None = None,
        timeout_s: float = 60.0,
        attempts: int = 5,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Nothing is opened yet.

        Args:
            credentials: fixed ones, or a function that gives the present ones and is asked at each request.
            region: the signature's.
            endpoint: None: AWS's own.
            proxy: a URL, maybe with user and password; None: none (the environment's is not looked at).
            ca_file: a file or folder of certificate authorities; None: the system's.
            owner: the account that the bucket must belong to; None: any. The name of a deleted bucket is free for anybody.
            timeout_s: of each step of a request (connecting, sending, a read), not of the whole.
            attempts: how often a request is tried.
            sleep: waits between them.

        Raises:
            ObjectStoreError: the proxy cannot be used.
        """
        self.requests = {"get": 0, "put": 0}
        self.stored_bytes = 0
        self._region = region
        self._endpoint = endpoint
        try:
            self._connector = Connector(timeout_s=timeout_s, proxy=proxy, ca_file=ca_file)
        except ValueError as error:
            raise ObjectStoreError(f"S3 cannot be reached: {error}") from None
        self._credentials = credentials if callable(credentials) else lambda: credentials
        self._signer = Signer(self._credentials(), region, "s3")
        self._expected = {} if owner is None else {"x-amz-expected-bucket-owner": owner}
        self._attempts = attempts
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None
        self._server = ("", "")  # scheme and host of the open connection
        self.closed = False

    def close(self) -> None:
        """Drop the connection; what another thread is doing with it ends with an error and is not tried again."""
        self.closed = True
        self._disconnect()

    def get(self, place: Object) -> bytes | memoryview:
        """An object's bytes, checked against its CRC-32 where that is known, else its digest.

        Raises:
            ObjectStoreError: it is not there, is not what was stored, or S3 cannot be reached.
        """
        got: bytes | memoryview = b""

        def receive(response: http.client.HTTPResponse) -> None:
            nonlocal got
            if response.length is None:  # the server does not tell how much comes
                got = b"".join(_chunks(response))
                _check(place, hashlib.sha256(got).hexdigest())
            else:
                got = _whole(response, response.length, place)

        self._request("GET", place, receive=receive)
        return got

    def get_range(self, place: Object, first: int, end: int) -> bytes:
        """The bytes [first, end) of an object; fewer where it ends before. No digest is known of a part.

        Raises:
            ObjectStoreError: it is not there, or S3 cannot be reached.
        """
        if end <= first:
            return b""
        got = b""

        def receive(response: http.client.HTTPResponse) -> None:
            nonlocal got
            body = b"".join(_chunks(response))
            # By the header, not by 206: rclone answers 200. A server that knows no ranges sends the whole.
            got = body if response.getheader("content-range") else body[first:end]

        self._request("GET", place, receive=receive, headers={"range": f"bytes={first}-{end - 1}"})
        return got

    def get_to_file(self, place: Object, path: Path) -> None:
        """The same, streamed to a file that appears under its name only when it is whole.

        Raises:
            ObjectStoreError: as `get`.
            OSError: the file cannot be written.
        """
        part = path.with_name(f"{path.name}.{os.getpid()}.part")

        def receive(response: http.client.HTTPResponse) -> None:
            digest = hashlib.sha256()
            with part.open("wb") as file:
                for chunk in _chunks(response):
                    file.write(chunk)
                    digest.update(chunk)
            _check(place, digest.hexdigest())
            part.replace(path)

        try:
            self._request("GET", place, receive=receive)
        finally:
            part.unlink(missing_ok=True)

    def put(self, place: Object, body: bytes | memoryview) -> Object:
        """Store bytes; returns the place with digest and size.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        digest = hashlib.sha256(body).hexdigest()
        self._request("PUT", place, body=body, digest=digest, length=len(body))
        self.stored_bytes += len(body)
        return Object(place.bucket, place.key, place.region, place.endpoint, digest, len(body), zlib.crc32(body))

    def put_file(self, place: Object, path: Path, digest: str) -> Object:
        """Store a file whose SHA-256 is known already; it is streamed.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
            OSError: the file cannot be read.
        """
        size = path.stat().st_size
        with path.open("rb") as file:
            self._request("PUT", place, body=file, digest=digest, length=size)
        self.stored_bytes += size
        return Object(place.bucket, place.key, place.region, place.endpoint, digest, size)

    def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that is ours already is fine.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        body = b""
        if self._region != "us-east-1":
            space = "http://s3.amazonaws.com/doc/2006-03-01/"
            body = (
                f'<CreateBucketConfiguration xmlns="{space}"><LocationConstraint>{self._region}'
                "</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        digest = hashlib.sha256(body).hexdigest()
        place = Object(bucket, "", self._region, self._endpoint)
        try:
            self._request("PUT", place, body=body, digest=digest, length=len(body))
        except ObjectStoreError as error:
            if "BucketAlreadyOwnedByYou" not in str(error):
                raise

    def delete(self, bucket: str, key: str = "") -> None:
        """Delete an object, or with no key the empty bucket; what is not there is fine.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        place = Object(bucket, key, self._region, self._endpoint)
        self._request("DELETE", place, missing_ok=True)

    def keys(self, bucket: str, prefix: str, after: str = "") -> list[str]:
        """The keys under a prefix that come after a key, in order, at most 1,000. It costs what a PUT does.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        from xml.etree import ElementTree  # the handler has no use for it

        found: list[str] = []

        def receive(response: http.client.HTTPResponse) -> None:
            tree = ElementTree.fromstring(b"".join(_chunks(response)))
            found[:] = [node.text or "" for node in tree.iter() if node.tag.rpartition("}")[2] == "Key"]

        place = Object(bucket, "", self._region, self._endpoint)
        asked = [("list-type", "2"), ("prefix", prefix), *([("start-after", after)] if after else [])]
        self._request("GET", place, query=encode_query(asked), receive=receive, counted="put")
        return found

    def delete_under(self, bucket: str, prefix: str) -> None:
        """Delete all objects under a prefix, 1,000 with a request.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached, or an object stays.
        """
        from xml.sax.saxutils import escape

        place = Object(bucket, "", self._region, self._endpoint)
        before: list[str] = []
        while keys := self.keys(bucket, prefix):
            if keys == before:
                raise ObjectStoreError(f"S3 DELETE {bucket}/{prefix}: what was deleted is still there")
            before = keys
            objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
            body = f"<Delete>{objects}<Quiet>true</Quiet></Delete>".encode()
            answers: list[bytes] = []

            def receive(response: http.client.HTTPResponse, answers: list[bytes] = answers) -> None:
                answers[:] = _chunks(response)

            self._request(
                "POST",
                place,
                query=encode_query([("delete", "")]),
                body=body,
                digest=hashlib.sha256(body).hexdigest(),
                length=len(body),
                receive=receive,
                # S3 insists on a checksum here, and every server that speaks S3 knows this one.
                headers={"content-md5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()},
            )
            if code := _between(b"".join(answers).decode("utf-8", "replace"), "Code"):
                raise ObjectStoreError(f"S3 DELETE {bucket}/{prefix} failed: {code}")
            if len(keys) < _PAGE:
                return

    def _request(
        self,
        method: str,
        place: Object,
        *,
        query: str = "",
        body: bytes | memoryview | BinaryIO | None = None,
        digest: str = EMPTY_SHA256,
        length: int | None = None,
        receive: Callable[[http.client.HTTPResponse], None] | None = None,
        missing_ok: bool = False,
        headers: Mapping[str, str] | None = None,
        counted: str = "",
    ) -> None:
        scheme, host, path = _address(place)
        target = f"{path}?{query}" if query else path
        what = f"S3 {method} {place.bucket}/{place.key}"
        problem = ""
        for attempt in range(self._attempts):
            if self.closed:
                raise ObjectStoreError(f"{what}: the client was closed")
            if attempt:
                self._sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2**attempt))
                if body is not None and not isinstance(body, bytes | memoryview):
                    body.seek(0)
            sent = {"host": host, **self._expected, **(headers or {})}
            if length is not None:
                sent["content-length"] = str(length)
            credentials = self._credentials()
            if credentials is not self._signer.credentials:
                self._signer = Signer(credentials, self._region, "s3", offset_s=self._signer.offset_s)
            signed = self._signer.sign(method, path, query, sent, digest)
            if (kind := counted or method.lower()) in self.requests:
                self.requests[kind] += 1
            try:
                connection = self._connect(scheme, host)
                line, hop = self._connector.request_line(scheme, host, target)
                connection.request(method, line, body=body, headers=signed | hop)
                response = connection.getresponse()
                if response.status < 300:
                    (receive or _drain)(response)
                    return
                text = response.read(4096).decode("utf-8", "replace")
                _drain(response)
            except (OSError, http.client.HTTPException, _Torn) as error:
                self._disconnect()  # whether it was served is not known: it counts
                problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                continue
            if response.status >= 500 and kind in self.requests:
                self.requests[kind] -= 1  # free (AWS, "Billing for Amazon S3 error responses")
            if missing_ok and response.status == 404:
                return
            code = _between(text, "Code")
            problem = f"{response.status} {code} {_between(text, 'Message')}".strip()
            if response.status == 403 and self._clock_corrected(code, response.getheader("date")):
                continue
            if response.status not in _RETRIED:
                raise ObjectStoreError(f"{what} failed: {problem}{_remedy(response.status)}")
        raise ObjectStoreError(f"{what} failed {self._attempts} times: {problem}: is the S3 endpoint {host} up?")

    def _clock_corrected(self, code: str, date: str | None) -> bool:
        from lbench.workloads.clock_skew import clock_offset  # AWS keeps its own clocks: the handler never needs it

        offset_s = clock_offset(code, date, self._signer.offset_s)
        if offset_s is None:
            return False
        self._signer.offset_s = offset_s
        return True

    def _connect(self, scheme: str, host: str) -> http.client.HTTPConnection:
        if self._connection is None or self._server != (scheme, host):
            self._disconnect()
            self._connection = self._connector.open(scheme, host)
            self._server = (scheme, host)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


class _Torn(Exception):
    """The bytes that came are not those that were stored."""


def _address(place: Object) -> tuple[str, str, str]:
    """Scheme, host and path: path style at a named endpoint, a virtual host at AWS's."""
    if place.endpoint is None:
        return "https", f"{place.bucket}.s3.{place.region}.amazonaws.com", encode_path(f"/{place.key}")
    url = urlsplit(place.endpoint)
    base = url.path.rstrip("/")
    tail = f"/{place.key}" if place.key else ""
    return url.scheme, url.netloc.rpartition("@")[2], encode_path(f"{base}/{place.bucket}{tail}")


def _chunks(response: http.client.HTTPResponse) -> Any:
    while chunk := response.read(_CHUNK):
        yield chunk
    if response.length:  # http.client tells a body cut short only where no size was asked for
        raise _Torn(f"{response.length} bytes are missing")


def _room(length: int) -> memoryview:
    """Memory for a body. A large one's pages are all asked for at once: one by one they cost as much as the copying."""
    if length >= _LARGE:
        import mmap

        if hasattr(mmap, "MAP_POPULATE"):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
            with contextlib.suppress(OSError):  # no memory for it: what follows may say so better
                return memoryview(mmap.mmap(-1, length, flags=flags))
    return memoryview(bytearray(length))


def _whole(response: http.client.HTTPResponse, length: int, place: Object) -> memoryview:
    """A body of known length, copied once; each piece is checked while it is still in the processor's cache."""
    body = _room(length)
    digest, crc = hashlib.sha256(), 0
    by_crc = place.crc32 is not None
    at = 0
    while at < length:
        count = response.readinto(body[at : at + _READ])
        if not count:
            raise _Torn(f"{length - at} bytes are missing")
        if by_crc:
            crc = zlib.crc32(body[at : at + count], crc)
        else:
            digest.update(body[at : at + count])
        at += count
    if not by_crc:
        _check(place, digest.hexdigest())
    elif crc != place.crc32:
        raise _Torn("its CRC-32 is not the one announced")
    return body


def _drain(response: http.client.HTTPResponse) -> None:
    while response.read(_CHUNK):
        pass


def _check(place: Object, digest: str) -> None:
    if place.sha256 is not None and place.sha256 != digest:
        raise _Torn("its SHA-256 is not the one announced")


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def _remedy(status: int) -> str:
    return {
        301: ": the bucket is in another region: name it with --region or AWS_REGION",
        403: ": the credentials may not do this at that endpoint",
        404: ": was it deleted, or is --s3-endpoint another server?",
    }.get(status, "")
