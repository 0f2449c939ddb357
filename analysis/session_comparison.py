"""Sessions of several machines and days side by side: the same job only, each difference with its interval.

Sessions have no rounds in common, so that nothing is paired: what separates two days separates their sessions too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from lbench.analysis.comparison import Bill, Line, Summary, Temperature, compare, runs_of_line
from lbench.analysis.effects import Effect, Samples, effects
from lbench.analysis.environment_differences import Difference, environment_differences, short_digest
from lbench.analysis.format import cores_text
from lbench.analysis.statistics import Estimate
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import InputError

__all__ = [
    "Apart",
    "Job",
    "Row",
    "SessionComparison",
    "compare_sessions",
]

_KERNELS = ("numpy", "scipy", "scikit-learn")  # another major version computes with other kernels


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One backend of one session, or its cold or its warm repeats."""

    session: str
    machine: str
    created: str
    label: str
    backend: str
    origin: str
    temperature: Temperature | None
    capacity: int | None
    tasks: int | None
    makespan_s: Estimate
    usd: Decimal | None
    rent_usd: Decimal | None
    effect: Effect | None = None  # None: a base
    times_s: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The label, with the temperature."""
        return self.label if self.temperature is None else f"{self.label} {self.temperature}"


class Apart(msgspec.Struct, frozen=True):
    """A session's runs that cannot be compared with the others, and why."""

    session: str
    what: str
    why: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One workload with one set of parameters and data; rows in the sessions' order."""

    workload: str
    params: dict[str, Any]
    seed: int
    data: str | None
    rows: tuple[Row, ...]
    apart: tuple[Apart, ...]


class SessionComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs that at least two sessions share."""

    sessions: tuple[str, ...]
    jobs: tuple[Job, ...]
    differences: tuple[Difference, ...]
    threshold: float | None

    @property
    def slower(self) -> list[Row]:
        """The rows that are certainly slower than the threshold allows."""
        rows = [row for job in self.jobs for row in job.rows]
        return [row for row in rows if row.effect is not None and row.effect.verdict == "slower"]


def compare_sessions(
    sessions: Sequence[tuple[str, SessionView]], bill: Bill, *, threshold: float | None = None
) -> SessionComparison:
    """Compare the jobs that sessions share; the first session is the base.

    A row is compared with the base's row of the same label and temperature; where the base did not run that label, with
    its fastest row of the same origin.

    Args:
        sessions: names and views.
        bill: the arithmetic of a run's bill.
        threshold: the share by which a makespan may grow (`--fail-if-slower`).

    Raises:
        InputError: fewer than two sessions, one twice, nothing in common, or nothing that can be compared.
    """
    if len(sessions) < 2:
        raise InputError(f"sessions to compare must be at least 2, got {len(sessions)}")
    seen: dict[str, str] = {}
    for name, view in sessions:
        identity = name if view.header is None else view.header.id
        if identity in seen:
            raise InputError(f"{name} is the same session as {seen[identity]}: name two different sessions")
        seen[identity] = name
    jobs = [job for job in _jobs(sessions, bill) if job is not None]
    if not any(len({row.session for row in job.rows}) > 1 for job in jobs):
        _refuse(sessions, jobs)
    shared = [job for job in jobs if len({row.session for row in job.rows}) > 1 or job.apart]
    compared = _with_effects(shared, threshold)
    compared += _lacking(sessions, bill)
    if not any(row.effect is not None for job in compared for row in job.rows):
        _refuse(sessions, compared)
    return SessionComparison(
        sessions=tuple(name for name, _ in sessions),
        jobs=tuple(compared),
        differences=tuple(_differences(sessions, compared)),
        threshold=threshold,
    )


def _refuse(sessions: Sequence[tuple[str, SessionView]], jobs: Iterable[Job]) -> None:
    """Raise the reason why nothing can be compared."""
    for job in jobs:
        for one in job.apart:
            raise InputError(f"nothing to compare: {one.session}, {one.what}: {one.why}")
    have = [
        f"{name} has {', '.join(dict.fromkeys(map(_what, view.started_runs))) or 'no runs'}" for name, view in sessions
    ]
    raise InputError(f"the sessions have no workload with the same parameters in common: {'; '.join(have)}")


def _what(run: RunView) -> str:
    return run.planned.workload + (" as it was explored" if run.planned.interaction is not None else "")


# -- the jobs


_Key = tuple[str, str, int]  # workload, parameters, seed
_Found = tuple[str, SessionView, list[RunView]]


def _jobs(sessions: Sequence[tuple[str, SessionView]], bill: Bill) -> list[Job]:
    groups: dict[_Key, list[_Found]] = {}
    for name, view in sessions:
        for key, runs in _by_key(view).items():
            groups.setdefault(key, []).append((name, view, runs))
    alone = [found for found in groups.values() if len(found) == 1]
    jobs = [_job(found, bill) for found in groups.values() if len(found) > 1]
    return jobs + [job for job in _other_parameters(sessions, groups, alone, bill) if job is not None]


def _by_key(view: SessionView) -> dict[_Key, list[RunView]]:
    """The runs of a session by what was computed."""
    found: dict[_Key, list[RunView]] = {}
    for run in view.started_runs:
        if run.planned.interaction is None and run.has_answer:
            found.setdefault(_key(run), []).append(run)
    return found


def _differences(sessions: Sequence[tuple[str, SessionView]], jobs: Iterable[Job]) -> list[Difference]:
    """What differs between the machines, and between the runs that are compared."""
    every = [(name, _by_key(view)) for name, view in sessions]
    compared = []
    for job in jobs:
        labels = {(row.session, row.label) for row in job.rows}
        runs = [(name, known.get(_job_key(job.workload, job.params, job.seed), [])) for name, known in every]
        compared.append([[run for run in own if (name, run.planned.label) in labels] for name, own in runs])
    return environment_differences([view for _, view in sessions], compared)


def _lacking(sessions: Sequence[tuple[str, SessionView]], bill: Bill) -> list[Job]:
    """A job without rows for each workload that not all sessions have."""
    groups: dict[str, dict[str, _Found]] = {}
    for name, view in sessions:
        for run in view.started_runs:
            if run.planned.interaction is None and run.has_answer:
                groups.setdefault(run.planned.workload, {}).setdefault(name, (name, view, []))[2].append(run)
    jobs = []
    for workload, found in groups.items():
        lacking = [name for name, _ in sessions if name not in found]
        if lacking:
            first = next(iter(found.values()))
            same = [run for run in first[2] if _key(run) == _key(first[2][0])]
            apart = tuple(Apart(name, workload, "it has no runs of this workload") for name in lacking)
            jobs.append(msgspec.structs.replace(_job([(*first[:2], same)], bill), rows=(), apart=apart))
    return jobs


def _key(run: RunView) -> _Key:
    return _job_key(run.planned.workload, _parameters(run), run.planned.seed)


def _job_key(workload: str, params: dict[str, Any], seed: int) -> _Key:
    return workload, msgspec.json.encode(params, order="sorted").decode(), seed


def _parameters(run: RunView) -> dict[str, Any]:
    """The parameters, with the point of a sweep: workers and tasks are none."""
    return run.planned.params | ({} if run.planned.sweep is None else run.planned.sweep.point)


def _other_parameters(
    sessions: Sequence[tuple[str, SessionView]], groups: dict[_Key, list[_Found]], alone: list[list[_Found]], bill: Bill
) -> list[Job | None]:
    """Jobs whose workload another session has with other parameters or another seed: named, not compared."""
    if any(len(found) > 1 for found in groups.values()):
        return []
    first = sessions[0][0]
    bases = [found[0] for found in alone if found[0][0] == first]
    jobs: list[Job | None] = []
    for ((name, _, runs),) in alone:
        if name == first:
            continue
        planned = runs[0].planned
        base = next((one for one in bases if one[2][0].planned.workload == planned.workload), None)
        if base is not None:
            why = _parameters_text(base[2][0], runs[0])
            job = _job([base], bill)
            jobs.append(msgspec.structs.replace(job, apart=(*job.apart, Apart(name, planned.workload, why))))
    return jobs


def _parameters_text(base: RunView, run: RunView) -> str:
    mine, theirs = _parameters(base), _parameters(run)
    texts = [
        f"{name} {theirs.get(name, 'absent')} against {mine.get(name, 'absent')}"
        for name in dict.fromkeys([*mine, *theirs])
        if mine.get(name) != theirs.get(name)
    ]
    if base.planned.seed != run.planned.seed:
        texts.append(f"seed {run.planned.seed} against {base.planned.seed}")
    return f"other parameters: {', '.join(texts)}"


def _job(found: list[_Found], bill: Bill) -> Job:
    name, view, runs = found[0]
    planned = runs[0].planned
    base_data = _data(runs)
    rows: list[Row] = []
    apart: list[Apart] = []
    for session, other, own in found:
        why = None if session == name else _not_comparable(view, runs, other, own)
        if why is not None:
            apart.append(Apart(session, planned.workload, why))
            continue
        for summary, line in compare(own, bill).rows:
            row = _row(session, other, own, summary, line)
            if row is None:
                apart.append(Apart(session, summary.label, _why_not(summary, own)))
            elif summary.crowded:
                apart.append(Apart(session, row.name, "more environments than that machine can carry"))
            else:
                rows.append(row)
    return Job(
        workload=planned.workload,
        params=_parameters(runs[0]),
        seed=planned.seed,
        data=base_data,
        rows=tuple(rows),
        apart=tuple(apart),
    )


def _why_not(summary: Summary, runs: list[RunView]) -> str:
    """Why a backend has no row."""
    if summary.error is not None:
        return summary.error
    if summary.makespan_s is not None:
        return "its makespan is not above 0: there is nothing to divide"
    if summary.answer == "wrong":
        return "its answer is wrong"
    statuses = dict.fromkeys(str(run.status) for run in runs if run.planned.label == summary.label)
    if any(run.status == "ok" for run in runs if run.planned.label == summary.label):
        return "its runs were paused" if any(line.paused for line in summary.lines) else "its runs have no makespan"
    return f"no run ended well ({', '.join(statuses)})"


def _data(runs: list[RunView]) -> str | None:
    return next((run.started.data.digest for run in runs if run.started and run.started.data is not None), None)


def _not_comparable(base: SessionView, mine: list[RunView], other: SessionView, theirs: list[RunView]) -> str | None:
    """Why a session's runs of a job are not those of the base; None: they are."""
    if _data(mine) != _data(theirs):
        return f"other data (digest {short_digest(_data(theirs))} against {short_digest(_data(mine))})"
    assert base.header is not None and other.header is not None
    for package in _KERNELS:
        versions = [view.header.environment.packages.get(package) for view in (other, base) if view.header is not None]
        if None not in versions and _major(versions[0]) != _major(versions[1]):
            return f"{package} {versions[0]} against {versions[1]}: another kernel"
    right = [
        {run.answer.digest for run in runs if run.answer is not None and run.answer.ok is not False}
        for runs in (mine, theirs)
    ]
    if all(right) and not right[0] & right[1] and _unchecked(mine) and _unchecked(theirs):
        return "another answer, and neither was checked against a reference"
    return None


