"""The object store of a run, where its tasks keep objects for each other: a folder here or a prefix in S3, one interface.

A job writes `RUN_STORE` in a task's arguments; what arrives there is the run's own `Place` (as a dict), which `open_store`
opens. The engine makes the place when it is first asked for, and deletes all that is in it when the run has ended,
however it ended. Keys are the job's own: with the same bytes under the same key each time, a task that runs twice (a
retry, a duplicate) does no harm.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, unquote

import msgspec

from lbench.errors import BackendError
from lbench.workloads.wire import Object

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from lbench.workloads.s3 import S3Client

__all__ = [
    "RUN_STORE",
    "FolderStore",
    "Place",
    "RunStore",
    "S3Store",
    "Store",
    "StoreError",
    "connect_by",
    "each",
    "open_store",
    "requests",
]


class RunStore:
    """The type of `RUN_STORE`."""

    def __repr__(self) -> str:
        return "RUN_STORE"


RUN_STORE = RunStore()  # as an argument of a task: the place of the run's store


class StoreError(BackendError):
    """An object that is not there or not what was stored, or a folder that cannot be used."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a run's objects lie. Exactly one of the two is set."""

    folder: str | None = None
    prefix: Object | None = None  # its key is what all keys begin with


class Store(Protocol):
    """Objects by key. A key is a text of up to 200 bytes of UTF-8; an object appears whole or not at all."""

    def here(self) -> Store:
        """This store for the calling thread."""
        ...

    @property
    def lanes(self) -> int:
        """How many requests at once are worth it."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Store bytes; what had that key is replaced.

        Raises:
            BackendError: it cannot be stored.
        """
        ...

    def get(self, key: str, sha256: str | None = None) -> bytes:
        """An object's bytes, checked against their SHA-256 (hex) where it is given.

        Raises:
            BackendError: it is not there, cannot be read, or differs.
        """
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin so, in order.

        Raises:
            BackendError: it cannot be looked at.
        """
        ...

    def delete_all(self) -> None:
        """Delete every object.

        Raises:
            BackendError: something is left.
        """
        ...


class FolderStore:
    """A file an object, in a folder that is there already: once it was deleted, nothing can be stored any more."""

    lanes = 1  # a file is there at once

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def here(self) -> FolderStore:
        return self

    def _path(self, key: str) -> Path:
        if not key:
            raise StoreError("an object needs a key")
        return self._folder / ("o" + quote(key, safe=""))

    def put(self, key: str, body: bytes) -> None:
        path = self._path(key)
        part = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")
        try:
            with part.open("wb") as file:
                file.write(body)
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise StoreError(f"object {key} cannot be stored in {self._folder}: {error.strerror or error}") from None

    def get(self, key: str, sha256: str | None = None) -> bytes:
        try:
            body = self._path(key).read_bytes()
        except OSError as error:
            raise StoreError(f"object {key} cannot be read in {self._folder}: {error.strerror or error}") from None
        if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
            raise StoreError(f"object {key} in {self._folder} is not what was stored: its SHA-256 differs")
        return body

    def keys(self, prefix: str = "") -> list[str]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self._folder} cannot be looked at: {error.strerror or error}") from None
        found = [unquote(name[1:]) for name in names if name.startswith("o")]
        return sorted(key for key in found if key.startswith(prefix))

    def delete_all(self) -> None:
        """See `Store`. The folder goes too."""
        trouble: OSError | None = None
        for _ in range(5):  # a worker that is being killed may still write its last
            try:
                shutil.rmtree(self._folder)
            except FileNotFoundError:
                return
            except OSError as error:
                trouble = error
        if trouble is not None:
            raise StoreError(f"{self._folder} cannot be deleted: {trouble.strerror or trouble}")


class S3Store:
    """Objects under a prefix of a bucket."""

    lanes = 8  # a request is 10 to 30 ms of waiting

    def __init__(self, client: S3Client, place: Object) -> None:
        self._client = client
        self._place = place

    def here(self) -> S3Store:
        """See `Store`: a connection is one thread's."""
        return S3Store(_client(self._place), self._place)

    def _at(self, key: str, sha256: str | None = None) -> Object:
        place = self._place
        return Object(place.bucket, f"{place.key}/{key}", place.region, place.endpoint, sha256)

    def put(self, key: str, body: bytes) -> None:
        self._client.put(self._at(key), body)

    def get(self, key: str, sha256: str | None = None) -> bytes:
        """See `Store`. What comes torn is fetched again."""
        return bytes(self._client.get(self._at(key, sha256)))

    def keys(self, prefix: str = "") -> list[str]:
        start = f"{self._place.key}/"
        found: list[str] = []
        while page := self._client.keys(self._place.bucket, start + prefix, after=found[-1] if found else ""):
            found += page
            if len(page) < _PAGE:
                break
        return [key.removeprefix(start) for key in found]

    def delete_all(self) -> None:
        self._client.delete_under(self._place.bucket, f"{self._place.key}/")


