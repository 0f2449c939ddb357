"""Chooses the number of tasks of the next iteration, by the measured cost of the last one.

A task costs its computing and, beside it, a round trip. The rule: as many tasks as run at once, so that all places work;
several rounds of them where that is nearly free, so that a slow place gets less; fewer where a task would not compute
long enough to be worth its round trip.
"""

from __future__ import annotations

from typing import Any

from lbench.workloads.model import StageResults

__all__ = ["FIRST", "MOST", "deal", "next_tasks"]

FIRST = 8  # tasks of an iteration before anything was measured
MOST = 128  # tasks of any iteration that were not asked for: with more, merging begins to outweigh what they gain
_WORTH = 4.0  # a task computes at least so many times its overhead: 80 % of its time
_FREE = 50.0  # where it computes so many times its overhead, another round costs at most 2 %
_ROUNDS = 4


def next_tasks(tasks: int, results: list[Any], units: int) -> int:
    """Tasks for the next iteration after one of `tasks`; at most one a unit.

    With a plain list, which has no times, the number stays.
    """
    if not isinstance(results, StageResults) or results.task_s is None or results.overhead_s is None:
        return tasks
    work_s = results.task_s * tasks
    overhead_s = max(results.overhead_s, 1e-5)
    worth = int(work_s / (_WORTH * overhead_s))
    wanted = min(results.places, worth)
    for rounds in range(_ROUNDS, 1, -1):
        if work_s / (rounds * results.places) >= _FREE * overhead_s:
            wanted = rounds * results.places
            break
    return max(1, min(wanted, units, MOST))


def deal(units: int, tasks: int) -> list[tuple[int, int]]:
    """Ranges [first, end) of units, `tasks` of them at most, none empty, their lengths differing by one at most."""
    tasks = max(1, min(tasks, units))
    return [(units * i // tasks, units * (i + 1) // tasks) for i in range(tasks)]