def _unchecked(runs: list[RunView]) -> bool:
    return all(run.answer is None or run.answer.ok is None for run in runs)


def _major(version: str | None) -> str:
    return (version or "").split(".")[0]


def _row(session: str, view: SessionView, runs: list[RunView], summary: Summary, line: Line) -> Row | None:
    own = runs_of_line([run for run in runs if run.planned.label == summary.label], line)
    times = tuple(run.makespan_s for run in own if run.makespan_s is not None)
    if line.makespan_s is None or not times or min(times) <= 0:
        return None
    assert view.header is not None
    return Row(
        session=session,
        machine=_machine(view.header.environment, summary),
        created=view.header.created,
        label=summary.label,
        backend=summary.backend,
        origin=summary.origin,
        temperature=line.temperature,
        capacity=summary.capacity,
        tasks=own[0].known_tasks or own[0].planned.tasks,
        makespan_s=line.makespan_s,
        usd=line.usd,
        rent_usd=line.rent_usd,
        times_s=times,
    )


def _machine(environment: Environment, summary: Summary) -> str:
    """Where a row ran: "i7-1260P, 4 of 12", "us-east-1, 1,769 MB"."""
    if summary.backend == "lambda":
        memory = "" if summary.memory_mb is None else f", {summary.memory_mb:,} MB"
        return f"{summary.region or 'AWS'}{memory}"
    model = re.sub(r"\b\d+-Core\b", "", environment.cpu_model or environment.hostname or "unknown")
    for word in ("(R)", "(TM)", "CPU", "Processor", "Intel", "Core"):
        model = model.replace(word, "")
    model = " ".join(model.split("@")[0].split())
    usable, logical = environment.usable_cores, environment.logical_cores
    if usable is None:
        return model
    if logical is None or logical == usable:
        return f"{model}, {cores_text(usable)}"
    return f"{model}, {usable:g} of {cores_text(logical)}"


