"""An exported document as the events it came from, so that it is drawn and replayed as a journal is.

Runs and invocations are decoded one by one, so the first frame of a large document comes soon.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.limits import limits
from lbench.config.prices import Rates, rates
from lbench.decoding import decode_with
from lbench.engine.cost.format import usd_text
from lbench.engine.cost.rent import hourly_usd
from lbench.engine.export.document import recorded_pricing
from lbench.engine.export.document_file import FileRun, read_file
from lbench.engine.journal.events import (
    JOURNAL_VERSION,
    Answered,
    ComparisonEnded,
    Dispatched,
    EnvironmentSeen,
    Event,
    Returned,
    RunEnded,
    RunPlanned,
    RunStarted,
    Sampled,
    SessionEnded,
    SessionStarted,
    StageEnded,
    StageStarted,
    Warned,
)
from lbench.engine.model import Cost, Invocation, Pricing, S3Usage, epoch_s, shared_fields
from lbench.errors import InputError, SessionFileError

__all__ = ["document_events", "document_length_s"]


_Moment = tuple[float, int, Event]  # epoch second, the run's number (so that events never compare), what happened
_decoder = msgspec.json.Decoder(Invocation)


def document_length_s(path: Path) -> float:
    """Seconds from the session's beginning to the end of its last run.

    Raises:
        SessionFileError: the file is not a session document, or is torn, damaged or of a newer version.
    """
    document = read_file(path)
    first = epoch_s(document.created)
    return max((epoch_s(run.started) + run.last_s - first for run in document.runs), default=0.0)


def document_events(path: Path) -> Iterator[Event]:
    """The events that a journal of the document's session would hold.

    Not in a document: previews, phases, pauses.

    Raises:
        SessionFileError: the file is not a session document, or is torn, damaged or of a newer version.
    """
    document = read_file(path)
    yield SessionStarted(
        id=document.id,
        name=document.name,
        created=document.created,
        lbench_version=document.lbench_version,
        environment=document.environment,
        format="lbench.journal",
        version=JOURNAL_VERSION,
    )
    for plan in _plans(document.runs):
        for run in plan:
            yield _planned(run)
        streams = [_moments(path, run, number) for number, run in enumerate(plan)]
        for _, _, event in heapq.merge(*streams, key=lambda moment: moment[:2]):
            yield event
    for one in document.comparisons or []:
        if one.ended_by is not None:
            yield ComparisonEnded(one.id, one.runs, one.ended_by, one.rounds or 0, one.text or "")
    for warning in document.warnings:
        yield Warned(warning.code, warning.text, warning.run)
    warned = {warning.run for warning in document.warnings if warning.code == "paused"}
    for run in document.runs:
        if run.paused and run.id not in warned:
            yield Warned("paused", f"{run.label} was paused while its clock ran: its time counts in no figure", run.id)
    if document.complete or all(run.ended for run in document.runs):
        yield SessionEnded(complete=document.complete)


def _plans(runs: list[FileRun]) -> Iterator[list[FileRun]]:
    """Groups runs by plan. A repeat that was there before, or another problem, begins a new plan."""
    plan: list[FileRun] = []
    seen: set[tuple[str, int, bool]] = set()
    for run in runs:
        key = (run.label, run.repeat, run.warmup)
        if plan and (key in seen or _problem(plan[0]) != _problem(run)):
            yield plan
            plan, seen = [], set()
        plan.append(run)
        seen.add(key)
    if plan:
        yield plan


def _problem(run: FileRun) -> tuple[str, dict[str, Any], int, dict[str, Any]]:
    return run.workload, run.params, run.seed, {} if run.sweep is None else run.sweep.point


def _planned(run: FileRun) -> RunPlanned:
    cold = run.cold if run.cold_repeat is None else run.cold_repeat or None
    return RunPlanned(**shared_fields(run, RunPlanned) | {"run": run.id, "cold": cold})


def _moments(path: Path, run: FileRun, number: int) -> Iterator[_Moment]:
    """A run's events with their times, in their order; its invocations are decoded as they come."""
    zero = epoch_s(run.started)
    yield zero, number, _started(path, run)
    streams = [
        ((zero + sample.t_s, 0, Sampled(run.id, sample)) for sample in run.machine_samples),
        _stages(run, zero),
        _attempts(path, run, zero),
    ]
    last = zero
    for at, _, event in heapq.merge(*streams, key=lambda moment: moment[0]):
        last = max(last, at)
        yield last, number, event
    for info in run.environments:
        yield last, number, EnvironmentSeen(run.id, info)
    if run.ended:
        last = max(last, zero + (run.makespan_s or 0.0))
        yield last, number, _ended(run)
        if run.answer is not None:
            yield last, number, Answered(run.id, run.answer)


