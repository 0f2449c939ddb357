"""The emulator's latency: warm against a two-hop echo, a bare server and ministack, cold against a start by hand.

One blocking client with a kept connection serves all sides; a batch's figure is the median of its calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from pairs import alternate, figure, peer_venv  # noqa: E402

from lbench.workloads.sigv4 import Credentials, Signer  # noqa: E402

KEYS = Credentials("benchmark", "benchmark")

BATCH = 20
MINISTACK = "ministack==1.5.33"
HANDLER = "def handle(event, context):\n    return event\n"
EVENT = b'{"n": 1}'

ECHO_WORKER = """
import asyncio, sys
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""

ECHO_SERVER = """
import asyncio, sys
class Upstream(asyncio.Protocol):
    def __init__(self): self.client = None
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.client.write(data)
class Front(asyncio.Protocol):
    def connection_made(self, transport): upstream.client = transport
    def data_received(self, data): upstream.transport.write(data)
async def main():
    global upstream
    loop = asyncio.get_running_loop()
    _, upstream = await loop.create_connection(Upstream, "127.0.0.1", int(sys.argv[1]))
    server = await loop.create_server(Front, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.create_future()
asyncio.run(main())
"""


class Client:
    """A blocking HTTP client with one kept connection: as little of its own as Python allows."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def request(self, data: bytes) -> bytes:
        self._socket.sendall(data)
        return read_message(self._socket)

    def echo(self, data: bytes) -> None:
        self._socket.sendall(data)
        left = len(data)
        while left:
            left -= len(self._socket.recv(65_536))


def read_message(connection: socket.socket) -> bytes:
    """One HTTP message with a Content-Length, or none."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            raise ConnectionError(f"closed after {data!r}")
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    while len(body) < int(length.split(b":")[1]):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def signed(method: str, path: str, body: bytes) -> dict[str, str]:
    """The headers of a signed request, valid for five minutes."""
    signer = Signer(KEYS, "us-east-1", "lambda")
    return signer.sign(method, path, "", {"host": "127.0.0.1"}, hashlib.sha256(body).hexdigest())


def write_config(path: Path, functions: list[dict[str, Any]]) -> None:
    """Write an emulator's configuration with the benchmarks' credentials."""
    path.touch(0o600)
    keys = {"access_key": KEYS.access_key, "secret_key": KEYS.secret_key}
    path.write_text(json.dumps({"functions": functions, **keys}))


def invoke(name: str) -> bytes:
    path = f"/2015-03-31/functions/{name}/invocations"
    lines = "".join(f"{header}: {value}\r\n" for header, value in signed("POST", path, EVENT).items())
    head = f"POST {path} HTTP/1.1\r\n{lines}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT


@contextlib.contextmanager
def process(argv: list[str], **more: Any) -> Iterator[str]:
    """A process that ends with the block; gives the first line of its output."""
    started = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, **more)
    try:
        assert started.stdout is not None
        yield started.stdout.readline().strip()
    finally:
        started.terminate()
        started.wait()
        assert started.stdout is not None
        started.stdout.close()


@contextlib.contextmanager
def emulator(folder: Path, functions: list[str]) -> Iterator[Client]:
    (folder / "app.py").write_text(HANDLER)
    specs = [{"name": name, "code": str(folder), "handler": "app.handle"} for name in functions]
    config = folder / "emulator.json"
    write_config(config, specs)
    argv = [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config)]
    with process(argv) as endpoint, contextlib.closing(Client(int(endpoint.rsplit(":", 1)[1]))) as client:
        yield client


@contextlib.contextmanager
def two_hop_echo() -> Iterator[Client]:
    with (
        process([sys.executable, "-c", ECHO_WORKER]) as worker,
        process([sys.executable, "-c", ECHO_SERVER, worker]) as front,
        contextlib.closing(Client(int(front))) as client,
    ):
        yield client


