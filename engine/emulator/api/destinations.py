"""The destination of failed events' records: an S3 bucket, with AWS's object names."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from lbench.engine.emulator.core.spec import EmulatorConfig
from lbench.workloads.s3 import ObjectStoreError, S3Client
from lbench.workloads.wire import Object

__all__ = ["Destinations", "bucket_of", "object_key"]

_S3 = "arn:aws:s3:::"


def bucket_of(arn: str) -> str | None:
    """The bucket's name; None: not a bucket's ARN."""
    return arn[len(_S3) :] if arn.startswith(_S3) and len(arn) > len(_S3) else None


def object_key(function: str, at: float, unique: str) -> str:
    """A record's object name, as AWS documents it; `at` in seconds since the epoch."""
    moment = time.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S", time.gmtime(at))
    return f"aws/lambda/async/{function}/{moment}-{unique}"


class Destinations:
    """Writes records one at a time, outside the loop."""

    def __init__(self, config: EmulatorConfig) -> None:
        self.endpoint = config.s3_endpoint
        self._region = config.region
        self._client = None
        if config.s3_endpoint is not None:
            credentials = config.with_credentials().credentials
            self._client = S3Client(
                credentials, region=config.region, endpoint=config.s3_endpoint, timeout_s=10.0, attempts=3
            )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="destinations")  # the client is for one thread

    async def write(self, arn: str, function: str, record: bytes) -> bool:
        """Store the record; whether it was stored (AWS counts failures as DestinationDeliveryFailures)."""
        bucket = bucket_of(arn)
        if self._client is None or bucket is None:
            return False
        place = Object(bucket, object_key(function, time.time(), str(uuid.uuid4())), self._region, self.endpoint)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._client.put, place, record)
        except ObjectStoreError as problem:
            sys.stderr.write(f"lbench: cannot store the record of a failed event: {problem}\n")
            return False
        return True

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
