"""Signatures are checked on every request, and refused in AWS's words."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbench.engine.emulator.api.signatures import Verifier
from lbench.engine.emulator.core.errors import Refusal
from lbench.workloads.sigv4 import EMPTY_SHA256, Credentials, Signer

KEYS = Credentials("key", "secret")

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(name=NAMES, query=st.dictionaries(NAMES, NAMES, max_size=3), body=st.binary(max_size=100))
def test_botocore_s_signatures_are_valid(name: str, query: dict[str, str], body: bytes) -> None:
    from urllib.parse import quote, urlencode

    url = f"http://127.0.0.1:1/2015-03-31/functions/{quote(name, safe='')}/invocations"
    if query:
        url += "?" + urlencode(query, quote_via=quote)
    request = botocore.awsrequest.AWSRequest("POST", url, data=body)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials("key", "secret"), "lambda", "us-east-1").add_auth(request)
    headers = {key.lower().encode(): value.encode() for key, value in request.headers.items()}
    headers[b"host"] = b"127.0.0.1:1"
    target = url.partition("127.0.0.1:1")[2]
    Verifier(KEYS, "us-east-1").check("POST", target, headers, body)
    with pytest.raises(Refusal, match="does not match"):
        Verifier(KEYS, "us-east-1").check("POST", target, headers, body + b"x")


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared("def echo(e, c): return e", {"echo": {}})


def test_a_valid_signature_is_accepted(service: Any) -> None:
    assert service.invoke("echo", {"ž": 1})["value"] == {"ž": 1}
    assert service.client.get_function(FunctionName="echo:$LATEST")


@pytest.mark.parametrize(
    ("client", "code", "part"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException", "does not match the signature you provided"),
        ({"key": "other"}, "UnrecognizedClientException", "security token included in the request is invalid"),
    ],
)
def test_an_invalid_signature_is_refused(service: Any, client: dict[str, str], code: str, part: str) -> None:
    with pytest.raises(service.client.exceptions.ClientError) as caught:
        service.boto3(**client).invoke(FunctionName="echo")
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert part in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/2015-03-31/functions/"),
        ("POST", "/2015-03-31/functions"),
        ("POST", "/2015-03-31/functions/echo/invocations"),
        ("GET", "/_lbench/environments"),
        ("GET", "/_lbench/methods"),
        ("GET", "/_lbench/events"),
        ("PUT", "/_lbench/conditions"),
        ("GET", "/2018-06-01/runtime/invocation/next"),
        ("POST", "/moto-api/reset"),
    ],
)
def test_a_missing_signature_is_refused(service: Any, method: str, path: str) -> None:
    body = None if method == "GET" else b"{}"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(service.endpoint + path, body, method=method))
    assert caught.value.code == 403
    assert caught.value.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    caught.value.close()


def signed(at: float, **change: str) -> dict[bytes, bytes]:
    signer = Signer(KEYS, change.get("region", "us-east-1"), change.get("service", "lambda"))
    headers = signer.sign("GET", "/x", "", {"host": "h"}, EMPTY_SHA256, at=at)
    return {name.encode(): value.encode() for name, value in headers.items()}


@pytest.mark.parametrize(
    ("skew_s", "part"), [(-310, "Signature expired: 20"), (310, "Signature not yet current: 20"), (-290, ""), (290, "")]
)
def test_five_minutes_of_skew_are_allowed(skew_s: int, part: str) -> None:
    now = time.time()
    verifier, headers = Verifier(KEYS, "us-east-1"), signed(now + skew_s)
    if not part:
        verifier.check("GET", "/x", headers, b"", at=now)
        return
    with pytest.raises(Refusal, match=part) as caught:
        verifier.check("GET", "/x", headers, b"", at=now)
    assert (caught.value.name, caught.value.status) == ("InvalidSignatureException", 403)


@pytest.mark.parametrize(
    ("change", "part"), [({"region": "eu-west-1"}, "valid region, not 'eu-west-1'"), ({"service": "s3"}, "'lambda'")]
)
def test_another_region_or_service_is_refused(change: dict[str, str], part: str) -> None:
    with pytest.raises(Refusal, match=part):
        Verifier(KEYS, "us-east-1").check("GET", "/x", signed(time.time(), **change), b"")


@pytest.mark.parametrize("text", ["Bearer x", "AWS4-HMAC-SHA256 Credential=key", ""])
def test_an_incomplete_signature_is_refused(text: str) -> None:
    headers = signed(time.time()) | {b"authorization": text.encode()}
    with pytest.raises(Refusal) as caught:
        Verifier(KEYS, "us-east-1").check("GET", "/x", headers, b"")
    assert caught.value.name in ("IncompleteSignatureException", "MissingAuthenticationTokenException")


def test_a_large_body_needs_a_signature_too(service: Any) -> None:
    for path in ("/2015-03-31/functions/echo/invocations", "/_lbench/http-api/echo"):
        connection = http.client.HTTPConnection(service.endpoint.removeprefix("http://"))
        connection.request("POST", path, b"x" * 11_000_000)
        assert connection.getresponse().status == 403
        connection.close()


@pytest.mark.parametrize("length", ["Content-Length: 70000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    "line",
    [
        "POST /2015-03-31/functions/echo/invocations",
        "POST /2015-03-31/functions",
        "PUT /2015-03-31/functions/echo/code",
        "POST /_lbench/http-api/echo",
        "POST /_lbench/code/x",
        "PUT /_lbench/conditions",
        "POST /",
    ],
)
def test_a_large_body_of_a_stranger_is_refused_before_it_comes(service: Any, line: str, length: str) -> None:
    host, _, port = service.endpoint.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"{line} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n\r\n".encode())
        answer = b""
        while received := client.recv(65536):
            answer += received
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 404 "))
    assert b"Connection: close" in answer


PAGE = {"Host": "evil.example.com", "Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com"},
        {"Host": "127.0.0.1.evil.example.com:80"},
        {"Host": "localhost.evil.example.com"},
        {"Host": "[::2]:80"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_request_of_a_web_page_is_refused_without_details_even_without_auth(
    unchecked: Any, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection(unchecked.endpoint.removeprefix("http://"))
    for path in ("/2015-03-31/functions/echo/invocations", "/_lbench/http-api/echo"):
        connection.request("POST", path, b"{}", headers)
        reply = connection.getresponse()
        assert (reply.status, json.load(reply)) == (403, {"message": "Forbidden"})
    connection.close()


@pytest.fixture(scope="module")
def unchecked(start_shared: Any) -> Any:
    return start_shared("def echo(e, c): return e", {"echo": {}}, auth=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:1", "LOCALHOST:9", "127.8.8.8"])
def test_without_auth_any_local_client_is_served(unchecked: Any, host: str) -> None:
    connection = http.client.HTTPConnection(unchecked.endpoint.removeprefix("http://"))
    connection.request("POST", "/2015-03-31/functions/echo/invocations", b"[1]", {"Host": host})
    assert json.load(connection.getresponse()) == [1]
    connection.close()


def test_credentials_are_random_and_printed_as_shell_lines(service: Any, start: Any) -> None:
    other = start("def echo(e, c): return e", {"echo": {}})
    assert set(service.exports) == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_LAMBDA",
    }
    assert service.exports["AWS_ENDPOINT_URL_LAMBDA"] == service.endpoint
    assert len(service.credentials.secret_key) == 40
    assert other.credentials.access_key != service.credentials.access_key
    with pytest.raises(other.client.exceptions.ClientError, match="UnrecognizedClientException"):
        service.boto3(other.credentials.access_key, other.credentials.secret_key).invoke(FunctionName="echo")


def test_a_secret_key_in_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "emulator.json"
    config.write_text('{"access_key": "mine", "secret_key": "of no concern"}')
    config.chmod(0o644)
    argv = [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"lbench: {config} holds a secret key that others can read: chmod 600 {config}\n"
