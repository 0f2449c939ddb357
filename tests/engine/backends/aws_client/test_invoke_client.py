"""Both Invoke clients, against a small fake of the API: the same requests, the same replies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from aiohttp import web

from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_api import InvokeClient
from lbench.engine.backends.aws_client.invoke_client import make_client
from lbench.workloads.sigv4 import Credentials, Signer

KEYS = Credentials("AKID", "secret", "token")
Kind = Literal["fast", "aioboto3"]
Handler = Callable[[web.Request], web.Response]
CLIENTS = pytest.mark.parametrize("kind", ["fast", "aioboto3"])


@pytest.fixture(autouse=True)
def _no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@asynccontextmanager
async def client_of(
    kind: Kind, handler: Handler, credentials: Callable[[], Credentials] = lambda: KEYS
) -> AsyncIterator[tuple[InvokeClient, list[web.Request]]]:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        return handler(request)

    application = web.Application()
    application.router.add_post("/2015-03-31/functions/{name}/invocations", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = make_client(kind, Resolved(f"http://127.0.0.1:{runner.addresses[0][1]}", "eu-west-1"), credentials)
    try:
        await client.open(2)
        yield client, seen
    finally:
        await client.close()
        await runner.cleanup()


def fine(request: web.Request) -> web.Response:
    tail = base64.b64encode(b"the tail").decode()
    headers = {"x-amzn-RequestId": "r-1", "X-Amz-Log-Result": tail, "X-Amz-Executed-Version": "$LATEST"}
    return web.Response(body=b'{"a":1}', headers=headers)


@CLIENTS
async def test_a_reply_has_body_request_id_and_tail(kind: Kind) -> None:
    async with client_of(kind, fine) as (client, seen):
        reply = await client.invoke("f", b"{}", 10)
        assert (reply.status, reply.body, reply.request_id) == (200, b'{"a":1}', "r-1")
        assert base64.b64decode(reply.log_result or b"") == b"the tail"
        assert reply.function_error is None and reply.arrived_s <= asyncio.get_running_loop().time()
        assert seen[0].headers["X-Amz-Log-Type"] == "Tail"


@CLIENTS
async def test_credentials_that_were_renewed_sign_the_next_call(kind: Kind) -> None:
    present = [KEYS]
    async with client_of(kind, fine, lambda: present[-1]) as (client, seen):
        await client.invoke("f", b"{}", 10)
        present.append(Credentials("RENEWED", "secret", "other"))
        await client.invoke("f", b"{}", 10)
    assert ["Credential=RENEWED/" in request.headers["Authorization"] for request in seen] == [False, True]
    assert [request.headers["X-Amz-Security-Token"] for request in seen] == ["token", "other"]


@CLIENTS
async def test_a_call_that_could_not_be_sent_says_so(kind: Kind) -> None:
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    client = make_client(kind, Resolved(f"http://127.0.0.1:{port}", "eu-west-1"), lambda: KEYS)
    if kind == "aioboto3":  # the thin client connects when it is opened
        await client.open(1)
    with pytest.raises(ConnectionLost) as caught:
        await client.invoke("f", b"{}", 10)
    await client.close()
    assert caught.value.unsent and not caught.value.timed_out


@CLIENTS
async def test_a_function_error_is_named(kind: Kind) -> None:
    def handler(request: web.Request) -> web.Response:
        return web.Response(body=b'{"errorType":"E"}', headers={"X-Amz-Function-Error": "Unhandled"})

    async with client_of(kind, handler) as (client, _):
        reply = await client.invoke("f", b"{}", 10)
        assert (reply.status, reply.function_error, reply.body) == (200, "Unhandled", b'{"errorType":"E"}')


@CLIENTS
async def test_a_refusal_is_a_reply_and_is_not_tried_again(kind: Kind) -> None:
    def handler(request: web.Request) -> web.Response:
        body = b'{"Type":"User","message":"Rate Exceeded.","Reason":"CallerRateLimitExceeded"}'
        headers = {"x-amzn-ErrorType": "TooManyRequestsException:http://x", "Retry-After": "3"}
        return web.Response(status=429, body=body, headers=headers)

    async with client_of(kind, handler) as (client, seen):
        reply = await client.invoke("f", b"{}", 10)
        assert (reply.status, reply.error_type) == (429, "TooManyRequestsException")
        assert reply.retry_after_s == 3.0
        assert b"Rate Exceeded" in reply.body and b"CallerRateLimitExceeded" in reply.body
        assert len(seen) == 1


@CLIENTS
async def test_a_broken_connection_is_a_connection_lost(kind: Kind) -> None:
    def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with client_of(kind, handler) as (client, seen):
        with pytest.raises(ConnectionLost):
            await client.invoke("f", b"{}", 10)
        assert len(seen) == 1


async def test_the_signature_is_that_of_what_arrived() -> None:
    async with client_of("fast", fine) as (client, seen):
        await client.invoke("arn:aws:lambda:eu-west-1:123456789012:function:f-1:live", b'{"x":1}', 10)
        request = seen[0]
        assert request.headers["x-amz-security-token"] == "token"
        assert request.query_string == "Qualifier=live"
        signed = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        digest = hashlib.sha256(b'{"x":1}').hexdigest()
        headers = {name: request.headers[name] for name in signed}
        import calendar
        import time

        at = calendar.timegm(time.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))
        again = Signer(KEYS, "eu-west-1", "lambda").sign(
            "POST", request.rel_url.raw_path, request.query_string, headers, digest, at=at
        )
        assert again["authorization"] == request.headers["authorization"]


@CLIENTS
async def test_nothing_of_the_users_environment_is_asked(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_PROFILE": "not-there",
        "AWS_CONFIG_FILE": "/not/there",
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "THEIRS",
    }.items():
        monkeypatch.setenv(name, value)
    async with client_of(kind, fine) as (client, seen):
        assert (await client.invoke("f", b"{}", 10)).status == 200
        assert "Credential=AKID/" in seen[0].headers["authorization"]
