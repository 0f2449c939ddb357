"""How the S3 client reaches its server: proxies, a wrong clock, credentials that change."""

from __future__ import annotations

import base64
import calendar
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lbench.workloads.s3 import ObjectStoreError, S3Client
from lbench.workloads.s3_connection import Connector
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Object


class Server(ThreadingHTTPServer):
    """An S3 whose clock is `offset_s` off; as a proxy it sees whole URLs, and refuses CONNECT."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.offset_s = 0.0
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.seen.append((self.command, self.path))
        server.headers.append(headers)
        now = time.time() + server.offset_s
        if "x-amz-date" in headers:
            signed = calendar.timegm(time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))
            if abs(signed - now) > 900:
                return self._say(403, b"<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>", now)
        self._say(200, b"the body", now)

    def do_CONNECT(self) -> None:
        self.server.seen.append((self.command, self.path))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self._say(407, b"", time.time())
        self.close_connection = True

    def _say(self, status: int, body: bytes, now: float) -> None:
        self.send_response_only(status)
        self.send_header("date", formatdate(now, usegmt=True))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


KEYS = Credentials("AK", "SK")


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("offset_s", [7200.0, -7200.0])
def test_a_wrong_clock_is_corrected_by_the_servers(server: Server, offset_s: float) -> None:
    server.offset_s = offset_s
    client = S3Client(KEYS, endpoint=url(server), sleep=lambda _: None)
    place = Object("b", "k", endpoint=url(server))
    assert client.get(place) == b"the body" and len(server.seen) == 2
    assert client.get(place) == b"the body" and len(server.seen) == 3
    client.close()


def test_new_credentials_are_used_at_the_next_request(server: Server) -> None:
    keys = [KEYS]
    client = S3Client(lambda: keys[0], endpoint=url(server))
    place = Object("b", "k", endpoint=url(server))
    client.get(place)
    keys[0] = Credentials("NEW", "SK", "token")
    client.get(place)
    client.close()
    assert "Credential=AK/" in server.headers[0]["authorization"]
    assert "Credential=NEW/" in server.headers[1]["authorization"]
    assert server.headers[1]["x-amz-security-token"] == "token"


def test_a_plain_endpoint_is_named_whole_to_the_proxy(server: Server) -> None:
    client = S3Client(KEYS, proxy=f"http://u%40x:hush@127.0.0.1:{server.server_port}")
    assert client.get(Object("b", "k", endpoint="http://s3.test:9000")) == b"the body"
    client.close()
    assert server.seen == [("GET", "http://s3.test:9000/b/k")]
    given = server.headers[0]["proxy-authorization"].removeprefix("Basic ")
    assert base64.b64decode(given) == b"u@x:hush" and server.headers[0]["host"] == "s3.test:9000"


def test_aws_is_reached_through_a_tunnel_and_a_refusal_hides_the_password(server: Server) -> None:
    client = S3Client(KEYS, proxy=f"http://u:hush@127.0.0.1:{server.server_port}", attempts=1)
    with pytest.raises(ObjectStoreError, match="407") as caught:
        client.get(Object("b", "k", "eu-west-1"))
    client.close()
    assert server.seen == [("CONNECT", "b.s3.eu-west-1.amazonaws.com:443")]
    assert "proxy-authorization" in server.headers[0] and "authorization" not in server.headers[0]
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://x:1", "https://u:hush@x:1", "nonsense"])
def test_an_unusable_proxy_is_reported_without_its_password(proxy: str) -> None:
    with pytest.raises(ObjectStoreError, match="a proxy must be") as caught:
        S3Client(KEYS, proxy=proxy)
    assert "hush" not in str(caught.value)
    with pytest.raises(ValueError):
        Connector(timeout_s=1, proxy=proxy)
