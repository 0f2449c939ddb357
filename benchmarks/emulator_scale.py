"""The emulator with many environments: how fast 200 start, how fast 100 answer, and what an idle one weighs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from emulator_latency import EVENT, HANDLER, invoke, ministack, process, signed, write_config  # noqa: E402
from pairs import PairedRatios, alternate, figure  # noqa: E402

MANY = 200
CONCURRENCY = 100
CALLS = 1000
PEER_CALLS = 100  # ministack's rate needs no more
WEIGHED = 20
LIMIT_MB = 1.5
_NEXT = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 1\r\n"
    b"Lambda-Runtime-Deadline-Ms: 9999999999999\r\nLambda-Runtime-Invoked-Function-Arn: arn\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(EVENT), EVENT)
)
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def emulator(folder: Path, functions: list[str]) -> Iterator[tuple[int, int]]:
    """An emulator's port and process id."""
    (folder / "app.py").write_text(HANDLER)
    specs = [{"name": name, "code": str(folder), "handler": "app.handle"} for name in functions]
    config = folder / "scale.json"
    write_config(config, specs)
    argv = [sys.executable, "-m", "lbench.engine.emulator", "--config", str(config)]
    with process(argv) as endpoint:
        port = int(endpoint.rsplit(":", 1)[1])
        yield port, _listener(port)


def _listener(port: int) -> int:
    """The process that listens on a port of 127.0.0.1."""
    import psutil

    return next(
        int(one.pid) for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port
    )


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"refused: {head[:300]!r}")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    return await reader.readexactly(length)


async def call_all(port: int, requests: list[list[bytes]]) -> float:
    """Seconds from the first request to the last answer: a connection for each list, its requests one by one."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in requests]

    async def one(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], own: list[bytes]) -> None:
        for request in own:
            connection[1].write(request)
            await _answer(connection[0])

    start = time.perf_counter()
    await asyncio.gather(*(one(connection, own) for connection, own in zip(connections, requests, strict=True)))
    taken = time.perf_counter() - start
    for _, writer in connections:
        writer.close()
    return taken


def start_environments(folder: Path) -> float:
    """Seconds until 200 functions, all cold, have answered."""
    names = [f"f{number}" for number in range(MANY)]
    with emulator(folder, names) as (port, _):
        return asyncio.run(call_all(port, [[invoke(name)] for name in names]))


class ByHand:
    """The same processes as environments have, with the least that makes them answer one invocation."""

    def __init__(self, folder: Path, count: int) -> None:
        from lbench.engine.emulator.core.spec import FunctionSpec
        from lbench.engine.emulator.environment import bootstrap
        from lbench.engine.emulator.environment.process import variables

        (folder / "app.py").write_text(HANDLER)
        spec = FunctionSpec(name="hand", code=str(folder), handler="app.handle")
        self._api = socket.create_server(("127.0.0.1", 0), backlog=count)
        address = f"127.0.0.1:{self._api.getsockname()[1]}"
        environ = variables(spec, region="us-east-1", api=address, stream="hand", folder=folder)
        argv = [sys.executable, "-S", "-P", str(bootstrap.__file__), spec.handler, spec.runtime_client]
        self.processes = [
            subprocess.Popen(
                argv,
                env=environ,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
            for _ in range(count)
        ]
        self._serve(count)

    def _serve(self, count: int) -> None:
        """Give each process one event, and take its answer; it then waits for its next one."""
        self._connections: list[socket.socket] = []
        self._waiting: set[socket.socket] = set()  # asked for an event, and has got none yet
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._api, selectors.EVENT_READ)
        while len(self._connections) < count:
            self._api_turn()
        self.turns(1)

    def _api_turn(self) -> None:
        for key, _ in self._selector.select():
            if key.fileobj is self._api:
                connection, _ = self._api.accept()
                self._connections.append(connection)
                self._selector.register(connection, selectors.EVENT_READ)
            else:
                self._hear(key.fileobj)  # type: ignore[arg-type]

    def _hear(self, connection: socket.socket) -> int:
        """Read a process's message; True if it was an answer."""
        data = connection.recv(65_536)
        answered = data.startswith(b"POST")
        if answered:
            connection.sendall(_ACCEPTED)
        if b"GET /" in data:
            self._waiting.add(connection)
        return answered

    def turns(self, each: int) -> float:
        """Seconds until each process has answered `each` events, one after the other, and waits again."""
        start = time.perf_counter()
        left = dict.fromkeys(self._connections, each)
        while any(left.values()) or len(self._waiting) < len(self._connections):
            for connection in [one for one in self._waiting if left[one]]:
                self._waiting.discard(connection)
                connection.sendall(_NEXT)
            for key, _ in self._selector.select():
                if key.fileobj is not self._api:
                    left[key.fileobj] -= self._hear(key.fileobj)  # type: ignore[arg-type,index]
        return time.perf_counter() - start

    def close(self) -> None:
        for one in self.processes:
            one.kill()
            one.communicate()
        for connection in self._connections:
            connection.close()
        self._selector.close()
        self._api.close()


