"""What the handler fetches of a data set: all of it, parts of it, or nothing, as the task's function says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.lambda_src import handler
from lbench.workloads import objects
from lbench.workloads.dataset import Dataset, write_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import task_function
from lbench.workloads.wire import Answer, Event, Object


@task_function("partstest.some", parts=True)
def some(data: Any, first: int, end: int) -> float:
    return float(data.part("x", first, end).sum())


@task_function("partstest.none")
def none() -> int:
    return 7


class Bucket:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.requests = {"get": 0, "put": 0}
        self.bytes = 0

    def get_range(self, place: Object, first: int, end: int) -> bytes:
        self.requests["get"] += 1
        self.bytes += len(self.body[first:end])
        return self.body[first:end]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    dataset = Dataset({"x": np.arange(100_000.0)}, source="s", rows=100_000, columns=1)
    write_dataset(dataset, tmp_path / "data")
    bucket = Bucket((tmp_path / "data").read_bytes())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    fresh = handler._Environment()
    fresh._clients[("us-east-1", None)] = bucket  # type: ignore[assignment]
    monkeypatch.setattr(handler, "_environment", fresh)
    return bucket


def ask(function: str, arguments: dict[str, Any]) -> Answer:
    event = Event(
        deadline_ms=60_000,
        result_limit=6_000_000,
        task=encode([function, arguments]),
        data=Object("b", "data", sha256="0" * 64),
    )
    return msgspec.convert(handler.handle(msgspec.to_builtins(event), None), Answer)


def value(answer: Answer) -> Any:
    assert answer.result is not None
    return decode(answer.result)


def test_a_task_that_reads_parts_fetches_the_header_once_and_then_its_parts(bucket: Bucket) -> None:
    first, second = ask("partstest.some", {"first": 5, "end": 8}), ask("partstest.some", {"first": 0, "end": 2})
    assert (value(first), value(second)) == (18.0, 1.0)
    assert (first.s3, second.s3) == ({"get": 2}, {"get": 1})
    assert bucket.bytes < 70_000 < len(bucket.body)


def test_a_task_that_wants_no_data_fetches_nothing(bucket: Bucket) -> None:
    answer = ask("partstest.none", {})
    assert value(answer) == 7 and answer.s3 == {} and answer.fetch_ms is None


def test_the_requests_of_the_runs_store_are_counted_with_the_handlers_own(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"get": 3, "put": 4}

    @task_function("partstest.stores")
    def stores() -> None:
        made["put"] += 2
        made["get"] += 1

    monkeypatch.setattr(objects, "requests", lambda: dict(made))
    assert ask("partstest.stores", {}).s3 == {"put": 2, "get": 1}
