"""The exported document of a session, made from its view or read from a file."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec

from lbench.decoding import decode_json
from lbench.engine.billing.bill import lost_deadlines, run_cost_of, s3_usage
from lbench.engine.cost.charges import invocation_usd
from lbench.engine.cost.format import usd_text
from lbench.engine.journal.events import RunEnded
from lbench.engine.journal.reader import Head
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import (
    VERSION,
    Comparison,
    Document,
    Invocation,
    Pricing,
    PricingTexts,
    Run,
    Warning_,
    check_times,
    shared_fields,
)
from lbench.engine.session.labels import Meta
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import SessionFileError, utf8, visible_json

__all__ = [
    "check_head",
    "check_runs",
    "document",
    "encode_document",
    "invocations",
    "read_document",
    "recorded_pricing",
]


def invocations(run: RunView) -> Iterable[Invocation]:
    """A run's invocations, one by one."""
    rates = run.started.pricing.rates if run.started else None
    pricing = run.started.pricing if run.started else None
    for row in range(len(run.columns)):
        values = run.columns.row(row)
        usd = None
        if rates is not None and pricing is not None and pricing.memory_mb and values["billed_ms"] is not None:
            charged = invocation_usd(rates, values["billed_ms"], pricing.memory_mb, pricing.ephemeral_mb)
            usd = usd_text(charged.usd)
        yield Invocation(usd=usd, **values)


def _machine(view: SessionView, environment: Environment) -> Environment:
    """The machine; its load does not apply where nothing was measured on it."""
    simulated = bool(view.started_runs) and all(run.planned.origin == "simulated" for run in view.started_runs)
    return msgspec.structs.replace(environment, load_1m=None) if simulated else environment


def _run(run: RunView) -> Run:
    planned, started, ended = run.planned, run.started, run.ended
    assert started is not None
    status = run.status
    assert status is not None
    end = RunEnded(run.id, "running", None, None) if ended is None else ended
    recorded = shared_fields(planned, Run) | shared_fields(started, Run) | shared_fields(end, Run)
    return Run(
        **recorded
        | {
            "id": run.id,
            "tasks": run.known_tasks or planned.tasks,
            "backend_settings": started.settings,
            "status": status,
            "makespan_s": run.makespan_s,
            "answer": run.answer,
            "cost": run_cost_of(run),
            "stages": run.stages,
            "environments": list(run.environments.values()),
            "machine_samples": run.samples,
            "invocations": list(invocations(run)),
            "notes": run.notes,
            "cold": run.cold,
            "pricing": _pricing_texts(started.pricing),
            "s3": s3_usage(run),
            "cold_repeat": planned.cold is True,
            "paused": run.paused,
        }
    )


def _pricing_texts(pricing: Pricing) -> PricingTexts:
    fields = msgspec.structs.asdict(pricing)
    if pricing.rates is not None:
        rates = msgspec.structs.asdict(pricing.rates)
        fields["rates"] = {name: usd_text(usd) if isinstance(usd, Decimal) else usd for name, usd in rates.items()}
    return msgspec.convert(fields, PricingTexts)


def recorded_pricing(texts: PricingTexts) -> Pricing:
    """The prices of a document's run as its journal had them.

    Raises:
        msgspec.ValidationError: one cannot be a price.
    """
    return msgspec.convert(msgspec.to_builtins(texts), Pricing)


def document(view: SessionView, more_warnings: Iterable[Warning_] = (), meta: Meta | None = None) -> Document:
    """The session document; `meta` has the name and tags that a person has given since.

    Raises:
        SessionFileError: the journal is empty.
    """
    head = view.header
    if head is None:
        raise SessionFileError("the session's journal is empty: nothing was recorded")
    return Document(
        id=head.id,
        name=head.name if meta is None or meta.name is None else meta.name,
        tags=[] if meta is None else meta.tags,
        created=head.created,
        lbench_version=head.lbench_version,
        complete=view.complete,
        environment=_machine(view, head.environment),
        runs=[_run(run) for run in view.started_runs],
        # Each once: those of a session that was read from a document are in it already.
        warnings=list(
            dict.fromkeys(
                [
                    *(Warning_(w.code, w.text, w.run) for w in view.warnings),
                    *(Warning_("failed", text) for text in _unopened(view)),
                    *_lost_deadlines(view),
                    *more_warnings,
                ]
            )
        ),
        comparisons=list(_comparisons(view)) or None,
    )


def _comparisons(view: SessionView) -> Iterable[Comparison]:
    """The comparisons with those of their runs that began: the others are no runs of the document."""
    begun = {run.id for run in view.started_runs}
    for one in view.comparisons:
        runs = [run for run in one.runs if run in begun]
        yield Comparison(one.id, runs, one.ended_by, one.rounds, one.text)


def _unopened(view: SessionView) -> Iterable[str]:
    """The errors of runs that failed before they started: without clock and settings they are no runs of the document."""
    ends = [run.ended for run in view.runs.values() if run.started is None and run.ended is not None]
    return dict.fromkeys(end.error for end in ends if end.error is not None)


def _lost_deadlines(view: SessionView) -> Iterable[Warning_]:
    """A warning for each run with invocations that outlived their deadline."""
    for run in view.started_runs:
        if count := lost_deadlines(run):
            text = (
                f"{run.planned.label}: {count} invocation{'s' * (count > 1)} ran on after the deadline: does the task take "
                "SIGALRM, or leave a process behind? Cost is counted, no bound of --timeout holds for it"
            )
            yield Warning_("deadline_lost", text, run.id)


def encode_document(document: Document) -> bytes:
    """The document as JSON text, indented, with a line end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def check_head(path: Path, content: bytes) -> None:
    """Check that a file's content is a session document that this version reads.

    Raises:
        SessionFileError: the file is no document, is torn, or of a newer version.
    """
    try:
        head = decode_json(content, Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SessionFileError(f"{path} is not an lbench session, or is torn: {error}") from None
    if head.format != "lbench.session":
        raise SessionFileError(f"{path} is not an lbench session: name a session's id, folder or JSON document")
    if head.version > VERSION:
        raise SessionFileError(f"{path} was written by a newer lbench (session version {head.version}): upgrade lbench")


def read_document(path: Path) -> Document:
    """An exported document.

    Raises:
        SessionFileError: the file is no document, is torn, damaged, or of a newer version.
    """
    try:
        content = utf8(path.read_bytes())
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error.strerror}") from None
    check_head(path, content)
    try:
        found = decode_json(visible_json(content), Document)
        check_times([found.created, *(run.started for run in found.runs)])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SessionFileError(f"{path} is damaged: {error}") from None
    check_runs(path, [(run.id, run.makespan_s) for run in found.runs])
    return found


_LEAST_S = 1e-9  # of a makespan


def check_runs(path: Path, runs: Iterable[tuple[str, float | None]]) -> None:
    """Check that the runs of a document, by id and makespan, can be told apart and drawn.

    Raises:
        SessionFileError: two have one id, or one ends before it begins, or before any clock could show it.
    """
    known: set[str] = set()
    for identity, makespan_s in runs:
        if identity in known:
            raise SessionFileError(f"{path} is damaged: two runs have the id {identity!r}")
        if makespan_s is not None and makespan_s < 0:
            raise SessionFileError(
                f"{path} is damaged: makespan_s of run {identity!r} must be at least 0, got {makespan_s:g}"
            )
        if makespan_s is not None and 0 < makespan_s < _LEAST_S:
            raise SessionFileError(
                f"{path} is damaged: makespan_s of run {identity!r} must be 0 or at least {_LEAST_S:g}, got {makespan_s:g}"
            )
        known.add(identity)
