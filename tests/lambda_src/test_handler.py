"""The handler, called directly: as awslambdaric calls it, without Lambda around it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.lambda_src import handler
from lbench.workloads.dataset import Dataset, write_dataset
from lbench.workloads.encoding import decode, encode
from lbench.workloads.functions import task_function
from lbench.workloads.wire import Answer, Event, Letter, Object


@task_function("handlertest.total")
def total(data: Dataset, factor: int) -> float:
    return float(data["x"].sum() * factor)


class Bucket:
    """S3 in a dictionary, counting as the real client does."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests = {"get": 0, "put": 0}

    def get(self, place: Object) -> bytes:
        self.requests["get"] += 1
        return self.objects[place.key]

    def get_to_file(self, place: Object, path: Path) -> None:
        path.write_bytes(self.get(place))

    def put(self, place: Object, body: bytes) -> Object:
        self.requests["put"] += 1
        self.objects[place.key] = body
        return Object(place.bucket, place.key, sha256="0" * 64, bytes=len(body))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    bucket = Bucket()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fresh = handler._Environment()
    fresh._clients[("us-east-1", None)] = bucket  # type: ignore[assignment]
    monkeypatch.setattr(handler, "_environment", fresh)
    return bucket


def ask(function: str, arguments: dict[str, Any] | None, *, limit: int = 6_000_000, **more: Any) -> Answer:
    task = None if arguments is None else encode([function, arguments])
    event = Event(deadline_ms=60_000, result_limit=limit, task=task, **more)
    sent = json.loads(msgspec.json.encode(event))
    return msgspec.json.decode(json.dumps(handler.handle(sent, None)), type=Answer)


def publish(bucket: Bucket, tmp_path: Path, values: list[float]) -> Object:
    path = tmp_path / "source"
    digest = write_dataset(Dataset({"x": np.array(values)}, source="s", rows=len(values), columns=1), path)
    bucket.objects[digest] = path.read_bytes()
    path.unlink()
    return Object("b", digest, sha256=digest)


def test_a_result_comes_back_with_the_clocks_around_it(bucket: Bucket) -> None:
    before = time.time()
    answer = ask("probe.noop", {"number": 7})
    assert answer.result is not None and decode(answer.result) == 7
    assert before <= answer.received <= answer.sent <= time.time() + 0.01
    assert answer.compute_ms is not None and answer.fetch_ms is None and answer.s3 == {}


def test_the_answer_repeats_the_calls_number(bucket: Bucket) -> None:
    event = Event(deadline_ms=60_000, result_limit=6_000_000, call=41, task=encode(["probe.noop", {"number": 1}]))
    assert handler.handle(msgspec.to_builtins(event))["call"] == 41


def test_only_the_first_call_is_cold_and_introduces_the_environment(bucket: Bucket) -> None:
    first, second = ask("probe.noop", {"number": 1}), ask("probe.noop", {"number": 2})
    assert (first.cold, second.cold) == (True, False)
    assert first.environment == second.environment
    assert first.versions is not None and first.versions["numpy"] == np.__version__
    assert second.versions is None and second.cpu_model is None


def test_data_is_fetched_once_and_reused_warm(bucket: Bucket, tmp_path: Path) -> None:
    place = publish(bucket, tmp_path, [1.0, 2.0])
    first = ask("handlertest.total", {"factor": 2}, data=place)
    second = ask("handlertest.total", {"factor": 3}, data=place)
    assert [decode(a.result or b"") for a in (first, second)] == [6.0, 9.0]
    assert (first.s3, second.s3) == ({"get": 1}, {})
    assert first.fetch_ms is not None and second.fetch_ms is not None


def test_a_torn_file_from_before_is_replaced(bucket: Bucket, tmp_path: Path) -> None:
    place = publish(bucket, tmp_path, [1.0, 2.0])
    (tmp_path / f"lbench-{place.sha256}.data").write_bytes(b"torn")
    assert decode(ask("handlertest.total", {"factor": 1}, data=place).result or b"") == 3.0