# -- the effects


def _with_effects(jobs: list[Job], threshold: float | None) -> list[Job]:
    """The jobs with the effects of all rows of later sessions, corrected together."""
    pairs: list[tuple[int, int, Row]] = []
    apart: dict[int, list[Apart]] = {}
    for number, job in enumerate(jobs):
        base_session = job.rows[0].session if job.rows else None
        bases = [row for row in job.rows if row.session == base_session]
        for index, row in enumerate(job.rows):
            if row.session == base_session:
                continue
            lost = next((one.why for one in job.apart if one.session == base_session and one.what in _names(row)), None)
            base = _base(row, bases, lost)
            if base is None:
                why = _no_base(row, bases, lost)
                apart.setdefault(number, []).append(Apart(row.session, row.name, why))
            else:
                pairs.append((number, index, base))
    samples = [
        Samples(f"{base.session} {base.name}", base.times_s, jobs[number].rows[index].times_s)
        for number, index, base in pairs
    ]
    places = [(number, index) for number, index, _ in pairs]
    found = dict(zip(places, effects(samples, threshold), strict=True))
    return [
        msgspec.structs.replace(
            job,
            rows=tuple(
                msgspec.structs.replace(row, effect=found.get((number, index)))
                for index, row in enumerate(job.rows)
                if row.session == job.rows[0].session or (number, index) in found
            ),
            apart=(*job.apart, *apart.get(number, [])),
        )
        for number, job in enumerate(jobs)
    ]


def _names(row: Row) -> tuple[str, ...]:
    """What stands apart for the label of a row."""
    return row.label, f"{row.label} cold", f"{row.label} warm"


def _no_base(row: Row, bases: list[Row], lost: str | None) -> str:
    """Why the base has nothing to compare a row with."""
    same = [one for one in bases if (one.origin, one.label) == (row.origin, row.label)]
    if not same and lost is not None:
        return f"the base's own {row.label} cannot be compared: {lost}"
    if not same:
        return f"its times are {row.origin}, and the base has no such times of {row.label}: not comparable"
    if row.temperature is None:
        return f"the base has its cold and warm repeats of {row.label} apart, and these have neither: not comparable"
    return f"the base has no {row.temperature} repeats of {row.label}: not comparable"


def _base(row: Row, bases: list[Row], lost: str | None) -> Row | None:
    """The base's row of the same kind; else its fastest of the same origin, unless it has such a label that was `lost`."""
    alike = [one for one in bases if one.origin == row.origin]
    same = [one for one in alike if one.label == row.label]
    exact = [one for one in same if one.temperature == row.temperature]
    if exact:
        return exact[0]
    if same or lost is not None:  # cold against warm, or another backend, would answer another question
        return None
    warm = [one for one in alike if one.temperature != "cold"] or alike
    return min(warm, key=lambda one: one.makespan_s.value, default=None)
