"""From a session as it was folded to the document that is exported."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lbench.engine.cost import invocation_usd, usd_text
from lbench.engine.model import Document, Invocation, Run, Warning_
from lbench.engine.pricing import run_cost_of
from lbench.engine.session import RunView, SessionView
from lbench.errors import SessionFileError

__all__ = ["document", "encode_document", "invocations"]


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


def _run(run: RunView) -> Run:
    planned, started, ended = run.planned, run.started, run.ended
    assert started is not None
    status = run.status
    assert status is not None
    return Run(
        id=run.id,
        workload=planned.workload,
        params=planned.params,
        seed=planned.seed,
        tasks=run.known_tasks or planned.tasks,
        backend=planned.backend,
        label=planned.label,
        origin=planned.origin,
        backend_settings=started.settings,
        transport=started.transport,
        oversubscribed=started.oversubscribed,
        data=started.data,
        code_digest=started.code_digest,
        package_digest=started.package_digest,
        repeat=planned.repeat,
        warmup=planned.warmup,
        schedule=planned.schedule,
        overlaps=ended.overlaps if ended else [],
        sweep=None,
        status=status,
        error=ended.error if ended else None,
        started=started.started,
        setup_s=started.setup_s,
        makespan_s=run.makespan_s,
        answer=run.answer,
        driver=ended.driver if ended else None,
        cost=run_cost_of(run),
        stages=run.stages,
        environments=list(run.environments.values()),
        machine_samples=run.samples,
        invocations=list(invocations(run)),
        notes=started.notes,
    )


def document(view: SessionView, more_warnings: Iterable[Warning_] = ()) -> Document:
    """The session document.

    Raises:
        SessionFileError: the journal says nothing yet.
    """
    head = view.header
    if head is None:
        raise SessionFileError("the session's journal is empty: nothing was recorded")
    return Document(
        id=head.id,
        name=head.name,
        tags=[],
        created=head.created,
        lbench_version=head.lbench_version,
        complete=view.complete,
        environment=head.environment,
        runs=[_run(run) for run in view.started_runs],
        warnings=[*(Warning_(w.code, w.text, w.run) for w in view.warnings), *more_warnings],
    )


def encode_document(told: Document) -> bytes:
    """The document as JSON text, indented, with a line end."""
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"
