"""Memory x tasks on Lambda: a small parametric model of time and dollars, the Pareto front, and three picks.

Time: s + w (waves / tasks) / speed + h tasks, dollars: (c / speed + g tasks) memory + r tasks, none below 0; waves is
tasks / environments, rounded up; speed is min(memory / 1,769 MB, threads), with as many threads as explain the times best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.comparison import Bill, compare
from lbench.analysis.format import (
    listed,
    ms_text,
    percent_text,
    ratio_text,
    seconds_text,
    spread_text,
    times_spread_text,
    times_text,
    usd_estimate_text,
)
from lbench.analysis.resumption import cut_off_runs, unfinished_runs
from lbench.analysis.statistics import (
    CLAIM_LEVEL,
    Estimate,
    coefficient_of_variation,
    holm,
    median_estimate,
    ratio_estimate,
    unpaired_p,
)
from lbench.config.limits import limits
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import count_text

__all__ = [
    "LEAST_RUNS",
    "MOST_CV",
    "MOST_TRIALS",
    "SHARE_PERIODS_MS",
    "Candidate",
    "Tuned",
    "candidate_at",
    "candidate_text",
    "caveats",
    "fit_model",
    "front",
    "memory_text",
    "next_candidate",
    "picks_of",
    "tuned",
    "tuned_text",
    "tuning_sentence",
]

MOST_TRIALS = 20  # runs in all
LEAST_RUNS = 4  # of each candidate
MOST_CV = 0.05  # of a pick's warm makespans
# Over which the emulator holds a CPU share, by its method (engine/emulator/resources).
SHARE_PERIODS_MS = {"cgroup-v1": 20, "cgroup-v2": 20, "systemd": 20, "duty-cycle": 100}
_NAMED = 3  # candidates in a sentence
_GAIN = 0.97  # a candidate is worth measuring if it is expected to cost or last at most so much of what is measured

Floats = NDArray[np.float64]


class Candidate(msgspec.Struct, frozen=True, order=True):
    """A size of the function, and the number of tasks; None: the workload's own."""

    memory_mb: int
    tasks: int | None


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate as measured: its warm repeats, or its cold ones where there are no others."""

    candidate: Candidate
    tasks: int  # that there were
    environments: int
    makespan_s: Estimate
    cold_s: float | None
    usd: Estimate
    cv: float | None
    runs: int
    times_s: tuple[float, ...]
    usds: tuple[float, ...] = ()  # the bills of the same runs
    task_ms: float | None = None  # compute time of a warm invocation, the median
    share_method: str | None = None  # by which the emulator holds CPU shares; None: not emulated
    oversubscribed: bool = False  # more environments than this machine can carry

    @property
    def steady(self) -> bool:
        """Whether more runs are not needed."""
        return self.cv is not None and self.cv <= MOST_CV


PickName = Literal["fastest", "cheapest", "balanced"]


class Picks(msgspec.Struct, frozen=True):
    """The ends of the front, and the least product of time and dollars."""

    fastest: Tuned
    cheapest: Tuned
    balanced: Tuned

    @property
    def named(self) -> tuple[tuple[PickName, Tuned], ...]:
        return ("fastest", self.fastest), ("cheapest", self.cheapest), ("balanced", self.balanced)

    @property
    def names(self) -> dict[Candidate, list[str]]:
        """What each picked candidate is; one that is fastest and cheapest is the whole front."""
        names: dict[Candidate, list[str]] = {}
        for name, one in self.named:
            known = names.setdefault(one.candidate, [])
            if len(known) < 2:
                known.append(name)
        return names


class TuneModel(msgspec.Struct, frozen=True):
    """The model's parameters; `threads`: busy threads of a task."""

    time: tuple[float, float, float]
    usd: tuple[float, float, float]
    threads: int
    environments: int

    def expected(self, candidate: Candidate, tasks: int) -> tuple[float, float]:
        """Seconds and dollars of a run."""
        row = _features(candidate.memory_mb, tasks, self.environments, self.threads)
        return float(row[0] @ np.array(self.time)), float(row[1] @ np.array(self.usd))


