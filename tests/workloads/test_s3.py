"""The handler's S3 client against a server that fails in every way: retries and error messages."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lbench.workloads.s3 import ObjectStoreError, S3Client, credentials_from_environment
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Object

BODY = b"0123456789" * 100


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `script`: a status, "torn", "reset"; then serves objects."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[int | str] = []
        self.objects: dict[str, bytes] = {}
        self.seen: list[str] = []
        self.headers: list[dict[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _any(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        server.seen.append(f"{self.command} {self.path}")
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        step = server.script.pop(0) if server.script else 200
        if step == "reset":
            self.close_connection = True
            return
        if step == "torn":
            self.send_response(200)
            self.send_header("content-length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:-1])
            self.close_connection = True
            return
        if step == "changed":
            return self._answer(200, BODY[::-1])
        if step != 200:
            assert isinstance(step, int)
            return self._answer(step, b"<Error><Code>TheCode</Code><Message>the text</Message></Error>")
        if self.command == "PUT":
            server.objects[self.path] = body
        self._answer(200, server.objects.get(self.path, b"") if self.command == "GET" else b"")

    do_GET = do_PUT = do_DELETE = _any

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
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


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, waits: list[float]) -> Iterator[S3Client]:
    client = S3Client(
        Credentials("AK", "SK"), endpoint=f"http://127.0.0.1:{server.server_port}", timeout_s=5, sleep=waits.append
    )
    yield client
    client.close()


def place(server: Server, key: str = "k", digest: str | None = None) -> Object:
    return Object("b", key, "us-east-1", f"http://127.0.0.1:{server.server_port}", digest)


def test_bytes_come_back_and_every_request_is_counted(server: Server, client: S3Client) -> None:
    stored = client.put(place(server, "odd key/ü+&?"), BODY)
    assert stored.sha256 == hashlib.sha256(BODY).hexdigest() and stored.bytes == len(BODY)
    assert client.get(stored) == BODY
    assert client.requests == {"get": 1, "put": 1}
    assert server.seen == ["PUT /b/odd%20key/%C3%BC%2B%26%3F", "GET /b/odd%20key/%C3%BC%2B%26%3F"]
    assert server.headers[0]["x-amz-content-sha256"] == stored.sha256


@pytest.mark.parametrize("step", [500, 503, "reset", "torn", "changed"])
def test_temporary_failures_are_retried(server: Server, client: S3Client, waits: list[float], step: int | str) -> None:
    stored = client.put(place(server), BODY)
    server.script = [step, step]
    assert client.get(stored) == BODY
    assert len(server.seen) == 4
    assert client.requests["get"] == (1 if isinstance(step, int) else 3)  # what S3 itself fails is free
    assert len(waits) == 2 and waits[0] < waits[1] * 4 and all(wait > 0 for wait in waits)


def test_a_file_is_sent_again_from_its_beginning(server: Server, client: S3Client, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(BODY)
    server.script = [500, "reset"]
    client.put_file(place(server), path, hashlib.sha256(BODY).hexdigest())
    assert server.objects["/b/k"] == BODY


def test_a_file_appears_only_when_it_is_whole(server: Server, client: S3Client, tmp_path: Path) -> None:
    stored = client.put(place(server), BODY)
    target = tmp_path / "data"
    server.script = ["torn"] * 5
    with pytest.raises(ObjectStoreError, match="5 times"):
        client.get_to_file(stored, target)
    assert list(tmp_path.iterdir()) == []
    client.get_to_file(stored, target)
    assert target.read_bytes() == BODY and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("status", "hint"), [(403, "credentials"), (404, "deleted"), (301, "region")])
def test_permanent_failures_are_reported_at_once(server: Server, client: S3Client, status: int, hint: str) -> None:
    server.script = [status]
    with pytest.raises(ObjectStoreError, match=f"{status} TheCode the text.*{hint}"):
        client.get(place(server))
    assert client.requests["get"] == 1


def test_deleting_a_missing_object_succeeds(server: Server, client: S3Client) -> None:
    server.script = [404]
    client.delete("b", "k")
    assert server.seen == ["DELETE /b/k"]


def test_every_request_names_the_account_that_the_bucket_must_belong_to(server: Server, waits: list[float]) -> None:
    endpoint = f"http://127.0.0.1:{server.server_port}"
    client = S3Client(Credentials("AK", "SK"), endpoint=endpoint, owner="123456789012", sleep=waits.append)
    client.put(place(server), BODY)
    client.get(place(server))
    client.delete("b", "k")
    client.close()
    assert len(server.headers) == 3
    assert all(sent["x-amz-expected-bucket-owner"] == "123456789012" for sent in server.headers)
    assert all("x-amz-expected-bucket-owner" in sent["authorization"] for sent in server.headers)  # signed, too


def test_a_closed_client_gives_up(server: Server, client: S3Client) -> None:
    client.close()
    with pytest.raises(ObjectStoreError, match="closed"):
        client.get(place(server))


def test_aws_itself_is_addressed_by_virtual_host() -> None:
    from lbench.workloads.s3 import _address

    assert _address(Object("b", "k e", "eu-west-1")) == ("https", "b.s3.eu-west-1.amazonaws.com", "/k%20e")


def test_missing_credentials_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(ObjectStoreError, match="AWS_ACCESS_KEY_ID"):
        credentials_from_environment()
