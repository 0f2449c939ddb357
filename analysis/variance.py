"""The variance of one backend's invocation times, in parts that add up to the whole.

An invocation's time, from the moment at which it could have been handed over, is the sum of its phases: driver, hand-over
(over a network or a pipe), cold start, fetch, computing. A phase's part of the variance is its covariance with the whole,
so the parts of all phases add up. That of computing is divided further by a nested random-effects model, by the method of
moments: between tasks, repeats, environments (within a repeat), and within an environment (Searle, Casella & McCulloch,
Variance Components, 1992, chapter 3). An estimate below 0 is taken as 0, and named; the others are then shares of the
whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.comparison import is_cold, makespans
from lbench.analysis.format import listed, ms_text, percent_text
from lbench.analysis.statistics import coefficient_of_variation
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.errors import count_text

__all__ = [
    "Part",
    "VarianceParts",
    "invocation_phases",
    "nested_components",
    "steadiness_text",
    "variance_parts",
    "variance_text",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_OK = STATUSES.index("ok")
_LEAST = 8  # invocations
_PIPED = ("sequential", "loop", "threads", "processes")  # their tasks cross no network


class Part(msgspec.Struct, frozen=True):
    """One part of the variance (ms^2), and its share of the whole."""

    name: str
    ms2: float
    share: float


class VarianceParts(msgspec.Struct, frozen=True, kw_only=True):
    """The variance of one backend's invocations; `whole_ms2`, the times' own, is the sum of the parts, largest first."""

    label: str
    invocations: int
    repeats: int
    whole_ms2: float
    parts: tuple[Part, ...]
    negative: tuple[str, ...]  # parts whose estimate was below 0


def variance_parts(label: str, group: Sequence[RunView]) -> VarianceParts | None:
    """The parts of a backend's repeats that ended well; None below 8 invocations, or where all took the same time."""
    good = [run for run in group if run.counts and run.started is not None]
    phases = [invocation_phases(run) for run in good]
    known = [
        (number, run, own) for number, (run, own) in enumerate(zip(good, phases, strict=True)) if len(own["whole"])
    ]
    if sum(len(own["whole"]) for _, _, own in known) < _LEAST:
        return None
    joined = {name: np.concatenate([own[name] for _, _, own in known]) for name in known[0][2]}
    whole = joined["whole"]
    if not float(whole.var(ddof=1)) > 0:
        return None
    repeats = np.concatenate([np.full(len(own["whole"]), number) for number, _, own in known]).astype(np.int64)
    raw: dict[str, float] = {}
    besides = ("driver", _hand_over(good[0]), "cold starts", "fetch")
    for name in besides:
        raw[name] = _covariance(joined[name], whole)
    computing = _covariance(joined["computing"], whole)
    components = nested_components(
        joined["computing"], joined["task"].astype(np.int64), repeats, joined["environment"].astype(np.int64)
    )
    positive = {name: max(0.0, value) for name, value in components.items()}
    total = sum(positive.values())
    for name, value in positive.items():
        raw[name] = computing * value / total if total > 0 else computing * (name == "within an environment")
    below = {**{name: raw[name] for name in besides}, "computing": computing, **components}
    negative = tuple(name for name, value in below.items() if value < 0)
    parts = {name: max(0.0, value) for name, value in raw.items()}
    sum_ms2, whole_ms2 = sum(parts.values()), float(whole.var(ddof=1))
    if not sum_ms2 > 0:
        return None
    # What is below 0 makes the others larger than the whole: they keep their proportions, and add up to it.
    shares = sorted(((name, value / sum_ms2) for name, value in parts.items()), key=lambda item: -item[1])
    return VarianceParts(
        label=label,
        invocations=len(whole),
        repeats=len(known),
        whole_ms2=whole_ms2,
        parts=tuple(Part(name, whole_ms2 * share, share) for name, share in shares),
        negative=negative,
    )


def invocation_phases(run: RunView) -> dict[str, Floats]:
    """The phases (ms) of a run's successful invocations, with their `task` and `environment` as numbers.

    An invocation could have been handed over once it was queued and a lane was free: the k-th one when the (k - lanes)-th
    had returned.
    """
    columns = run.columns
    assert run.started is not None
    order = np.argsort(columns["dispatched_s"], kind="stable")
    returned = np.sort(np.where(np.isnan(columns["returned_s"]), np.inf, columns["returned_s"]))
    lanes = max(1, run.started.capacity)
    free = np.full(len(order), -np.inf)
    if len(order) > lanes:
        free[order[lanes:]] = returned[: len(order) - lanes]
    dispatched = columns["dispatched_s"]
    ready = np.minimum(dispatched, np.fmax(columns["queued_s"], free))
    good = (columns["status"] == _OK) & ~np.isnan(columns["returned_s"]) & ~np.isnan(columns["compute_ms"])

    def known(name: str) -> Floats:
        found: Floats = np.nan_to_num(columns[name][good].astype(np.float64))
        return found

    fetch, computing = known("fetch_ms"), known("compute_ms")
    # An environment may have begun to start before its first call came, which waited for the rest of the start only.
    waited = ((columns["returned_s"] - dispatched)[good] * 1000 - fetch - computing).clip(0.0)
    init = np.where(columns["cold"][good] == 1, np.minimum(known("init_ms"), waited), 0.0)
    whole = (columns["returned_s"] - ready)[good] * 1000
    driver = (dispatched - ready)[good] * 1000
    return {
        "whole": whole,
        "driver": driver,
        "cold starts": init,
        "fetch": fetch,
        "computing": computing,
        _hand_over(run): whole - driver - init - fetch - computing,
        "task": (columns["stage"].astype(np.int64) * 10_000_000 + columns["task"])[good].astype(np.float64),
        "environment": columns["environment"][good].astype(np.float64),
    }


