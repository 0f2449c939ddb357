"""Progress of each backend while it is measured: tasks done, time left, cost so far."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from lbench.analysis.comparison import Bill, by_label
from lbench.engine.cost.charges import total_usd
from lbench.engine.model import Origin
from lbench.engine.session.view import RunView

__all__ = ["Outlook", "State", "outlooks"]

_STOPPED = {"cancelled", "interrupted"}
# waiting: for its turn, also between runs; checking: after a run until its answer is checked
State = Literal["waiting", "running", "checking", "ok", "failed", "stopped"]


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of one backend."""

    label: str
    backend: str
    origin: Origin
    state: State
    runs: int  # planned, with warm-up
    runs_done: int  # without those that were stopped or never began
    warmup: bool  # the current run is a warm-up run
    tasks: int | None  # of the current run, or of the last one, as far as they are known
    total: int | None  # in all stages; None while the job has not yielded them all
    tasks_done: int
    in_flight: int
    makespan_s: float | None  # median of the repeats so far
    elapsed_s: float | None  # of the current run
    left_s: float | None  # until the backend is done, estimated; None: no estimate
    usd: Decimal | None  # so far, over all runs, with invocations in flight; None: a local backend
    assumed: bool  # whether part of it is counted at another region's price
    failed_attempts: int


def outlooks(runs: Iterable[RunView], now_s: Mapping[str, float], bill: Bill) -> list[Outlook]:
    """One for each backend, in the order of the plan. `now_s`: seconds since the start of each current run."""
    return [_outlook(group, now_s, bill) for group in by_label(runs).values()]


def _outlook(group: list[RunView], now_s: Mapping[str, float], bill: Bill) -> Outlook:
    planned = group[0].planned
    running = next((run for run in group if run.status == "running"), None)
    done = [run for run in group if run.ended is not None]
    shown = running or (done[-1] if done else None)
    elapsed_s = None if running is None else now_s.get(running.id)
    makespans = [run.makespan_s for run in done if run.makespan_s is not None and run.counts]
    tasks = None if shown is None else max(shown.known_tasks, shown.planned.tasks or 0) or None
    total = None if shown is None else _total(shown, done)
    bills = [bill(run, now_s.get(run.id)) for run in group if run.started is not None]
    return Outlook(
        label=planned.label,
        backend=planned.backend,
        origin=planned.origin,
        state=_state(group, running, done),
        runs=len(group),
        runs_done=sum(run.status not in _STOPPED for run in done),
        warmup=running is not None and running.planned.warmup,
        tasks=tasks,
        total=total,
        tasks_done=0 if shown is None else shown.finished_tasks,
        in_flight=0 if running is None else running.in_flight,
        makespan_s=statistics.median(makespans) if makespans else None,
        elapsed_s=elapsed_s,
        left_s=_left_s(group, running, done, elapsed_s, total),
        usd=total_usd(one.usd for one in bills),
        assumed=any(one.assumed for one in bills),
        failed_attempts=sum(run.failed_attempts for run in group),
    )


def _state(group: list[RunView], running: RunView | None, done: list[RunView]) -> State:
    if running is not None:
        return "running"
    statuses = {run.status for run in done}
    if statuses & {"failed", "wrong_answer", "over_budget"}:
        return "failed"
    if statuses & _STOPPED or any(run.status == "interrupted" for run in group):
        return "stopped"
    if any(run.answer is None and run.has_answer for run in done):
        return "checking"
    return "waiting" if len(done) < len(group) else "ok"


def _total(shown: RunView, done: list[RunView]) -> int | None:
    """The number of tasks of a run: as planned, else that of an earlier repeat."""
    if shown.planned.tasks is not None:
        return max(shown.known_tasks, shown.planned.tasks)
    had = [run.known_tasks for run in done if run.status == "ok"]
    return max(shown.known_tasks, had[-1]) if had else None


def _left_s(
    group: list[RunView],
    running: RunView | None,
    done: list[RunView],
    elapsed_s: float | None,
    total: int | None,
) -> float | None:
    """The rest of the current run by its tasks so far, and the median makespan for each later run."""
    times = [run.makespan_s for run in done if run.makespan_s is not None]
    whole_s = statistics.median(times) if times else None
    rest_s = 0.0
    if running is not None:
        if elapsed_s is None:
            return None
        if total and running.finished_tasks:
            rest_s = elapsed_s * max(0, total - running.finished_tasks) / running.finished_tasks
            if whole_s is None:
                whole_s = elapsed_s + rest_s
        elif whole_s is not None:
            rest_s = max(0.0, whole_s - elapsed_s)
    to_come = len(group) - len(done) - (running is not None)
    if whole_s is None:
        return None
    return rest_s + to_come * whole_s
