"""What a Lambda-like backend does through S3 before and after a call, in virtual time."""

from __future__ import annotations

from typing import Any

from lbench.engine.backends.base import Call
from lbench.engine.backends.lambda_ import LambdaBackend
from lbench.engine.backends.settings import LambdaSettings
from lbench.engine.virtual import run_virtual
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.wire import Object


class Store:
    """An S3 that refuses to store anything."""

    def place(self, kind: str, folder: str = "") -> Object:
        return Object("bucket", kind)

    async def put(self, kind: str, body: bytes, made: dict[str, int]) -> Object:
        made["put"] = 5
        raise ObjectStoreError("S3 PUT failed: 503 SlowDown")


class Transport:
    """Where everything goes through S3."""

    event_bytes = 0

    def prepare(self, event: Any) -> None:
        pass


def backend_of(store: Any, transport: Any) -> LambdaBackend:
    backend = LambdaBackend(LambdaSettings(region="us-east-1", arch="x86_64"), capacity=1)
    backend._store, backend._transport = store, transport
    return backend


def test_a_call_whose_arguments_could_not_be_stored_never_ran() -> None:
    call = Call(task=b"a task", stage=0, index=0, attempt=0, deadline_s=30.0)
    outcome = run_virtual(backend_of(Store(), Transport()).invoke(call))
    assert outcome.failure is not None and outcome.failure.unrun and outcome.failure.retriable
    assert outcome.s3_requests == {"put": 5}