def tuned(view: SessionView, bill: Bill) -> list[Tuned]:
    """The candidates that have a run that ended well, by their points (`memory`, `tasks`).

    One that was cut off, or is under way, is left out where another was measured to its end: it has fewer repeats.
    """
    groups: dict[Candidate, list[RunView]] = {}
    (cut_off,) = cut_off_runs([view])  # a second measurement of a pick may be
    runs = [run for run in view.runs.values() if run.id not in cut_off and _is_candidate(run)]
    for run in runs:
        sweep = run.planned.sweep
        if sweep is not None and run.planned.label == runs[0].planned.label:  # one backend is tuned
            groups.setdefault(candidate_at(sweep.point), []).append(run)
    unfinished = unfinished_runs(view) | {run.id for run in view.runs.values() if run.status is None}
    whole = {one: group for one, group in groups.items() if unfinished.isdisjoint(run.id for run in group)}
    found = [_tuned(candidate, group, bill) for candidate, group in (whole or groups).items()]
    return [one for one in found if one is not None]


def _is_candidate(run: RunView) -> bool:
    """Whether a run has a point with a size, and a number of tasks or none."""
    point = {} if run.planned.sweep is None else run.planned.sweep.point
    numbers = [value for name in ("memory", "tasks") if (value := point.get(name)) is not None]
    whole = all(isinstance(value, int) and value > 0 for value in numbers)
    return point.get("memory") is not None and whole and run.has_answer


def candidate_at(point: Mapping[str, Any]) -> Candidate:
    """A recorded point of a tuning as a candidate."""
    return Candidate(int(point["memory"]), point.get("tasks"))


def _tuned(candidate: Candidate, group: list[RunView], bill: Bill) -> Tuned | None:
    (summary,) = compare(group, bill).summaries
    line = summary.main
    if line.makespan_s is None or line.makespan_s.value <= 0:
        return None
    good = [run for run in group if run.counts and run.makespan_s]
    warm = [
        run for run in good if line.temperature is None or (run.cold is True) == (line.temperature == "cold")
    ] or good
    usds = tuple(float(amount) for run in warm if (amount := bill(run, None).usd) is not None)
    usd = median_estimate(usds)
    if usd is None or usd.value <= 0:
        return None
    cold = next((one for one in summary.lines if one.temperature == "cold" and one.makespan_s is not None), None)
    times = tuple(run.makespan_s for run in warm if run.makespan_s is not None)
    return Tuned(
        candidate=candidate,
        tasks=warm[0].known_tasks or candidate.tasks or 1,
        environments=summary.capacity or 1,
        makespan_s=line.makespan_s,
        cold_s=None if cold is None or cold.makespan_s is None else cold.makespan_s.value,
        usd=usd,
        cv=coefficient_of_variation(times),
        runs=len(group),
        times_s=times,
        usds=usds,
        task_ms=summary.duration_p50_ms,
        share_method=summary.cpu_share_method if summary.origin == "emulated" else None,
        oversubscribed=summary.oversubscribed,
    )


def _speed(memory_mb: int, threads: int) -> float:
    return min(memory_mb / limits().memory_mb_per_vcpu, float(threads))


def _features(memory_mb: int, tasks: int, environments: int, threads: int) -> tuple[Floats, Floats]:
    speed = _speed(memory_mb, threads)
    size = memory_mb / limits().memory_mb_per_vcpu
    waves = math.ceil(tasks / environments) / tasks
    return np.array([1.0, waves / speed, tasks]), np.array([size / speed, tasks * size, tasks])


def fit_model(measured: Sequence[Tuned]) -> TuneModel | None:
    """The model by least squares of relative errors, none of its parameters below 0; None without measurements."""
    from scipy.optimize import nnls

    if not measured:
        return None
    environments = max(one.environments for one in measured)
    times = np.array([one.makespan_s.value for one in measured])
    usds = np.array([one.usd.value for one in measured])
    most = max(1, math.ceil(max(one.candidate.memory_mb for one in measured) / limits().memory_mb_per_vcpu))
    best: tuple[float, TuneModel] | None = None
    for threads in range(1, most + 1):
        rows = [_features(one.candidate.memory_mb, one.tasks, environments, threads) for one in measured]
        by_time, error = nnls(np.array([row[0] for row in rows]) / times[:, None], np.ones(len(times)))
        by_usd, _ = nnls(np.array([row[1] for row in rows]) / usds[:, None], np.ones(len(usds)))
        model = TuneModel(_three(by_time), _three(by_usd), threads, environments)
        if best is None or error < best[0] - 1e-6:
            best = (float(error), model)
    assert best is not None
    return best[1]


