"""Invocations of type Event: run later, retried, recorded in S3 after the last failure. Waits are AWS's, scaled."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

CODE = """
import os

def count(event, context):
    with open(event["log"], "a") as file:
        file.write(context.aws_request_id + "\\n")
    if event.get("fails"):
        raise ValueError("on purpose")

def wait(event, context):
    with open(event["fifo"]) as fifo:
        fifo.read()
"""
SCALE = 0.001  # a minute takes 60 ms


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    client.create_bucket(Bucket="failures")
    yield client
    server.stop()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


def put(service: Any, name: str, event: Any) -> str:
    answer = service.client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    assert "FunctionError" not in answer
    request_id: str = answer["ResponseMetadata"]["RequestId"]
    return request_id


def until(service: Any, **counts: int) -> dict[str, Any]:
    """What the queue has counted, once it has counted this."""
    while True:
        reply: dict[str, Any] = service.status("events")
        if all(reply[name] >= count for name, count in counts.items()):
            return reply


def record(s3: Any, function: str) -> tuple[str, dict[str, Any]]:
    (one,) = s3.list_objects_v2(Bucket="failures", Prefix=f"aws/lambda/async/{function}/")["Contents"]
    return one["Key"], json.load(s3.get_object(Bucket="failures", Key=one["Key"])["Body"])


def test_an_event_runs_later_under_its_request_s_id(start: Any, log: Path) -> None:
    service = start(CODE, {"count": {}}, isolation=False)
    request_id = put(service, "count", {"log": str(log)})
    until(service, succeeded=1)
    assert log.read_text().split() == [request_id]


def test_a_function_s_error_is_retried_twice_and_then_recorded_in_s3(start: Any, log: Path, s3: Any) -> None:
    endpoint = s3.meta.endpoint_url
    service = start(CODE, {"count": {}}, event_time_scale=SCALE, s3_endpoint=endpoint, isolation=False)
    place = {"OnFailure": {"Destination": "arn:aws:s3:::failures"}}
    reply = service.client.put_function_event_invoke_config(FunctionName="count", DestinationConfig=place)
    assert reply["DestinationConfig"]["OnFailure"] == place["OnFailure"]
    event = {"log": str(log), "fails": True}
    request_id = put(service, "count", event)
    until(service, recorded=1)
    assert log.read_text().split() == [request_id] * 3
    key, written = record(s3, "count")
    day, moment = key.split("/")[4:7], key.rsplit("/", 1)[1]
    assert len(day) == 3 and moment.startswith("-".join(key.split("/")[4:7]) + "T")
    assert written["version"] == "1.0"
    assert written["requestContext"] == {
        "requestId": request_id,
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:count:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert written["requestPayload"] == event
    assert written["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert written["responsePayload"]["errorType"] == "ValueError"


def test_the_number_of_retries_is_the_setting(start: Any, log: Path) -> None:
    service = start(CODE, {"count": {}}, event_time_scale=SCALE, isolation=False)
    service.client.put_function_event_invoke_config(FunctionName="count", MaximumRetryAttempts=0)
    put(service, "count", {"log": str(log), "fails": True})
    assert until(service, failed=1)["waiting"] == 0
    assert len(log.read_text().split()) == 1


def test_an_event_above_its_maximum_age_is_dropped(start: Any, log: Path, s3: Any) -> None:
    service = start(
        CODE,
        {"aged": {"handler": "app.count"}},
        event_time_scale=SCALE,
        s3_endpoint=s3.meta.endpoint_url,
        isolation=False,
    )
    place = {"OnFailure": {"Destination": "arn:aws:s3:::failures"}}
    service.client.put_function_event_invoke_config(
        FunctionName="aged", MaximumEventAgeInSeconds=60, DestinationConfig=place
    )
    put(service, "aged", {"log": str(log), "fails": True})
    until(service, recorded=1)
    assert len(log.read_text().split()) == 1
    assert record(s3, "aged")[1]["requestContext"]["condition"] == "EventAgeExceeded"


def test_a_throttled_event_is_retried_until_it_runs(start: Any, log: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    service = start(CODE, {"wait": {}, "count": {}}, concurrency=1, event_time_scale=SCALE, isolation=False)
    put(service, "wait", {"fifo": str(fifo)})
    with fifo.open("w"):
        assert service.refused(FunctionName="count")["Reason"] == "ConcurrentInvocationLimitExceeded"
        put(service, "count", {"log": str(log)})
        assert service.status("events")["waiting"] == 2
    until(service, succeeded=2)
    assert len(log.read_text().split()) == 1


def test_with_zero_reserved_concurrency_an_event_is_recorded_and_not_run(start: Any, log: Path, s3: Any) -> None:
    service = start(
        CODE, {"zero": {"handler": "app.count", "concurrency": 0}}, s3_endpoint=s3.meta.endpoint_url, isolation=False
    )
    place = {"OnFailure": {"Destination": "arn:aws:s3:::failures"}}
    service.client.put_function_event_invoke_config(FunctionName="zero", DestinationConfig=place)
    put(service, "zero", {"log": str(log)})
    until(service, recorded=1)
    assert log.read_text() == ""
    assert record(s3, "zero")[1]["requestContext"]["approximateInvokeCount"] == 0


def test_a_record_that_cannot_be_stored_is_counted(start: Any, log: Path) -> None:
    service = start(CODE, {"count": {"concurrency": 0}}, s3_endpoint="http://127.0.0.1:1", isolation=False)
    place = {"OnFailure": {"Destination": "arn:aws:s3:::failures"}}
    service.client.put_function_event_invoke_config(FunctionName="count", DestinationConfig=place)
    put(service, "count", {"log": str(log)})
    until(service, unrecorded=1)


def test_an_event_above_1_mb_is_refused(start: Any) -> None:
    service = start(CODE, {"count": {}}, isolation=False)
    call = {"FunctionName": "count", "InvocationType": "Event"}
    refused = service.refused(**call, Payload=json.dumps("x" * 1_048_576))
    assert refused["Error"]["Code"] == "RequestTooLargeException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 413
