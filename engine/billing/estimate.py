"""The expected cost of a plan; its upper bound is in `pricing.bound_of`.

An expectation comes from runs that were recorded on this machine, of the same workload with the same parameters: best from
AWS itself, else from the time that the tasks took emulated or on local workers here. Where there is none it is unknown.
A run of another memory size, processor or transport is converted, and the text names the conversion.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from lbench.config.limits import limits as lambda_limits
from lbench.engine.backends import catalog
from lbench.engine.backends.region import architecture_of
from lbench.engine.backends.settings import LambdaSettings
from lbench.engine.billing.bill import printed_bytes
from lbench.engine.billing.pricing import bound_of, is_marked, rates_of
from lbench.engine.billing.quote import Basis, Expectation, Quote
from lbench.engine.cost import charges as cost
from lbench.engine.journal.events import RunPlanned, decode_event
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.machine.code_digest import code_digest
from lbench.engine.plan.plan import BackendChoice, Plan, fixed_repeats, planned_runs, resolve_params, settings_of
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.index import session_folders
from lbench.engine.session.view import RunView, load_folder
from lbench.errors import InputError, SessionFileError
from lbench.workloads import registry
from lbench.workloads.model import Description, Limits
from lbench.workloads.parameters import settable

__all__ = ["quotes", "recorded_runs"]

_SESSIONS = 60  # the newest of so many are looked through
_JOURNAL_BYTES = 16 << 20  # a larger one is not read for an estimate
_COLD_MS = 1500  # a cold start with scikit-learn; what local workers cannot tell
_OK = STATUSES.index("ok")
_RANKS: dict[Basis, int] = {"measured": 0, "emulated": 1, "estimated": 2}


def quotes(plan: Plan, limits: Limits) -> list[Quote]:
    """A quote for each backend that AWS would charge for. Reads recorded sessions: not for a loop that has other work.

    Raises:
        InputError: a parameter or a region that cannot be used.
    """
    found = []
    past: list[_Past] | None = None
    for choice in plan.backends:
        bound = bound_of(choice, plan, limits)
        if bound is None:
            continue
        past = _past(plan, limits.tasks if limits.sure else None) if past is None else past
        found.append(
            Quote(
                label=choice.label,
                spends=choice.name == "lambda",
                origin=catalog.origin(choice.name),
                runs=planned_runs(plan),
                bound_usd=bound.usd,
                left_out=bound.left_out,
                assumed=bound.assumed,
                open=fixed_repeats(plan) is None,
                expected=_expected(choice, plan, past),
            )
        )
    return found


# -- what was recorded


class _Kind(NamedTuple):
    """How a run was made, as far as it decides what the same work costs."""

    memory_mb: int | None  # None: on local workers
    arch: str | None
    transport: str | None


class _Past(NamedTuple):
    """A recorded run of the same work."""

    basis: Basis
    kind: _Kind
    run: RunView
    session: str


def recorded_runs(plan: Plan, tasks: int | None, *, of_any_size: bool = False) -> Iterator[tuple[RunView, str]]:
    """The recorded runs of the same work that ended well, each with its session; the newest session first.

    Simulated runs are left out: they measure nothing. `tasks`: how many the work has; None: not known. Journals too large
    to be read for an estimate are passed over, if not `of_any_size`.
    """
    try:
        folders = session_folders()
    except InputError:
        return
    described = registry.describe(plan.workload)
    params = msgspec.json.decode(msgspec.json.encode(settable(resolve_params(plan))))  # as a journal holds them
    for folder in folders[:_SESSIONS]:
        journal = folder / JOURNAL_NAME
        if not (of_any_size or _is_small(journal)) or not _may_have(journal, described.name, params):
            continue
        try:
            view = load_folder(folder)
        except (SessionFileError, OSError):
            continue
        for run in view.started_runs:
            measured = run.planned.origin != "simulated" and run.status == "ok"
            if measured and _same(run, plan, described, params, tasks):
                yield run, folder.name


def _past(plan: Plan, tasks: int | None) -> list[_Past]:
    """The newest run of the same work of each basis and kind."""
    found: dict[tuple[Basis, _Kind], _Past] = {}
    for run, session in recorded_runs(plan, tasks):
        past = _Past(_basis(run), _kind(run), run, session)
        found.setdefault((past.basis, past.kind), past)
    return list(found.values())


def _is_small(journal: Path) -> bool:
    try:
        return journal.stat().st_size <= _JOURNAL_BYTES
    except OSError:
        return False


def _may_have(journal: Path, workload: str, params: dict[str, object]) -> bool:
    """Whether a journal plans the same work: a sweep plans a point's runs where the point begins."""
    try:
        with journal.open("rb") as file:
            for line in file:
                if line.startswith(b'{"event":"planned"'):
                    try:
                        event = decode_event(line)
                    except msgspec.MsgspecError:
                        continue
                    if isinstance(event, RunPlanned) and event.workload == workload and event.params == params:
                        return True
    except OSError:
        pass
    return False