def start_by_hand(folder: Path) -> float:
    """Seconds until 200 such processes have answered."""
    start = time.perf_counter()
    by_hand = ByHand(folder, MANY)
    taken = time.perf_counter() - start
    by_hand.close()
    return taken


def _pss_mb(pids: list[int]) -> float:
    """Memory of processes, pages that several share divided among them."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
        total += int(text.split(b"\nPss:", 1)[1].split(None, 1)[0])
    return total / 1024


def weigh_environments(folder: Path) -> float:
    """MB that an idle environment takes, its part of the emulator included."""
    import urllib.request

    names = [f"f{number}" for number in range(WEIGHED + 1)]
    with emulator(folder, names) as (port, pid):
        asyncio.run(call_all(port, [[invoke(names[0])]]))
        before = _pss_mb([pid])
        asyncio.run(call_all(port, [[invoke(name)] for name in names[1:]]))
        path = "/_lbench/environments"
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=signed("GET", path, b""))
        with urllib.request.urlopen(request) as answer:
            pids = [environment["pid"] for environment in json.load(answer)["environments"]]
        return _pss_mb(pids) / len(pids) + (_pss_mb([pid]) - before) / WEIGHED


def weigh_by_hand(folder: Path) -> float:
    """MB of the bare runtime process after one invocation."""
    by_hand = ByHand(folder, WEIGHED + 1)
    weight = _pss_mb([one.pid for one in by_hand.processes]) / (WEIGHED + 1)
    by_hand.close()
    return weight


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """The four figures."""
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ratios = alternate(lambda: start_environments(folder), lambda: start_by_hand(folder), pairs, warmup=0)
        rows = [figure(f"{MANY} environments against {MANY} such processes", ratios, at_most=1.2, of="by hand")]
        with emulator(folder, ["echo"]) as (port, _), tempfile.TemporaryDirectory() as other:
            own = [[invoke("echo")] * (CALLS // CONCURRENCY)] * CONCURRENCY
            asyncio.run(call_all(port, own))
            bare = ByHand(folder, CONCURRENCY)
            ratios = alternate(
                lambda: asyncio.run(call_all(port, own)), lambda: bare.turns(CALLS // CONCURRENCY), pairs
            )
            bare.close()
            text = f"warm invocations at concurrency {CONCURRENCY} against bare runtime processes"
            # Its own client, the Invoke API and freezing come on top of what the runtime client alone takes.
            rows.append(figure(text, ratios, at_most=2, of="the runtime client alone"))
            with ministack(Path(other)) as peer:
                peer_port = peer.port
                theirs = [[invoke("echo")] * (PEER_CALLS // CONCURRENCY)] * CONCURRENCY
                ratios = alternate(
                    lambda: asyncio.run(call_all(port, own)) / CALLS,
                    lambda: asyncio.run(call_all(peer_port, theirs)) / PEER_CALLS,
                    pairs,
                )
        text = f"time of a warm invocation at concurrency {CONCURRENCY} against ministack"
        rows.append(figure(text, ratios, at_most=0.05, of="ministack's time"))
        weights = alternate(lambda: weigh_environments(folder), lambda: weigh_by_hand(folder), pairs, warmup=0)
        above = tuple(own - bare for own, bare in zip(weights.first_s, weights.second_s, strict=True))
        ratios = PairedRatios(above, (LIMIT_MB,) * len(above))
        text = "memory of an idle environment above the bare process"
        rows.append(figure(text, ratios, at_most=1, of=f"{LIMIT_MB} MB"))
    return rows


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
