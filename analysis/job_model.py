"""A job as the model takes it, from a sample of its tasks; and with other values, for what-if."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
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
_SETS, _LEAST_SETS = 200, 64  # of draws: each is a job that may be the true one
_DRAWS = 400_000
_MOST_STEEPER = 3.0
_LEAST_S = 1e-9  # of a task, for its logarithm
_SUMMED = 32  # draws for a sum; of more tasks together the sum is scaled
_SEED = 1
_INTERPRETER_S = 0.03  # of a worker's start, what is no import
_JOB_NAMES = ("tasks", "task_s")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the model takes it: its stages on a core of this machine."""

    stages: tuple[StageTimes, ...]
    first_s: Floats  # tasks of the first stage, as measured
    before_s: float
    import_s: float
    data_mb: float
    peak_mb: int
    overhead_s: float
    workers: int
    contention: float

    @property
    def calls(self) -> int:
        return sum(stage.calls for stage in self.stages)

    @property
    def threads(self) -> float:
        """The most threads that a task keeps busy."""
        return max((stage.threads for stage in self.stages), default=1.0)

    @property
    def widest(self) -> int:
        return max((stage.calls for stage in self.stages), default=0)


def job_of(sample: Sample) -> Job:
    """The job as far as it was sampled; tasks that were not run are drawn from those that were.

    Raises:
        InputError: no task has ended.
    """
    rng = np.random.default_rng(_SEED)
    stages = tuple(_times(stage, rng) for stage in sample.stages if stage.compute_s)
    if sample.complete and not sample.known_tasks:
        raise InputError(f"{sample.workload}: the job has ended without a task")
    if not stages:
        raise InputError(
            f"{sample.workload}: no task ended within {sample.limit_s:g} s: does one ever? --for SECONDS gives them longer"
        )
    return Job(
        stages=stages,
        first_s=np.array(next(stage.compute_s for stage in sample.stages if stage.compute_s)),
        before_s=sample.before_s,
        import_s=max(0.0, sample.init_s - _INTERPRETER_S),
        data_mb=sample.data_bytes / 1e6,
        peak_mb=max((peak for stage in sample.stages for peak in stage.peak_mb), default=0),
        overhead_s=sample.overhead_s,
        workers=sample.workers,
        contention=sample.contention,
    )


def _times(stage: SampledStage, rng: np.random.Generator) -> StageTimes:
    return StageTimes(
        **_drawn(np.array(stage.compute_s), stage.tasks, rng, stage.indices),
        request_mb=_mean(stage.request_bytes) / 1e6,
        response_mb=_mean(stage.response_bytes) / 1e6,
        between_s=stage.between_s,
        wait=stage.wait,
        threads=stage.threads,
    )


def _drawn(
    measured: Floats, tasks: int, rng: np.random.Generator, indices: Sequence[int] | None = None
) -> dict[str, Any]:
    """Durations of so many tasks: those that were measured, else draws; of very many the sums of several.

    Each set of draws comes from a distribution that may have given what was measured: a few tasks say exactly neither the
    mean of the others nor how long the longest takes, and that is in the spread. Measured tasks keep their places
    (`indices`) where every task is drawn by itself.
    """
    each = max(1, math.ceil(tasks / _MOST_DRAWN))
    if len(measured) == tasks and each == 1:
        return {"work_s": [measured], "each": 1}
    count = max(1, round(tasks / each))
    known = min(1.0, len(measured) / tasks) if indices is not None else 0.0  # a share of the tasks is no guess
    summed = min(each, _SUMMED)
    middle = float(measured.mean())
    further = _Further(measured)
    sets = []
    for _ in range(max(_LEAST_SETS, min(_SETS, _DRAWS // (count * summed)))):
        drawn = further.draw((count, summed), rng)
        if each == 1:
            work = drawn[:, 0]
            if indices is not None:
                work[list(indices)] = measured
        else:
            mean = middle + (float(drawn.mean()) - middle) * (1 - known)
            drawn *= mean / drawn.mean()
            work = each * mean + (drawn.sum(axis=1) - summed * mean) * math.sqrt(each / summed)
        sets.append(work)
    return {"work_s": sets, "each": each}


class _Further:
    """Draws of further values, beside those that are there.

    Of n values in their order a further one falls into each of the n + 1 gaps alike, whatever the distribution; how likely
    each gap is by itself has the Dirichlet distribution (Hill, Posterior distribution of percentiles, JASA 1968). Inside a
    gap the logarithm is even. Beyond an end it goes on as that half of the values does: a line against the quantiles of a
    normal distribution, as steep as so few values may say.
    """

    def __init__(self, values: Floats) -> None:
        count = self._count = len(values)
        self._logs = np.sort(np.log(np.maximum(values, _LEAST_S)))
        scores = _scores(count)
        halves = slice(None, (count + 1) // 2), slice(count // 2, None)
        self._slopes = [_slope(scores[half], self._logs[half]) for half in halves]

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
        """Draws from one distribution that may have given the values."""
        ends = np.cumsum(rng.dirichlet(np.ones(self._count + 1)))[:-1]
        at = rng.random(shape)
        found = np.interp(at, ends, self._logs)
        half = max(1, self._count // 2)
        steeper = min(math.sqrt(half / rng.chisquare(half)), _MOST_STEEPER)
        for place, slope, beyond in ((0, self._slopes[0], at < ends[0]), (-1, self._slopes[1], at > ends[-1])):
            found[beyond] += slope * steeper * (_normal(at[beyond]) - _normal(ends[place]))
        return np.asarray(np.exp(found))


def _normal(probabilities: Floats) -> Floats:
    """The quantiles of a normal distribution, to two digits."""
    return np.asarray(np.interp(probabilities, *_normal_table()))


@functools.cache
def _normal_table() -> tuple[Floats, Floats]:
    scores = np.linspace(-6, 6, 1201)
    return np.array([NormalDist().cdf(score) for score in scores.tolist()]), scores


@functools.lru_cache(maxsize=16)
def _scores(count: int) -> Floats:
    """Of so many ordered values the quantiles of a normal distribution."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((place + 0.5) / count) for place in range(count)])


def _slope(x: Floats, y: Floats) -> float:
    x = x - x.mean()
    square = float(x @ x)
    return float(x @ (y - y.mean())) / square if square else 0.0


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
    tasks = of_job.get("tasks", first.calls)
    if tasks != int(tasks) or not 1 <= tasks <= _MOST_TASKS:
        raise InputError(f"--what-if tasks must be a whole number from 1 to {_MOST_TASKS:,}, got {tasks:g}")
    scale = 1.0
    if "task_s" in of_job:
        if not 0 < of_job["task_s"] <= 1e6:
            raise InputError(
                f"--what-if task_s must be above 0 and at most 1,000,000 seconds, got {of_job['task_s']:g}"
            )
        scale = of_job["task_s"] / max(float(np.mean(job.first_s)), 1e-9)
    if not of_job:
        return job, model
    drawn = _drawn(job.first_s * scale, int(tasks), np.random.default_rng(_SEED))
    stages = (msgspec.structs.replace(first, **drawn), *job.stages[1:])
    return msgspec.structs.replace(job, stages=stages), model
