"""The HTTP client over real TLS and through proxies, with a certificate authority of our own."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from lbench.engine.backends.aws_client.connection import ConnectionLost
from lbench.engine.backends.aws_client.credentials import ChainCredentials
from lbench.engine.backends.aws_client.dialer import Dialer
from lbench.engine.backends.aws_client.endpoints import resolve
from lbench.engine.backends.aws_client.http_pool import HttpPool, request_head
from lbench.engine.backends.aws_client.invoke_client import make_client
from lbench.workloads.s3_connection import ssl_context


@asynccontextmanager
async def listening(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], context: ssl.SSLContext | None
) -> AsyncIterator[int]:
    """A server's port; at the end its connections, which the other side has closed, are waited for."""
    handlers: list[asyncio.Task[Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        try:
            with suppress(asyncio.IncompleteReadError, OSError):
                await connected(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*handlers), 5)


class Server:
    """Answers every request with its request line, over TLS where it has a context."""

    def __init__(self) -> None:
        self.names: list[str | None] = []  # SNI
        self.heads: list[bytes] = []
        self.connections = 0
        self.cut = False  # whether bodies are cut short
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while not self.cut:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0))
            self.heads.append(head)
            line = head.split(b"\r\n")[0]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(line) + line)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshor")


@asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[Server]:
    served = Server()
    if context is not None:
        context.sni_callback = lambda _socket, name, _context: served.names.append(name)
    async with listening(served.connected, context) as served.port:
        yield served
    if context is not None:
        context.sni_callback = None


