"""The HTTP API in front of the functions: payload format 2.0, a timeout, and bare statuses for failures."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbench.workloads.sigv4 import Signer

CODE = """
import base64, os

def echo(event, context):
    return event

def proxy(event, context):
    return {"statusCode": 201, "headers": {"x-own": "yes"}, "body": "text é"}

def binary(event, context):
    return {"statusCode": 200, "body": base64.b64encode(bytes(4)).decode(), "isBase64Encoded": True}

def fail(event, context):
    raise ValueError("not seen by the caller")

def crash(event, context):
    os._exit(3)

def late(event, context):
    if event.get("body"):
        with open(event["body"]) as fifo:
            fifo.read()
    return {"statusCode": 200, "body": "in time"}

def odd(event, context):
    return {"statusCode": "no number"}
"""
NAMES = ("echo", "proxy", "binary", "fail", "crash", "late", "odd")


class Caller:
    def __init__(self, service: Any) -> None:
        self.host = service.endpoint.removeprefix("http://")
        self.signer = Signer(service.credentials, "us-east-1", "execute-api")
        self.connection = http.client.HTTPConnection(self.host)

    def __call__(self, name: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        sent = {"content-type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        path, query, content = f"/_lbench/http-api/{name}", "a=1&b=2", body.encode() if isinstance(body, str) else body
        sent |= self.signer.sign("POST", path, query, {"host": self.host}, hashlib.sha256(content or b"").hexdigest())
        self.connection.request("POST", f"{path}?{query}", content, sent)
        answer = self.connection.getresponse()
        content = answer.read()
        with contextlib.suppress(ValueError):
            content = json.loads(content)
        return answer.status, content, dict(answer.getheaders())


@pytest.fixture(scope="module")
def call(start_shared: Callable[..., Any]) -> Iterator[Caller]:
    caller = Caller(start_shared(CODE, {name: {} for name in NAMES}, front_timeout_s=60))
    yield caller
    caller.connection.close()


def test_the_function_gets_payload_format_2_0(call: Caller) -> None:
    status, event, headers = call("echo", '{"x": "é"}'.encode())
    assert status == 200 and headers["apigw-requestid"]
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "POST /echo", "/echo")
    assert (event["rawQueryString"], event["isBase64Encoded"]) == ("a=1&b=2", False)
    assert json.loads(event["body"]) == {"x": "é"}
    assert event["headers"]["content-type"] == "application/json"
    context = event["requestContext"]
    assert (context["http"]["method"], context["http"]["path"], context["stage"]) == ("POST", "/echo", "$default")
    assert context["requestId"] == headers["apigw-requestid"]
    _, event, _ = call("echo", b"\x00\xff", content_type="application/octet-stream")
    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)
    assert "body" not in call("echo")[1]


def test_the_function_determines_the_response(call: Caller) -> None:
    status, body, headers = call("proxy")
    assert (status, body, headers["x-own"]) == (201, b"text \xc3\xa9", "yes")
    assert call("binary")[:2] == (200, bytes(4))


@pytest.mark.parametrize("name", ["fail", "crash", "odd"])
def test_a_failed_function_is_a_bare_500(call: Caller, name: str) -> None:
    assert call(name)[:2] == (500, {"message": "Internal Server Error"})


def test_after_its_timeout_the_front_gives_up_while_the_function_runs_on(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    service = start(CODE, {"late": {}}, front_timeout_s=2, isolation=False)
    service.invoke("late", {})  # a warm environment answers in time on any machine
    call = Caller(service)
    assert call("late")[:2] == (200, b"in time")
    assert call("late", str(fifo))[:2] == (503, {"message": "Service Unavailable"})
    with fifo.open("w"):
        pass  # it has waited all the time: opening a pipe that nobody reads blocks
    while any(one["state"] == "busy" for one in service.environments()):
        pass
    assert call("late")[:2] == (200, b"in time")  # on the same connection: nothing late comes on it
    assert len(service.environments()) == 1
    call.connection.close()


def test_a_missing_function_and_a_large_body_are_refused(call: Caller) -> None:
    assert call("nobody")[:2] == (404, {"message": "Not Found"})
    assert call("echo", b"x" * 10_485_761)[:2] == (413, {"message": "Request Entity Too Large"})
    assert call("echo", b"[" + b"1," * 3_500_000 + b"1]")[0] == 500  # Lambda's 6 MB hold behind it


def test_a_throttle_is_a_503_like_the_timeout(start: Callable[..., Any]) -> None:
    caller = Caller(start(CODE, {"echo": {"concurrency": 0}}))
    assert caller("echo")[:2] == (503, {"message": "Service Unavailable"})
    caller.connection.close()


def test_the_front_requires_a_signature_for_execute_api(start: Callable[..., Any]) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    running = start(CODE, {"echo": {}})
    endpoint, keys = running.endpoint, running.credentials
    url = f"{endpoint}/_lbench/http-api/echo"
    answers = []
    for service in ("execute-api", "lambda"):
        request = AWSRequest("POST", url, data=b"{}", headers={"content-type": "application/json"})
        SigV4Auth(Credentials(keys.access_key, keys.secret_key), service, "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection(*endpoint.removeprefix("http://").split(":"))
        connection.request("POST", "/_lbench/http-api/echo", b"{}", dict(request.headers.items()))
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read()).get("message")))
        connection.close()
    assert answers == [(200, None), (403, "Forbidden")]
