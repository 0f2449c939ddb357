"""Signatures are checked when asked for, and refused in AWS's words."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.engine.emulator.api.signatures import Verifier
from lbench.engine.emulator.core.errors import Refusal

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20)


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
    Verifier("key", "secret", "us-east-1").check("POST", target, headers, body)
    with pytest.raises(Refusal, match="does not match"):
        Verifier("key", "secret", "us-east-1").check("POST", target, headers, body + b"x")


@pytest.fixture(scope="module")
def service(start_shared: Any) -> Any:
    return start_shared("def echo(e, c): return e", {"echo": {}}, check_signatures=True)


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


def test_a_missing_signature_is_refused(service: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{service.endpoint}/2015-03-31/functions/")
    assert caught.value.code == 403
    assert caught.value.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    caught.value.close()


def signed(at: float, **change: str) -> dict[bytes, bytes]:
    from lbench.workloads.sigv4 import EMPTY_SHA256, Credentials, Signer

    signer = Signer(Credentials("key", "secret"), change.get("region", "us-east-1"), change.get("service", "lambda"))
    headers = signer.sign("GET", "/x", "", {"host": "h"}, EMPTY_SHA256, at=at)
    return {name.encode(): value.encode() for name, value in headers.items()}


@pytest.mark.parametrize(
    ("skew_s", "part"), [(-310, "Signature expired: 20"), (310, "Signature not yet current: 20"), (-290, ""), (290, "")]
)
def test_five_minutes_of_skew_are_allowed(skew_s: int, part: str) -> None:
    now = time.time()
    verifier, headers = Verifier("key", "secret", "us-east-1"), signed(now + skew_s)
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
        Verifier("key", "secret", "us-east-1").check("GET", "/x", signed(time.time(), **change), b"")


@pytest.mark.parametrize("text", ["Bearer x", "AWS4-HMAC-SHA256 Credential=key", ""])
def test_an_incomplete_signature_is_refused(text: str) -> None:
    headers = signed(time.time()) | {b"authorization": text.encode()}
    with pytest.raises(Refusal) as caught:
        Verifier("key", "secret", "us-east-1").check("GET", "/x", headers, b"")
    assert caught.value.name in ("IncompleteSignatureException", "MissingAuthenticationTokenException")