def _stages(run: FileRun, zero: float) -> Iterator[_Moment]:
    for stage in run.stages:
        yield zero + stage.started_s, 0, StageStarted(run.id, stage.index, stage.tasks, stage.started_s)
        if stage.finished_s is not None:
            yield zero + stage.finished_s, 0, StageEnded(run.id, stage.index, stage.finished_s)


def _attempts(path: Path, run: FileRun, zero: float) -> Iterator[_Moment]:
    """Dispatches stand in their order; returns wait in a heap until it is their time."""
    returns: list[tuple[float, int, Event]] = []
    try:
        for n, raw in enumerate(msgspec.json.decode(run.invocations, type=list[msgspec.Raw])):
            one = decode_with(_decoder, raw)
            at_s = one.dispatched_s or 0.0
            while returns and returns[0][0] <= at_s:
                done_s, _, event = heapq.heappop(returns)
                yield zero + done_s, 0, event
            yield zero + at_s, 0, _dispatched(run, n, one, at_s)
            if one.status is not None:
                done_s = at_s if one.returned_s is None else one.returned_s
                heapq.heappush(returns, (done_s, n, _returned(run, n, one, done_s)))
    except msgspec.MsgspecError as error:
        raise SessionFileError(f"{path} is damaged: {error}") from None
    while returns:
        done_s, _, event = heapq.heappop(returns)
        yield zero + done_s, 0, event


def _dispatched(run: FileRun, n: int, one: Invocation, at_s: float) -> Dispatched:
    return Dispatched(
        run=run.id,
        n=n,
        stage=one.stage,
        task=one.task,
        attempt=one.attempt,
        queued_s=at_s if one.queued_s is None else one.queued_s,
        dispatched_s=at_s,
        environment=one.environment if run.origin == "measured" and run.transport is None else None,
        hedge_of=one.hedge_of,
    )


def _returned(run: FileRun, n: int, one: Invocation, done_s: float) -> Returned:
    assert one.status is not None
    return Returned(
        run=run.id,
        n=n,
        status=one.status,
        returned_s=done_s,
        environment=one.environment,
        cold=one.cold,
        started_s=one.started_s,
        finished_s=one.finished_s,
        request_id=one.request_id,
        log_tail=one.log_tail,
        error=one.error,
        **one.measures(),
    )


def _started(path: Path, run: FileRun) -> RunStarted:
    concurrency = run.backend_settings.get("concurrency")
    return RunStarted(
        **shared_fields(run, RunStarted)
        | {
            "run": run.id,
            "settings": run.backend_settings,
            "pricing": _pricing(path, run),
            "capacity": concurrency if isinstance(concurrency, int) else max(1, len(run.environments)),
        }
    )


def _rates(cost: Cost) -> Rates | None:
    """The prices of the bill. Of a price list that we no longer have, today's stand for it."""
    if cost.region is None or cost.architecture is None:
        return None
    try:
        return rates(cost.region, cost.architecture)
    except InputError:
        return None


def _pricing(path: Path, run: FileRun) -> Pricing:
    if run.pricing is not None:
        try:
            return recorded_pricing(run.pricing)
        except msgspec.ValidationError as error:
            raise SessionFileError(f"{path} is damaged: {error}") from None
    cost = run.cost  # the document is of before prices were in it: its bill and today's price list have to do
    if cost is None:
        return Pricing()
    known = _rates(cost)
    if known is not None:
        memory = run.backend_settings.get("memory")
        return Pricing(
            rates=known,
            memory_mb=memory if isinstance(memory, int) else limits().memory_mb_per_vcpu,
            bound_usd=cost.bound_usd,
            unpriced=cost.unpriced,
        )
    hourly = None
    if cost.items.machine_rent is not None and run.makespan_s is not None:
        hourly = hourly_usd(Decimal(cost.items.machine_rent), run.makespan_s)
    return Pricing(rent_usd_per_hour=None if hourly is None else usd_text(hourly), rent_basis=cost.machine_rent_basis)


def _ended(run: FileRun) -> RunEnded:
    s3 = run.s3 or S3Usage(0, _gets(run.cost), 0, 0.0)
    return RunEnded(
        **shared_fields(run, RunEnded)
        | {
            "run": run.id,
            "status": "ok" if run.status == "wrong_answer" else run.status,
            "s3_put": s3.put,
            "s3_get": s3.get,
            "s3_bytes": s3.bytes,
            "notes": [],  # they are all in `RunStarted`
        }
    )


def _gets(cost: Cost | None) -> int:
    """As many S3 GETs as cost what the bill's item says, where the document has no counts."""
    known = None if cost is None or cost.items.s3 is None else _rates(cost)
    if cost is None or cost.items.s3 is None or known is None or not known.s3_get_usd:
        return 0
    return int(Decimal(cost.items.s3) / known.s3_get_usd)
