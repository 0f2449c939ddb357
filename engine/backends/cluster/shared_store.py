"""The object store of a run on a cluster (`store=`): a folder that all workers share, or a bucket of S3."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import msgspec

from lbench.config.aws_errors import masked
from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.engine.backends.aws_client.endpoints import named_s3_endpoint, resolve
from lbench.engine.backends.cluster.store_log import StorePlace, StoreRecord
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.settings import S3Prefix, check_store_folder, parse_store
from lbench.errors import BackendError, InputError
from lbench.workloads.objects import Place
from lbench.workloads.s3 import ObjectStoreError

__all__ = [
    "SharedBucket",
    "SharedFolder",
    "SharedStore",
    "check_store",
    "delete_objects_left",
    "objects_left",
    "shared_store",
]

_CLOSE_S = 60.0


class SharedStore(Protocol):
    """A store that driver and workers reach. It is open from `open` to `close`."""

    @property
    def s3(self) -> dict[str, str] | None:
        """What a worker needs to know before it can use the store; None: nothing."""
        ...

    async def open(self) -> None:
        """Find credentials and endpoint.

        Raises:
            LbenchError: the store cannot be used.
        """
        ...

    async def close(self) -> None:
        """Delete what is left of this backend's objects."""
        ...

    def temporary(self, run: str) -> Place:
        """A new place in it.

        Raises:
            BackendError: it cannot be made.
        """
        ...

    async def clear(self, place: Place, made: dict[str, int]) -> None:
        """Delete a place with its objects; `made` counts the requests.

        Raises:
            BackendError: something is left.
        """
        ...


def _new_name() -> str:
    """The name of a place in a store: each backend has one of its own, which no other writes to."""
    return f"lbench-{secrets.token_hex(8)}"


