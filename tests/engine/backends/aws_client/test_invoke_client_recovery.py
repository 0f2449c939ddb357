"""What the thin client mends by itself: a wrong clock and expired credentials, once each; and how it is reached."""

from __future__ import annotations

import asyncio
import calendar
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from aiohttp import web

from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_client import FastClient, make_client
from lbench.errors import BackendError
from lbench.workloads.clock_skew import clock_offset
from lbench.workloads.sigv4 import Credentials

KEYS = Credentials("AKID", "secret", "token")
Handler = Callable[[web.Request], web.Response]


@asynccontextmanager
async def client_of(
    handler: Handler,
    credentials: Callable[[], Credentials] = lambda: KEYS,
    *,
    base: str = "",
    context: ssl.SSLContext | None = None,
    ca_file: str | None = None,
) -> AsyncIterator[tuple[FastClient, list[web.Request]]]:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        return handler(request)

    application = web.Application()
    application.router.add_post("/{anything:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "https" if context else "http"
    place = Resolved(f"{scheme}://localhost:{runner.addresses[0][1]}{base}", "eu-west-1", ca_file=ca_file)
    client = make_client("fast", place, credentials)
    assert isinstance(client, FastClient)
    try:
        yield client, seen
    finally:
        await client.close()
        await runner.cleanup()


def signed_at(request: web.Request) -> float:
    return calendar.timegm(time.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))


def a_server_whose_clock_is(offset_s: float, error: str = "InvalidSignatureException") -> Handler:
    def handler(request: web.Request) -> web.Response:
        now = time.time() + offset_s
        headers = {"Date": formatdate(now, usegmt=True)}
        if abs(signed_at(request) - now) <= 300:
            return web.Response(body=b"{}", headers=headers)
        body = b'{"message":"Signature expired: 20261122T000000Z is now earlier than ..."}'
        return web.Response(status=403, body=body, headers=headers | {"x-amzn-ErrorType": error})

    return handler


@pytest.mark.parametrize("offset_s", [3600.0, -3600.0, 86_400.0 * 400, 301.0])
@pytest.mark.parametrize("error", ["InvalidSignatureException", "RequestTimeTooSkewed"])
async def test_a_wrong_clock_is_corrected_by_the_servers_and_the_call_goes_through(offset_s: float, error: str) -> None:
    async with client_of(a_server_whose_clock_is(offset_s, error)) as (client, seen):
        assert (await client.invoke("f", b"{}", 10)).status == 200
        assert len(seen) == 2 and abs(client.signer.offset_s - offset_s) < 5
        assert (await client.invoke("f", b"{}", 10)).status == 200
        assert len(seen) == 3  # it stays corrected


async def test_many_calls_at_once_are_all_corrected() -> None:
    async with client_of(a_server_whose_clock_is(7200)) as (client, seen):
        replies = await asyncio.gather(*(client.invoke("f", b"{}", 10) for _ in range(30)))
        assert {reply.status for reply in replies} == {200}
        assert len(seen) <= 60


async def test_the_correction_outlives_the_credentials() -> None:
    keys = [KEYS]
    async with client_of(a_server_whose_clock_is(3600), lambda: keys[0]) as (client, seen):
        await client.invoke("f", b"{}", 10)
        keys[0] = Credentials("NEW", "secret")
        assert (await client.invoke("f", b"{}", 10)).status == 200
        assert len(seen) == 3


def refusing(error: str, **headers: str) -> Handler:
    return lambda _: web.Response(status=403, body=b"{}", headers={"x-amzn-ErrorType": error, **headers})


@pytest.mark.parametrize(
    "handler",
    [
        refusing("InvalidSignatureException"),
        refusing("AccessDeniedException", Date=formatdate(0, usegmt=True)),
        refusing("InvalidSignatureException", Date="yesterday"),
    ],
    ids=["a wrong key", "no permission", "no date"],
)
async def test_a_refusal_for_another_reason_than_the_clock_is_returned_at_once(handler: Handler) -> None:
    async with client_of(handler) as (client, seen):
        assert (await client.invoke("f", b"{}", 10)).status == 403
        assert len(seen) == 1 and client.signer.offset_s == 0