def _three(values: Floats) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def next_candidate(
    measured: Sequence[Tuned], waiting: Sequence[tuple[Candidate, int]]
) -> tuple[Candidate, float, float] | None:
    """The candidate that is expected to improve the front most, with its expected seconds and dollars; None: none is.

    Args:
        measured: at least one.
        waiting: candidates that were not measured, each with its number of tasks.
    """
    model = fit_model(measured)
    if model is None:
        return None
    least_s = min(one.makespan_s.value for one in measured)
    least_usd = min(one.usd.value for one in measured)
    best: tuple[float, tuple[Candidate, float, float]] | None = None
    for candidate, tasks in waiting:
        seconds, usd = model.expected(candidate, tasks)
        if seconds <= 0 or usd <= 0:
            continue
        known = front(measured)
        if any(one.makespan_s.value * _GAIN <= seconds and one.usd.value * _GAIN <= usd for one in known):
            continue  # one that is measured is as good in both, but for a gain too small to be worth four runs
        score = math.log(seconds / least_s) + math.log(usd / least_usd)
        if best is None or score < best[0]:
            best = (score, (candidate, seconds, usd))
    return None if best is None else best[1]


def front(measured: Sequence[Tuned]) -> list[Tuned]:
    """The Pareto front of time against dollars, the fastest first: no other is at least as good in both."""
    found: list[Tuned] = []
    for one in sorted(measured, key=lambda one: (one.makespan_s.value, one.usd.value)):
        if not found or one.usd.value < found[-1].usd.value:
            found.append(one)
    return found


def picks_of(measured: Sequence[Tuned]) -> Picks | None:
    """The three picks; None without measurements."""
    ends = front(measured)
    if not ends:
        return None
    balanced = min(ends, key=lambda one: one.makespan_s.value * one.usd.value)
    return Picks(ends[0], ends[-1], balanced)


def memory_text(measured: Sequence[Tuned]) -> str:
    """What more than one vCPU has brought: it pays only for tasks that are parallel inside."""
    whole = limits().memory_mb_per_vcpu
    rule = f"more than {whole:,} MB (one vCPU) pays only for tasks that are parallel inside"
    pairs = [
        (one, other)
        for one in measured
        for other in measured
        if one.candidate.memory_mb == whole and other.candidate.memory_mb > whole and one.tasks == other.tasks
    ]
    if not pairs:
        return f"{rule}: not measured here"
    base, other = max(pairs, key=lambda pair: pair[1].candidate.memory_mb)
    ratio = ratio_estimate(base.times_s, other.times_s)
    if ratio is None:
        return rule
    held = ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high
    settled = not held and unpaired_p(base.times_s, other.times_s) <= CLAIM_LEVEL
    aside = "; ".join(filter(None, (times_spread_text(ratio) or "once", "" if settled else "not settled")))
    price = other.usd.value / base.usd.value
    return (
        f"{rule}: here {other.candidate.memory_mb:,} MB is {ratio_text(ratio)} ({aside}) as "
        f"fast as {whole:,} MB for {times_text(price)} the dollars"
    )


def caveats(measured: Sequence[Tuned]) -> list[str]:
    """What the picks do not settle: candidates as good as they, unsteady repeats, and what only this machine shows."""
    picks = picks_of(measured)
    if picks is None:
        return []
    ordered = sorted(measured, key=lambda one: one.makespan_s.value)
    lines = [
        *_as_good("fastest", picks.fastest, [(one, one.times_s) for one in ordered], picks.fastest.times_s),
        *_as_good("cheapest", picks.cheapest, [(one, one.usds) for one in ordered], picks.cheapest.usds),
        *_shared_environments(ordered),
    ]
    for one in dict.fromkeys(pick for _, pick in picks.named):
        name = candidate_text(one)
        if one.cv is None:
            lines.append(f"{name}: measured once: not settled")
        elif not one.steady:
            lines.append(
                f"{name}: its repeats differ by {percent_text(one.cv)} (CV), more than {percent_text(MOST_CV)}: not settled"
            )
        if one.oversubscribed:
            lines.append(f"{name}: more environments than this machine can carry: its time is not that of its size")
        if (line := _short_tasks(one)) is not None:
            lines.append(f"{name}: {line}")
    return lines


