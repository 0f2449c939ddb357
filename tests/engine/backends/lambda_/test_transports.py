"""The same job by each transport, against the emulator: what each can carry, and what it cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lbench.engine.backends.aws_client.connection import Connection, Response
from lbench.engine.backends.base import Call
from lbench.engine.backends.lambda_.emulated import EmulatedBackend, open_emulated
from lbench.engine.backends.lambda_.letters import read_front, read_letter
from lbench.engine.backends.settings import EmulatedSettings
from lbench.workloads.encoding import encode
from tests.engine.backends.outcomes import value

TRANSPORTS = ("direct", "event", "http-api")


def opened(transport: str, **settings: Any) -> EmulatedBackend:
    chosen = EmulatedSettings(transport=transport, **settings)  # type: ignore[arg-type]
    return open_emulated(chosen, usable_cores=2, memory_bytes=2**33, preload="probe")


def call(function: str, *, deadline_s: float = 30.0, **arguments: Any) -> Call:
    return Call(task=encode([function, arguments]), stage=0, index=0, attempt=0, deadline_s=deadline_s)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_each_transport_brings_results_errors_times_and_what_is_too_large(transport: str) -> None:
    async with opened(transport, concurrency=2, cpu_share="none") as backend:
        assert backend.transport == transport
        cold = await backend.invoke(call("probe.noop", number=5))
        warm = await backend.invoke(call("probe.noop", number=6))
        assert (value(cold), value(warm)) == (5, 6)
        assert (cold.cold, warm.cold, cold.environment) == (True, False, warm.environment)
        assert cold.init_ms is not None and cold.init_ms > 0
        assert cold.billed_ms is not None and cold.billed_ms >= cold.init_ms  # init is billed
        assert cold.billed_source == ("report" if transport == "direct" else "estimated")
        assert cold.request_id is not None and cold.compute_ms is not None
        assert cold.started_s is not None and cold.returned_s is not None and cold.started_s <= cold.returned_s
        raised = await backend.invoke(call("probe.fail", number=0, message="of course"))
        assert raised.failure is not None and raised.environment is not None
        assert (raised.failure.type, raised.failure.message) == ("ValueError", "of course")
        assert not raised.failure.retriable and "handler.py" not in (raised.failure.log_tail or "")
        blob = bytes(8_000_000)
        large = await backend.invoke(call("probe.carry", number=0, blob=blob))
        assert value(large) == blob
        assert large.via_s3 and large.s3_requests["put"] >= 2 and large.s3_requests["get"] >= 2
        many = await asyncio.gather(*(backend.invoke(call("probe.noop", number=n)) for n in range(2)))
        assert [value(one) for one in many] == [0, 1]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_outlives_the_front_s_patience_fails_there_and_nowhere_else(transport: str) -> None:
    async with opened(transport, concurrency=1, front_timeout=0.5, cpu_share="none") as backend:
        outcome = await backend.invoke(call("probe.sleep", number=1, seconds=1.0))
        if transport != "http-api":
            assert value(outcome) == 1
            return
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.type) == ("timeout", "FrontTimeout")
        assert not outcome.failure.retriable  # the same would happen again, and be billed again
        assert "timed out after 0.5 s" in outcome.failure.message
        assert "use --transport direct or event" in outcome.failure.message
        assert backend.settings["front_timeout"] == 0.5


async def test_a_deadline_ends_the_environment_by_events_too_and_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lbench.engine.backends.lambda_.backend._READ_MARGIN_S", 0.2)
    backend = opened("event", concurrency=1, cpu_share="none")
    backend.start_allowance_s = 0.5
    async with backend:
        await backend.invoke(call("probe.noop", number=0))
        late = await backend.invoke(call("probe.sleep", number=0, seconds=60, deadline_s=0.3))
        assert late.failure is not None
        assert (late.failure.kind, late.failure.retriable) == ("timeout", True)
        assert value(await backend.invoke(call("probe.noop", number=2))) == 2  # and the backend goes on


async def test_cancelling_an_event_stops_the_waiting_for_its_letter() -> None:
    async with opened("event", concurrency=2, cpu_share="none") as backend:
        task = asyncio.create_task(backend.invoke(call("probe.sleep", number=0, seconds=25)))
        await backend.invoke(call("probe.noop", number=1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert value(await backend.invoke(call("probe.noop", number=2))) == 2


async def test_transports_recognize_throttled_calls() -> None:
    for transport in ("event", "http-api"):
        async with opened(transport, concurrency=1, throttle_rate=1.0, cpu_share="none") as backend:
            outcome = await backend.invoke(call("probe.noop", number=1))
            assert outcome.failure is not None
            assert (outcome.failure.kind, outcome.failure.retriable) == ("throttled", True)


def response(status: int, body: bytes = b"{}") -> Response:
    loop = asyncio.new_event_loop()
    try:
        return Response(status, {}, body, 5.0, Connection(loop))
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("status", "elapsed_s", "kind", "type_", "retriable"),
    [
        (503, 30.2, "timeout", "FrontTimeout", False),
        (503, 0.1, "throttled", "Front503", True),
        (429, 0.1, "throttled", "Front429", True),
        (500, 0.1, "error", "Front500", True),
        (500, 10.1, "timeout", "DeadlineExceeded", True),
        (403, 0.1, "error", "Front403", False),
        (404, 0.1, "error", "Front404", False),
        (413, 0.1, "error", "Front413", False),
    ],
)
def test_the_front_s_few_words_are_read_with_the_time(
    status: int, elapsed_s: float, kind: str, type_: str, retriable: bool
) -> None:
    outcome, answer = read_front(response(status), elapsed_s, 30.0, 10.0)
    assert answer is None and outcome.failure is not None
    failure = outcome.failure
    assert (failure.kind, failure.type, failure.retriable) == (kind, type_, retriable)


def test_an_invalid_letter_is_a_bad_answer() -> None:
    for letter in (b"", b"[]", b'{"answer": {}}'):
        outcome, answer = read_letter(letter, 5.0, None)
        assert answer is None and outcome.failure is not None and outcome.failure.type == "BadAnswer"
