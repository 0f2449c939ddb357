"""Invocations of type Event: queued in memory, run later, retried as AWS does, and recorded after the last failure.

AWS (Developer Guide, "How Lambda handles errors and retries with asynchronous invocation"): a function's error is
retried twice, after one minute and after two more; a throttle or a service error is retried with waits that grow
from 1 s to 5 min, as long as the event's age allows.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from lbench.engine.emulator.api.destinations import Destinations
from lbench.engine.emulator.api.functions import Function, Pool
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.invocation import Invocation, Log
from lbench.engine.emulator.core.spec import EmulatorConfig

__all__ = ["EventConfig", "EventQueue"]

ERROR_WAITS_S = (60.0, 120.0)
THROTTLE_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
LONGEST_AGE_S = 21_600


class EventConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of PutFunctionEventInvokeConfig, of one version."""

    retries: int | None = None  # None: 2
    age_s: int | None = None  # None: 6 hours
    on_failure: str | None = None  # an S3 bucket's ARN
    modified: float = 0.0  # seconds since the epoch


class _Event:
    """One event until it has run or is dropped."""

    __slots__ = ("first", "function", "invoked", "queued_s", "throttled", "timer", "version")

    def __init__(self, function: Function, version: str, first: Invocation, queued_s: float) -> None:
        self.function = function
        self.version = version
        self.first = first
        self.queued_s = queued_s
        self.invoked = 0  # number of runs
        self.throttled = 0  # number of refusals since the last run
        self.timer: asyncio.TimerHandle | None = None


class _Attempt(Invocation):
    """One run of an event; the queue waits for its result."""

    __slots__ = ("answered",)

    answered: Any

    def answer(self, payload: bytes | bytearray, *, failed: str | None, log: Log | None) -> None:
        """Pass the result to the queue."""
        self.answered(bytes(payload), failed, None)

    def refuse(self, refusal: Refusal) -> None:
        """Pass the result to the queue."""
        self.answered(b"", None, refusal)


class EventQueue:
    """The queue of all functions."""

    def __init__(self, config: EmulatorConfig, functions: Mapping[str, Function], destinations: Destinations) -> None:
        self.configs: dict[tuple[str, str], EventConfig] = {}  # by function and version
        self.counts = dict.fromkeys(("queued", "succeeded", "failed", "expired", "recorded", "unrecorded"), 0)
        self._functions = functions
        self._destinations = destinations
        self._scale = config.event_time_scale
        self._region = config.region
        self._loop = asyncio.get_running_loop()
        self._waiting: set[_Event] = set()
        self._recording: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """The number of events in the queue."""
        return len(self._waiting)

    def put(self, function: Function, pool: Pool, invocation: Invocation) -> None:
        """Queue an event; it runs as soon as the loop is free."""
        event = _Event(function, pool.spec.version, invocation, self._loop.time())
        self.counts["queued"] += 1
        self._waiting.add(event)
        event.timer = self._loop.call_later(0, self._run, event)

    def forget(self, name: str) -> None:
        """Drop the settings of a deleted function."""
        for key in [key for key in self.configs if key[0] == name]:
            del self.configs[key]

    def close(self) -> None:
        """Drop all events: the queue lives in memory."""
        for event in self._waiting:
            if event.timer is not None:
                event.timer.cancel()
        self._waiting.clear()

    async def closed(self) -> None:
        """Wait for the records in progress."""
        if self._recording:
            await asyncio.wait(self._recording, timeout=1.0)

    def _run(self, event: _Event) -> None:
        event.timer = None
        if event.function.reserved == 0:  # AWS: no retries, straight to the destination
            self._give_up(event, "ZeroReservedConcurrency", None, b"", "failed")
            return
        pool = event.function.pools.get(event.version)
        if pool is None or self._functions.get(event.function.name) is not event.function:
            self._waiting.discard(event)
            return
        first = event.first
        attempt = _Attempt(
            None, first.request_id, first.arn, first.event, version=event.version, trace_id=first.trace_id
        )
        attempt.tenant_id = first.tenant_id
        attempt.answered = lambda payload, failed, refusal: self._answered(event, payload, failed, refusal)
        event.function.invoke(pool, attempt)

    def _answered(self, event: _Event, payload: bytes, failed: str | None, refusal: Refusal | None) -> None:
        if event not in self._waiting:
            return
        config = self.configs.get((event.function.name, event.version), EventConfig())
        if refusal is not None and (refusal.status == 429 or refusal.name == "ServiceException"):
            wait_s = min(THROTTLE_WAIT_S * 2**event.throttled, LONGEST_WAIT_S)
            event.throttled += 1
            self._again(event, config, wait_s, None, b"")
            return
        event.invoked += 1
        event.throttled = 0
        if refusal is None and failed is None:
            self.counts["succeeded"] += 1
            self._waiting.discard(event)
            return
        error = failed or "Unhandled"
        if refusal is not None:
            payload = refusal.body()
        if event.invoked > (len(ERROR_WAITS_S) if config.retries is None else config.retries):
            self._give_up(event, "RetriesExhausted", error, payload, "failed")
        else:
            self._again(event, config, ERROR_WAITS_S[event.invoked - 1], error, payload)

    def _again(self, event: _Event, config: EventConfig, wait_s: float, failed: str | None, payload: bytes) -> None:
        """Run it again after a wait, unless it is too old by then."""
        wait_s *= self._scale
        if self._loop.time() + wait_s - event.queued_s > (config.age_s or LONGEST_AGE_S) * self._scale:
            self._give_up(event, "EventAgeExceeded", failed, payload, "expired")
        else:
            event.timer = self._loop.call_later(wait_s, self._run, event)

    def _give_up(self, event: _Event, condition: str, failed: str | None, payload: bytes, count: str) -> None:
        self._waiting.discard(event)
        self.counts[count] += 1
        config = self.configs.get((event.function.name, event.version))
        if config is None or config.on_failure is None:
            return
        record = self._record(event, condition, failed, payload)
        task = self._loop.create_task(self._write(config.on_failure, event.function.name, record))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _write(self, arn: str, function: str, record: bytes) -> None:
        written = await self._destinations.write(arn, function, record)
        self.counts["recorded" if written else "unrecorded"] += 1

    def _record(self, event: _Event, condition: str, failed: str | None, payload: bytes) -> bytes:
        """AWS's invocation record ("Capturing records of Lambda asynchronous invocations")."""
        now = time.time()
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z",
            "requestContext": {
                "requestId": event.first.request_id,
                "functionArn": naming.arn(self._region, event.function.name, event.version),
                "condition": condition,
                "approximateInvokeCount": event.invoked,
            },
            "requestPayload": _json(event.first.event),
        }
        if failed is not None:
            record["responseContext"] = {"statusCode": 200, "executedVersion": event.version, "functionError": failed}
            record["responsePayload"] = _json(payload)
        return json.dumps(record).encode()


def _json(payload: bytes | bytearray) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")
