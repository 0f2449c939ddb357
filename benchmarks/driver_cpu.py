"""The driver's CPU time per Lambda invocation: client, runner and journal together, against aioboto3's client alone.

Both sides make 1,000 calls at once over connections that are open, to the same canned server in another process. CPU
time is this process's, all threads (the journal's too).
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

from certificates import self_signed  # noqa: E402
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
from lbench.workloads.encoding import encode  # noqa: E402
from lbench.workloads.model import Job, Task  # noqa: E402
from lbench.workloads.sigv4 import Credentials  # noqa: E402
from lbench.workloads.wire import Event, Object  # noqa: E402

CALLS = 1000
KEYS = Credentials("lbench-benchmark", "lbench-benchmark")
NOOP = encode(["probe.noop", {"number": 1}])


class CannedBackend(LambdaBackend):
    """The Lambda backend at the canned server."""

    def __init__(self, place: Resolved) -> None:
        super().__init__(LambdaSettings(), capacity=CALLS)
        self._place = place

    async def _start(self) -> tuple[Resolved, Callable[[], Credentials], ObjectStore]:
        store = ObjectStore(KEYS, region="us-east-1", endpoint=None, bucket="lbench-benchmark", prefix="run")
        return self._place, lambda: KEYS, store

    async def _stop(self) -> None:
        return


@contextlib.contextmanager
def canned_server(certificate: Path | None = None) -> Iterator[Resolved]:
    """The canned server: where it is, over TLS where a certificate is given."""
    argv = [sys.executable, str(HERE / "peers" / "invoke_server.py"), *([str(certificate)] if certificate else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        scheme = "https" if certificate else "http"
        try:
            endpoint = f"{scheme}://127.0.0.1:{int(process.stdout.readline())}"
            yield Resolved(endpoint, "us-east-1", ca_file=str(certificate) if certificate else None)
        finally:
            process.stdin.close()


def noops() -> Job:
    """One stage of no-op tasks."""
    return (yield [Task("probe.noop", number=number) for number in range(CALLS)])


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """Two rows of the benchmarks' table: plain, and over TLS as to AWS."""
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        return [
            _row(pairs, None, "", at_most=0.25),
            _row(pairs, self_signed(Path(folder)), ", over TLS", at_most=0.3),
        ]


def _row(pairs: int, certificate: Path | None, how: str, at_most: float) -> dict[str, Any]:
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    event = Event(deadline_ms=300_000, result_limit=6_000_000, task=NOOP, result_to=Object("lbench-benchmark", "run/1"))
    import msgspec

    payload = msgspec.json.encode(event)
    with (
        canned_server(certificate) as place,
        tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder,
        asyncio.Runner() as loop,
    ):

        async def opened() -> tuple[CannedBackend, Any, Journal]:
            backend = await CannedBackend(place).__aenter__()
            client = make_client("aioboto3", place, lambda: KEYS)
            await client.open(CALLS)
            return backend, client, Journal(Path(folder))

        backend, client, journal = loop.run(opened())

        async def ours() -> float:
            gc.collect()
            began = time.process_time()
            runner = Runner("r1", backend, journal, Policy(), offload=offload_to_thread)
            runner.start_clock()
            await runner.run(noops())
            await journal.sync()
            return (time.process_time() - began) / CALLS

        async def theirs() -> float:
            gc.collect()
            began = time.process_time()
            await asyncio.gather(*(client.invoke("lbench-1769", payload, 300.0) for _ in range(CALLS)))
            return (time.process_time() - began) / CALLS

        async def closed() -> None:
            await backend.__aexit__(None, None, None)
            await client.close()
            journal.close()

        try:
            ratios = alternate(lambda: loop.run(ours()), lambda: loop.run(theirs()), pairs)
        finally:
            loop.run(closed())
    text = f"driver CPU per Lambda invocation (client, runner, journal), {CALLS:,} at once{how}"
    return figure(text, ratios, at_most=at_most, of="aioboto3's client alone")


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=2))
