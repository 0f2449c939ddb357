"""The cause of a backend's speed: how its lanes (workers, environments) spent a run, and the largest loss.

The lanes' time, their number times the makespan, is divided into useful computing and losses, each counted once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.comparison import is_cold, places_used
from lbench.analysis.format import cores_text, ms_text, percent_text, times_text
from lbench.engine.machine.fingerprint import Environment
from lbench.engine.model import EXCHANGES
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import count_text

__all__ = ["MOST_LOAD_SHARE", "Explanation", "explain", "explanations", "held_runs", "waits_before_retries"]

Cause = Literal[
    "computing",
    "handing over",
    "retries",
    "encoding",
    "imbalance",
    "stragglers",
    "too few tasks",
    "cold starts",
    "fetch",
    "slower tasks",
    "memory bandwidth",
    "BLAS threads",
    "driver",
]
Floats = NDArray[np.float64]

MOST_LOAD_SHARE = 0.5  # of the usable cores, before anything was measured

_OK = STATUSES.index("ok")
_STRAGGLER = 2.0  # times the stage's median task
_SLOWER = 1.05  # times the task alone
_MATTERS = 0.05  # of the lanes' time; below, the time is computing


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One backend: the cause of its largest loss, in one sentence, and the shares of the lanes' time."""

    label: str
    cause: Cause
    text: str
    shares: dict[str, float]  # of lanes x makespan; they add up to 1


def explanations(groups: Mapping[str, Sequence[RunView]], environment: Environment | None) -> list[Explanation]:
    """An explanation for each backend with a run that ended well; a task alone is that of `sequential`.

    The runs of `held_runs` are to be left out: their waiting has another cause.
    """
    alone = [run for group in groups.values() for run in group if run.planned.backend == "sequential" and _counts(run)]
    medians = [own for run in alone if (own := _median_ms(run)) is not None]
    alone_ms = float(np.median(medians)) if medians else None
    by_folder = any(EXCHANGES in run.notes for run in alone)
    found = []
    for label, group in groups.items():
        run = _typical(group)
        if run is not None and (one := explain(label, run, alone_ms, environment, by_folder)) is not None:
            found.append(one)
    return found


def held_runs(view: SessionView) -> set[str]:
    """The runs whose tasks had to wait for a pause to end, or for a spending limit: no backend is the cause."""
    held = {warning.run for warning in view.warnings if warning.code == "paused" and warning.run is not None}
    if any(warning.code == "budget" for warning in view.warnings):  # recorded once, and all paid runs share the limit
        held |= {
            run.id for run in view.started_runs if run.started is not None and run.started.pricing.rates is not None
        }
    return held


def _counts(run: RunView) -> bool:
    return run.counts and run.started is not None and bool(run.makespan_s)


def _typical(group: Sequence[RunView]) -> RunView | None:
    """The repeat of the median makespan, warm where there is one."""
    good = [run for run in group if _counts(run)]
    warm = [run for run in good if not is_cold(run)] or good
    ordered = sorted(warm, key=lambda run: run.makespan_s or 0.0)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _median_ms(run: RunView) -> float | None:
    columns = run.columns
    known = columns["compute_ms"][columns["status"] == _OK]
    known = known[~np.isnan(known)]
    return float(np.median(known)) if len(known) else None