def _hand_over(run: RunView) -> str:
    return "hand-over" if run.planned.backend in _PIPED else "network and hand-over"


def _covariance(part: Floats, whole: Floats) -> float:
    return float(((part - part.mean()) * (whole - whole.mean())).sum() / (len(whole) - 1))


def nested_components(values: Floats, tasks: Ints, repeats: Ints, environments: Ints) -> dict[str, float]:
    """Variances between tasks, repeats and environments, and within an environment; an estimate may be below 0.

    Tasks that at least two repeats have in common are taken out first, by their means over the repeats.
    """
    _, task = np.unique(tasks, return_inverse=True)
    repeat_count = len(np.unique(repeats))
    counts = np.bincount(task)
    between_tasks = 0.0
    residual, scale = values, 1.0
    if repeat_count > 1 and len(counts) > 1 and counts.min() > 1:
        means = np.bincount(task, values) / counts
        residual = values - means[task]
        each = float(np.mean(counts))
        scale = each / (each - 1)  # the means took a degree of freedom from each task
        between_tasks = float(means.var(ddof=1)) - float(residual.var()) * scale / each
    nested = _nested(residual, repeats, environments)
    found = {name: value * scale for name, value in nested.items()}
    return {"between tasks": between_tasks, **found}


def _nested(values: Floats, repeats: Ints, environments: Ints) -> dict[str, float]:
    """The unbalanced two-level nested design: Searle et al., 3.6, by its expected mean squares."""
    _, repeat = np.unique(repeats, return_inverse=True)
    pairs = repeat.astype(np.int64) * (int(environments.max(initial=0)) + 2) + environments + 1
    _, first, cell = np.unique(pairs, return_index=True, return_inverse=True)
    owner = repeat[first]
    sizes, totals = np.bincount(cell).astype(np.float64), np.bincount(cell, values)
    repeat_sizes, repeat_totals = np.bincount(repeat).astype(np.float64), np.bincount(repeat, values)
    count, cells, groups = len(values), len(sizes), len(repeat_sizes)
    cell_means, repeat_means = totals / sizes, repeat_totals / repeat_sizes
    within_ss = float(np.square(values - cell_means[cell]).sum())
    cells_ss = float((sizes * np.square(cell_means - repeat_means[owner])).sum())
    groups_ss = float((repeat_sizes * np.square(repeat_means - values.mean())).sum())
    within = within_ss / (count - cells) if count > cells else 0.0
    squares = float(np.bincount(owner, np.square(sizes))[np.arange(groups)] @ (1 / repeat_sizes))
    environment = between = 0.0
    if cells > groups:
        k1 = (count - squares) / (cells - groups)
        environment = (cells_ss / (cells - groups) - within) / k1
    if groups > 1:
        k2 = (squares - float(np.square(sizes).sum()) / count) / (groups - 1)
        k3 = (count - float(np.square(repeat_sizes).sum()) / count) / (groups - 1)
        between = (groups_ss / (groups - 1) - within - k2 * max(0.0, environment)) / k3
    return {"between repeats": between, "between environments": environment, "within an environment": within}


def variance_text(found: VarianceParts) -> str:
    """The parts in words, those below 1 % together."""
    named = [part for part in found.parts if part.share >= 0.01]
    texts = [f"{part.name} {percent_text(part.share)}" for part in named]
    rest = sum(part.share for part in found.parts if part.share < 0.01)
    if rest > 0.0005:
        texts.append(f"all else {percent_text(rest)}")
    count = "counts" if len(found.negative) == 1 else "count"
    below = f"; {listed(list(found.negative))} came out below 0 and {count} as 0" if found.negative else ""
    deviation = ms_text(found.whole_ms2**0.5)
    return f"{found.label}: invocations differ by {deviation} (standard deviation): {', '.join(texts)}{below}"


def steadiness_text(groups: dict[str, list[RunView]]) -> str | None:
    """How much the makespans of each backend differ, cold repeats left out; None below two backends with three repeats.

    It claims no order: a coefficient of variation of so few values is known roughly, and is not tested.
    """
    texts = []
    for label, group in groups.items():
        times = makespans([run for run in group if not is_cold(run)]) or makespans(group)
        if len(times) > 2 and (cv := coefficient_of_variation(times)) is not None:
            texts.append(f"{label} {percent_text(cv)} ({count_text(len(times), 'repeat')})")
    return f"CV of the makespans: {', '.join(texts)}; which is steadier was not tested" if len(texts) > 1 else None
