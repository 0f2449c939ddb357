"""A job on this machine, on rented ones, and on a cluster that has run it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from statistics import median

import numpy as np
from numpy.typing import NDArray

from lbench.analysis.job_model import Job
from lbench.analysis.option_types import HEADROOM, LEAST_REPLICATIONS, REPLICATIONS, RUN_SIGMA, Option, Runs
from lbench.analysis.prediction import CONFIDENCE, quantile_ends
from lbench.analysis.statistics import Estimate, median_estimate
from lbench.config.rented_machines import Profile, is_old, rented
from lbench.engine.session.clusters import ClusterRuns
from lbench.engine.simulation.distributions import Lognormal, even_draws
from lbench.engine.simulation.parameters import LambdaModel
from lbench.errors import count_text

Floats = NDArray[np.float64]

_SEED = 1


def local_options(job: Job, confidence: float) -> Iterator[Option]:
    """One worker, powers of two, and all of this machine's."""
    counts = sorted(
        {1, job.workers, *(2**power for power in range(1, job.workers.bit_length()) if 2**power < job.workers)}
    )
    for workers in counts:
        slower = 1.0 if job.workers == 1 else 1 + (job.contention - 1) * (workers - 1) / (job.workers - 1)
        times = scheduled(job, workers, slower, job.overhead_s, np.ones((1, 1)), confidence)
        yield Option(
            name=f"this machine, {count_text(workers, 'worker')}",
            kind="local",
            basis="predicted",
            makespan_s=times,
            start_s=0.0,
            usd=None,
            usd_high=None,
            usd_day=None,
            needs="nothing more",
            places=workers,
        )


def rented_options(job: Job, model: LambdaModel, runs: Runs, today: date, confidence: float) -> Iterator[Option]:
    """Machines by the hour or by the second that the tasks fit into."""
    for profile in rented():
        if profile.always is not None and (runs.once or runs.per_day is not None):
            continue  # it is there all day, whoever runs nothing
        fits = profile.vcpus if not job.peak_mb else int(profile.gib * 1024 / (job.peak_mb * HEADROOM))
        workers = min(max(1, int(profile.vcpus / job.threads)), fits)
        if workers < 1:
            continue
        makespan = scheduled(job, workers, 1.0, job.overhead_s, speed_there(profile, model), confidence)
        start_s = 0.0 if profile.start_s is None or (runs.per_day is None and not runs.once) else profile.start_s.value
        low_hour, high_hour = profile.hourly_usd
        usd = _charged(profile, low_hour, job, start_s, makespan.value)
        per_day = runs.a_day(makespan.value)
        yield Option(
            name=profile.name,
            kind="rented",
            basis="model",
            makespan_s=makespan,
            start_s=start_s,
            usd=usd,
            usd_high=_charged(profile, high_hour, job, start_s, makespan.value) if high_hour > low_hour else None,
            usd_interval=(
                _charged(profile, low_hour, job, start_s, makespan.low or 0.0),
                _charged(profile, high_hour, job, start_s, makespan.high or 0.0),
            ),
            usd_day=None if per_day is None else min(usd * Decimal(str(per_day)), low_hour * 24),
            needs=profile.needs,
            places=workers,
            old=is_old(profile, today),
        )


def cluster_option(cluster: ClusterRuns, runs: Runs) -> Option:
    """A cluster, by its runs of this very job."""
    makespan = median_estimate(cluster.makespans_s)
    assert makespan is not None
    usd = None if cluster.usd is None else median(cluster.usd)
    per_day = runs.a_day(makespan.value)
    day = cluster.created[:10]
    temperature = None if cluster.cold is None else "cold" if cluster.cold else "warm"
    who = f"{cluster.label}, {cluster.workers} worker{'s' * (cluster.workers > 1)}"
    return Option(
        name=f"{who}{f' {temperature}' if temperature else ''}, {day}",
        kind="cluster",
        basis="measured",
        makespan_s=makespan,
        start_s=cluster.setup_s or 0.0,
        usd=usd,
        usd_high=None,
        usd_day=None if usd is None or per_day is None else usd * Decimal(str(per_day)),
        needs="the cluster, as it was",
        places=cluster.workers,
        temperature=temperature,
        priced=not any(text.startswith("no price") for text in cluster.unpriced),
        measured=day,
        session=cluster.session,
    )


def scheduled(
    job: Job, workers: int, slower: float, overhead_s: float, speed: Floats, confidence: float = CONFIDENCE
) -> Estimate:
    """The makespan of the job on so many workers, each of which takes the next task when it is free.

    `speed`, of shape (replications, 1): how many times as long a task computes as here.
    """
    drawn = sum(len(stage.work_s[0]) for stage in job.stages)
    replications = max(LEAST_REPLICATIONS, min(REPLICATIONS, 400_000 // max(1, drawn)))
    speed = np.resize(speed, (replications, 1))
    rng = np.random.default_rng(_SEED + 2)
    total = np.full(replications, job.before_s)
    for stage in job.stages:
        slowed = slower * (speed * (1 - stage.wait) + stage.wait)
        work = stage.drawn(rng, replications) * slowed + overhead_s * stage.each
        total += _ends_of(work, workers) + stage.between_s
    total *= even_draws(Lognormal(1.0, math.sqrt(2) * RUN_SIGMA), rng, replications)  # of that run, and of the sample
    return quantile_ends(total, confidence)


def _ends_of(work: Floats, workers: int) -> Floats:
    replications, tasks = work.shape
    if workers >= tasks:
        return np.asarray(work.max(axis=1))
    if workers == 1:
        return np.asarray(work.sum(axis=1))
    free = np.zeros((replications, workers))
    rows = np.arange(replications)
    for task in range(tasks):
        lane = free.argmin(axis=1)
        free[rows, lane] += work[:, task]
    return np.asarray(free.max(axis=1))


def speed_there(profile: Profile, model: LambdaModel) -> Floats:
    """How many times as long a task takes there as here, drawn; both ratios are uncertain."""
    rng = np.random.default_rng(_SEED + 3)
    here = even_draws(model.core_ratio, rng, REPLICATIONS)
    there = even_draws(Lognormal(profile.core_ratio.median, profile.core_ratio.sigma), rng, REPLICATIONS)
    return np.asarray(here / there)[:, None]


def _charged(profile: Profile, hour_usd: Decimal, job: Job, start_s: float, run_s: float) -> Decimal:
    """What a run costs there: its start too, the minimum at the least, and its requests."""
    seconds = start_s + run_s
    if profile.minimum_s is not None and start_s:
        seconds = max(seconds, profile.minimum_s.value)
    requests_usd = Decimal(profile.usd_per_million_requests) * job.calls / 1_000_000
    return hour_usd * Decimal(str(seconds)) / 3600 + requests_usd