def explain(
    label: str, run: RunView, alone_ms: float | None, environment: Environment | None, by_folder: bool = False
) -> Explanation | None:
    """Explain one run. None where nothing of it was measured.

    `alone_ms`: the median task without neighbours; `by_folder`: such tasks exchange objects through a folder.
    """
    assert run.started is not None and run.makespan_s
    columns, lanes, makespan_s = run.columns, max(1, places_used(run) or 1), run.makespan_s
    known = ~(np.isnan(columns["dispatched_s"]) | np.isnan(columns["returned_s"]))
    if not known.any() or np.isnan(columns["compute_ms"][known]).all():
        return None
    begin, end = columns["dispatched_s"][known], columns["returned_s"][known]
    computing, fetching = (np.nan_to_num(columns[name][known]) / 1000 for name in ("compute_ms", "fetch_ms"))
    computed_s, fetch_s = float(computing.sum()), float(fetching.sum())
    cold = columns["cold"][known] == 1
    # An environment may have begun to start before its first call came, which waited for the rest of the start only.
    waited = (end - begin - computing - fetching).clip(0.0)
    init_s = float(np.minimum(np.nan_to_num(columns["init_ms"][known]) / 1000, waited)[cold].sum())
    whole_s = lanes * makespan_s
    busy_s = min(whole_s, float((end - begin).sum()))
    retrying = waits_before_retries(run)
    retrying_s, waiting_s, empty_s = _idle(columns["queued_s"][known], begin, end, retrying, lanes, _stages(run))
    outside_s = max(0.0, whole_s - lanes * sum(last - first for first, last in _stages(run)))
    losses: dict[Cause, float] = {
        "cold starts": init_s,
        "fetch": fetch_s,
        "handing over": max(0.0, busy_s - computed_s - fetch_s - init_s) + waiting_s,
        "retries": retrying_s,
        "driver": outside_s,
    }
    _encoding(losses, run, lanes)
    cause, detail = _end_of_stage(run, lanes)
    losses[cause] = losses.get(cause, 0.0) + empty_s
    slower, why = _slowdown(run, alone_ms, lanes, environment, by_folder)
    ratio = _ratio(run, alone_ms)
    if ratio > _SLOWER:
        losses[slower] = computed_s * (1 - 1 / ratio)
    useful_s = computed_s - losses.get(slower, 0.0)
    total_s = useful_s + sum(losses.values())
    shares: dict[str, float] = {
        "computing": useful_s / total_s,
        **{name: value / total_s for name, value in losses.items()},
    }
    largest = max(losses, key=lambda name: losses[name])
    if shares[largest] < _MATTERS:
        spent = percent_text(shares["computing"])
        text = (
            f"{label} spends {spent} of its {_lanes(run, lanes)} {_doing(run)}; no other part takes "
            f"{percent_text(_MATTERS)}"
        )
        return Explanation(label=label, cause="computing", text=text, shares=shares)
    aside = {cause: detail, slower: why}.get(largest) or _DETAILS.get(largest, "")
    if largest == "handing over":
        calls = int(known.sum())
        handed = ("batch", "batches") if (columns["batch"] > 0).any() else ("task",)
        if run.failed_attempts:
            handed = ("attempt",)
        which = f"its {handed[0]}" if calls == 1 else f"each of {count_text(calls, *handed)}"
        aside = f"{ms_text(1000 * losses[largest] / calls)} for {which}"
    text = (
        f"{label} spends {percent_text(shares['computing'])} of its {_lanes(run, lanes)} {_doing(run)}; the largest loss is "
        f"{_NAMES.get(largest, largest)} ({percent_text(shares[largest])}{f': {aside}' if aside else ''})"
    )
    return Explanation(label=label, cause=largest, text=text, shares=shares)


_LONGER = "tasks that take longer than alone"
_NAMES: dict[str, str] = {
    "handing over": "handing over tasks",
    "slower tasks": _LONGER,
    "memory bandwidth": _LONGER,
    "driver": "the driver",
    "retries": "waiting before retries",
}
_DETAILS: dict[str, str] = {
    "cold starts": "new environments start before they compute",
    "fetch": "environments load their data",
    "driver": "the job's own code outside its stages, one step after the other",
    "retries": "a failed attempt is not repeated at once",
    "encoding": "arguments and results are encoded and decoded by the driver",
}


def _doing(run: RunView) -> str:
    """What the tasks do with their time, as far as it was measured."""
    usage = None if run.ended is None else run.ended.usage
    if usage is None:
        return "in tasks"
    return f"in tasks, which wait {percent_text(usage.wait)} of theirs" if usage.wait else "computing"


def _lanes(run: RunView, lanes: int) -> str:
    noun = "environment" if run.planned.backend in ("emulated", "lambda", "simulated") else "worker"
    return f"{count_text(lanes, noun)}' time" if lanes > 1 else f"{noun}'s time"


def _stages(run: RunView) -> list[tuple[float, float]]:
    return [(stage.started_s, stage.finished_s) for stage in run.stages if stage.finished_s is not None]


def waits_before_retries(run: RunView) -> tuple[Floats, Floats]:
    """From when failed attempts returned to when their tasks were queued again (s)."""
    columns = run.columns
    order = np.lexsort((columns["queued_s"], columns["task"], columns["stage"]))
    same = (np.diff(columns["stage"][order]) == 0) & (np.diff(columns["task"][order]) == 0)
    begin, end = columns["returned_s"][order][:-1][same], columns["queued_s"][order][1:][same]
    later = end > begin  # a duplicate is queued before the first attempt has returned
    return begin[later], end[later]


def _idle(
    queued: Floats,
    begin: Floats,
    end: Floats,
    retrying: tuple[Floats, Floats],
    lanes: int,
    stages: list[tuple[float, float]],
) -> tuple[float, float, float]:
    """Lane-seconds without a task inside the stages: while tasks were not yet retried, while tasks waited, other."""
    edges = np.array([edge for stage in stages for edge in stage])
    parts = (queued, begin, end, *retrying, edges)
    times = np.concatenate(parts)
    order = np.argsort(times, kind="stable")

    def count(*steps: float) -> Floats:
        """How many there are of something, after each moment, by the steps that queued, begin, end ... make."""
        marks = [np.full(len(part), step) for part, step in zip(parts, steps, strict=False)]
        return np.cumsum(np.concatenate([*marks, np.zeros(len(times) - sum(map(len, marks)))])[order])[:-1]

    stage_marks = np.concatenate([np.zeros(len(times) - len(edges)), np.tile([1.0, -1.0], len(stages))])
    inside = np.cumsum(stage_marks[order])[:-1] > 0
    idle = np.clip(lanes - count(0, 1, -1), 0, None) * inside
    lasted = np.diff(times[order])
    retried = np.minimum(idle, count(0, 0, 0, 1, -1))
    held = np.minimum(idle - retried, np.clip(count(1, -1), 0, None))
    rest = idle - retried - held
    return float((retried * lasted).sum()), float((held * lasted).sum()), float((rest * lasted).sum())