class SharedFolder:
    """A folder that all workers have under the same path."""

    s3 = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Path | None = None  # made when it is first needed
        self._record: StoreRecord | None = None

    async def open(self) -> None:
        """Nothing is to be opened."""

    async def close(self) -> None:
        """See `SharedStore`: abandoned calls may have written after their run was cleared."""
        own, record = self._own, self._record
        self._own = self._record = None
        if own is None or record is None:
            return
        try:
            await asyncio.to_thread(shutil.rmtree, own)
        except OSError as error:
            _may_stay(str(own), error.strerror)
        record.close(cleared=not own.exists())

    def temporary(self, run: str) -> Place:
        try:
            if self._own is None:
                place = StorePlace(_new_name(), str(self._folder))
                self._record = StoreRecord(place)
                self._own = Path(place.path)
                self._own.mkdir(mode=0o700)
            folder = self._own / f"{run}-{secrets.token_hex(4)}"
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise BackendError(f"cannot make a folder in store={self._folder}: {error.strerror}") from None
        return Place(folder=str(folder))

    async def clear(self, place: Place, made: dict[str, int]) -> None:
        assert place.folder is not None
        try:
            await asyncio.to_thread(shutil.rmtree, place.folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise BackendError(f"cannot remove {place.folder}: {error.strerror}") from None


class SharedBucket:
    """A prefix of a bucket. Driver and workers each find credentials by AWS's usual chain: none travel."""

    def __init__(self, where: S3Prefix, left: StorePlace | None = None) -> None:
        """`left`: the place of a backend that has ended; by default it is a new one."""
        self._place = left or StorePlace(_new_name(), where.prefix, where.bucket)
        self._credentials = ChainCredentials()
        self._store: ObjectStore | None = None
        self._record: StoreRecord | None = None
        self._is_new = left is None

    @property
    def s3(self) -> dict[str, str] | None:
        """See `SharedStore`: the prefix makes a worker look for credentials again with each backend."""
        return {"region": self._place.region, "prefix": self._place.path}

    async def open(self) -> None:
        await self._credentials.__aenter__()
        found = await asyncio.to_thread(resolve, "s3", self._place.region or None)
        endpoint = named_s3_endpoint(found)
        named = None if endpoint is None else masked(endpoint)
        if self._is_new:
            self._place = msgspec.structs.replace(self._place, region=found.region, endpoint=named)
            self._record = StoreRecord(self._place)
        elif named != self._place.endpoint:
            there = "is not set" if self._place.endpoint is None else f"is {self._place.endpoint}"
            raise InputError(f"a killed run wrote to {self.name} where the S3 endpoint {there}: run it again there")
        assert self._place.bucket is not None
        self._store = ObjectStore(
            self._credentials,
            region=found.region,
            endpoint=endpoint,
            bucket=self._place.bucket,
            prefix=self._place.path,
            proxy=found.proxy,
            ca_file=found.ca_file,
        )

    @property
    def name(self) -> str:
        """Where its objects lie, as s3://bucket/prefix/."""
        return f"s3://{self._place.bucket}/{self._place.path}/"

    async def check(self) -> None:
        """Write an object and delete it.

        Raises:
            ObjectStoreError: that is not possible.
        """
        assert self._store is not None
        await self._store.delete((await self._store.put("check", b"-")).key)

    async def left(self) -> list[str]:
        """The keys of the objects that are there, at most 1,000.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        assert self._store is not None
        return await self._store.all_keys()

    async def delete_all(self) -> None:
        """Delete all objects.

        Raises:
            ObjectStoreError: S3 refused or cannot be reached.
        """
        assert self._store is not None
        await self._store.clear()

    async def close(self, *, used: bool = True) -> None:
        """See `SharedStore`: abandoned calls may have written after their run was cleared."""
        store, self._store = self._store, None
        record, self._record = self._record, None
        cleared = not used
        try:
            if store is not None and used:
                async with asyncio.timeout(_CLOSE_S):
                    await store.clear()
                cleared = True
        except (ObjectStoreError, TimeoutError) as error:
            _may_stay(self.name, error)
        finally:
            if record is not None:
                record.close(cleared=cleared)
            if store is not None:
                store.close()
            await self._credentials.__aexit__(None, None, None)

    def temporary(self, run: str) -> Place:
        assert self._store is not None
        return self._store.temporary(run)

    async def clear(self, place: Place, made: dict[str, int]) -> None:
        assert self._store is not None
        await self._store.clear(place, made)


def _may_stay(where: str, why: object) -> None:
    logging.getLogger(__name__).warning("temporary objects may stay in %s: %s: lbench gc removes them", where, why)


async def objects_left(place: StorePlace) -> list[str]:
    """The keys of the objects in a bucket that a backend has left, at most 1,000.

    Raises:
        LbenchError: they cannot be listed.
    """
    async with _opened(place) as store:
        return await store.left()


async def delete_objects_left(place: StorePlace) -> None:
    """Delete the objects in a bucket that a backend has left.

    Raises:
        LbenchError: some are still there.
    """
    async with _opened(place) as store:
        await store.delete_all()


@contextlib.asynccontextmanager
async def _opened(place: StorePlace) -> AsyncIterator[SharedBucket]:
    store = SharedBucket(S3Prefix(str(place.bucket), place.above), place)
    try:
        await store.open()
        yield store
    finally:
        await store.close(used=False)


def shared_store(text: str) -> SharedStore:
    """The store that `store=` names.

    Raises:
        InputError: it names none.
    """
    where = parse_store(text)
    return SharedBucket(where) if isinstance(where, S3Prefix) else SharedFolder(where)


async def check_store(text: str, label: str) -> None:
    """Check that the driver can use the store, before any run begins.

    Raises:
        InputError: it cannot; the message begins with the backend's label.
    """
    check_store_folder(text, label)
    where = parse_store(text)
    if isinstance(where, Path):
        return
    store = SharedBucket(where)
    try:
        await store.open()
        await store.check()
    except (ObjectStoreError, InputError) as error:
        raise InputError(f"{label}: store={text} cannot be used: {error}") from None
    finally:
        await store.close(used=False)
