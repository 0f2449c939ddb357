"""The embedded S3: there from the beginning, started only when somebody connects, gone when it is closed."""

from __future__ import annotations

import asyncio
import http.client
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lbench.engine.backends.lambda_.embedded_s3 import EmbeddedS3
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.workloads.dataset import file_digest
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.sigv4 import EMPTY_SHA256, Credentials, Signer
from lbench.workloads.wire import Object

KEYS = Credentials("its-key", "its-secret")


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedS3]:
    server = EmbeddedS3("bucket-of-mine", KEYS)
    server.open()
    yield server
    await server.close()


@pytest.fixture
async def store(server: EmbeddedS3) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(KEYS, region="us-east-1", endpoint=server.endpoint, bucket="bucket-of-mine", prefix="run")
    yield store
    store.close()


async def test_modules_in_the_working_folder_are_not_taken_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "lbench.py", "moto.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    server = EmbeddedS3("bucket-of-mine", KEYS)
    store = ObjectStore(KEYS, region="us-east-1", endpoint=server.open(), bucket="bucket-of-mine", prefix="run")
    assert await store.get(await store.put("result", b"x")) == b"x"
    store.close()
    await server.close()
    assert not (tmp_path / "imported").exists()


async def test_without_a_connection_no_process_is_started() -> None:
    server = EmbeddedS3("b", KEYS)
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


PAGE = {"Host": "evil.example.com", "Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}


async def test_a_stranger_is_refused_whatever_it_asks(server: EmbeddedS3, store: ObjectStore) -> None:
    place = await store.put("result", b"secret")
    url = urllib.parse.urlsplit(server.endpoint)
    signer = Signer(Credentials(KEYS.access_key, "guessed"), "us-east-1", "s3")

    def status(method: str, path: str, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(url.netloc)
        connection.request(method, path, None, headers)
        reply = connection.getresponse()
        connection.close()
        return reply.status

    paths = [
        "/",
        "/bucket-of-mine",
        f"/bucket-of-mine/{place.key}",
        "/moto-api/data.json",
        "/bucket-of-mine?list-type=2",
    ]
    for path in paths:
        target, _, query = path.partition("?")
        guessed = signer.sign("GET", target, query, {"host": url.netloc}, EMPTY_SHA256)
        for headers in ({}, PAGE, guessed):
            assert await asyncio.to_thread(status, "GET", path, headers) == 403
    own = Signer(KEYS, "us-east-1", "s3").sign("POST", "/moto-api/reset", "", {"host": url.netloc}, EMPTY_SHA256)
    for headers in ({}, PAGE, own):
        assert await asyncio.to_thread(status, "POST", "/moto-api/reset", headers) == 403
    assert await store.get(place) == b"secret"


async def test_a_full_folder_for_temporary_files_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A large object becomes a file of the server's, and here no such file can be written to.
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, tempfile\n"
        "class Full:\n"
        "    def __getattr__(self, name): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "tempfile.TemporaryFile = lambda *args, **named: Full()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = EmbeddedS3("bucket-of-mine", KEYS)
    store = ObjectStore(KEYS, region="us-east-1", endpoint=server.open(), bucket="bucket-of-mine", prefix="run")
    try:
        with pytest.raises(ObjectStoreError) as caught:
            await store.put("result", bytes(20_000_000))
        assert str(caught.value).endswith(
            f"failed: 507 DiskFull no room in {tmp_path}: make some, or set TMPDIR to a folder that has it"
        )
        assert await store.get(await store.put("result", b"small")) == b"small"
    finally:
        store.close()
        await server.close()


async def test_no_secret_is_in_the_server_s_arguments(server: EmbeddedS3, store: ObjectStore) -> None:
    await store.put("result", b"1")
    assert server.child is not None
    import psutil

    assert not any(KEYS.secret_key in argument for argument in psutil.Process(server.child.pid).cmdline())
