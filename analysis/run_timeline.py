"""The course of a run: invocations at once, tasks and dollars so far, and its lanes."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.engine.cost.charges import invocation_usd
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView

__all__ = ["Lanes", "at_once", "dollars_so_far", "lanes_of", "mean_at_once", "median_run", "tasks_so_far", "thinned"]

_Floats = NDArray[np.float64]
_OK = STATUSES.index("ok")


class Lanes(msgspec.Struct, frozen=True):
    """The invocations of a run that have begun and ended, each in the lane of its environment."""

    lane: Any  # numbers from 0, in the order of first use
    start_s: Any
    end_s: Any
    cold: Any  # whether it was a cold start
    failed: Any

    @property
    def count(self) -> int:
        return int(self.lane.max()) + 1 if len(self.lane) else 0


def _spans(run: RunView) -> tuple[_Floats, _Floats, NDArray[np.bool_]]:
    """Starts and ends of the invocations, as far as they are known, and which are."""
    columns = run.columns
    start, end = columns["started_s"], columns["finished_s"]
    start = np.where(np.isnan(start), columns["dispatched_s"], start)
    end = np.where(np.isnan(end), columns["returned_s"], end)
    return start, end, ~np.isnan(start) & ~np.isnan(end)


def at_once(run: RunView) -> tuple[_Floats, _Floats]:
    """Moments (s) and how many invocations ran from each on: a step function that begins and ends at 0."""
    start, end, known = _spans(run)
    start, end = start[known], np.maximum(end[known], start[known])
    moments = np.concatenate([start, end])
    change = np.concatenate([np.ones(len(start)), -np.ones(len(end))])
    order = np.lexsort((change, moments))  # where one ends as another begins, it ends first
    return moments[order], np.cumsum(change[order])


def mean_at_once(run: RunView, bins: int) -> tuple[_Floats, _Floats]:
    """Edges (s) of equal stretches of the run, and how many invocations ran at once in each on average."""
    moments, running = at_once(run)
    if not len(moments):
        return np.array([0.0, 1.0]), np.array([0.0])
    edges = np.linspace(0.0, max(float(moments[-1]), 1e-9), bins + 1)
    area = np.concatenate([[0.0], np.cumsum(running[:-1] * np.diff(moments))])
    # The area under a step function is linear between its steps.
    return edges, np.diff(np.interp(edges, moments, area)) / np.diff(edges)


def tasks_so_far(run: RunView) -> tuple[_Floats, _Floats]:
    """Moments (s) and how many tasks had their result."""
    columns = run.columns
    done = np.sort(columns["returned_s"][(columns["status"] == _OK) & ~np.isnan(columns["returned_s"])])
    return done, np.arange(1, len(done) + 1, dtype=float)


def dollars_so_far(run: RunView) -> tuple[_Floats, _Floats] | None:
    """Moments (s) and the dollars of the invocations that had returned; None where they are charged nothing."""
    pricing = None if run.started is None else run.started.pricing
    if pricing is None or pricing.rates is None or pricing.memory_mb is None:
        return None
    columns = run.columns
    known = (columns["billed_ms"] >= 0) & ~np.isnan(columns["returned_s"])
    billed, at = columns["billed_ms"][known], columns["returned_s"][known]
    nothing = invocation_usd(pricing.rates, 0, pricing.memory_mb, pricing.ephemeral_mb).usd
    second = invocation_usd(pricing.rates, 1000, pricing.memory_mb, pricing.ephemeral_mb).usd
    usd = float(nothing) + billed / 1000 * float(second - nothing)
    order = np.argsort(at, kind="stable")
    return at[order], np.cumsum(usd[order])


def lanes_of(run: RunView) -> Lanes:
    """The run's invocations by environment."""
    start, end, known = _spans(run)
    columns = run.columns
    known = known & (columns["environment"] >= 0)
    order = np.argsort(start[known], kind="stable")
    environment = columns["environment"][known][order]
    first = dict.fromkeys(environment.tolist())
    numbers = {code: number for number, code in enumerate(first)}
    return Lanes(
        np.array([numbers[code] for code in environment.tolist()], dtype=int),
        start[known][order],
        end[known][order],
        (columns["cold"][known] == 1)[order],
        (columns["status"][known] != _OK)[order],
    )


def median_run(runs: list[RunView]) -> RunView | None:
    """The run with the median makespan (the lower of two) of those that came to an answer; None: none did."""
    timed = [(run.makespan_s, number) for number, run in enumerate(runs) if run.makespan_s is not None]
    return runs[sorted(timed)[(len(timed) - 1) // 2][1]] if timed else None


def thinned(x: _Floats, y: _Floats, most: int) -> tuple[_Floats, _Floats]:
    """At most about so many points of a curve: of each stretch its first, least and greatest, so that no peak is lost."""
    if len(x) <= most:
        return x, y
    keep: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), max(1, most // 3)):
        keep |= {int(part[0]), int(part[np.argmin(y[part])]), int(part[np.argmax(y[part])])}
    index = np.array(sorted(keep))
    return x[index], y[index]
