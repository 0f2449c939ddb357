"""100 results of 20 MB fetched from S3: the driver's store against aioboto3's defaults, from the same server.

python benchmarks/s3_results.py [PAIRS]

The server sends a file from memory by sendfile, so that what is seen is what the two clients take of the cores that they
share with it. All results are kept, as a stage's are. Ours checks each object against its CRC-32; aioboto3 checks nothing
here, for the server names no checksum.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from pairs import alternate, figure  # noqa: E402

from lbench.engine.backends.lambda_.object_store import ObjectStore  # noqa: E402
from lbench.workloads.sigv4 import Credentials  # noqa: E402
from lbench.workloads.wire import Object  # noqa: E402

__all__ = ["run"]

_OBJECTS, _BYTES = 100, 20_000_000
_KEYS = Credentials("lbench", "lbench-secret")


async def _ours(endpoint: str, places: list[Object]) -> float:
    store = ObjectStore(_KEYS, region="us-east-1", endpoint=endpoint, bucket="b", prefix="run")

    start = time.perf_counter()
    results = await asyncio.gather(*map(store.get, places))
    seconds = time.perf_counter() - start
    store.close()
    assert sum(map(len, results)) == _OBJECTS * _BYTES
    return seconds


async def _theirs(endpoint: str, places: list[Object]) -> float:
    import aioboto3

    session = aioboto3.Session(_KEYS.access_key, _KEYS.secret_key, region_name="us-east-1")
    async with session.client("s3", endpoint_url=endpoint) as client:

        async def one(place: Object) -> bytes:
            answer = await client.get_object(Bucket=place.bucket, Key=place.key)
            body: bytes = await answer["Body"].read()
            return body

        start = time.perf_counter()
        results = await asyncio.gather(*map(one, places))
        seconds = time.perf_counter() - start
    assert sum(map(len, results)) == _OBJECTS * _BYTES
    return seconds


def run(pairs: int = 15) -> list[dict[str, Any]]:
    """One figure."""
    with tempfile.TemporaryDirectory(prefix="lbench-benchmark-") as folder:
        body = secrets.token_bytes(_BYTES)
        file = Path(folder) / "result"
        file.write_bytes(body)
        argv = [sys.executable, str(HERE / "peers" / "object_server.py"), str(file)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            crc = zlib.crc32(body)
            places = [
                Object("b", f"run/{number}.result", "us-east-1", endpoint, None, _BYTES, crc)
                for number in range(_OBJECTS)
            ]
            try:
                ratios = alternate(
                    lambda: asyncio.run(_theirs(endpoint, places)), lambda: asyncio.run(_ours(endpoint, places)), pairs
                )
            finally:
                server.kill()
    return [figure(f"{_OBJECTS} x 20 MB of results from S3", ratios, at_least=1.5, of="aioboto3's defaults' speed")]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 15), indent=1))
