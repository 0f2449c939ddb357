"""Sessions of several machines and days side by side: the same job only, each difference with its interval.

Sessions have no rounds in common, so that nothing is paired: what separates two days separates their sessions too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
import numpy as np

from lbench.analysis.comparison import Bill, Claim, Line, Summary, Temperature, compare, is_cold
from lbench.analysis.permutation import PermutationTest, permutation_test
from lbench.analysis.statistics import CLAIM_LEVEL, LEAST_CLAIM, Estimate, holm, ratio_estimate, unpaired_p
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import InputError

__all__ = [
    "MOST_REPEATS",
    "Apart",
    "Difference",
    "Effect",
    "Job",
    "Row",
    "SessionComparison",
    "Verdict",
    "compare_sessions",
]

# slower: certainly by more than the threshold; within: certainly not; unclear: neither can be claimed
Verdict = Literal["slower", "within", "unclear"]

MOST_REPEATS = 1000  # more are not recommended: no such difference is worth them
_KERNELS = ("numpy", "scipy", "scikit-learn")  # another major version computes with other kernels
_MEDIAN = 1.2533  # the median's standard error against the mean's, for normal values
_Z = 1.959964 + 0.841621  # of a 95 % interval, and so that four in five repetitions would decide


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A row against its base."""

    against: str  # session and label of the base
    ratio: Estimate  # times as fast as the base
    change: Estimate  # of the makespan, as a share: 0.05 is 5 % slower
    claim: Claim
    test: PermutationTest | None
    p_corrected: float | None  # of the permutation test, by Holm over all effects
    repeats_needed: int | None  # of each side, for an answer; None: there is one, or more than `MOST_REPEATS`
    verdict: Verdict | None  # None: no threshold was given


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


class Difference(msgspec.Struct, frozen=True):
    """What differs between the sessions' environments: a value for each session."""

    what: str
    values: tuple[str, ...]


class SessionComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs that at least two sessions share."""

    sessions: tuple[str, ...]
    jobs: tuple[Job, ...]
    differences: tuple[Difference, ...]
    threshold: float | None

    @property
    def effects(self) -> list[Effect]:
        """All effects, in their order."""
        return [row.effect for job in self.jobs for row in job.rows if row.effect is not None]

    @property
    def slower(self) -> list[Row]:
        """The rows that are certainly slower than the threshold allows."""
        rows = [row for job in self.jobs for row in job.rows]
        return [row for row in rows if row.effect is not None and row.effect.verdict == "slower"]


def compare_sessions(
    sessions: Sequence[tuple[str, SessionView]], bill: Bill, *, threshold: float | None = None
) -> SessionComparison:
    """Compare the jobs that sessions share; the first session is the base.

    A row is compared with the base's row of the same label and temperature; where the base has no such label, with its
    fastest row of the same origin.

    Args:
        sessions: names and views.
        bill: the arithmetic of a run's bill.
        threshold: the share by which a makespan may grow (`--fail-if-slower`).

    Raises:
        InputError: fewer than two sessions, one twice, nothing in common, or nothing that can be compared.
    """
    if len(sessions) < 2:
        raise InputError(f"name two sessions or more to compare, got {len(sessions)}")
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
    if not any(row.effect is not None for job in compared for row in job.rows):
        _refuse(sessions, compared)
    return SessionComparison(
        sessions=tuple(name for name, _ in sessions),
        jobs=tuple(compared),
        differences=tuple(_differences(sessions)),
        threshold=threshold,
    )


def _refuse(sessions: Sequence[tuple[str, SessionView]], jobs: Iterable[Job]) -> None:
    """Raise the reason why nothing can be compared."""
    for job in jobs:
        for one in job.apart:
            raise InputError(f"nothing to compare: {one.session}, {one.what}: {one.why}")
    have = [
        f"{name} has {', '.join(dict.fromkeys(run.planned.workload for run in view.started_runs)) or 'no runs'}"
        for name, view in sessions
    ]
    raise InputError(f"the sessions have no workload with the same parameters in common: {'; '.join(have)}")


# -- the jobs


_Key = tuple[str, str, int]  # workload, parameters, seed
_Found = tuple[str, SessionView, list[RunView]]


def _jobs(sessions: Sequence[tuple[str, SessionView]], bill: Bill) -> list[Job]:
    groups: dict[_Key, list[_Found]] = {}
    for name, view in sessions:
        own: dict[_Key, list[RunView]] = {}
        for run in view.started_runs:
            if run.planned.interaction is None and run.has_answer:
                own.setdefault(_key(run), []).append(run)
        for key, runs in own.items():
            groups.setdefault(key, []).append((name, view, runs))
    alone = [found for found in groups.values() if len(found) == 1]
    jobs = [_job(found, bill) for found in groups.values() if len(found) > 1]
    return jobs + [job for job in _other_parameters(sessions, groups, alone, bill) if job is not None]


def _key(run: RunView) -> _Key:
    point = {} if run.planned.sweep is None else run.planned.sweep.point  # workers and tasks are no parameters
    params = msgspec.json.encode(run.planned.params | point, order="sorted").decode()
    return run.planned.workload, params, run.planned.seed


def _other_parameters(
    sessions: Sequence[tuple[str, SessionView]], groups: dict[_Key, list[_Found]], alone: list[list[_Found]], bill: Bill
) -> list[Job | None]:
    """Jobs whose workload another session has with other parameters or another seed: said, not compared."""
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
    mine, theirs = base.planned, run.planned
    names = dict.fromkeys([*mine.params, *theirs.params])
    texts = [
        f"{name} {theirs.params.get(name)} against {mine.params.get(name)}"
        for name in names
        if mine.params.get(name) != theirs.params.get(name)
    ]
    if mine.seed != theirs.seed:
        texts.append(f"seed {theirs.seed} against {mine.seed}")
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
            elif summary.oversubscribed:
                apart.append(Apart(session, row.name, "more environments than that machine can carry"))
            else:
                rows.append(row)
    return Job(
        workload=planned.workload,
        params=planned.params,
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
        return "its makespan is 0: there is nothing to divide"
    if summary.answer == "wrong":
        return "its answer is wrong"
    statuses = dict.fromkeys(str(run.status) for run in runs if run.planned.label == summary.label)
    return f"no run ended well ({', '.join(statuses)})"


def _data(runs: list[RunView]) -> str | None:
    return next((run.started.data.digest for run in runs if run.started and run.started.data is not None), None)


def _not_comparable(base: SessionView, mine: list[RunView], other: SessionView, theirs: list[RunView]) -> str | None:
    """Why a session's runs of a job are not those of the base; None: they are."""
    if _data(mine) != _data(theirs):
        return f"other data (digest {_short(_data(theirs))} against {_short(_data(mine))})"
    assert base.header is not None and other.header is not None
    for package in _KERNELS:
        versions = [view.header.environment.packages.get(package) for view in (other, base) if view.header is not None]
        if None not in versions and _major(versions[0]) != _major(versions[1]):
            return f"{package} {versions[0]} against {versions[1]}: another kernel"
    right = [_digests(runs) for runs in (mine, theirs)]
    if all(right) and not right[0] & right[1] and _unchecked(mine) and _unchecked(theirs):
        return "another answer, and neither was checked against a reference"
    return None