def _same(run: RunView, plan: Plan, described: Description, params: dict[str, object], tasks: int | None) -> bool:
    planned, started = run.planned, run.started
    assert started is not None
    if planned.workload != described.name or planned.params != params:
        return False
    if described.code is not None and started.code_digest != code_digest(described.code):
        return False  # another job of that name, or the same before it was changed
    if plan.tasks is not None and run.stages and run.stages[0].tasks != plan.tasks:
        return False
    if None not in (planned.tasks, tasks) and planned.tasks != tasks:
        return False  # a probe's tasks, for one, are work of their own each
    source = "" if started.data is None else started.data.source
    return plan.data is None or Path(plan.data).name in source


def _basis(run: RunView) -> Basis:
    if run.planned.backend == "lambda":
        return "measured"
    return "emulated" if run.planned.backend == "emulated" else "estimated"


# -- what follows from it


def _kind(run: RunView) -> _Kind:
    assert run.started is not None
    pricing = run.started.pricing
    arch = pricing.rates.architecture if pricing.rates is not None else None
    return _Kind(pricing.memory_mb, arch, run.started.transport if pricing.rates is not None else None)


def _expected(choice: BackendChoice, plan: Plan, past: list[_Past]) -> Expectation | None:
    settings = settings_of(choice)
    assert isinstance(settings, LambdaSettings)
    wanted = _Kind(settings.memory, architecture_of(settings), settings.transport)

    def distance(one: _Past) -> tuple[int, int]:
        other = [a is not None and a != b for a, b in zip(one.kind, wanted, strict=True)]
        return _RANKS[one.basis], sum(other)

    for one in sorted(past, key=distance):
        run, columns = one.run, one.run.columns
        time = _local_ms(run, settings) if one.basis == "estimated" else _billed_ms(run, settings)
        if time is None:
            continue
        total_ms, cold = time
        calls = len(columns)
        received = columns["response_bytes"]
        letters = calls * ((wanted.transport == "event") - (one.kind.transport == "event"))
        bill = cost.run_cost(
            rates_of(settings),
            total_ms,
            memory_mb=settings.memory,
            requests=calls,
            s3_requests={"put": max(0, run.s3_put + letters), "get": max(0, run.s3_get + letters)},
            transfer_bytes=int(received[received > 0].sum(dtype=np.int64)),
            log_bytes=cost.log_bytes(calls, cold, printed_bytes(run), marked=is_marked(settings, plan)),
        )
        assert bill.usd is not None
        where = "; ".join([f"session {one.session}", *_conversions(one, wanted)])
        text = f"{_TEXTS[one.basis].format(label=run.planned.label)} ({where})"
        return Expectation(bill.usd, one.basis, text, bill.assumed)
    return None


def _conversions(one: _Past, wanted: _Kind) -> list[str]:
    """What was converted from a run of another kind, each in a few words."""
    had = one.kind
    if had.memory_mb is None:
        share = _share(wanted.memory_mb or 0)
        return [f"as if a vCPU were as fast as a core here, {share:.2f} of it at {wanted.memory_mb:,} MB"]
    texts = []
    if had.memory_mb != wanted.memory_mb:
        texts.append(f"times converted from {had.memory_mb:,} MB to {wanted.memory_mb:,} MB")
    if had.arch != wanted.arch:
        texts.append(f"as if {wanted.arch} were as fast as {had.arch}, at its own price")
    if had.transport not in (None, wanted.transport):
        texts.append(f"requests converted from transport {had.transport} to {wanted.transport}")
    return texts


_TEXTS: dict[Basis, str] = {
    "measured": "as measured on AWS",
    "emulated": "from the time emulated on this machine",
    "estimated": "estimated from {label} on this machine, with a cold start of "
    f"{_COLD_MS / 1000:g} s for each environment",
}


def _share(memory_mb: int) -> float:
    """Of one vCPU, which is all that a task of one thread can use."""
    return min(1.0, memory_mb / lambda_limits().memory_mb_per_vcpu)


def _billed_ms(run: RunView, settings: LambdaSettings) -> tuple[int, int] | None:
    """What was billed, at the share of CPU that is asked for now; and how many were cold."""
    assert run.started is not None
    columns = run.columns
    billed = columns["billed_ms"]
    memory = run.started.pricing.memory_mb
    if memory is None or not (billed >= 0).any():
        return None
    total_ms = int(billed[billed >= 0].sum(dtype=np.int64)) * len(columns) / int((billed >= 0).sum())
    unlimited = any(environment.cpu_share_method == "none" for environment in run.environments.values())
    had = 1.0 if unlimited else _share(memory)  # emulated without a share of CPU, each had a core of its own
    return round(total_ms * had / _share(settings.memory)), int((columns["cold"] == 1).sum())


def _local_ms(run: RunView, settings: LambdaSettings) -> tuple[int, int] | None:
    """What the tasks computed here, as if a vCPU were as fast as a core of this machine; each environment starts cold."""
    columns = run.columns
    computed = columns["compute_ms"][columns["status"] == _OK]
    computed = computed[computed == computed]
    if not len(computed):
        return None
    largest = max(stage.tasks for stage in run.stages)
    cold = min(largest, settings.concurrency or lambda_limits().concurrency)
    whole = float(np.ceil(computed).sum(dtype=np.float64)) / _share(settings.memory)
    return round(whole) + cold * _COLD_MS, cold