def _as_good(
    word: str, pick: Tuned, every: Sequence[tuple[Tuned, tuple[float, ...]]], own: tuple[float, ...]
) -> list[str]:
    """The candidates that a pick does not beat, by the interval and the corrected test as every claim.

    Those in whose interval no difference lies are as good as it; of the others the values are too few.
    """
    others = [(one, values) for one, values in every if one is not pick and values and own]
    claims = holm([unpaired_p(values, own, len(others)) for _, values in others])
    alike, ahead, counts = list[str](), list[str](), list[int]()
    for (one, values), p in zip(others, claims, strict=True):
        ratio = ratio_estimate(values, own)
        if ratio is not None and ratio.low is not None and ratio.low <= 1:
            alike.append(candidate_text(one))
        elif ratio is None or ratio.low is None or p > CLAIM_LEVEL:
            ahead.append(candidate_text(one))
            counts.append(min(len(values), len(own)))
    lines = [f"cannot be distinguished from {_few_named(alike)}"] if alike else []
    if ahead:
        compared = f" and {count_text(len(others), 'comparison')}" if len(others) > 1 and min(counts) > 1 else ""
        repeats = count_text(min(counts), "repeat")
        lines.append(f"is ahead of {_few_named(ahead)}, which is not settled with {repeats}{compared}")
    return [f"{word}: {candidate_text(pick)} {line}" for line in lines]


def _few_named(names: list[str]) -> str:
    return listed(names[:_NAMED] + ([count_text(len(names) - _NAMED, "other")] if len(names) > _NAMED else []))


def _shared_environments(measured: Sequence[Tuned]) -> list[str]:
    """What the best number of tasks depends on where the emulator has fewer environments than there are tasks."""
    shared = [one for one in measured if one.share_method is not None and one.tasks > one.environments]
    if not shared:
        return []
    most = max(shared, key=lambda one: one.tasks)
    return [
        f"up to {count_text(most.tasks, 'task')} had {count_text(most.environments, 'environment')} here: where each has "
        "one of its own, as on AWS, another number of tasks may be best"
    ]


def _short_tasks(one: Tuned) -> str | None:
    """Why tasks of a small size may run as fast as on a whole vCPU; None: they are long enough, or nothing is emulated."""
    share = one.candidate.memory_mb / limits().memory_mb_per_vcpu
    period_ms = SHARE_PERIODS_MS.get(one.share_method or "")
    if period_ms is None or share >= 1 or one.task_ms is None or one.task_ms >= 2 * period_ms:
        return None
    return (
        f"its tasks take {ms_text(one.task_ms)}, and a CPU share is held over periods of {period_ms} ms: so short a task "
        f"gets up to a whole vCPU, a longer one {percent_text(share)} of it"
    )


def candidate_text(one: Tuned) -> str:
    """A candidate's name: "1,769 MB x 100 tasks"."""
    return f"{one.candidate.memory_mb:,} MB × {count_text(one.tasks, 'task')}"


def tuned_text(one: Tuned) -> str:
    """A candidate in words: "1,769 MB x 100 tasks, 2.31 s (95 %: 2.2–2.4 s)"."""
    spread = spread_text(one.makespan_s)
    aside = f" ({spread})" if spread else ""
    return f"{candidate_text(one)}, {seconds_text(one.makespan_s.value)}{aside}"


def tuning_sentence(measured: Sequence[Tuned], label: str, origin: str) -> str:
    """The picks in one sentence: "fastest: 1,769 MB × 100 tasks, ..., $0.0031 a run; cheapest and balanced: ..."."""
    picks = picks_of(measured)
    if picks is None:
        return "no candidate has a right answer yet."
    clauses = []
    doubtful = {text.partition(": ")[0] for text in caveats(measured)}  # picks that do not beat another candidate
    for one in dict.fromkeys((picks.fastest, picks.cheapest, picks.balanced)):
        doubt = ", not settled" if not one.steady or doubtful & set(picks.names[one.candidate]) else ""
        clauses.append(
            f"{listed(picks.names[one.candidate])}: {tuned_text(one)}{doubt}, {usd_estimate_text(one.usd)} a run"
        )
    where = [] if origin != "measured" and label == origin else [f"on {label}"]
    where += [] if origin == "measured" else [f"{origin} here"]
    return f"{'; '.join(clauses)}; {', '.join(where)}."