def _digests(runs: list[RunView]) -> set[str]:
    return {run.answer.digest for run in runs if run.answer is not None and run.answer.ok is not False}


def _unchecked(runs: list[RunView]) -> bool:
    return all(run.answer is None or run.answer.ok is None for run in runs)


def _major(version: str | None) -> str:
    return (version or "").split(".")[0]


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest.removeprefix("sha256:")[:8]


def _row(session: str, view: SessionView, runs: list[RunView], summary: Summary, line: Line) -> Row | None:
    own = [
        run
        for run in runs
        if run.planned.label == summary.label
        and not run.planned.warmup
        and run.status == "ok"
        and (line.temperature is None or (is_cold(run) is True) == (line.temperature == "cold"))
    ]
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
    model = environment.cpu_model or environment.hostname or "unknown"
    for word in ("(R)", "(TM)", "CPU", "Processor", "Intel", "Core"):
        model = model.replace(word, "")
    model = " ".join(model.split("@")[0].split())
    usable, logical = environment.usable_cores, environment.logical_cores
    if usable is None:
        return model
    of = "" if logical is None or logical == usable else f" of {logical}"
    return f"{model}, {usable:g}{of} cores"


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
            base = _base(row, bases)
            if base is None:
                why = f"{row.origin}, and the base has no such runs of {row.name}: not comparable"
                apart.setdefault(number, []).append(Apart(row.session, row.name, why))
            else:
                pairs.append((number, index, base))
    measured = [_measures(jobs[number].rows[index], base) for number, index, base in pairs]
    beyond = holm(
        [_p_beyond(jobs[number].rows[index], base, threshold or 0.0, len(pairs)) for number, index, base in pairs]
    )
    tests = [permutation_test(base.times_s, jobs[number].rows[index].times_s) for number, index, base in pairs]
    corrected = iter(holm([test.p for test in tests if test is not None]))
    by_test = [None if test is None else next(corrected) for test in tests]
    claims = holm([p(len(pairs)) for _, _, p in measured])
    found: dict[tuple[int, int], Effect] = {}
    for place, (number, index, base) in enumerate(pairs):
        ratio, change, _ = measured[place]
        row = jobs[number].rows[index]
        found[number, index] = Effect(
            against=f"{base.session} {base.name}",
            ratio=ratio,
            change=change,
            claim=_claim(ratio, claims[place]),
            test=tests[place],
            p_corrected=by_test[place],
            repeats_needed=_needed(base, row, change, beyond[place], threshold),
            verdict=None if threshold is None else _verdict(change, threshold, beyond[place]),
        )
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


