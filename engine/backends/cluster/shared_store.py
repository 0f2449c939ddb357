"""Where the tasks of a run on a cluster keep objects for each other (`store=`): a shared folder, or a bucket of S3."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from pathlib import Path
from typing import Protocol

from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.engine.backends.aws_client.endpoints import named_s3_endpoint, resolve
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.settings import S3Prefix, parse_store
from lbench.errors import BackendError, InputError
from lbench.workloads.objects import Place
from lbench.workloads.s3 import ObjectStoreError

__all__ = ["SharedBucket", "SharedFolder", "SharedStore", "check_store", "shared_store"]

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


class SharedFolder:
    """A folder that all workers have under the same path."""

    s3 = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> None:
        """Nothing is to be opened."""

    async def close(self) -> None:
        """Nothing is left: each place is deleted with its run."""

    def temporary(self, run: str) -> Place:
        """See `SharedStore`."""
        folder = self._folder / f"lbench-{run}-{secrets.token_hex(8)}"
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise BackendError(f"cannot make a folder in store={self._folder}: {error.strerror}") from None
        return Place(folder=str(folder))

    async def clear(self, place: Place, made: dict[str, int]) -> None:
        """See `SharedStore`."""
        assert place.folder is not None
        try:
            await asyncio.to_thread(shutil.rmtree, place.folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise BackendError(f"cannot remove {place.folder}: {error.strerror}") from None


class SharedBucket:
    """A prefix of a bucket. Driver and workers each find credentials by AWS's usual chain: none travel."""

    def __init__(self, where: S3Prefix) -> None:
        self._bucket = where.bucket
        self._prefix = "/".join(filter(None, (where.prefix, f"lbench-{secrets.token_hex(8)}")))
        self._credentials = ChainCredentials()
        self._store: ObjectStore | None = None
        self._region = ""

    @property
    def s3(self) -> dict[str, str] | None:
        """See `SharedStore`: the prefix makes a worker look for credentials anew with each backend."""
        return {"region": self._region, "prefix": self._prefix}

    async def open(self) -> None:
        """See `SharedStore`."""
        await self._credentials.__aenter__()
        place = await asyncio.to_thread(resolve, "s3")
        self._region = place.region
        self._store = ObjectStore(
            self._credentials,
            region=place.region,
            endpoint=named_s3_endpoint(place),
            bucket=self._bucket,
            prefix=self._prefix,
            proxy=place.proxy,
            ca_file=place.ca_file,
        )

    async def check(self) -> None:
        """Write an object and delete it.

        Raises:
            ObjectStoreError: that is not possible.
        """
        assert self._store is not None
        await self._store.delete((await self._store.put("check", b"-")).key)

    async def close(self, *, used: bool = True) -> None:
        """See `SharedStore`: abandoned calls may have written after their run was cleared."""
        store, self._store = self._store, None
        try:
            if store is not None and used:
                async with asyncio.timeout(_CLOSE_S):
                    await store.clear()
        except (ObjectStoreError, TimeoutError) as error:
            logging.getLogger(__name__).warning(
                "temporary objects may stay in s3://%s/%s: %s", self._bucket, self._prefix, error
            )
        finally:
            if store is not None:
                store.close()
            await self._credentials.__aexit__(None, None, None)

    def temporary(self, run: str) -> Place:
        """See `SharedStore`."""
        assert self._store is not None
        return self._store.temporary(run)

    async def clear(self, place: Place, made: dict[str, int]) -> None:
        """See `SharedStore`."""
        assert self._store is not None
        await self._store.clear(place, made)


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
    where = parse_store(text)
    if isinstance(where, Path):
        if not where.is_dir():
            raise InputError(f"{label}: store={text}: there is no such folder")
        return
    store = SharedBucket(where)
    try:
        await store.open()
        await store.check()
    except (ObjectStoreError, InputError) as error:
        raise InputError(f"{label}: store={text} cannot be used: {error}") from None
    finally:
        await store.close(used=False)