async def test_a_clock_that_stays_wrong_is_tried_twice_and_no_more() -> None:
    moving = iter(range(1, 100))

    def handler(request: web.Request) -> web.Response:
        headers = {"Date": formatdate(time.time() + 10_000 * next(moving), usegmt=True)}
        return web.Response(status=403, body=b"{}", headers=headers | {"x-amzn-ErrorType": "RequestTimeTooSkewed"})

    async with client_of(handler) as (client, seen):
        assert (await client.invoke("f", b"{}", 10)).status == 403
        assert len(seen) == 3


class Renewed:
    """Credentials with another pair behind them, or none."""

    def __init__(self, *following: Credentials) -> None:
        self.now, self.following, self.asked = KEYS, list(following), 0

    def __call__(self) -> Credentials:
        return self.now

    async def renew(self, stale: Credentials) -> Credentials:
        self.asked += 1
        if self.now is stale and self.following:
            self.now = self.following.pop(0)
        return self.now


def expired_but_for(name: str) -> Handler:
    def handler(request: web.Request) -> web.Response:
        if f"Credential={name}/" in request.headers["authorization"]:
            return web.Response(body=b"{}")
        return web.Response(status=403, body=b"{}", headers={"x-amzn-ErrorType": "ExpiredTokenException"})

    return handler


async def test_expired_credentials_are_renewed_and_the_call_goes_through() -> None:
    source = Renewed(Credentials("NEW", "secret"))
    async with client_of(expired_but_for("NEW"), source) as (client, seen):
        replies = await asyncio.gather(*(client.invoke("f", b"{}", 10) for _ in range(10)))
        assert {reply.status for reply in replies} == {200}
        assert len(seen) <= 20


async def test_a_refusal_is_returned_where_there_are_no_newer_credentials() -> None:
    async with client_of(expired_but_for("NEW"), Renewed()) as (client, seen):
        reply = await client.invoke("f", b"{}", 10)
        assert (reply.status, reply.error_type) == (403, "ExpiredTokenException") and len(seen) == 1


async def test_an_endpoint_with_a_path_over_tls_of_the_users_authority(authority: SimpleNamespace) -> None:
    answer = web.Response
    async with client_of(
        lambda _: answer(body=b"{}"), base="/front", context=authority.server, ca_file=authority.ca_file
    ) as (client, seen):
        await client.open(2)
        assert (await client.invoke("f", b"{}", 10)).status == 200
        assert seen[0].path == "/front/2015-03-31/functions/f/invocations"


def test_the_offset_is_the_difference_of_the_clocks_where_that_can_be_why() -> None:
    date = formatdate(time.time() + 600, usegmt=True)
    assert clock_offset("RequestTimeTooSkewed", date, 0.0) == pytest.approx(600, abs=5)
    assert clock_offset("RequestTimeTooSkewed", date, 600.0) is None
    assert clock_offset("AccessDeniedException", date, 0.0) is None
    assert clock_offset(None, date, 0.0) is None
    assert clock_offset("RequestTimeTooSkewed", None, 0.0) is None


@pytest.mark.parametrize(
    "place",
    [
        Resolved("ftp://u:hush@x", "r"),
        Resolved("https://x", "r", proxy="socks5://u:hush@x"),
        Resolved("https://x", "r", ca_file="/not/there.pem"),
    ],
)
async def test_a_place_that_cannot_be_used_is_one_line(place: Resolved) -> None:
    with pytest.raises(BackendError, match="cannot be used") as caught:
        make_client("fast", place, lambda: KEYS)
    assert "hush" not in str(caught.value)