def _base(row: Row, bases: list[Row]) -> Row | None:
    """The base's row of the same kind; else its fastest of the same origin."""
    alike = [one for one in bases if one.origin == row.origin]
    same = [one for one in alike if one.label == row.label]
    exact = [one for one in same if one.temperature == row.temperature]
    if exact:
        return exact[0]
    if same:  # cold against warm would compare two questions
        return None
    warm = [one for one in alike if one.temperature != "cold"] or alike
    return min(warm, key=lambda one: one.makespan_s.value, default=None)


def _measures(row: Row, base: Row) -> tuple[Estimate, Estimate, Callable[[int], float]]:
    ratio = ratio_estimate(base.times_s, row.times_s)
    over = ratio_estimate(row.times_s, base.times_s)
    assert ratio is not None and over is not None  # no time is 0
    low, high = (None if end is None else end - 1 for end in (over.low, over.high))
    change = Estimate(over.value - 1, low, high, over.count, over.kind)
    return ratio, change, lambda count: unpaired_p(base.times_s, row.times_s, count)


def _claim(ratio: Estimate, p: float) -> Claim:
    if ratio.low is None or ratio.high is None or ratio.count < LEAST_CLAIM:
        return "unsettled"
    if ratio.low <= 1 <= ratio.high:
        return "open"
    if p > CLAIM_LEVEL:
        return "unsettled"
    return "faster" if ratio.low > 1 else "slower"


def _p_beyond(row: Row, base: Row, threshold: float, comparisons: int) -> float:
    """The test of a claim, against a base that is slower by the threshold."""
    return unpaired_p([time * (1 + threshold) for time in base.times_s], row.times_s, comparisons)


def _verdict(change: Estimate, threshold: float, p: float) -> Verdict:
    """As every claim (docs/statistics.md): the interval and the corrected test must both leave out the threshold."""
    if change.low is None or change.high is None or change.count < LEAST_CLAIM or p > CLAIM_LEVEL:
        return "unclear"
    if change.low > threshold:
        return "slower"
    return "within" if change.high < threshold else "unclear"


def _needed(base: Row, row: Row, change: Estimate, p: float, threshold: float | None) -> int | None:
    """Repeats of each side after which the interval would leave out the question's value, if the spread stays.

    Of the two medians' difference in logarithms: n = ((1.96 + 0.84) x 1.2533 x s / d)^2, with s^2 the sum of both variances
    and d the distance to the threshold (without one: to no difference).
    """
    if _verdict(change, threshold or 0.0, p) != "unclear":
        return None
    least = 6
    if min(len(base.times_s), len(row.times_s)) < 2:
        return least
    variance = sum(float(np.var(np.log(times), ddof=1)) for times in (base.times_s, row.times_s))
    distance = abs(math.log1p(change.value) - math.log1p(threshold or 0.0))
    if distance == 0:
        return None
    count = math.ceil((_Z * _MEDIAN) ** 2 * variance / distance**2)
    now = min(len(base.times_s), len(row.times_s))
    needed = max(least, count, now + 1)
    return needed if needed <= MOST_REPEATS else None


# -- the environments


def _differences(sessions: Sequence[tuple[str, SessionView]]) -> list[Difference]:
    facts = [_facts(view) for _, view in sessions]
    names = dict.fromkeys(name for own in facts for name in own)
    rows = [Difference(name, tuple(own.get(name, "–") for own in facts)) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]


def _facts(view: SessionView) -> dict[str, str]:
    """What a session's figures hang on, as texts."""
    if view.header is None:
        return {}
    environment = view.header.environment
    found: dict[str, Any] = {
        "processor": environment.cpu_model,
        "usable cores": None if environment.usable_cores is None else f"{environment.usable_cores:g}",
        "physical cores": environment.physical_cores,
        "logical cores": environment.logical_cores,
        "CPU quota": None if environment.cgroup_quota is None else f"{environment.cgroup_quota:g}",
        "governor": environment.cpu_governor,
        "memory": None if environment.memory_bytes is None else f"{environment.memory_bytes / 2**30:.0f} GiB",
        "system": environment.os,
        "python": environment.python,
        "BLAS threads": environment.blas_threads,
        "lbench": view.header.lbench_version,
        **environment.packages,
    }
    runs = [run for run in view.started_runs if run.started is not None]
    for run in runs:
        assert run.started is not None
        label = run.planned.label
        found.setdefault(f"workers of {label}", run.started.capacity)
        found.setdefault(f"tasks of {label}", run.known_tasks or run.planned.tasks)
        found.setdefault(f"code of {run.planned.workload}", _short(run.started.code_digest))
    return {name: str(value) for name, value in found.items() if value is not None}
