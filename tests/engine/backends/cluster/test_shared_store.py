"""`store=`: a folder or a bucket where the tasks of a cluster exchange objects; each machine finds credentials by itself."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lbench.engine.backends.cluster.shared_store import check_store
from lbench.engine.backends.lambda_.embedded_s3 import EmbeddedS3
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.settings import S3Prefix, parse_store
from lbench.engine.plan.parse import parse_backend
from lbench.errors import InputError
from lbench.workloads.sigv4 import Credentials

KEYS = Credentials("AKIDOFTHETEST", "a-secret-of-this-test")
FACTORIES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def processes():
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
"""


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[EmbeddedS3]:
    """A server with the bucket `mine`, which AWS's usual chain leads to: endpoint, and credentials of a profile."""
    server = EmbeddedS3("mine", KEYS)
    file = tmp_path / "credentials"
    file.write_text(f"[work]\naws_access_key_id = {KEYS.access_key}\naws_secret_access_key = {KEYS.secret_key}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.open())
    yield server
    await server.close()


async def keys_of(server: EmbeddedS3) -> list[str]:
    """All keys in the bucket."""
    store = ObjectStore(KEYS, region="us-east-1", endpoint=server.endpoint, bucket="mine", prefix="")
    try:
        return await store._run(lambda client: client.keys("mine", ""))
    finally:
        store.close()


async def lbench(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lbench", *arguments, stdout=-1, stderr=-1, stdin=-3, cwd=folder
    )
    async with asyncio.timeout(240):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def exchanged(s3: EmbeddedS3, folder: Path, backend: str) -> dict[str, Any]:
    """The run of a shuffle on this backend, after what must hold of it: the answer, no objects left, no secret kept."""
    code, out, err = await lbench(
        folder, "run", "map_reduce", "-p", "rows=300", "-p", "reducers=2", "--tasks", "2", "-b", "sequential", "-b", backend,
        "--repeats", "1", "--json", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    runs = json.loads(out)["runs"]
    assert {run["status"] for run in runs} == {"ok"}
    assert len({run["answer"]["digest"] for run in runs}) == 1
    assert await keys_of(s3) == []
    (there,) = [run for run in runs if run["backend"] != "sequential"]
    assert "a-secret" not in records()
    assert KEYS.access_key not in records()
    return there


def records() -> str:
    """All that was recorded."""
    kept = [path for path in Path(os.environ["XDG_DATA_HOME"]).rglob("*") if path.is_file()]
    assert kept
    return "".join(path.read_text("utf-8", "replace") for path in kept)


async def test_tasks_exchange_objects_in_a_bucket_with_the_credentials_of_the_usual_chain(
    s3: EmbeddedS3, tmp_path: Path
) -> None:
    (tmp_path / "factories.py").write_text(FACTORIES)
    store = "store=s3://mine/some/prefix/"
    there = await exchanged(s3, tmp_path, f"executor:factory=./factories.py:processes,{store}")
    assert there["backend_settings"]["store"] == "s3://mine/some/prefix/"
    assert "s3: requests and storage of store= have no price here" in there["cost"]["unpriced"]
    (session,) = (Path(os.environ["XDG_DATA_HOME"]) / "lbench/sessions").iterdir()
    events = [json.loads(line) for line in (session / "events.jsonl").read_text().splitlines()]
    assert sum(event.get("s3_put", 0) for event in events if event["event"] == "returned") >= 4  # 2 x 2 parts
    assert sum(event.get("s3_get", 0) for event in events if event["event"] == "returned") >= 4


@pytest.mark.slow
async def test_tasks_on_a_dask_cluster_exchange_objects_in_a_bucket(
    s3: EmbeddedS3, cluster: Any, tmp_path: Path
) -> None:
    await asyncio.to_thread(cluster.add_worker)
    await asyncio.to_thread(cluster.add_worker)
    await exchanged(s3, tmp_path, f"{cluster.settings},store=s3://mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://", "a bucket's name must be 3 to 63"),
        ("s3:///prefix", "a bucket's name must be 3 to 63"),
        ("s3://No_Bucket/x", "a bucket's name must be 3 to 63"),
        ("s3:/mine/x", "store must be a folder or s3://bucket/prefix, got 's3:/mine/x'"),
        ("gs://mine/x", "store must be a folder or s3://bucket/prefix"),
        ("S3://mine/x", "store must be a folder or s3://bucket/prefix"),
        ("https://mine.s3.amazonaws.com/x", "store must be a folder or s3://bucket/prefix"),
        (f"s3://mine/{'x' * 600}", "the prefix must be at most 512 printable characters"),
        ("s3://mine/a\x07b", "the prefix must be at most 512 printable characters"),
    ],
)
def test_a_store_that_is_neither_a_folder_nor_a_bucket_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*$") as refused:
        parse_backend(f"dask:store={text}", {})
    assert message in str(refused.value)


def test_a_bucket_stays_as_it_is_written_and_a_folder_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_backend("dask:store=s3://mine/a b/", {}).settings["store"] == "s3://mine/a b/"
    assert parse_backend("dask:store=shared", {}).settings["store"] == str(tmp_path / "shared")
    assert parse_store("s3://mine/a b/") == S3Prefix("mine", "a b")
    assert parse_store("s3://mine") == S3Prefix("mine", "")


async def test_a_bucket_that_cannot_be_used_is_refused_before_anything_runs(
    s3: EmbeddedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"^d: store=/no/such: there is no such folder$"):
        await check_store("/no/such", "d")
    with pytest.raises(InputError, match=r"^d: store=s3://other cannot be used: [^\n]*404 NoSuchBucket[^\n]*$"):
        await check_store("s3://other", "d")
    await check_store("s3://mine/x", "d")
    assert await keys_of(s3) == []
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("AWS_PROFILE")
    with pytest.raises(InputError, match=r"^d: store=s3://mine cannot be used: [^\n]*credentials[^\n]*$"):
        await check_store("s3://mine", "d")