def test_another_data_set_takes_the_place_of_the_last(bucket: Bucket, tmp_path: Path) -> None:
    one, two = publish(bucket, tmp_path, [1.0]), publish(bucket, tmp_path, [2.0])
    assert decode(ask("handlertest.total", {"factor": 1}, data=one).result or b"") == 1.0
    assert decode(ask("handlertest.total", {"factor": 1}, data=two).result or b"") == 2.0
    assert [path.name for path in tmp_path.iterdir()] == [f"lbench-{two.sha256}.data"]


def test_a_task_may_come_from_s3_and_a_large_result_go_there(bucket: Bucket) -> None:
    blob = os.urandom(10_000)
    bucket.objects["t"] = encode(["probe.carry", {"number": 0, "blob": blob}])
    answer = ask("", None, limit=10_000, task_at=Object("b", "t"), result_to=Object("b", "r"))
    assert answer.result is None and answer.result_at is not None
    assert decode(bucket.objects["r"]) == blob
    assert answer.s3 == {"get": 1, "put": 1}
    assert answer.fetch_ms is not None and answer.store_ms is not None


def test_what_the_task_raises_goes_through_and_the_log_says_where(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    class Context:
        aws_request_id = "r-1"

    sent = json.loads(
        msgspec.json.encode(
            Event(deadline_ms=1000, result_limit=1, task=encode(["probe.fail", {"number": 1, "message": "no"}]))
        )
    )
    with pytest.raises(ValueError, match="no"):
        handler.handle(sent, Context())
    printed = json.loads(capsys.readouterr().out)
    assert printed["lbench_failed"] == "r-1"
    assert printed["answer"]["environment"] == handler._environment.id and "result" not in printed["answer"]


CHILD = """
import base64, json, sys, threading
from lbench.lambda_src.handler import handle
from lbench.workloads.encoding import encode
task = base64.b64encode(encode(["probe.spin", {"number": 0, "seconds": 60.0}])).decode()
call = lambda: handle({"deadline_ms": 50, "result_limit": 1000, "task": task})
if sys.argv[1] == "main":
    call()
else:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(("thread", "code"), [("main", -14), ("other", 124)])
def test_the_watchdog_ends_the_environment_at_the_deadline(thread: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, thread], timeout=50, check=False)
    assert done.returncode == code


def test_after_a_call_no_alarm_is_left(bucket: Bucket) -> None:
    import signal

    ask("probe.noop", {"number": 1})
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_it_loads_no_sdk_and_no_scikit_learn() -> None:
    code = (
        "import sys; import lbench.lambda_src.handler; "
        "print([m for m in ('boto3', 'botocore', 'sklearn', 'aiohttp', 'lbench.engine') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_base64_is_what_json_carries(bucket: Bucket) -> None:
    answer = handler.handle(
        {
            "deadline_ms": 1000,
            "result_limit": 6000,
            "task": base64.b64encode(encode(["probe.noop", {"number": 3}])).decode(),
        },
        None,
    )
    assert decode(base64.b64decode(answer["result"])) == 3


def test_the_result_of_an_asynchronous_call_is_a_letter_in_s3(bucket: Bucket) -> None:
    place = Object("b", "tmp/1.letter")
    event = Event(1000, 10_000, call=7, task=encode(["probe.noop", {"number": 3}]), answer_to=place)
    assert handler.handle(msgspec.to_builtins(event)) is None
    letter = msgspec.json.decode(bucket.objects["tmp/1.letter"], type=Letter)
    assert letter.error is None and letter.answer.result is not None and letter.answer.call == 7
    assert decode(letter.answer.result) == 3
    assert letter.answer.init_ms is not None and letter.answer.init_ms > 0  # cold: it tells how long the start took

    event.task = encode(["probe.fail", {"number": 1, "message": "of course"}])
    assert (
        handler.handle(msgspec.to_builtins(event)) is None
    )  # not raised: it would be retried, and nobody would see it
    letter = msgspec.json.decode(bucket.objects["tmp/1.letter"], type=Letter)
    assert letter.error is not None and letter.answer.result is None
    assert (letter.error.error_type, letter.error.error_message) == ("ValueError", "of course")
    assert letter.error.stack_trace and "raise ValueError" in letter.error.stack_trace[-1]
    assert letter.answer.init_ms is None


def test_behind_an_http_api_the_answer_is_the_body_of_the_response(bucket: Bucket) -> None:
    body = msgspec.json.encode(Event(1000, 10_000, task=encode(["probe.noop", {"number": 4}])))
    for printed in (
        {"body": body.decode(), "isBase64Encoded": False},
        {"body": base64.b64encode(body).decode(), "isBase64Encoded": True},
    ):
        response = handler.handle({"version": "2.0", "requestContext": {"http": {"method": "POST"}}, **printed})
        assert (response["statusCode"], response["headers"]) == (200, {"content-type": "application/json"})
        letter = msgspec.json.decode(response["body"], type=Letter)
        assert letter.answer.result is not None and decode(letter.answer.result) == 4
    assert bucket.objects == {}


def test_a_marked_call_says_in_the_log_which_request_it_was(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    class Context:
        aws_request_id = "6cf4d88d-e881-46c6-a41b-102ddc6dc141"

    event = Event(1000, 10_000, task=encode(["probe.noop", {"number": 3}]), mark="0a1b2c3d/r1/17")
    handler.handle(msgspec.to_builtins(event), Context())
    printed = json.loads(capsys.readouterr().out)
    assert (printed["lbench_mark"], printed["request"]) == ("0a1b2c3d/r1/17", Context.aws_request_id)
    assert printed["environment"] == handler._environment.id


_START = """
import os, sys, time
from lbench.lambda_src import handler
from lbench.workloads.encoding import encode
print("sklearn" in sys.modules, flush=True)  # a deadline ends the process without a last flush
event = {"deadline_ms": 20_000, "result_limit": 6_000_000}
import base64
event["task"] = base64.b64encode(encode(["probe.sleep", {"number": 0, "seconds": float(os.environ["NAP"])}])).decode()
handler._init_ms = 18_000.0  # whatever it took on this machine
print(handler.handle(event)["cold"], flush=True)
"""


def start(folder: Path, nap: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "LBENCH_PRELOAD": "random_forest", "TMPDIR": str(folder), "NAP": nap, **variables}
    return subprocess.run([sys.executable, "-c", _START], env=environ, capture_output=True, text=True, check=False)


def test_a_second_start_in_the_same_environment_imports_nothing_ahead_and_is_in_the_first_call_s_time(
    tmp_path: Path,
) -> None:
    on_lambda = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}
    assert start(tmp_path, "2.5", **on_lambda).stdout.split() == ["True", "True"]
    again = start(tmp_path, "2.5", **on_lambda)
    assert again.stdout.split() == ["False"]  # of its 20 s, 2 s are left after the start: ended
    assert again.returncode == -signal.SIGALRM
    assert start(tmp_path, "0.01", **on_lambda).stdout.split() == ["False", "True"]


def test_elsewhere_a_start_leaves_no_note(tmp_path: Path) -> None:
    assert start(tmp_path, "0").stdout.split() == ["True", "True"]
    assert list(tmp_path.iterdir()) == []


def test_equal_data_of_another_run_are_read_from_their_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    read: list[str] = []
    monkeypatch.setattr(handler.S3Client, "get_range", lambda client, place, first, end: read.append(place.key) or b"")
    environment = handler._Environment()
    for key in ("first/data", "first/data", "second/data"):
        parts = environment.parts(handler.Object("bucket", key, sha256="0" * 64))
        parts._read(0, 1)
    assert read == ["first/data", "first/data", "second/data"]
    assert parts is environment.parts(handler.Object("bucket", "second/data", sha256="0" * 64))
