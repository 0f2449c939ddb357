"""The granularity of a job: tasks too small for their hand-over, more workers than tasks, one task longer than all else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from lbench.analysis.format import seconds_text
from lbench.errors import count_text

__all__ = ["grain_notes", "grain_of", "may_be_small"]

EFFICIENCY = 0.95  # of a place's time, the share that tasks compute
_LEAST_GAIN = 1.1  # times as fast; less is not worth a sentence
_LEAST_TASKS = 8
_LEAST_TASK_S = 1e-7
_LONG = 2.0  # times the median
_SMALL_S = 0.25  # larger tasks are worth any hand-over on this machine
_BATCHES = 4  # for each place at the least, so that the places end together


class Grain(msgspec.Struct, frozen=True):
    """Tasks against their hand-over, and the batch at which computing takes 95 % of a place's time."""

    task_s: float
    overhead_s: float
    batch: int  # no larger than keeps all places busy
    gain: float  # times as fast as one by one

    @property
    def efficiency(self) -> float:
        """The share of a place's time that tasks compute, handed over one by one."""
        return self.task_s / (self.task_s + self.overhead_s)

    @property
    def too_small(self) -> bool:
        """Whether batches are worth it."""
        return self.efficiency < EFFICIENCY and self.gain >= _LEAST_GAIN

    @property
    def sentence(self) -> str:
        return (
            f"tasks take {seconds_text(self.task_s)}, handing one over takes {seconds_text(self.overhead_s)}: "
            f"--batch {self.batch} would make it about {self.gain:.2g}× as fast"
        )


def grain_of(task_s: float, overhead_s: float, tasks: int, places: int) -> Grain:
    """The grain of a stage.

    Args:
        task_s: what a task computes, the mean.
        overhead_s: what handing one over costs a place besides.
        tasks: of the stage.
        places: tasks that can run at once.
    """
    task_s = max(task_s, _LEAST_TASK_S)
    wanted = math.ceil(EFFICIENCY / (1 - EFFICIENCY) * overhead_s / task_s)
    batch = max(1, min(wanted, tasks // (max(1, places) * _BATCHES)))
    return Grain(task_s, overhead_s, batch, (task_s + overhead_s) / (task_s + overhead_s / batch))


def may_be_small(compute_s: Sequence[float], tasks: int) -> bool:
    """Whether a slow hand-over could make such tasks too small."""
    return bool(len(compute_s)) and tasks >= _LEAST_TASKS and float(np.mean(compute_s)) < _SMALL_S


def grain_notes(compute_s: Sequence[float], overheads_s: Mapping[str, float], tasks: int, places: int) -> list[str]:
    """What is wrong with how a stage is cut, a sentence each; an empty list: nothing.

    Args:
        compute_s: of the tasks that were measured.
        overheads_s: of handing over one, by backend, as far as known.
        tasks: of the stage.
        places: workers, or environments.
    """
    times = np.asarray(compute_s, dtype=np.float64)
    if not len(times):
        return []
    notes = []
    for name, overhead_s in overheads_s.items():
        grain = grain_of(float(times.mean()), overhead_s, tasks, places)
        if tasks >= _LEAST_TASKS and grain.too_small:
            notes.append(f"{name}: {grain.sentence}")
    if 1 < tasks < places:
        idle = places - tasks
        notes.append(f"{count_text(places, 'worker')} for {count_text(tasks, 'task')}: {idle} of them do nothing")
    longest, typical = float(times.max()), float(np.median(times))
    share_s = float(times.mean()) * tasks / max(1, places)
    if tasks > 1 and longest > _LONG * typical and longest > share_s:
        notes.append(
            f"one task takes {seconds_text(longest)}, the median is {seconds_text(typical)}: "
            f"with {count_text(places, 'worker')} the others have ended before it; cut it into smaller ones"
        )
    return notes
