"""The store that a run's tasks share: whole objects or none, checked, and nothing left."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from lbench.errors import BackendError
from lbench.workloads.encoding import decode, encode
from lbench.workloads.objects import FolderStore, Place, S3Store, Store, StoreError, each, open_store, requests
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.wire import Object


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    (tmp_path / "objects").mkdir()
    return FolderStore(tmp_path / "objects")


@pytest.mark.parametrize("key", ["a", "a/b", "../../etc/passwd", ".", "ü +%2F", "o"])
def test_an_object_comes_back_under_any_key_and_stays_in_its_folder(
    store: FolderStore, tmp_path: Path, key: str
) -> None:
    store.put(key, b"x" * 1000)
    assert store.get(key, hashlib.sha256(b"x" * 1000).hexdigest()) == b"x" * 1000
    assert store.keys() == [key]
    assert [path.parent for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "objects"]


def test_keys_are_listed_by_their_beginning_in_order(store: FolderStore) -> None:
    for key in ("b/2", "a/1", "b/1"):
        store.put(key, b"")
    assert store.keys("b/") == ["b/1", "b/2"] and store.keys() == ["a/1", "b/1", "b/2"]


def test_a_missing_or_changed_object_is_an_error(store: FolderStore) -> None:
    with pytest.raises(StoreError, match="object k cannot be read"):
        store.get("k")
    store.put("k", b"one")
    with pytest.raises(StoreError, match="SHA-256 differs"):
        store.get("k", "0" * 64)
    with pytest.raises(StoreError, match="needs a key"):
        store.put("", b"")


def test_after_deletion_nothing_more_can_be_stored(store: FolderStore, tmp_path: Path) -> None:
    store.put("k", b"one")
    store.delete_all()
    store.delete_all()
    with pytest.raises(StoreError, match="cannot be stored"):
        store.put("late", b"two")
    assert store.keys() == [] and list(tmp_path.iterdir()) == []


def test_an_encoded_place_opens_the_store_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_store(decode(encode(Place(folder=str(tmp_path))))), FolderStore)
    there = Place(prefix=Object("b", "run/0.r1", endpoint="http://127.0.0.1:9"))
    assert isinstance(open_store(msgspec.to_builtins(there)), S3Store)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ObjectStoreError, match="no credentials"):
        open_store(Place(prefix=Object("b", "run/0.r1", endpoint="http://127.0.0.1:8")))


def test_many_objects_go_to_s3_several_at_once_in_order_and_each_request_is_counted(aws: Any) -> None:
    boto3.client("s3", endpoint_url=aws.endpoint, region_name="us-east-1").create_bucket(Bucket="shuffle")
    store = open_store(Place(prefix=Object("shuffle", "run/0.r1", "us-east-1", aws.endpoint)))
    names, threads = [f"k{number:02}" for number in range(40)], set()
    before = requests()

    def put(here: Store, name: str) -> str:
        threads.add(threading.get_ident())
        here.put(name, name.encode())
        return name

    assert each(store, put, names) == names and len(threads) == 5
    assert each(store, lambda here, name: here.get(name), names) == [name.encode() for name in names]
    assert {name: count - before[name] for name, count in requests().items()} == {"put": 40, "get": 40, "bytes": 120}
    with pytest.raises(BackendError, match="k40"):
        each(store, lambda here, name: here.get(name), [*names, "k40"])
    assert each(store, lambda here, name: here.get(name), names[:2]) == [b"k00", b"k01"]
