"""A thousand faults of every kind in one run, through the real client, backend and runner: nothing lost or counted twice."""

from __future__ import annotations

import asyncio
import base64
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lbench.engine.backends.aws_client.endpoints import Resolved
from lbench.engine.backends.aws_client.invoke_client import FastClient
from lbench.engine.backends.lambda_ import backend as lambda_
from lbench.engine.backends.lambda_.backend import LambdaBackend
from lbench.engine.backends.lambda_.object_store import ObjectStore
from lbench.engine.backends.settings import ServedSettings
from lbench.engine.journal.events import Returned
from lbench.engine.plan.policy import Policy
from lbench.engine.runner.job_steps import RunFailed
from lbench.engine.runner.runner import Runner
from lbench.workloads.encoding import decode, encode
from lbench.workloads.model import Task
from lbench.workloads.sigv4 import Credentials
from lbench.workloads.wire import Answer, Event

KEYS = Credentials("AK", "SK")
TASKS, FAULTS, SILENCES = 300, 1000, 5
DEADLINE_S = 4.0
BILLED_MS = 7


class Wire:
    """One connection at the server: what came last on it, and how to write."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.last: bytes | None = None

    def write(self, data: bytes) -> bool:
        self.writer.write(data)
        return True

    def end(self, data: bytes = b"") -> bool:
        """Write, then close."""
        if data:
            self.writer.write(data)
        return False

    def reset(self) -> bool:
        self.writer.transport.abort()
        return False


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def tail(request_id: str) -> str:
    log = f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: 6.1 ms\t"
    log += f"Billed Duration: {BILLED_MS} ms\tMemory Size: 1769 MB\tMax Memory Used: 9 MB\t\n"
    return base64.b64encode(log.encode()).decode()


def answer(event: Event, number: int, *headers: str, call: int | None = None) -> bytes:
    now, request_id = time.time(), str(uuid.uuid4())
    expected = Answer("e1", False, now, now, call=event.call if call is None else call, result=encode(number))
    return http(
        200,
        msgspec.json.encode(expected),
        f"x-amzn-RequestId: {request_id}",
        f"X-Amz-Log-Result: {tail(request_id)}",
        *headers,
    )


def refusal(status: int, kind: str, *headers: str, reason: str | None = None) -> bytes:
    body = msgspec.json.encode({"message": "no", "Reason": reason} if reason else {"message": "no"})
    return http(status, body, f"x-amzn-ErrorType: {kind}", *headers)


def function_error(kind: str, text: str, label: str = "Unhandled") -> bytes:
    request_id = str(uuid.uuid4())
    body = msgspec.json.encode({"errorType": kind, "errorMessage": text})
    return http(
        200,
        body,
        f"X-Amz-Function-Error: {label}",
        f"x-amzn-RequestId: {request_id}",
        f"X-Amz-Log-Result: {tail(request_id)}",
    )


Deed = Callable[[Wire, Event, int], "bool | Awaitable[bool]"]


async def in_drops(wire: Wire, event: Event, number: int) -> bool:
    whole = answer(event, number)
    for start in range(0, len(whole), 40):
        wire.write(whole[start : start + 40])
        await wire.writer.drain()
        await asyncio.sleep(0)
    return True


async def silence(wire: Wire, event: Event, number: int) -> bool:
    await wire.reader.read()
    return False


def chunked(event: Event, number: int, *, ends: bool) -> bytes:
    head, _, body = answer(event, number).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    framed = b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if ends else b"")
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + framed


def skewed(wire: Wire, event: Event, number: int) -> bool:
    date = formatdate(
        time.time() + random.Random(number).choice([-1, 1]) * (1000 + 100 * (event.call or 0)), usegmt=True
    )
    return wire.write(refusal(403, "InvalidSignatureException", f"Date: {date}"))


REASONS = (
    "ConcurrentInvocationLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
    "CallerRateLimitExceeded",
    "ConcurrentSnapshotCreateLimitExceeded",
)
REFUSALS = {
    500: "ServiceException",
    502: "EC2UnexpectedException",
    503: "ServiceUnavailableException",
    504: "GatewayTimeout",
    409: "ResourceConflictException",
    408: "SnapStartTimeoutException",
    410: "EFSIOException",
}

# What the server does instead of answering, and what the attempt's status is then (None: the client mends it by itself).
DEEDS: dict[str, tuple[str | None, Deed]] = {
    **{
        f"429 {reason}": (
            "throttled",
            lambda w, e, n, r=reason: w.write(refusal(429, "TooManyRequestsException", "Retry-After: 0", reason=r)),
        )  # type: ignore[misc]
        for reason in REASONS
    },
    **{
        f"{status} {kind}": ("error", lambda w, e, n, s=status, k=kind: w.write(refusal(s, k)))  # type: ignore[misc]
        for status, kind in REFUSALS.items()
    },
    "503 of a load balancer": ("error", lambda w, e, n: w.end(http(503, b"<html>busy</html>", "Connection: close"))),
    "reset": ("error", lambda w, e, n: w.reset()),
    "closed": ("error", lambda w, e, n: w.end()),
    "closed in the status line": ("error", lambda w, e, n: w.end(b"HTTP/1.1 2")),
    "closed in the headers": ("error", lambda w, e, n: w.end(answer(e, n)[:60])),
    "closed in the body": ("error", lambda w, e, n: w.end(answer(e, n)[:-1])),
    "closed in a chunk": ("error", lambda w, e, n: w.end(chunked(e, n, ends=False))),
    "no HTTP": ("error", lambda w, e, n: w.write(b"SSH-2.0-OpenSSH_9.6\r\n")),
    "no JSON": ("error", lambda w, e, n: w.write(http(200, b"{nonsense"))),
    "nothing": ("error", lambda w, e, n: w.write(http(200, b""))),
    "null": ("error", lambda w, e, n: w.write(http(200, b"null"))),
    "JSON of a wrong shape": ("error", lambda w, e, n: w.write(http(200, b'{"environment":1}'))),
    "another call's answer": ("error", lambda w, e, n: w.write(answer(e, n + 1, call=(e.call or 0) + 1))),
    "the answer before": ("error", lambda w, e, n: w.write(w.last or answer(e, n - 1, call=-1))),
    "exit": ("error", lambda w, e, n: w.write(function_error("Runtime.ExitError", "Error: Runtime exited"))),
    "memory": ("error", lambda w, e, n: w.write(function_error("Runtime.OutOfMemory", "signal: killed"))),
    "handled": ("error", lambda w, e, n: w.write(function_error("Sandbox.Failure", "no", "Handled"))),
    "extension": ("error", lambda w, e, n: w.write(function_error("Extension.Crash", "no"))),
    "S3": ("error", lambda w, e, n: w.write(function_error("ObjectStoreError", "S3 GET failed"))),
    "timed out": (
        "timeout",
        lambda w, e, n: w.write(function_error("Sandbox.Timedout", "Task timed out after 3.00 s")),
    ),
    "the watchdog": ("timeout", lambda w, e, n: w.write(function_error("Runtime.ExitError", "exit status 124"))),
    "silence": ("timeout", silence),
    "twice": ("ok", lambda w, e, n: w.write(answer(e, n) * 2)),
    "twice, then closed": ("ok", lambda w, e, n: w.end(answer(e, n) * 2)),
    "followed by nonsense": ("ok", lambda w, e, n: w.write(answer(e, n) + b"\x00\x01")),
    "in drops": ("ok", in_drops),
    "chunked": ("ok", lambda w, e, n: w.write(chunked(e, n, ends=True))),
    "after 100 Continue": ("ok", lambda w, e, n: w.write(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(e, n))),
    "closed after it": ("ok", lambda w, e, n: w.end(answer(e, n))),
    "announced as the last": ("ok", lambda w, e, n: w.end(answer(e, n, "Connection: close"))),
    "a tail that is none": ("ok", lambda w, e, n: w.write(answer(e, n, "X-Amz-Log-Result: %%%"))),
    "a wrong clock": (None, skewed),
}


class FaultServer:
    """Speaks the Invoke API; for each task it does what is planned, then answers."""

    def __init__(self, plan: dict[int, list[str]]) -> None:
        self.plan = {number: list(names) for number, names in plan.items()}
        self.done: Counter[str] = Counter()
        self.requests = 0
        self.handlers: list[asyncio.Task[Any]] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.handlers.append(task)
        wire = Wire(reader, writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.one(wire):
                pass
        writer.close()

    async def one(self, wire: Wire) -> bool:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        event = msgspec.json.decode(await wire.reader.readexactly(length), type=Event)
        assert event.task is not None
        number = decode(event.task)[1]["number"]
        self.requests += 1
        planned = self.plan.get(number)
        if not planned:
            self.done["answered"] += 1
            wire.last = answer(event, number)
            return wire.write(wire.last)
        name = planned.pop()
        self.done[name] += 1
        going = DEEDS[name][1](wire, event, number)
        return going if isinstance(going, bool) else await going


class FaultyBackend(LambdaBackend):
    def __init__(self, server: FaultServer, capacity: int) -> None:
        super().__init__(ServedSettings(), capacity=capacity)
        self.start_allowance_s = 0.0
        self._server = server
        self._listener: asyncio.Server | None = None

    async def _start(self) -> tuple[Resolved, Callable[[], Credentials], ObjectStore]:
        self._listener = await asyncio.start_server(self._server.connected, "127.0.0.1", 0)
        store = ObjectStore(KEYS, region="us-east-1", endpoint="http://127.0.0.1:9", bucket="b", prefix="run")
        port = self._listener.sockets[0].getsockname()[1]
        return Resolved(f"http://127.0.0.1:{port}", "us-east-1"), lambda: KEYS, store

    async def _stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await asyncio.wait_for(asyncio.gather(*self._server.handlers), 10)


def numbers() -> Iterator[list[Task]]:
    return (yield [Task("probe.noop", number=number) for number in range(TASKS)])  # type: ignore[misc]


def planned(rng: random.Random) -> dict[int, list[str]]:
    """A thousand faults: every kind as often as the others (but silence, which costs its deadline), over all tasks.

    A deed that ends in an answer is a task's last one; never two wrong clocks in a row, which is one too many to mend.
    """
    answered = [name for name, (status, _) in DEEDS.items() if status == "ok"]
    others = [name for name in DEEDS if name not in answered and name != "silence"]
    each = FAULTS // len(DEEDS)
    last = rng.sample(range(TASKS), each * len(answered))
    plan: dict[int, list[str]] = {number: [] for number in range(TASKS)}
    for place, number in enumerate(last):
        plan[number].append(answered[place % len(answered)])
    rest = ["silence"] * SILENCES
    while len(rest) < FAULTS - len(last):
        rest.append(others[len(rest) % len(others)])
    rng.shuffle(rest)
    for name in rest:
        free = [n for n in plan if not (name == "a wrong clock" and name in plan[n][-1:])]
        plan[rng.choice(free)].append(name)
    return plan  # taken from the end: the answers come last


async def test_a_thousand_faults_of_all_kinds_lose_no_task_and_count_none_twice(
    fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_, "_READ_MARGIN_S", 0.0)
    plan = planned(random.Random(4))
    assert sum(map(len, plan.values())) == FAULTS
    server, sink = FaultServer(plan), fakes.Sink()
    seen: list[tuple[int, int]] = []
    policy = Policy(timeout_s=DEADLINE_S, retries=10_000, backoff_base_s=0.001, backoff_cap_s=0.01)
    async with FaultyBackend(server, capacity=64) as backend:
        runner = Runner(
            "r1", backend, sink, policy, on_result=lambda s, index, t, result: seen.append((index, decode(result)))
        )
        runner.start_clock()
        result = await runner.run(numbers())
        client = backend._transport._client  # type: ignore[union-attr]
        assert isinstance(client, FastClient)
        resent = client.pool.resent

    assert result == list(range(TASKS))
    assert sorted(seen) == [(number, number) for number in range(TASKS)]
    assert sum(count for name, count in server.done.items() if name != "answered") == FAULTS
    assert all(server.done[name] for name in DEEDS), "every kind has come"

    sink.assert_whole()
    counted = Counter(sink.statuses())
    attempts = sum(counted.values())
    errors = Counter(event.error.type for event in sink.of(Returned) if event.error is not None)
    wanted = Counter({"ok": TASKS})
    for name, count in server.done.items():
        status = "ok" if name == "answered" else DEEDS[name][0]
        if status in ("throttled", "error", "timeout"):
            wanted[status] += count
    wanted["error"] -= resent  # closed after it had been idle: costs no attempt
    # What an ended connection does to the next request on it is one attempt of its own: the server has never read it, or
    # a second answer came in its place and was not taken.
    unread = attempts + resent + server.done["a wrong clock"] - server.requests
    not_taken = errors["MixedAnswer"] - server.done["another call's answer"] - server.done["the answer before"]
    assert 0 <= unread <= sum(count for name, count in server.done.items() if "close" in name or "twice" in name)
    assert 0 <= not_taken <= server.done["twice"] + server.done["twice, then closed"]
    wanted["error"] += unread + not_taken
    assert counted == wanted

    fine: list[Returned] = [event for event in sink.of(Returned) if event.status == "ok"]
    assert len({event.request_id for event in fine}) == TASKS
    assert Counter(event.billed_source for event in fine)["report"] >= TASKS - server.done["a tail that is none"]
    assert all(event.billed_ms == BILLED_MS for event in fine if event.billed_source == "report")


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        (refusal(404, "ResourceNotFoundException"), "is it deployed"),
        (refusal(403, "AccessDeniedException"), "lack the permission lambda:InvokeFunction"),
        (refusal(413, "RequestTooLargeException"), "too large"),
        (refusal(502, "InvalidZipFileException"), "InvalidZipFile"),
        (function_error("Runtime.ImportModuleError", "no module"), "another platform"),
    ],
    ids=["404", "403", "413", "502", "import"],
)
async def test_what_no_retry_can_mend_ends_the_run_at_once(fakes: SimpleNamespace, deed: bytes, expected: str) -> None:
    server, sink = FaultServer({}), fakes.Sink()

    async def fatal(wire: Wire) -> bool:
        await FaultServer.one(server, Wire(wire.reader, SimpleNamespace(write=lambda data: None)))  # type: ignore[arg-type]
        return wire.write(deed)

    server.one = fatal  # type: ignore[method-assign]
    async with FaultyBackend(server, capacity=2) as backend:
        with pytest.raises(RunFailed, match=expected):
            await Runner("r1", backend, sink, Policy()).run(numbers())
    sink.assert_whole()
    assert server.requests <= 2