def _encoding(losses: dict[Cause, float], run: RunView, lanes: int) -> None:
    """Move what the driver spent on encoding and decoding out of the two losses in which it happens."""
    driver = None if run.ended is None else run.ended.driver
    spent_s = 0.0 if driver is None else (driver.encode_s + driver.decode_s) * lanes
    moved_s = 0.0
    for name in ("driver", "handing over"):
        part = min(losses[name], spent_s - moved_s)
        losses[name] -= part
        moved_s += part
    losses["encoding"] = moved_s


def _end_of_stage(run: RunView, lanes: int) -> tuple[Cause, str]:
    """Why lanes are empty at the end of the longest stage; one lane has no other to wait for but the driver."""
    if lanes == 1:
        return "driver", ""
    columns = run.columns
    stages = [stage for stage in run.stages if stage.finished_s is not None]
    if not stages:
        return "imbalance", ""
    stage = max(stages, key=lambda one: (one.finished_s or 0.0) - one.started_s)
    rows = (columns["stage"] == stage.index) & (columns["status"] == _OK)
    if stage.tasks < lanes:
        return "too few tasks", f"{count_text(stage.tasks, 'task')} for {lanes:,}"
    times = (columns["returned_s"] - columns["dispatched_s"])[rows]
    median_s, longest_s = (float(np.median(times)), float(times.max())) if len(times) else (0.0, 0.0)
    last = rows.nonzero()[0][int(np.argmax(columns["returned_s"][rows]))] if len(times) else -1
    lasted = float(columns["returned_s"][last] - columns["dispatched_s"][last]) if last >= 0 else 0.0
    if median_s and lasted >= _STRAGGLER * median_s and lasted >= 0.9 * longest_s:
        return "stragglers", f"the last task took {times_text(lasted / median_s)} the median"
    owners, work = np.unique(columns["environment"][rows], return_inverse=True)
    loads = np.bincount(work, times) if len(owners) else np.zeros(1)
    mean = float(loads.sum()) / max(lanes, len(loads))
    most = times_text(float(loads.max()) / mean) if mean else ""
    return "imbalance", f"the longest lane worked {most} the mean" if most else ""


def _ratio(run: RunView, alone_ms: float | None) -> float:
    if run.planned.backend in ("sequential", "loop") or (run.columns["batch"] > 1).any():
        return 1.0  # alone itself; or the times are of the whole job, or of batches
    own = _median_ms(run)
    return own / alone_ms if own and alone_ms else 1.0


def _slowdown(
    run: RunView, alone_ms: float | None, lanes: int, environment: Environment | None, by_folder: bool
) -> tuple[Cause, str]:
    """Why a task takes longer here than alone."""
    assert run.started is not None
    longer = f"a task takes {times_text(_ratio(run, alone_ms))} as long as alone"
    if by_folder and run.s3_put + run.s3_get:
        longer += ", exchanging objects through S3 rather than through a folder"
    cores = None if environment is None else environment.usable_cores
    threads = run.started.settings.get("blas_threads")
    if isinstance(threads, int) and threads > 1 and cores is not None and threads * lanes > cores:
        return "BLAS threads", f"{lanes} x {threads} threads on {cores_text(cores)}; {longer}"
    memory = run.started.settings.get("memory")
    if isinstance(memory, int) and memory < 1769:
        return "slower tasks", f"{memory:,} MB buy {memory / 1769:.2f} of a vCPU; {longer}"
    physical = None if environment is None else environment.physical_cores
    if cores is not None and lanes > cores:
        return "slower tasks", f"{lanes} on {cores_text(cores)}; {longer}"
    if physical is not None and lanes > physical:
        return "slower tasks", f"{lanes} on {cores_text(physical, 'physical')}; {longer}"
    if lanes > 1 and run.planned.backend in ("processes", "threads"):
        load = None if environment is None else environment.load_1m
        if load is not None and cores is not None and load > MOST_LOAD_SHARE * cores:
            return "slower tasks", f"{longer}; the load average was {load:g} before: perhaps for other processes"
        return (
            "memory bandwidth",
            f"{longer}, though each has a core: probably for the memory and caches that they share",
        )
    return "slower tasks", longer
