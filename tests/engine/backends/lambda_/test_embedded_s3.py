"""The embedded S3: there from the beginning, started only when somebody connects, gone when it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lbench.engine.backends.lambda_.embedded_s3 import EmbeddedS3
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.workloads.dataset import file_digest
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Object

KEYS = Credentials("lbench", "lbench")


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedS3]:
    server = EmbeddedS3("bucket-of-mine")
    server.open()
    yield server
    await server.close()


@pytest.fixture
async def store(server: EmbeddedS3) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(KEYS, region="us-east-1", endpoint=server.endpoint, bucket="bucket-of-mine", prefix="run")
    yield store
    store.close()


async def test_without_a_connection_no_process_is_started() -> None:
    server = EmbeddedS3("b")
    assert server.open().startswith("http://127.0.0.1:")
    await server.close()
    assert server.child is None


async def test_objects_come_back_and_can_all_be_deleted(server: EmbeddedS3, store: ObjectStore, tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096
    places = await asyncio.gather(*(store.put("result", body + bytes([n])) for n in range(5)))
    assert [await store.get(place) for place in places] == [body + bytes([n]) for n in range(5)]
    assert len({place.key for place in places}) == 5

    path = tmp_path / "data"
    path.write_bytes(body)
    place = await store.put_file("data", path, file_digest(path))
    assert await store.get(place) == body

    with pytest.raises(ObjectStoreError, match="SHA-256"):
        await store.get(Object(place.bucket, place.key, place.region, place.endpoint, "0" * 64))
    with pytest.raises(ObjectStoreError, match="404 NoSuchKey"):
        await store.get(Object(place.bucket, "run/nothing ü", place.region, place.endpoint))

    await store.create_bucket()  # it is there already: fine
    await store.clear()
    with pytest.raises(ObjectStoreError, match="404"):
        await store.get(place)
    await store.delete_bucket()
    child = server.child
    assert child is not None
    await server.close()
    assert child.returncode is not None


async def test_a_dead_server_is_one_line(server: EmbeddedS3, store: ObjectStore) -> None:
    await store.put("x", b"1")
    assert server.child is not None
    server.child.kill()
    await server.child.wait()
    with pytest.raises(ObjectStoreError, match=r"is the S3 endpoint .* up"):
        await store.put("x", b"2")
