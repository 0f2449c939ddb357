"""A job as the model takes it, from a sample of its tasks; and with other values, for what-if."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.prediction import StageTimes
from lbench.engine.sampling.model import Sample, SampledStage
from lbench.engine.simulation.parameters import LambdaModel, with_values
from lbench.errors import InputError

__all__ = ["Job", "job_of", "what_if"]

Floats = NDArray[np.float64]

_MOST_DRAWN = (
    1_000  # calls of a stage that are simulated, as many as Lambda has environments; of more, each stands for several
)
_MOST_TASKS = 10_000_000
_RESAMPLES = 16
_SEED = 1
_INTERPRETER_S = 0.03  # of a worker's start, what is no import
_JOB_NAMES = ("tasks", "task_s")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the model takes it: its stages on a core of this machine."""

    stages: tuple[StageTimes, ...]
    before_s: float
    import_s: float
    data_mb: float
    peak_mb: int
    overhead_s: float
    workers: int
    contention: float

    @property
    def calls(self) -> int:
        """Tasks of all stages."""
        return sum(stage.calls for stage in self.stages)

    @property
    def widest(self) -> int:
        """Tasks of the widest stage."""
        return max((stage.calls for stage in self.stages), default=0)


def job_of(sample: Sample) -> Job:
    """The job as far as it was sampled; tasks that were not run are drawn from those that were.

    Raises:
        InputError: no task has ended.
    """
    rng = np.random.default_rng(_SEED)
    stages = tuple(_times(stage, rng) for stage in sample.stages if stage.compute_s)
    if not stages:
        raise InputError(
            f"{sample.workload}: no task ended within {sample.limit_s:g} s: give the sample longer with --for SECONDS"
        )
    return Job(
        stages=stages,
        before_s=sample.before_s,
        import_s=max(0.0, sample.init_s - _INTERPRETER_S),
        data_mb=sample.data_bytes / 1e6,
        peak_mb=max((peak for stage in sample.stages for peak in stage.peak_mb), default=0),
        overhead_s=sample.overhead_s,
        workers=sample.workers,
        contention=sample.contention,
    )


def _times(stage: SampledStage, rng: np.random.Generator) -> StageTimes:
    measured = np.array(stage.compute_s)
    return StageTimes(
        **_drawn(measured, stage.tasks, rng),
        request_mb=_mean(stage.request_bytes) / 1e6,
        response_mb=_mean(stage.response_bytes) / 1e6,
        between_s=stage.between_s,
    )


def _drawn(measured: Floats, tasks: int, rng: np.random.Generator) -> dict[str, Any]:
    """Durations of so many tasks: those that were measured, or draws from them; of very many the sums of several."""
    if len(measured) == tasks <= _MOST_DRAWN:
        return {"work_s": [measured], "each": 1}
    each = max(1, math.ceil(tasks / _MOST_DRAWN))
    count = max(1, round(tasks / each))
    repeats = 1 if count > 500 else _RESAMPLES
    return {"work_s": [rng.choice(measured, (count, each)).sum(axis=1) for _ in range(repeats)], "each": each}


def _mean(sizes: Sequence[int]) -> float:
    return float(np.mean(sizes)) if sizes else 0.0


def what_if(job: Job, model: LambdaModel, changes: Mapping[str, float]) -> tuple[Job, LambdaModel]:
    """The job and the model with other values: parameters of the model by their names, and `tasks` and `task_s`.

    Raises:
        InputError: there is no such name, or the value is impossible.
    """
    of_job = {name: value for name, value in changes.items() if name in _JOB_NAMES}
    try:
        model = with_values(model, {name: value for name, value in changes.items() if name not in _JOB_NAMES})
    except InputError as error:
        more = f", and the job {' and '.join(_JOB_NAMES)}" if "has no parameter" in str(error) else ""
        raise InputError(f"--what-if: {error}{more}") from None
    if model.concurrency.median < 1:
        raise InputError(f"--what-if concurrency must be at least 1, got {model.concurrency.median:g}")
    first = job.stages[0]
    work = [np.asarray(one) / first.each for one in first.work_s]
    tasks = of_job.get("tasks", first.calls)
    if tasks != int(tasks) or not 1 <= tasks <= _MOST_TASKS:
        raise InputError(f"--what-if tasks must be a whole number from 1 to {_MOST_TASKS:,}, got {tasks:g}")
    scale = 1.0
    if "task_s" in of_job:
        if not 0 < of_job["task_s"] <= 1e6:
            raise InputError(
                f"--what-if task_s must be above 0 and at most 1,000,000 seconds, got {of_job['task_s']:g}"
            )
        scale = of_job["task_s"] / max(float(np.mean(work[0])), 1e-9)
    if not of_job:
        return job, model
    drawn = _drawn(work[0] * scale, int(tasks), np.random.default_rng(_SEED))
    stages = (msgspec.structs.replace(first, **drawn), *job.stages[1:])
    return msgspec.structs.replace(job, stages=stages), model
