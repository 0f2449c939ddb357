"""How soon the 1,000th of 1,000 requests is at the server, over TLS on connections that are open.

Our side is the whole driver (runner, backend, client, journal), theirs aioboto3's client alone. The server, in a process
of its own, answers when all have come: so each side holds 1,000 connections, and its stamp is the figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import msgspec  # noqa: E402
from certificates import self_signed  # noqa: E402
from driver_cpu import CALLS, KEYS, NOOP, noops  # noqa: E402
from pairs import alternate, figure  # noqa: E402

from lbench.engine.backends.aws_client.endpoints import Resolved  # noqa: E402
from lbench.engine.backends.aws_client.invoke_client import make_client  # noqa: E402
from lbench.engine.backends.lambda_.backend import LambdaBackend  # noqa: E402
from lbench.engine.backends.lambda_.object_store import ObjectStore  # noqa: E402
from lbench.engine.backends.settings import LambdaSettings  # noqa: E402
from lbench.engine.journal.writer import Journal  # noqa: E402
from lbench.engine.plan.policy import Policy  # noqa: E402
from lbench.engine.runner.job_steps import offload_to_thread  # noqa: E402
from lbench.engine.runner.runner import Runner  # noqa: E402
from lbench.workloads.sigv4 import Credentials  # noqa: E402
from lbench.workloads.wire import Event, Object  # noqa: E402


class TlsBackend(LambdaBackend):
    """The Lambda backend at the TLS server."""

    def __init__(self, place: Resolved) -> None:
        super().__init__(LambdaSettings(), capacity=CALLS)
        self._place = place

    async def _start(self) -> tuple[Resolved, Callable[[], Credentials], ObjectStore]:
        store = ObjectStore(KEYS, region="us-east-1", endpoint=None, bucket="lbench-benchmark", prefix="run")
        return self._place, lambda: KEYS, store

    async def _stop(self) -> None:
        return


class FanoutServer:
    """The server: where it is, and when the last request of a batch came."""

    def __init__(self, process: subprocess.Popen[str], certificate: Path) -> None:
        self._process = process
        self.place = Resolved(f"https://127.0.0.1:{self._line()}", "us-east-1", ca_file=str(certificate))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def last_came(self) -> float:
        """The time of the batch's last request, on this machine's monotonic clock."""
        return float(self._line())


@contextlib.contextmanager
def fanout_server(folder: Path) -> Iterator[FanoutServer]:
    """The server in a process of its own."""
    certificate = self_signed(folder)
    argv = [sys.executable, str(HERE / "peers" / "tls_server.py"), str(certificate), str(CALLS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        try:
            yield FanoutServer(process, certificate)
        finally:
            process.stdin.close()


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """The row of the benchmarks' table."""
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    event = Event(deadline_ms=300_000, result_limit=6_000_000, task=NOOP, result_to=Object("lbench-benchmark", "run/1"))
    payload = msgspec.json.encode(event)
    with (
        tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder,
        fanout_server(Path(folder)) as server,
        asyncio.Runner() as loop,
    ):

        async def opened() -> tuple[TlsBackend, Any, Journal]:
            backend = await TlsBackend(server.place).__aenter__()
            client = make_client("aioboto3", server.place, lambda: KEYS)
            await client.open(CALLS)
            return backend, client, Journal(Path(folder))

        backend, client, journal = loop.run(opened())

        async def ours() -> float:
            gc.collect()
            began = time.monotonic()
            runner = Runner("r1", backend, journal, Policy(), offload=offload_to_thread)
            runner.start_clock()
            await runner.run(noops())
            return began

        async def theirs() -> float:
            gc.collect()
            began = time.monotonic()
            await asyncio.gather(*(client.invoke("lbench-1769", payload, 300.0) for _ in range(CALLS)))
            return began

        def timed(side: Callable[[], Any]) -> Callable[[], float]:
            def once() -> float:
                began: float = loop.run(side())
                return server.last_came() - began

            return once

        async def closed() -> None:
            await backend.__aexit__(None, None, None)
            await client.close()
            journal.close()

        try:
            ratios = alternate(timed(ours), timed(theirs), pairs, warmup=2)  # the first opens theirs
        finally:
            loop.run(closed())
    text = f"the {CALLS:,}th of {CALLS:,} requests received, TLS, connections open"
    return [figure(text, ratios, at_most=0.3, of="aioboto3's time")]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=2))
