"""Invalid requests to Invoke, sent past the SDK's own checks."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared("def echo(e, c): return e", {"echo": {}})


def send(service: Any, headers: dict[str, str], *, name: str = "echo", body: bytes = b"{}") -> tuple[int, str, str]:
    """Status, error type, message."""
    path = f"/2015-03-31/functions/{name}/invocations"
    try:
        with service.open(path, body, {"Content-Type": "application/json", **headers}) as answer:
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as problem:
        with problem:
            error = json.load(problem)
            return problem.code, problem.headers["x-amzn-ErrorType"], error.get("message") or error.get("Message")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/zip"])
def test_a_body_of_another_type_is_unsupported(service: Any, kind: str) -> None:
    assert send(service, {"Content-Type": kind})[:2] == (415, "UnsupportedMediaTypeException")


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "application/x-amz-json-1.0"])
def test_a_body_of_a_json_or_general_type_is_accepted(service: Any, kind: str) -> None:
    assert send(service, {"Content-Type": kind}) == (200, "", "{}")


@pytest.mark.parametrize(
    ("header", "value", "part"),
    [("X-Amz-Invocation-Type", "Later", "invocationType"), ("X-Amz-Log-Type", "All", "logType")],
)
def test_an_unknown_type_is_a_validation_error(service: Any, header: str, value: str, part: str) -> None:
    status, name, message = send(service, {header: value})
    assert (status, name) == (400, "ValidationException")
    assert f"Value '{value}' at '{part}' failed to satisfy constraint" in message


def test_a_request_id_must_be_a_uuid(service: Any) -> None:
    assert send(service, {"x-amzn-RequestId": "mine"})[:2] == (400, "InvalidRequestContentException")
    assert send(service, {"x-amzn-RequestId": "5b866fb1-7154-4af6-8078-6ef6ca4c2ddd"})[0] == 200


@pytest.mark.parametrize("context", ["no base64!", base64.b64encode(b"{no").decode(), "A" * 3584])
def test_a_client_context_must_be_base64_of_json_and_short(service: Any, context: str) -> None:
    assert send(service, {"X-Amz-Client-Context": context})[:2] == (400, "InvalidRequestContentException")


def test_a_durable_execution_is_refused(service: Any) -> None:
    status, name, message = send(service, {"X-Amz-Durable-Execution-Name": "x"})
    assert (status, name) == (400, "InvalidParameterValueException")
    assert "not emulated" in message


def test_an_invalid_name_is_refused(service: Any) -> None:
    assert send(service, {}, name="a%20b")[:2] == (400, "ValidationException")


def test_two_qualifiers_must_be_equal(service: Any) -> None:
    refused = service.refused(FunctionName="echo:$LATEST", Qualifier="1")
    assert refused["Error"]["Code"] == "InvalidParameterValueException"
    assert service.invoke("echo:$LATEST", 1, Qualifier="$LATEST")["value"] == 1