_PAGE = 1000  # keys of a listing, at most
_here = threading.local()
_all_clients: list[S3Client] = []


def open_store(place: Place | dict[str, Any]) -> Store:
    """The store at a place, as a task's argument tells it. For S3 the credentials are the role's, or those of `connect_by`.

    Raises:
        BackendError: there are no credentials.
    """
    where = place if isinstance(place, Place) else msgspec.convert(place, Place)
    if where.prefix is None:
        return FolderStore(Path(where.folder or ""))
    return S3Store(_client(where.prefix), where.prefix)


T = TypeVar("T")
R = TypeVar("R")
_LEAST = 8  # requests for which another connection is worth its TLS handshake


def each(store: Store, work: Callable[[Store, T], R], items: Sequence[T]) -> list[R]:
    """What `work` gives for each item, in their order; in S3, where there are many, several at once.

    Raises:
        Whatever `work` raises first; what had begun has ended by then.
    """
    lanes = min(store.lanes, len(items) // _LEAST)
    if lanes <= 1:
        return [work(store, item) for item in items]

    def lane(number: int) -> list[R]:
        own = store.here()
        return [work(own, item) for item in items[number::lanes]]

    begun = [_pool().submit(lane, number) for number in range(lanes)]
    errors = [error for future in begun if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
    parts = [future.result() for future in begun]
    return [parts[at % lanes][at // lanes] for at in range(len(items))]


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Its threads stay, and with them their connections."""
    from concurrent.futures import ThreadPoolExecutor  # only where there are many objects

    return ThreadPoolExecutor(S3Store.lanes, thread_name_prefix="store")


def _with_the_role(place: Object) -> S3Client:
    """A client with the credentials that Lambda gives a function."""
    from lbench.workloads.s3 import S3Client, credentials_from_environment  # only where there is S3

    return S3Client(credentials_from_environment(), region=place.region, endpoint=place.endpoint)


_make_client: Callable[[Object], S3Client] = _with_the_role


def connect_by(make_client: Callable[[Object], S3Client]) -> None:
    """Make this process's clients of S3 by that function from now on: it knows other credentials than a role's."""
    global _make_client
    _make_client = make_client


def _client(place: Object) -> S3Client:
    """This thread's client for an endpoint, kept warm."""
    clients: dict[tuple[object, ...], S3Client] = _here.__dict__.setdefault("clients", {})
    where = (place.region, place.endpoint, _make_client)
    if where not in clients:
        clients[where] = _make_client(place)
        _all_clients.append(clients[where])
    return clients[where]


def requests() -> dict[str, int]:
    """Requests to S3 by all stores of this process since it began, and bytes stored: {"get": n, "put": n, "bytes": n}."""
    counts = {name: sum(client.requests[name] for client in _all_clients) for name in ("get", "put")}
    return counts | {"bytes": sum(client.stored_bytes for client in _all_clients)}
