"""Injected faults, each by itself, as the client sees them."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import pytest

from lbench.engine.emulator.core.errors import ERRORS
from lbench.engine.emulator.core.faults import Weather
from lbench.engine.emulator.core.spec import Conditions
from lbench.workloads.sigv4 import Signer

CODE = """
import time

def echo(event, context):
    return event

def count(event, context):
    with open(event, "a") as file:
        file.write(context.aws_request_id + "\\n")
"""
MODEL = botocore.session.get_session().get_service_model("lambda").operation_model("Invoke")


@pytest.fixture(scope="module")
def running(start_shared: Any) -> Any:
    return start_shared(CODE, {"echo": {}, "count": {}}, isolation=False)  # it writes into the test's folder


@pytest.fixture
def service(running: Any) -> Iterator[Any]:
    yield running
    running.disturb()


def test_no_fault_is_injected_by_default() -> None:
    assert Conditions().at_rest
    assert Conditions(seed=7, slow_factor=3).at_rest
    assert not Conditions(lost_rate=0.1).at_rest


def test_the_seed_alone_determines_the_faults() -> None:
    conditions = Conditions(fail_rate=0.3, lost_rate=0.2, jitter_ms=5, seed=3)
    one, other = Weather(conditions), Weather(conditions)
    fates = [one.fate() for _ in range(200)]
    assert fates == [other.fate() for _ in range(200)]
    assert 30 < sum(fate.refused == "fail" for fate in fates) < 90
    # A further condition does not change whom the others hit.
    more = Weather(Conditions(fail_rate=0.3, lost_rate=0.2, jitter_ms=5, seed=3, duplicate_rate=0.5))
    assert [more.fate()[:4] for _ in range(200)] == [fate[:4] for fate in fates]


def test_latency_and_jitter_are_added_to_the_round_trip() -> None:
    weather = Weather(Conditions(latency_ms=20, jitter_ms=10))
    trips = [fate.out_s + fate.back_s for fate in (weather.fate() for _ in range(300))]
    assert min(trips) >= 0.02
    assert max(trips) <= 0.03
    assert max(trips) - min(trips) > 0.008


def test_latency_is_seen_by_the_client(service: Any) -> None:
    service.invoke("echo", 1)
    service.disturb(latency_ms=80)
    began = time.monotonic()
    assert service.invoke("echo", 2)["value"] == 2
    assert time.monotonic() - began >= 0.08


def test_a_cold_delay_is_not_part_of_the_init(start: Any) -> None:
    service = start(CODE, {"echo": {}}, conditions={"cold_delay_ms": 300})
    began = time.monotonic()
    service.invoke("echo", 1)
    assert time.monotonic() - began >= 0.3
    (environment,) = service.environments()
    assert environment["created_s"] - began >= 0.29


@pytest.mark.parametrize("name", sorted({shape.name for shape in MODEL.error_shapes}))
def test_every_error_of_invoke_can_be_injected_and_boto3_knows_it(service: Any, name: str) -> None:
    shape = next(shape for shape in MODEL.error_shapes if shape.name == name)
    service.disturb(fail_rate=1, fail_error=name)
    with pytest.raises(getattr(service.client.exceptions, name)) as caught:
        service.client.invoke(FunctionName="echo")
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == shape.metadata["error"]["httpStatusCode"] == ERRORS[name][0]
    assert "injected" in answer["Error"]["Message"]
    text = answer.get("message", answer.get("Message"))
    assert text is not None and {"message", "Message"} & set(shape.members) == {ERRORS[name][1]}


def test_injected_throttles_are_429_with_a_reason(service: Any) -> None:
    service.disturb(throttle_rate=1)
    refused = service.refused(FunctionName="echo")
    assert refused["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert "retry-after" not in refused["ResponseMetadata"]["HTTPHeaders"]


def test_a_slow_environment_takes_longer_and_bills_it(start: Any) -> None:
    service = start(
        CODE + "\ndef naps(event, context):\n    time.sleep(0.1)\n",
        {"naps": {}},
        conditions={"slow_rate": 1, "slow_factor": 3},
    )
    log = service.invoke("naps")["log"]
    assert float(log.partition("\tDuration: ")[2].split()[0]) >= 290
    assert service.environments()[0]["slowness"] == 3


def test_a_lost_reply_is_a_closed_connection_and_the_function_has_run(service: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    service.disturb(lost_rate=1)
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        service.client.invoke(FunctionName="count", Payload=json.dumps(str(log)))
    assert len(log.read_text().split()) == 1


def test_a_duplicate_runs_twice_and_is_answered_twice(service: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    service.disturb(duplicate_rate=1)
    body = json.dumps(str(log)).encode()
    with socket.create_connection(("127.0.0.1", int(service.endpoint.rsplit(":", 1)[1]))) as client:
        path = "/2015-03-31/functions/count/invocations"
        signer = Signer(service.credentials, "us-east-1", "lambda")
        headers = signer.sign("POST", path, "", {"host": "127.0.0.1"}, hashlib.sha256(body).hexdigest())
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.sendall(f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 2 or not got.endswith(b"null"):
            got += client.recv(65_536)
    half = len(got) // 2
    assert got[:half] == got[half:]
    while not log.exists() or len(ids := log.read_text().split()) < 2:
        pass
    assert len(set(ids)) == 1  # AWS's at-least-once: the same request


def test_invalid_conditions_are_refused(service: Any) -> None:
    with pytest.raises(Exception, match="400"):
        service.disturb(lost_rate=2)
