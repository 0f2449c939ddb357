"""What a Lambda-like backend does through S3 before and after a call, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lbench.engine.backends.base import Call, Outcome
from lbench.engine.backends.lambda_.backend import LambdaBackend
from lbench.engine.backends.settings import ServedSettings
from lbench.engine.journal.events import Dispatched
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import Runner
from lbench.engine.virtual_time import run_virtual
from lbench.workloads.encoding import encode
from lbench.workloads.s3 import ObjectStoreError
from lbench.workloads.wire import Answer, Object


class Store:
    """An S3 that refuses to store anything."""

    def place(self, kind: str, folder: str = "") -> Object:
        return Object("bucket", kind)

    async def put(self, kind: str, body: bytes, made: dict[str, int]) -> Object:
        made["put"] = 5
        raise ObjectStoreError("S3 PUT failed: 503 SlowDown")


class SlowStore:
    """An S3 behind a thin line: two objects at once, 20 s each."""

    def __init__(self) -> None:
        self._line = asyncio.Semaphore(2)

    def place(self, kind: str, folder: str = "") -> Object:
        return Object("bucket", kind)

    async def put(self, kind: str, body: bytes, made: dict[str, int]) -> Object:
        async with self._line:
            await asyncio.sleep(20)
        return Object("bucket", kind)

    async def get(self, place: Object, made: dict[str, int]) -> bytes:
        async with self._line:
            await asyncio.sleep(20)
        return encode(7)


class Transport:
    """Where everything goes through S3; the function takes `seconds[call]`, else 5."""

    event_bytes = 0

    def __init__(self, seconds: dict[int, float] | None = None) -> None:
        self.carried = 0
        self._seconds = seconds or {}

    def prepare(self, event: Any) -> None:
        pass

    async def carry(
        self, event: Any, payload: bytes, deadline_s: float, allowance_s: float, arriving: Callable[[], None]
    ) -> tuple[Outcome, Answer]:
        loop = asyncio.get_running_loop()
        self.carried += 1
        await asyncio.sleep(self._seconds.get(event.call, 5.0))
        now_s = loop.time()
        answer = Answer("e", False, now_s - 5, now_s, result_at=Object("bucket", "result", bytes=1))
        return Outcome(returned_s=now_s), answer


def backend_of(store: Any, transport: Any, capacity: int = 1) -> LambdaBackend:
    backend = LambdaBackend(ServedSettings(region="us-east-1", arch="x86_64"), capacity=capacity)
    backend._store, backend._transport = store, transport
    return backend


def test_a_call_whose_arguments_could_not_be_stored_never_ran() -> None:
    call = Call(task=b"a task", stage=0, index=0, attempt=0, deadline_s=30.0)
    outcome = run_virtual(backend_of(Store(), Transport()).invoke(call))
    assert outcome.failure is not None and outcome.failure.unrun and outcome.failure.retriable
    assert outcome.s3_requests == {"put": 5}


def run(fakes: Any, transport: Transport, policy: Policy, tasks: int = 40) -> tuple[Any, Any]:
    """A run of so many tasks at once behind the thin line; its answer and its events."""
    sink = fakes.Sink()

    async def main() -> Any:
        return await Runner("r1", backend_of(SlowStore(), transport, tasks), sink, policy).run(fakes.one_stage(tasks))

    return run_virtual(main()), sink


def test_waiting_for_s3_before_and_after_a_call_is_not_counted_against_its_deadline(fakes: Any) -> None:
    transport = Transport()
    answer, sink = run(fakes, transport, Policy(timeout_s=30.0, retries=0))
    assert answer == [7] * 40 and transport.carried == 40
    assert sink.statuses() == ["ok"] * 40


def test_a_function_that_does_not_end_is_given_up_at_its_deadline_all_the_same(fakes: Any) -> None:
    with pytest.raises(RunFailed, match="no result within the deadline of 30 s"):
        run(fakes, Transport({3: 1e6}), Policy(timeout_s=30.0, retries=0), tasks=4)


def test_a_task_whose_result_is_only_to_be_fetched_is_no_straggler(fakes: Any) -> None:
    transport = Transport()
    transport.event_bytes = 10**6  # the arguments go inline
    _, sink = run(fakes, transport, Policy(timeout_s=3000.0, hedge=0.5))
    assert len(sink.of(Dispatched)) == 40
