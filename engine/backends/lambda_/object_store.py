"""The driver's side of S3: it holds a job's data, large arguments and large results while a backend is open.

It uses the handler's client in a few threads: digests and copies of large objects stay off the event loop, and no SDK is
loaded (aioboto3: 0.65 s of CPU before the first request, and over 1 ms for each).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lbench.workloads.objects import Place
from lbench.workloads.s3 import ObjectStoreError, S3Client
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Object

__all__ = ["ObjectStore"]

T = TypeVar("T")

_TOGETHER_S = 5.0
_THREADS = 8  # more slow each other down (measured); a connection to S3 gives some 85 MB/s


class ObjectStore:
    """One bucket; all objects of this backend lie under one prefix."""

    def __init__(
        self,
        credentials: Credentials | Callable[[], Credentials],
        *,
        region: str,
        endpoint: str | None,
        bucket: str,
        prefix: str,
        proxy: str | None = None,
        ca_file: str | None = None,
        owner: str | None = None,
    ) -> None:
        """`owner`: the account that the bucket must belong to; None: any."""
        self._credentials = credentials
        self._owner = owner
        self._proxy = proxy
        self._ca_file = ca_file
        self._region = region
        self._endpoint = endpoint
        self._bucket = bucket
        self._prefix = prefix
        self._numbers = itertools.count()
        self._closed = threading.Event()
        self._executor: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._clients: list[S3Client] = []

    def place(self, kind: str, folder: str = "") -> Object:
        """The place of a new object under the prefix, in the named folder if there is one."""
        return self.at(f"{self._prefix}/{folder and folder + '/'}{next(self._numbers)}.{kind}")

    def at(self, key: str) -> Object:
        return Object(self._bucket, key, self._region, self._endpoint)

    async def keys(self, folder: str, made: dict[str, int] | None = None) -> list[str]:
        """The keys in a folder under the prefix, at most 1,000. It costs as much as a PUT.

        `made`, here and below: counts the requests that this took, failed ones too.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        return await self._run(lambda client: client.keys(self._bucket, f"{self._prefix}/{folder}/"), made)

    async def all_keys(self) -> list[str]:
        """The keys under the prefix, at most 1,000.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        return await self._run(lambda client: client.keys(self._bucket, f"{self._prefix}/"))

    async def warm(self) -> None:
        """Make each kind of request, and a connection in each thread: what is slow the first time is slow now.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        together = threading.Barrier(_THREADS)
        place = await self.put("warm", b"-")

        def get(client: S3Client) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(_TOGETHER_S)  # each in a thread of its own
            client.get(place)

        await asyncio.gather(*(self._run(get) for _ in range(_THREADS)))
        await self.keys("warm")
        await self.delete(place.key)

    async def delete(self, key: str) -> None:
        """Delete an object; a missing one is fine.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        await self._run(lambda client: client.delete(self._bucket, key))

    async def create_bucket(self) -> None:
        """Make the bucket.

        Raises:
            ObjectStoreError: it cannot be made.
        """
        await self._run(lambda client: client.create_bucket(self._bucket))

    async def delete_bucket(self) -> None:
        """Delete the bucket, which must be empty."""
        await self._run(lambda client: client.delete(self._bucket))

    async def put(self, kind: str, body: bytes, made: dict[str, int] | None = None) -> Object:
        """Store bytes.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        place = self.place(kind)
        return await self._run(lambda client: client.put(place, body), made)

    async def put_file(self, kind: str, path: Path, digest: str, made: dict[str, int] | None = None) -> Object:
        """Store a file whose SHA-256 is known.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        place = self.place(kind)
        return await self._run(lambda client: client.put_file(place, path, digest), made)

    async def get(self, place: Object, made: dict[str, int] | None = None) -> bytes | memoryview:
        """An object's bytes, checked.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        return await self._run(lambda client: client.get(place), made)

    def temporary(self, name: str) -> Place:
        """A new place under the prefix, for tasks that exchange objects."""
        key = f"{self._prefix}/{next(self._numbers)}.{name}"
        return Place(prefix=Object(self._bucket, key, self._region, self._endpoint))

    async def clear(self, place: Place | None = None, made: dict[str, int] | None = None) -> None:
        """Delete everything under the prefix, also the objects of abandoned calls; or only at one temporary place.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        prefix = self._prefix if place is None or place.prefix is None else place.prefix.key
        await self._run(lambda client: client.delete_under(self._bucket, f"{prefix}/"), made)

    def close(self) -> None:
        """Stop; a request in a thread ends at its next step, a pending retry at once."""
        self._closed.set()
        for client in self._clients:
            client.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[S3Client], T], made: dict[str, int] | None = None) -> T:
        if self._closed.is_set():
            raise ObjectStoreError("S3: the store was closed")
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

        def here() -> T:
            client: S3Client | None = getattr(self._local, "client", None)
            if client is None:
                client = S3Client(
                    self._credentials,
                    region=self._region,
                    endpoint=self._endpoint,
                    proxy=self._proxy,
                    ca_file=self._ca_file,
                    owner=self._owner,
                    sleep=self._closed.wait,
                )
                self._local.client = client
                self._clients.append(client)
            before = client.requests.copy()
            try:
                return work(client)
            except OSError as error:
                raise ObjectStoreError(f"S3: {error}") from error
            finally:
                if made is not None:
                    for name, count in client.requests.items():
                        if count > before[name]:
                            made[name] = made.get(name, 0) + count - before[name]

        return await asyncio.get_running_loop().run_in_executor(self._executor, here)