@contextlib.contextmanager
def bare_server(folder: Path) -> Iterator[Client]:
    """AWS's runtime client behind a server that only passes messages on: what no emulator that uses it can undercut."""
    (folder / "app.py").write_text(HANDLER)
    with process([sys.executable, str(HERE / "peers" / "bare_runtime_api.py")]) as ports:
        front, runtime = ports.split()
        variables = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime}", "AWS_LAMBDA_FUNCTION_NAME": "warm"}
        environ = os.environ | variables | {"PYTHONPATH": str(folder)}
        runs = subprocess.Popen([sys.executable, "-m", "awslambdaric", "app.handle"], env=environ, cwd=folder)
        try:
            with contextlib.closing(Client(int(front))) as client:
                yield client
        finally:
            runs.kill()
            runs.wait()


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[Client]:
    """ministack with the same handler, its warm worker started."""
    python = peer_venv("ministack", [MINISTACK])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "ERROR",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = subprocess.Popen(
        [str(python), "-m", "ministack"],
        env=env,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, server)
        _create(port)
        with contextlib.closing(Client(port)) as client:
            answer = client.request(invoke("echo"))
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"ministack: {answer[:300]!r}")
            yield client
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError("ministack did not start")


def _create(port: int) -> None:
    import boto3

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", HANDLER)
    client = boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_function(
        FunctionName="echo",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/none",
        Handler="app.handle",
        Code={"ZipFile": archive.getvalue()},
        Timeout=3,
    )
    client.get_waiter("function_active_v2").wait(FunctionName="echo")


def p50(call: Any, calls: int = BATCH) -> float:
    """The median seconds of a batch of calls."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def by_hand(folder: Path) -> float:
    """Seconds from starting the very process of an environment, by hand, to its answer."""
    from lbench.engine.emulator.core.spec import FunctionSpec
    from lbench.engine.emulator.environment import bootstrap
    from lbench.engine.emulator.environment.process import variables

    spec = FunctionSpec(name="hand", code=str(folder), handler="app.handle")
    start = time.perf_counter()
    with socket.create_server(("127.0.0.1", 0)) as api:
        address = f"127.0.0.1:{api.getsockname()[1]}"
        started = subprocess.Popen(
            [sys.executable, "-S", "-P", str(bootstrap.__file__), spec.handler, spec.runtime_client],
            env=variables(spec, region="us-east-1", api=address, stream="hand", folder=folder),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        connection, _ = api.accept()
        with connection:
            read_message(connection)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 1\r\n"
                b"Lambda-Runtime-Deadline-Ms: 9999999999999\r\nLambda-Runtime-Invoked-Function-Arn: arn\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(EVENT), EVENT)
            )
            read_message(connection)
            taken = time.perf_counter() - start
        started.kill()
        started.communicate()
    return taken


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """The four figures; each pair is a batch of calls (warm) or one start (cold) on either side."""
    rows = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        warmup = 1
        colds = iter([f"cold-{number}" for number in range(pairs + warmup)])
        with emulator(folder, ["warm", *(f"cold-{number}" for number in range(pairs + warmup))]) as ours:
            warm = invoke("warm")

            def batch() -> float:
                return p50(lambda: ours.request(warm))

            p50(lambda: ours.request(warm), 200)
            with two_hop_echo() as echo:
                p50(lambda: echo.echo(warm), 200)
                ratios = alternate(batch, lambda: p50(lambda: echo.echo(warm)), pairs)
            rows.append(figure("warm invoke p50 against a two-hop echo", ratios, at_most=1.8, of="the echo's p50"))

            with tempfile.TemporaryDirectory() as other, bare_server(Path(other)) as bare:
                p50(lambda: bare.request(warm), 200)
                ratios = alternate(batch, lambda: p50(lambda: bare.request(warm)), pairs)
            rows.append(
                figure(
                    "warm invoke p50 against a bare server", ratios, at_most=1.5, of="its p50, the same runtime client"
                )
            )

            with tempfile.TemporaryDirectory() as other, ministack(Path(other)) as peer:
                request = invoke("echo")
                ratios = alternate(batch, lambda: p50(lambda: peer.request(request)), pairs)
            rows.append(figure("warm invoke p50 against ministack", ratios, at_most=0.05, of="ministack's p50"))

            def cold() -> float:
                return p50(lambda: ours.request(invoke(next(colds))), 1)

            ratios = alternate(cold, lambda: by_hand(folder), pairs, warmup=warmup)
            rows.append(figure("cold start against the same process by hand", ratios, at_most=1.3, of="by hand"))
    return rows


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
