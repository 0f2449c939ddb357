"""A job on Lambda, by memory size: times, dollars, and what they depend on most."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from lbench.analysis.job_model import Job
from lbench.analysis.option_types import (
    DAY_S,
    HEADROOM,
    LEAST_REPLICATIONS,
    REPLICATIONS,
    RUN_SIGMA,
    Option,
    Runs,
    Sensitivity,
)
from lbench.analysis.prediction import CONFIDENCE, Predicted, predict_stages
from lbench.analysis.statistics import Estimate
from lbench.config.limits import limits
from lbench.engine.simulation.distributions import Constant, Distribution, Lognormal
from lbench.engine.simulation.environments import warm_after
from lbench.engine.simulation.parameters import LambdaModel
from lbench.errors import InputError

_STEPS = 50_000_000  # replications x tasks x environments: a prediction takes tenths of a second
_FREE_GB_S, _FREE_REQUESTS = 400_000, 1_000_000  # a month: config/prices.toml names AWS's price list
_SIZES_MB = (512, 885, 1769, 3008, 5307, 10_240)
_SHOWN_SIZES = 3
_ASSUMED: tuple[tuple[str, str], ...] = (
    ("core_ratio", "a core here is worth"),
    ("concurrency", "environments at once"),
    ("allocation_s", "placing a new environment"),
    ("start_delay_s", "delay of a burst of calls"),
    ("rtt_s", "round trip to AWS"),
    ("uplink_mb_per_s", "upload from here"),
    ("network_mb_per_s", "network of an environment"),
)


class OnLambda:
    """Predictions of one job on Lambda."""

    def __init__(self, job: Job, model: LambdaModel, region: str, architecture: str, confidence: float) -> None:
        self._job = job
        self._confidence = confidence
        self._model = model
        self._region = region
        self._architecture = architecture
        self.places = min(int(model.concurrency.median), job.widest)

    def predict(self, memory_mb: int, warm: int, *, model: LambdaModel | None = None, few: bool = False) -> Predicted:
        """One run with so many environments there already."""
        used = model or self._model
        lanes = max(1, int(used.concurrency.median))
        widths = [len(stage.work_s[0]) for stage in self._job.stages]
        room = _STEPS // max(1, sum(width * (lanes if lanes < width else 1) for width in widths))
        replications = max(LEAST_REPLICATIONS, min(40 if few else REPLICATIONS, room))
        return predict_stages(
            used,
            self._job.stages,
            memory_mb=memory_mb,
            environments=max(1, int(used.concurrency.median)),
            warm=warm,
            import_s=self._job.import_s,
            fetch_mb=self._job.data_mb,
            region=self._region,
            architecture=self._architecture,
            replications=replications,
            run_sigma=RUN_SIGMA,
            confidence=self._confidence,
        )

    def warm(self, runs: Runs) -> int:
        """Environments that the run before has left, by the law of eviction."""
        if runs.once:
            return 0
        if runs.per_day is None:
            return self.places
        return warm_after(self.places, DAY_S / runs.per_day, self._model.idle_halving_s.median)

    def option(self, memory_mb: int, runs: Runs) -> Option:
        warm = self.warm(runs)
        found = self.predict(memory_mb, warm)
        temperature = "cold" if not warm else "warm" if warm >= self.places else f"{warm} of {self.places} warm"
        makespan = _shifted(found.makespan_s, self._job.before_s)
        per_day = runs.a_day(makespan.value)
        return Option(
            name=f"Lambda {memory_mb:,} MB {temperature}",
            kind="lambda",
            basis="predicted",
            makespan_s=makespan,
            start_s=0.0,
            usd=found.usd,
            usd_high=None,
            usd_interval=(found.low_usd, found.high_usd),
            usd_day=None if per_day is None else found.usd * Decimal(str(per_day)),
            needs="an AWS account; lbench deploy",
            places=self.places,
            memory_mb=memory_mb,
            temperature=temperature,
        )

    def free_runs(self, memory_mb: int, runs: Runs) -> int:
        """Runs a month that AWS's free tier would cover."""
        found = self.predict(memory_mb, self.warm(runs), few=True)
        gb_s = found.billed_s * memory_mb / 1024
        return int(min(_FREE_GB_S / max(gb_s, 1e-9), _FREE_REQUESTS / max(1, self._job.calls)))


def _shifted(one: Estimate, by_s: float) -> Estimate:
    assert one.low is not None and one.high is not None
    return Estimate(one.value + by_s, one.low + by_s, one.high + by_s, one.count)


def sizes_for(job: Job, memory_mb: int | None) -> list[int]:
    """Sizes of a function that the tasks fit into."""
    if memory_mb is not None:
        if job.peak_mb > memory_mb:
            raise InputError(f"--memory must be at least {job.peak_mb:,} MB, which a task uses here, got {memory_mb:,}")
        return [memory_mb]
    least = min(job.peak_mb * HEADROOM, max(job.peak_mb, _SIZES_MB[-1]))
    fitting = [size for size in _SIZES_MB if size >= least]
    if not fitting:
        raise InputError(
            f"a task uses {job.peak_mb:,} MB here, and Lambda has {limits().memory_max_mb:,} MB at most: "
            "cut the tasks smaller"
        )
    enough = (place for place, size in enumerate(fitting) if size >= 885 * job.threads)
    first = next(enough, max(0, len(fitting) - _SHOWN_SIZES))
    return fitting[max(0, first) : first + _SHOWN_SIZES]


def longest_task_s(job: Job, ratio: float) -> float:
    """The longest task on as many vCPUs as it has threads; of tasks that were added up, their mean.

    `ratio`: vCPUs that a core here is worth.
    """
    return max(
        float(np.max(stage.work_s[0])) / stage.each * (stage.wait + (1 - stage.wait) * ratio) for stage in job.stages
    )


def sensitivities(job: Job, model: LambdaModel, memory_mb: int, predict: OnLambda, runs: Runs) -> list[Sensitivity]:
    """The three assumptions on which the makespan hangs most, the first most."""
    found = []
    warm = predict.warm(runs)
    for name, what in _ASSUMED:
        low, high, unit = _ends(name, getattr(model, name), model)
        ends = []
        for value in (low, high):
            fixed: dict[str, Any] = {"core_ratio": Constant(model.core_ratio.median), name: Constant(value)}
            changed = replace(model, **fixed)
            ends.append(predict.predict(memory_mb, warm, model=changed, few=True))
        found.append(
            Sensitivity(
                name=name,
                text=f"{what}: {_digits(low)} to {_digits(high)}{unit}",
                low_s=ends[0].makespan_s.value + job.before_s,
                high_s=ends[1].makespan_s.value + job.before_s,
                usd_low=ends[0].usd,
                usd_high=ends[1].usd,
            )
        )
    return sorted(found, key=lambda one: -one.factor)[:3]


def _ends(name: str, parameter: Distribution, model: LambdaModel) -> tuple[float, float, str]:
    """What a parameter may be: the ends of its 95 %, else half and twice of it; and its unit."""
    unit = " MB/s" if name.endswith("mb_per_s") else " s" if name.endswith("_s") else ""
    if name == "core_ratio":
        unit = " vCPUs"
    if name == "concurrency":
        return min(model.concurrency_of_new_accounts.median, parameter.median), parameter.median, unit
    if isinstance(parameter, Lognormal) and parameter.sigma:
        return parameter.quantile((1 - CONFIDENCE) / 2), parameter.quantile((1 + CONFIDENCE) / 2), unit
    return parameter.median / 2, parameter.median * 2, unit


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
