"""`--audit`: billed times read from AWS's log group after the run; they replace the estimates.

A REPORT line names its request; the handler's own mark names the request of a call whose caller heard nothing (cancelled,
timed out, lost). Text and JSON formats; FilterLogEvents costs nothing. Logs arrive seconds late, so the query is repeated
while lines are missing, for a minute, or until the last call that nobody waited for must have ended: what is not found then
stays an estimate.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from lbench.config.aws import aws_client, aws_session
from lbench.engine.backends.lambda_.report_line import Report, parse_line
from lbench.engine.cost.charges import worst_ms
from lbench.engine.journal.events import Audited
from lbench.engine.session.columns import BILLED_SOURCES, STATUSES
from lbench.engine.session.view import RunView

__all__ = ["AuditResult", "audit"]

_MARK = re.compile(r'lbench_mark\\?": ?\\?"([0-9a-f]+/[\w.-]*/\d+)\\?", ?\\?"request\\?": ?\\?"([0-9a-f-]{36})')
_SKEW_S = 300  # AWS's clock may be so far from ours
_ASKED_EACH_S = 5.0
_PATIENCE = 12  # times without all of it
_LATE_S = 15.0  # a line after its call's end
_CERTAIN = [BILLED_SOURCES.index(name) for name in ("report", "audit")]
_THROTTLED = STATUSES.index("throttled")

Wanted = dict[str, tuple[str, int]]  # by a request's id or a mark: the run and the invocation


class AuditResult(msgspec.Struct, frozen=True):
    """How many invocations had no report from AWS, and how many of them the log had."""

    wanted: int
    found: int


async def audit(
    runs: Iterable[RunView],
    write: Callable[[Audited], None],
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AuditResult:
    """Look up what was estimated, or is not known, of these runs, and write an event for each that is found.

    Raises:
        AwsError: the log cannot be read.
    """
    groups: dict[tuple[str, str], list[RunView]] = {}
    for run in runs:
        settings = {} if run.started is None else run.started.settings
        if settings.get("log_group") is not None:
            groups.setdefault((str(settings["region"]), str(settings["log_group"])), []).append(run)
    wanted_total = found_total = 0
    for (region, group), members in groups.items():
        wanted = _wanted(members)
        rows = len(set(wanted.values()))
        wanted_total += rows
        if rows:
            since_ms = int(min(_started_s(run) for run in members) * 1000) - _SKEW_S * 1000
            patience = max(_PATIENCE, math.ceil((_last_end_s(members) - time.time()) / _ASKED_EACH_S))
            found_total += await _look_up(region, group, since_ms, wanted, write, pause, patience)
    return AuditResult(wanted_total, found_total)


def _started_s(run: RunView) -> float:
    assert run.started is not None
    return datetime.fromisoformat(run.started.started).timestamp()


def _sought(run: RunView) -> list[int]:
    """The invocations of which the log may tell what is not known for certain: not those that certainly never ran."""
    columns = run.columns
    unclear = ~np.isin(columns["billed_source"], _CERTAIN) & (columns["status"] != _THROTTLED)
    unclear[columns.unrun] = False
    found: list[int] = np.flatnonzero(unclear).tolist()
    return found


def _last_end_s(runs: Iterable[RunView]) -> float:
    """When the log has the last line at the latest, of calls whose end nobody has seen; seconds since the epoch."""
    ends = [0.0]
    for run in runs:
        assert run.started is not None
        longest_s = worst_ms(run.started.pricing.deadline_s) / 1000 + _LATE_S
        dispatched, billed = run.columns["dispatched_s"], run.columns["billed_ms"]
        ends += [_started_s(run) + float(dispatched[n]) + longest_s for n in _sought(run) if billed[n] < 0]
    return max(ends)


def _wanted(runs: Iterable[RunView]) -> Wanted:
    wanted: Wanted = {}
    for run in runs:
        assert run.started is not None
        mark = run.started.settings.get("mark")
        for n in _sought(run):
            request_id = run.columns.row(n)["request_id"]
            if request_id is not None:
                wanted[request_id] = run.id, n
            wanted[f"{mark}/{run.id}/{n}"] = run.id, n
    return wanted


async def _look_up(
    region: str,
    group: str,
    since_ms: int,
    wanted: Wanted,
    write: Callable[[Audited], None],
    pause: Callable[[float], Awaitable[None]],
    times: int,
) -> int:
    missing = set(wanted.values())
    found = 0
    async with aws_client(aws_session(region), "logs", region=region) as client:
        for left in range(times - 1, -1, -1):
            reports, marks = await _read(client, group, since_ms)
            by_request = dict(wanted)
            by_request.update({request: wanted[mark] for request, mark in marks.items() if mark in wanted})
            for request, report in reports.items():
                row = by_request.get(request)
                if row in missing and report.billed_ms is not None:
                    assert row is not None
                    missing.discard(row)
                    found += 1
                    write(_audited(row, report, request))
            if not missing:
                break
            if left:
                await pause(_ASKED_EACH_S)
    return found


async def _read(client: Any, group: str, since_ms: int) -> tuple[dict[str, Report], dict[str, str]]:
    """The log's reports by their request, and the marks by theirs. One request may run twice: the last one counts."""
    reports: dict[str, Report] = {}
    marks: dict[str, str] = {}
    async for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since_ms):
        for event in page["events"]:
            message = event.get("message", "")
            report = parse_line(message.encode())
            if report is not None and report.request_id is not None:
                reports[report.request_id] = report
            elif (marked := _MARK.search(message)) is not None:
                marks[marked[2]] = marked[1]
    return reports, marks


def _audited(row: tuple[str, int], report: Report, request: str) -> Audited:
    assert report.billed_ms is not None
    return Audited(
        run=row[0],
        n=row[1],
        billed_ms=report.billed_ms,
        init_ms=report.init_ms,
        memory_mb=report.memory_mb,
        max_memory_mb=report.max_memory_mb,
        request_id=request,
    )
