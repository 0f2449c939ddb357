"""The store that a run's tasks share: whole objects or none, checked, and nothing left."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from lbench.workloads.encoding import decode, encode
from lbench.workloads.objects import FolderStore, Place, S3Store, StoreError, open_store
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


def test_what_is_missing_or_changed_is_told(store: FolderStore) -> None:
    with pytest.raises(StoreError, match="object k cannot be read"):
        store.get("k")
    store.put("k", b"one")
    with pytest.raises(StoreError, match="SHA-256 differs"):
        store.get("k", "0" * 64)
    with pytest.raises(StoreError, match="needs a key"):
        store.put("", b"")


def test_once_all_is_deleted_a_straggler_can_store_nothing_more(store: FolderStore, tmp_path: Path) -> None:
    store.put("k", b"one")
    store.delete_all()
    store.delete_all()
    with pytest.raises(StoreError, match="cannot be stored"):
        store.put("late", b"two")
    assert store.keys() == [] and list(tmp_path.iterdir()) == []


def test_a_place_travels_and_opens_the_store_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_store(decode(encode(Place(folder=str(tmp_path))))), FolderStore)
    there = Place(prefix=Object("b", "run/0.r1", endpoint="http://127.0.0.1:9"))
    assert isinstance(open_store(msgspec.to_builtins(there)), S3Store)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ObjectStoreError, match="no credentials"):
        open_store(Place(prefix=Object("b", "run/0.r1", endpoint="http://127.0.0.1:8")))