class Proxy:
    """A tiny CONNECT proxy; `user` where it asks for one; requests that are not CONNECT are passed on."""

    def __init__(self, user: str | None = None) -> None:
        self.asked: list[bytes] = []
        self.port = 0
        self._wanted = user and b"basic " + base64.b64encode(user.encode())

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0])
        given = head.lower().partition(b"proxy-authorization: ")[2].partition(b"\r")[0]
        if self._wanted and given != self._wanted.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, target, _ = self.asked[-1].split(b" ")
        place = target if method == b"CONNECT" else target.partition(b"//")[2].partition(b"/")[0]
        if place.startswith(b"refused"):
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        port = int(place.rpartition(b":")[2])
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", port)
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            onward.write(head)
        await asyncio.gather(_copy(reader, onward), _copy(onward_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def proxying(user: str | None = None, context: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    proxy = Proxy(user)
    async with listening(proxy.connected, context) as proxy.port:
        yield proxy


@asynccontextmanager
async def pooled(url: str, authority: SimpleNamespace, proxy: str | None = None) -> AsyncIterator[HttpPool]:
    pool = HttpPool(Dialer(url, proxy=proxy, ca_file=authority.ca_file))
    try:
        yield pool
    finally:
        pool.close()


async def ask(pool: HttpPool, body: bytes = b"") -> bytes:
    headers = [("host", pool.host), ("content-length", str(len(body)))]
    head = request_head("POST", f"{pool.target_prefix}/x", headers, pool.hop_headers)
    return (await pool.request(head, body, 10)).body


async def test_requests_go_over_tls_on_kept_connections_to_the_server_named(authority: SimpleNamespace) -> None:
    async with serving(authority.server) as server, pooled(f"https://localhost:{server.port}", authority) as pool:
        await pool.open(3)
        for _ in range(4):
            assert await ask(pool, bytes(200_000)) == b"POST /x HTTP/1.1"
        assert server.connections == 3 and server.names == ["localhost"] * 3


async def test_there_is_one_ssl_context_for_all_connections(authority: SimpleNamespace) -> None:
    assert ssl_context(authority.ca_file) is ssl_context(authority.ca_file)


async def test_tcp_keeps_connections_alive(authority: SimpleNamespace) -> None:
    async with serving(authority.server) as server, pooled(f"https://localhost:{server.port}", authority) as pool:
        await pool.open(1)
        sock = pool._idle[0]._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 350


async def test_an_untrusted_server_certificate_is_refused_with_the_remedy(authority: SimpleNamespace) -> None:
    async with serving(authority.server) as server:
        pool = HttpPool(Dialer(f"https://localhost:{server.port}"))
        with pytest.raises(ConnectionLost, match="AWS_CA_BUNDLE"):
            await ask(pool)


async def test_a_server_of_another_name_is_refused(authority: SimpleNamespace) -> None:
    async with (
        serving(authority.server) as server,
        proxying() as proxy,
        pooled(f"https://elsewhere.test:{server.port}", authority, f"http://127.0.0.1:{proxy.port}") as pool,
    ):
        with pytest.raises(ConnectionLost, match="not trusted"):
            await ask(pool)


async def test_a_truncated_body_is_an_error_over_tls_too(authority: SimpleNamespace) -> None:
    async with serving(authority.server) as server, pooled(f"https://localhost:{server.port}", authority) as pool:
        server.cut = True
        with pytest.raises(ConnectionLost, match="cut short"):
            await ask(pool)


async def test_an_https_server_is_reached_through_a_tunnel(authority: SimpleNamespace) -> None:
    async with (
        serving(authority.server) as server,
        proxying("me@home:p%ss") as proxy,
        pooled(
            f"https://localhost:{server.port}", authority, f"http://me%40home:p%25ss@127.0.0.1:{proxy.port}"
        ) as pool,
    ):
        await pool.open(2)
        assert await ask(pool) == b"POST /x HTTP/1.1"
        assert proxy.asked == [f"CONNECT localhost:{server.port} HTTP/1.1".encode()] * 2
        assert b"proxy-authorization" not in server.heads[0].lower()
        assert server.names == ["localhost"] * 2


async def test_a_proxy_may_be_spoken_to_over_tls_itself(authority: SimpleNamespace) -> None:
    async with (
        serving(authority.server) as server,
        proxying(context=authority.server) as proxy,
        pooled(f"https://localhost:{server.port}", authority, f"https://localhost:{proxy.port}") as pool,
    ):
        assert await ask(pool) == b"POST /x HTTP/1.1"


async def test_an_http_server_is_named_whole_to_the_proxy(authority: SimpleNamespace) -> None:
    async with (
        serving(None) as server,
        proxying("u:p") as proxy,
        pooled(f"http://127.0.0.1:{server.port}", authority, f"http://u:p@127.0.0.1:{proxy.port}") as pool,
    ):
        assert await ask(pool) == f"POST http://127.0.0.1:{server.port}/x HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("user", "host", "expected"),
    [("u:p", "localhost", "requires a user and password"), (None, "refused", "403 Forbidden")],
)
async def test_a_refusing_proxy_is_reported_without_its_password(
    authority: SimpleNamespace, user: str | None, host: str, expected: str
) -> None:
    async with (
        proxying(user) as proxy,
        pooled(f"https://{host}:1", authority, f"http://me:hush@127.0.0.1:{proxy.port}") as pool,
    ):
        with pytest.raises(ConnectionLost, match=expected) as caught:
            await ask(pool)
        assert "hush" not in str(caught.value)


async def test_an_unreachable_proxy_is_named_in_the_error(authority: SimpleNamespace) -> None:
    async with proxying() as proxy:
        pass
    async with pooled("https://localhost:1", authority, f"http://me:hush@127.0.0.1:{proxy.port}") as pool:
        with pytest.raises(ConnectionLost, match=r"through the proxy 127\.0\.0\.1:\d+ cannot be reached") as caught:
            await ask(pool)
        assert "hush" not in str(caught.value)


def test_an_invalid_proxy_url_is_refused() -> None:
    with pytest.raises(ValueError, match="user:password"):
        Dialer("https://localhost", proxy="socks5://127.0.0.1:1")


@pytest.mark.parametrize("kind", ["fast", "aioboto3"])
async def test_both_clients_go_the_way_that_the_users_configuration_says(
    kind: Literal["fast", "aioboto3"], authority: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    keys = '{"Version":1,"AccessKeyId":"AKPROCESS","SecretAccessKey":"hush","SessionToken":"token"}'
    (tmp_path / "keys.json").write_text(keys)
    async with serving(authority.server) as server, proxying("me:p%ss") as proxy:
        (tmp_path / "config").write_text(
            f"[profile mine]\nregion = eu-west-2\nca_bundle = {authority.ca_file}\nservices = own\n"
            f"credential_process = {sys.executable} -c \"print(open('{tmp_path}/keys.json').read())\"\n"
            f"[services own]\nlambda =\n  endpoint_url = https://localhost:{server.port}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_PROFILE", "mine")
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%25ss@127.0.0.1:{proxy.port}")
        place = await asyncio.to_thread(resolve, "lambda")
        async with ChainCredentials() as credentials:
            client = make_client(kind, place, credentials)
            await client.open(1)
            try:
                reply = await client.invoke("f", b"{}", 10)
            finally:
                await client.close()
        assert (reply.status, reply.body) == (200, b"POST /2015-03-31/functions/f/invocations HTTP/1.1")
        assert proxy.asked[-1] == f"CONNECT localhost:{server.port} HTTP/1.1".encode()
        head = server.heads[-1].decode().lower()
        assert "credential=akprocess/" in head and "/eu-west-2/lambda/aws4_request" in head
        assert "x-amz-security-token: token" in head and "proxy-authorization" not in head
        assert place.proxy is not None and "p%25ss" not in repr(place)
