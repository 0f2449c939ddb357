"""An audit reads AWS's log and puts what was billed in the place of estimates; the log is moto's."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from lbench.config.aws import AwsError
from lbench.engine.billing.audit import AuditResult, audit
from lbench.engine.journal.events import Audited, Dispatched, Event, Returned, RunPlanned, RunStarted
from lbench.engine.model import ErrorInfo, Pricing
from lbench.engine.session.columns import BILLED_SOURCES
from lbench.engine.session.view import RunView, fold

GROUP = "lbench-logs"
IDS = [f"6cf4d88d-e881-46c6-a41b-{n:012d}" for n in range(8)]


@pytest.fixture
def log(aws: Any) -> Any:
    """Writes lines into the log group."""
    client = boto3.client("logs", endpoint_url=aws.endpoint, region_name="us-east-1")
    client.create_log_group(logGroupName=GROUP)
    client.create_log_stream(logGroupName=GROUP, logStreamName="s")

    def write(*lines: str) -> None:
        now_ms = int(time.time() * 1000)
        client.put_log_events(
            logGroupName=GROUP, logStreamName="s", logEvents=[{"timestamp": now_ms, "message": line} for line in lines]
        )

    return write


def report(n: int, billed_ms: int, init: str = "") -> str:
    return (
        f"REPORT RequestId: {IDS[n]}\tDuration: 1.10 ms\tBilled Duration: {billed_ms} ms\tMemory Size: 1769 MB\t"
        f"Max Memory Used: 90 MB\t{init}"
    )


def run_of(*ends: Returned) -> RunView:
    settings = {"region": "us-east-1", "log_group": GROUP, "mark": "abcd1234", "memory": 1769}
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    events: list[Event] = [
        RunPlanned("r1", "probe", {}, 1, "lambda", "lambda", "measured", 0, False, "isolated"),
        RunStarted("r1", started, 0.1, settings, "direct", False, "0", "0", Pricing(memory_mb=1769)),
    ]
    for n, end in enumerate(ends):
        events += [Dispatched("r1", n, 0, n, 0, 0.0, 0.0), end]
    return fold(events).runs["r1"]


def ended(n: int, status: Any = "ok", **more: Any) -> Returned:
    return Returned("r1", n, status, 1.0, **more)


async def audited(run: RunView, pause: Any = None) -> tuple[AuditResult, list[Audited]]:
    found: list[Audited] = []

    async def no_pause(seconds: float) -> None:
        if pause is not None:
            pause()

    return await audit([run], found.append, pause=no_pause), found


async def test_estimates_are_replaced_and_what_aws_reported_stays(log: Any) -> None:
    run = run_of(
        ended(0, request_id=IDS[0], billed_ms=5, billed_source="estimated"),
        ended(1, request_id=IDS[1], billed_ms=7, billed_source="report"),
    )
    log("START", report(0, 9, "Init Duration: 100.50 ms\t"), report(1, 99), report(7, 1), "END")
    result, found = await audited(run)
    assert (result.wanted, result.found, found[0].memory_mb) == (1, 1, 1769)
    run.apply(found[0])
    assert run.columns["billed_ms"].tolist() == [9, 7]
    assert [BILLED_SOURCES[code] for code in run.columns["billed_source"]] == ["audit", "report"]
    assert run.columns.row(0)["init_ms"] == 100.5 and run.columns.row(0)["max_memory_mb"] == 90
    assert (await audited(run))[0] == AuditResult(0, 0)


async def test_a_call_whose_caller_heard_nothing_is_found_by_its_mark(log: Any) -> None:
    run = run_of(ended(0, "cancelled"), ended(1, "timeout", error=ErrorInfo("FrontTimeout", "30 s", False)))
    log(f'{{"lbench_mark":"abcd1234/r1/0","request":"{IDS[3]}"}}', report(3, 1234))
    log(f'{{"lbench_mark":"ffff0000/r1/1","request":"{IDS[4]}"}}', report(4, 4321))  # another session's
    log(f'{{"time":"x","message":"{{\\"lbench_mark\\":\\"abcd1234/r1/1\\",\\"request\\":\\"{IDS[5]}\\"}}"}}')
    metrics = {"durationMs": 1.0, "billedDurationMs": 77, "memorySizeMB": 1769, "maxMemoryUsedMB": 80}
    record = {"requestId": IDS[5], "metrics": metrics, "status": "success"}
    log(json.dumps({"time": "2026-11-22T00:00:00Z", "type": "platform.report", "record": record}))
    result, found = await audited(run)
    assert (result.wanted, result.found) == (2, 2)
    assert {event.n: event.billed_ms for event in found} == {0: 1234, 1: 77}
    assert {event.n: event.request_id for event in found} == {0: IDS[3], 1: IDS[5]}


async def test_lines_that_are_late_are_waited_for_and_what_never_comes_stays_an_estimate(log: Any) -> None:
    run = run_of(
        ended(0, request_id=IDS[0], billed_ms=5, billed_source="estimated"),
        ended(1, request_id=IDS[1], billed_ms=5, billed_source="estimated"),
    )
    waits = []

    def pause() -> None:
        waits.append(1)
        if len(waits) == 3:
            log(report(0, 6))

    result, found = await audited(run, pause)
    assert (result.wanted, result.found) == (2, 1)
    assert [event.n for event in found] == [0]
    assert len(waits) == 11


async def test_a_call_that_was_given_up_is_waited_for_until_its_deadline_has_passed(log: Any) -> None:
    waits = []

    def pause() -> None:
        waits.append(1)
        if len(waits) == 50:
            log(f'{{"lbench_mark":"abcd1234/r1/0","request":"{IDS[3]}"}}', report(3, 299_000))

    result, found = await audited(run_of(ended(0, "superseded")), pause)
    assert result == AuditResult(1, 1) and found[0].billed_ms == 299_000
    waits[:] = range(100)
    await audited(run_of(ended(0, "superseded"), ended(1, "cancelled")), pause)
    assert 160 < len(waits) < 170  # 300 s and what a start may take, every 5 s


async def test_what_was_refused_never_ran_and_is_not_looked_for(log: Any) -> None:
    run = run_of(
        ended(0, "error", request_id=IDS[0], error=ErrorInfo("ServiceException", "", True, unrun=True)),
        ended(1, "throttled", request_id=IDS[1], error=ErrorInfo("TooManyRequestsException", "", True, unrun=True)),
    )
    assert (await audited(run))[0] == AuditResult(0, 0)


async def test_the_log_is_read_page_after_page(log: Any) -> None:
    run = run_of(*(ended(n, request_id=IDS[n], billed_ms=5, billed_source="estimated") for n in range(8)))
    for start in range(0, 12_000, 4_000):
        log(*("a line of the task's own" for _ in range(start, start + 4_000)))
    log(*(report(n, 50 + n) for n in range(8)))  # beyond the first 10,000
    result, found = await audited(run)
    assert (result.wanted, result.found) == (8, 8)
    assert sorted(event.billed_ms for event in found) == [50 + n for n in range(8)]


async def test_a_log_group_that_is_not_there_is_reported(aws: Any) -> None:
    with pytest.raises(AwsError):
        await audited(run_of(ended(0, "cancelled")))
