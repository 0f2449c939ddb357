"""Every way to run a job, side by side: this machine, Lambda by memory, rented machines; in time, dollars and start-up.

All of it follows from a sample of the job's tasks here (`engine.sampling`) and the model of Lambda (`engine.simulation`);
but a cluster stands there by its recorded runs of the same job. Nothing is run anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from lbench.analysis.job_model import Job
from lbench.analysis.lambda_options import OnLambda, longest_task_s, sensitivities, sizes_for
from lbench.analysis.machine_options import cluster_option, local_options, rented_options, scheduled, speed_there
from lbench.analysis.option_types import DAY_S, BreakEven, Option, Options, Runs, preferred
from lbench.analysis.prediction import CONFIDENCE, core_ratio_ends
from lbench.config.rented_machines import rented
from lbench.engine.session.clusters import ClusterRuns
from lbench.engine.simulation.environments import cold_share
from lbench.engine.simulation.parameters import LambdaModel, lambda_model

__all__ = ["option_rows", "options_of"]


def options_of(
    job: Job,
    runs: Runs,
    *,
    model: LambdaModel | None = None,
    region: str = "us-east-1",
    architecture: str = "x86_64",
    memory_mb: int | None = None,
    today: date | None = None,
    clusters: Iterable[ClusterRuns] = (),
    confidence: float = CONFIDENCE,
) -> Options:
    """All ways to run the job, this machine first.

    Args:
        job: see `job_of`.
        runs: how often it will run.
        model: other parameters than the data file's.
        region: of Lambda; rented machines have the prices of us-east-1.
        architecture: of Lambda.
        memory_mb: the only size of Lambda to look at; default: a few that are large enough.
        today: for the age of prices.
        clusters: recorded runs of the same job.
        confidence: of the intervals.

    Raises:
        InputError: there are no prices for the region, or the job needs more memory than Lambda has.
    """
    used = model or lambda_model()
    predict = OnLambda(job, used, region, architecture, confidence)
    rows = list(local_options(job, confidence))
    rows += [cluster_option(one, runs) for one in clusters]
    rows += _elsewhere(job, runs, used, predict, sizes_for(job, memory_mb), today or date.today(), confidence)
    best = preferred(rows)
    assert best.memory_mb is not None
    return Options(
        rows=rows,
        runs=runs,
        sensitivity=sensitivities(job, used, best.memory_mb, predict, runs),
        free_runs_month=predict.free_runs(best.memory_mb, runs),
        break_even=_break_even(job, used, best, predict),
        longest_s=longest_task_s(job, used.core_ratio.median),
        longest_high_s=longest_task_s(job, core_ratio_ends(used)[2]),
        core_ratio=core_ratio_ends(used),
    )


def option_rows(
    job: Job, runs: Runs, *, model: LambdaModel, memory_mb: int | None = None, confidence: float = CONFIDENCE
) -> list[Option]:
    """The rows of `options_of` by themselves, in us-east-1 and without clusters.

    Raises:
        InputError: the job needs more memory than Lambda has.
    """
    predict = OnLambda(job, model, "us-east-1", "x86_64", confidence)
    rows = list(local_options(job, confidence))
    return rows + _elsewhere(job, runs, model, predict, sizes_for(job, memory_mb), date.today(), confidence)


def _elsewhere(
    job: Job, runs: Runs, model: LambdaModel, predict: OnLambda, sizes: Iterable[int], today: date, confidence: float
) -> list[Option]:
    rows = [predict.option(size, runs) for size in sizes]
    return rows + list(rented_options(job, model, runs, today, confidence))


def _break_even(job: Job, model: LambdaModel, best: Option, predict: OnLambda) -> BreakEven | None:
    """More runs a day find more environments warm, which costs less: the share is that of `cold_share`."""
    assert best.memory_mb is not None
    profile = min((one for one in rented() if one.share is None and one.always is None), key=lambda one: one.hourly_usd)
    day_usd = profile.hourly_usd[0] * 24
    cold, warm = (predict.predict(best.memory_mb, there) for there in (0, predict.places))

    def most_runs(cold_usd: Decimal, warm_usd: Decimal) -> int:
        def dearer(runs: int) -> bool:
            share = cold_share(predict.places, runs, model.idle_halving_s.median)
            return runs * (float(warm_usd) + float(cold_usd - warm_usd) * share) > float(day_usd)

        low, high = 0, int(day_usd / warm_usd) + 1  # at `high` runs it is dearer whatever is warm
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if dearer(middle) else (middle, high)
        return low

    if cold.low_usd <= 0 or warm.low_usd <= 0:
        return None
    runs = most_runs(cold.usd, warm.usd)
    makespan = scheduled(job, profile.vcpus, 1.0, job.overhead_s, speed_there(profile, model))
    low = most_runs(cold.high_usd, warm.high_usd)
    return BreakEven(
        runs=runs if runs * makespan.value <= DAY_S else None,
        low=low,
        low_beyond=low * makespan.value > DAY_S,
        high=most_runs(cold.low_usd, warm.low_usd),
        machine=profile.name,
        usd_day=day_usd,
    )
