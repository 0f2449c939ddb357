"""Our signatures are botocore's, whatever the request looks like."""

from __future__ import annotations

import calendar
import datetime
import hashlib
import json
import time
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.workloads.sigv4 import Credentials, Signer, encode_path, encode_query

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=20,
)
SECRET = st.text("abcXYZ019+/=", min_size=1, max_size=40)
CREDENTIALS = st.builds(
    Credentials,
    st.text("ABCDEFGHIJ0123456789", min_size=1, max_size=20),
    SECRET,
    st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=300),
)
SEGMENT = st.one_of(TEXT, st.sampled_from(["..", ".", "", "a b", "arn:aws:lambda:x:1:function:f", "~", "%2F", "ü"]))
PATH = st.lists(SEGMENT, max_size=5).map(lambda parts: "/" + "/".join(parts))
HEADERS = st.dictionaries(
    st.from_regex(r"\Ax-[a-z0-9-]{1,12}\Z").filter(lambda n: n not in ("x-amz-date", "x-amz-content-sha256")),
    TEXT,
    max_size=4,
)
EPOCH = st.integers(min_value=0, max_value=4_000_000_000)


def botocores(
    service: str,
    credentials: Credentials,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    at: int,
) -> dict[str, str]:
    keys = botocore.credentials.Credentials(credentials.access_key, credentials.secret_key, credentials.token)
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    url = "http://example.com" + path + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest("POST", url, headers=dict(headers), data=body)
    now = datetime.datetime.fromtimestamp(at, datetime.UTC)
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda: now, create=True):
        kind(keys, service, "eu-central-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    service=st.sampled_from(["lambda", "s3", "execute-api"]),
    credentials=CREDENTIALS,
    path=PATH,
    query=st.lists(st.tuples(TEXT, TEXT), max_size=4),
    headers=HEADERS,
    body=st.binary(max_size=50),
    at=EPOCH,
)
def test_every_signature_equals_botocores(
    service: str,
    credentials: Credentials,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    at: int,
) -> None:
    wire_path, wire_query = encode_path(path), encode_query(query)
    signer = Signer(credentials, "eu-central-1", service)
    given_headers = headers | {"host": "example.com"}
    ours = signer.sign("POST", wire_path, wire_query, given_headers, hashlib.sha256(body).hexdigest(), at=at)
    theirs = botocores(service, credentials, wire_path, wire_query, headers, body, at)
    assert ours["authorization"] == theirs["authorization"]
    for name in ("x-amz-date", "x-amz-security-token", "x-amz-content-sha256"):
        assert ours.get(name) == theirs.get(name)


RAW_QUERY = st.lists(
    st.sampled_from(
        ["a=1", "a", "a=", "=1", "=", "", "a=b=c", "a=%20", "a=+", "%E1%88%B4=ü", "A=1", "a=~", "%zz", "b&&"]
    )
).map("&".join)


@given(query=RAW_QUERY, service=st.sampled_from(["lambda", "s3"]))
def test_odd_query_strings_are_signed_as_botocore_does(query: str, service: str) -> None:
    keys = Credentials("AK", "SK", "a token")
    ours = Signer(keys, "eu-central-1", service).sign(
        "POST", "/x", query, {"host": "example.com"}, hashlib.sha256(b"").hexdigest(), at=1_000_000_000
    )
    theirs = botocores(service, keys, "/x", query, {}, b"", 1_000_000_000)
    assert ours["authorization"] == theirs["authorization"]


@given(offset_s=st.floats(-1e6, 1e6), now=st.floats(2e6, 4e9))
def test_a_signer_that_knows_the_clock_is_wrong_signs_for_the_right_time(offset_s: float, now: float) -> None:
    keys = Credentials("AK", "SK")
    arguments = ("POST", "/x", "", {"host": "example.com"}, hashlib.sha256(b"").hexdigest())
    with mock.patch.object(time, "time", lambda: now):
        corrected = Signer(keys, "eu-central-1", "lambda", offset_s=offset_s).sign(*arguments)
    assert corrected == Signer(keys, "eu-central-1", "lambda").sign(*arguments, at=now + offset_s)
    theirs = botocores("lambda", keys, "/x", "", {}, b"", int(now + offset_s))
    assert corrected["authorization"] == theirs["authorization"]


SUITE = json.loads((Path(__file__).parent / "data" / "aws_sig_v4_test_suite.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", SUITE["cases"], ids=lambda case: case["name"])
def test_awss_published_test_vector_is_signed_as_published(case: dict[str, Any]) -> None:
    headers: dict[str, str] = {}
    for name, value in case["headers"]:  # a header given twice is one with both values (RFC 9110, 5.3)
        headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
    path, _, query = case["target"].partition("?")
    signer = Signer(Credentials(*SUITE["credentials"], case.get("token")), SUITE["region"], SUITE["service"])
    signed = signer.sign(
        case["method"],
        path,
        quote(query, safe="&=%-_.~"),
        headers,
        hashlib.sha256(case.get("body", "").encode()).hexdigest(),
        at=calendar.timegm(time.strptime(SUITE["signed_at"], "%Y%m%dT%H%M%SZ")),
    )
    assert signed["authorization"] == case["authorization"]


@given(credentials=CREDENTIALS, moments=st.lists(EPOCH, min_size=1, max_size=5), paths=st.lists(PATH, min_size=1))
def test_cached_signing_keys_never_change_a_signature(
    credentials: Credentials, moments: list[int], paths: list[str]
) -> None:
    kept = Signer(credentials, "us-east-1", "lambda")
    digest = hashlib.sha256(b"").hexdigest()
    for at in moments:
        for path in map(encode_path, paths):
            fresh = Signer(credentials, "us-east-1", "lambda")
            arguments = ("POST", path, "", {"host": "h"}, digest)
            assert kept.sign(*arguments, at=at) == fresh.sign(*arguments, at=at)


def test_a_published_example_of_aws_is_signed_as_published() -> None:
    # AWS General Reference, "Complete Version 4 signing examples": ListUsers, 2015-08-30
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "iam.amazonaws.com",
    }
    signed = Signer(credentials, "us-east-1", "iam").sign(
        "GET",
        "/",
        "Action=ListUsers&Version=2010-05-08",
        headers,
        hashlib.sha256(b"").hexdigest(),
        at=datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC).timestamp(),
    )
    assert signed["authorization"].endswith("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")


def test_credentials_do_not_show_their_secret() -> None:
    assert "hush" not in repr(Credentials("A", "hush", "hush"))
    assert "hush" not in str(Credentials("A", "hush", "hush"))
