"""Every way to run a job, side by side: this machine, Lambda by memory, rented machines; in time, dollars and start-up.

All of it follows from a sample of the job's tasks here (`engine.sampling`) and the model of Lambda (`engine.simulation`);
but a cluster stands there by its recorded runs of the same job. Nothing is run anywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.prediction import CONFIDENCE, Predicted, core_ratio_ends, predict_stages, quantile_ends
from lbench.analysis.sampled_job import Job
from lbench.analysis.statistics import Estimate, median_estimate
from lbench.config.limits import limits
from lbench.config.rented import Profile, is_old, rented
from lbench.engine.session.clusters import ClusterRuns
from lbench.engine.simulation.distributions import Constant, Distribution, Lognormal, even_draws
from lbench.engine.simulation.environments import cold_share, warm_after
from lbench.engine.simulation.parameters import LambdaModel, lambda_model
from lbench.errors import InputError

__all__ = [
    "BreakEven",
    "Option",
    "Options",
    "Runs",
    "Sensitivity",
    "option_rows",
    "options_of",
    "parse_runs",
]

Floats = NDArray[np.float64]
Kind = Literal["local", "lambda", "rented", "cluster"]
Basis = Literal["predicted", "model", "measured"]

_REPLICATIONS = 200
_LEAST_REPLICATIONS = 40  # fewer do not have a 95 % interval
_STEPS = 50_000_000  # replications x tasks x environments: a prediction takes tenths of a second
_SEED = 1
_RUN_SIGMA = 0.03  # of times here, from run to run; the sample is such a run too
_DAY_S = 86_400.0
_MOST_RUNS = 1_000_000  # a day
_FREE_GB_S, _FREE_REQUESTS = 400_000, 1_000_000  # a month: config/prices.toml names AWS's price list
_HEADROOM = 1.25  # of a function's memory over the peak here
_SIZES_MB = (512, 885, 1769, 3008, 5307, 10_240)
_SHOWN_SIZES = 3


class Runs(msgspec.Struct, frozen=True):
    """How often the job will run: once, so many times a day, or one run after the other all day (None)."""

    per_day: float | None
    once: bool = False

    @property
    def text(self) -> str:
        """As on the command line."""
        return "1" if self.once else "always" if self.per_day is None else f"{self.per_day:g}/day"


def parse_runs(text: str) -> Runs:
    """What `--runs` says.

    Raises:
        InputError: it is neither 1, nor N/day, nor always.
    """
    wrong = InputError(
        f"--runs must be 1, N/day (for example 10/day; N above 0 and at most {_MOST_RUNS:,}) or always, got {text}"
    )
    word = text.strip().lower()
    if word == "1":
        return Runs(None, once=True)
    if word == "always":
        return Runs(None)
    number, slash, unit = word.partition("/")
    try:
        count = float(number)
    except ValueError:
        raise wrong from None
    if not slash or unit.strip() != "day" or not 0 < count <= _MOST_RUNS:
        raise wrong
    return Runs(count)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run the job. Dollars are of a run; None: nothing is charged, or (not `priced`) nobody knows how much."""

    name: str
    kind: Kind
    basis: Basis
    makespan_s: Estimate
    start_s: float  # before the job can begin
    usd: Decimal | None
    usd_high: Decimal | None  # where the price itself is not fixed
    usd_day: Decimal | None  # at the given number of runs; None: once
    needs: str
    places: int  # tasks at once
    memory_mb: int | None = None
    temperature: str | None = None  # of Lambda: "cold", "warm" or "4 of 100 warm"; of a cluster's workers
    old: bool = False  # its price is older than prices stay true
    priced: bool = True
    usd_interval: tuple[Decimal, Decimal] | None = None  # of a run, as the makespan's
    measured: str | None = None  # the day on which it was, and the session that has the runs
    session: str | None = None

    @property
    def whole_s(self) -> float:
        """From the decision to the answer."""
        return self.start_s + self.makespan_s.value


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the answer hangs on one assumption: Lambda's makespan at the ends of what it may be."""

    name: str
    text: str  # what it is, and its ends
    low_s: float
    high_s: float
    usd_low: Decimal
    usd_high: Decimal

    @property
    def factor(self) -> float:
        """The longest makespan over the shortest."""
        ends = sorted((self.low_s, self.high_s))
        return ends[1] / ends[0] if ends[0] > 0 else math.inf


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """Runs a day up to which Lambda costs less than the smallest rented machine that is always on."""

    runs: int | None  # None: more than that machine could do
    low: int  # of the interval, by the dollars of a run
    high: int
    machine: str
    usd_day: Decimal  # that the machine costs


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, with what follows."""

    rows: list[Option]
    runs: Runs
    sensitivity: list[Sensitivity]  # the three that matter most, the first most
    free_runs_month: int  # that AWS's free tier would cover
    break_even: BreakEven | None  # None: Lambda costs nothing there
    longest_s: float  # of the tasks, on a vCPU of Lambda
    core_ratio: tuple[float, float, float]

    @property
    def fits_lambda(self) -> bool:
        """Whether the longest task ends within the time that Lambda allows; `lbench check` has the other limits."""
        return self.longest_s <= limits().timeout_max_s

    @property
    def here(self) -> Option:
        """The best on this machine."""
        return min((row for row in self.rows if row.kind == "local"), key=lambda row: row.makespan_s.value)

    @property
    def on_lambda(self) -> Option:
        """The best on Lambda: the fastest, of equals (within 5 %) the cheapest."""
        return _preferred(self.rows)

    @property
    def fastest(self) -> Option:
        """The one with the answer first, start-up included; of Lambda's sizes `on_lambda`."""
        rows = [row for row in self.rows if row.kind != "lambda" or self.fits_lambda]
        first = min(rows, key=lambda row: row.whole_s)
        return self.on_lambda if first.kind == "lambda" else first


# -- the options


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
    predict = _Lambda(job, used, region, architecture, confidence)
    rows = list(_local(job, runs, confidence))
    rows += [_recorded(one, runs) for one in clusters]
    rows += _elsewhere(job, runs, used, predict, _sizes(job, memory_mb), today or date.today(), confidence)
    best = _preferred(rows)
    assert best.memory_mb is not None
    return Options(
        rows=rows,
        runs=runs,
        sensitivity=_sensitivity(job, used, best.memory_mb, predict, runs),
        free_runs_month=predict.free_runs(best.memory_mb, runs),
        break_even=_break_even(job, used, best, predict),
        longest_s=_longest_s(job, used),
        core_ratio=core_ratio_ends(used),
    )


def option_rows(
    job: Job, runs: Runs, *, model: LambdaModel, memory_mb: int | None = None, confidence: float = CONFIDENCE
) -> list[Option]:
    """The rows of `options_of` by themselves, in us-east-1 and without clusters.

    Raises:
        InputError: the job needs more memory than Lambda has.
    """
    predict = _Lambda(job, model, "us-east-1", "x86_64", confidence)
    rows = list(_local(job, runs, confidence))
    return rows + _elsewhere(job, runs, model, predict, _sizes(job, memory_mb), date.today(), confidence)


def _elsewhere(
    job: Job, runs: Runs, model: LambdaModel, predict: _Lambda, sizes: Iterable[int], today: date, confidence: float
) -> list[Option]:
    rows = [predict.option(size, runs) for size in sizes]
    return rows + list(_rented(job, model, runs, today, confidence))


def _preferred(rows: Iterable[Option]) -> Option:
    """Of Lambda's sizes the fastest, of equals (within 5 %) the cheapest."""
    sizes = [row for row in rows if row.kind == "lambda"]
    fastest_s = min(row.makespan_s.value for row in sizes)
    near = [row for row in sizes if row.makespan_s.value <= fastest_s * 1.05]
    return min(near, key=lambda row: row.usd or Decimal(0))


def _longest_s(job: Job, model: LambdaModel) -> float:
    """The longest task on as many vCPUs as it has threads; of tasks that were added up, their mean."""
    ratio = model.core_ratio.median
    return max(
        float(np.max(stage.work_s[0])) / stage.each * (stage.wait + (1 - stage.wait) * ratio) for stage in job.stages
    )


def _sizes(job: Job, memory_mb: int | None) -> list[int]:
    """Sizes of a function that the tasks fit into."""
    if memory_mb is not None:
        return [memory_mb]
    least = job.peak_mb * _HEADROOM
    fitting = [size for size in _SIZES_MB if size >= least]
    if not fitting:
        raise InputError(
            f"a task uses {job.peak_mb:,} MB here, and Lambda has {limits().memory_max_mb:,} MB at most: "
            "cut the tasks smaller"
        )
    enough = (place for place, size in enumerate(fitting) if size >= 885 * job.threads)
    first = next(enough, max(0, len(fitting) - _SHOWN_SIZES))
    return fitting[max(0, first) : first + _SHOWN_SIZES]


class _Lambda:
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
        replications = max(_LEAST_REPLICATIONS, min(40 if few else _REPLICATIONS, room))
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
            run_sigma=_RUN_SIGMA,
            confidence=self._confidence,
        )

    def warm(self, runs: Runs) -> int:
        """Environments that the run before has left, by the law of eviction."""
        if runs.once:
            return 0
        if runs.per_day is None:
            return self.places
        return warm_after(self.places, _DAY_S / runs.per_day, self._model.idle_halving_s.median)

    def option(self, memory_mb: int, runs: Runs) -> Option:
        """One size."""
        warm = self.warm(runs)
        found = self.predict(memory_mb, warm)
        temperature = "cold" if not warm else "warm" if warm >= self.places else f"{warm} of {self.places} warm"
        makespan = _shifted(found.makespan_s, self._job.before_s)
        per_day = _runs_a_day(runs, makespan.value)
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


def _runs_a_day(runs: Runs, makespan_s: float) -> float | None:
    """How many runs a day that is; None: one alone."""
    if runs.once:
        return None
    return runs.per_day if runs.per_day is not None else _DAY_S / max(makespan_s, 1e-3)


def _shifted(one: Estimate, by_s: float) -> Estimate:
    assert one.low is not None and one.high is not None
    return Estimate(one.value + by_s, one.low + by_s, one.high + by_s, one.count)


def _local(job: Job, runs: Runs, confidence: float) -> Iterator[Option]:
    counts = sorted(
        {1, job.workers, *(2**power for power in range(1, job.workers.bit_length()) if 2**power < job.workers)}
    )
    for workers in counts:
        slower = 1.0 if job.workers == 1 else 1 + (job.contention - 1) * (workers - 1) / (job.workers - 1)
        times = _scheduled(job, workers, slower, job.overhead_s, np.ones((1, 1)), confidence)
        yield Option(
            name=f"this machine, {workers} worker{'s' * (workers > 1)}",
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


def _scheduled(
    job: Job, workers: int, slower: float, overhead_s: float, speed: Floats, confidence: float = CONFIDENCE
) -> Estimate:
    """The makespan of the job on so many workers, each of which takes the next task when it is free.

    `speed`, of shape (replications, 1): how many times as long a task computes as here.
    """
    drawn = sum(len(stage.work_s[0]) for stage in job.stages)
    replications = max(_LEAST_REPLICATIONS, min(_REPLICATIONS, 400_000 // max(1, drawn)))
    speed = np.resize(speed, (replications, 1))
    rng = np.random.default_rng(_SEED + 2)
    total = np.full(replications, job.before_s)
    for stage in job.stages:
        slowed = slower * (speed * (1 - stage.wait) + stage.wait)
        work = stage.drawn(rng, replications) * slowed + overhead_s * stage.each
        total += _ends_of(work, workers) + stage.between_s
    total *= even_draws(Lognormal(1.0, math.sqrt(2) * _RUN_SIGMA), rng, replications)  # of that run, and of the sample
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


def _speed(profile: Profile, model: LambdaModel) -> Floats:
    """How many times as long a task takes there as here, drawn; both ratios are uncertain."""
    rng = np.random.default_rng(_SEED + 3)
    here = even_draws(model.core_ratio, rng, _REPLICATIONS)
    there = even_draws(Lognormal(profile.core_ratio.median, profile.core_ratio.sigma), rng, _REPLICATIONS)
    return np.asarray(here / there)[:, None]


def _rented(job: Job, model: LambdaModel, runs: Runs, today: date, confidence: float) -> Iterator[Option]:
    for profile in rented():
        if profile.always is not None and (runs.once or runs.per_day is not None):
            continue  # it is there all day, whoever runs nothing
        fits = profile.vcpus if not job.peak_mb else int(profile.gib * 1024 / (job.peak_mb * _HEADROOM))
        workers = min(max(1, int(profile.vcpus / job.threads)), fits)
        if workers < 1:
            continue
        makespan = _scheduled(job, workers, 1.0, job.overhead_s, _speed(profile, model), confidence)
        start_s = 0.0 if profile.start_s is None or (runs.per_day is None and not runs.once) else profile.start_s.value
        low_hour, high_hour = profile.hourly_usd
        usd = _charged(profile, low_hour, job, start_s, makespan.value)
        per_day = _runs_a_day(runs, makespan.value)
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


def _recorded(cluster: ClusterRuns, runs: Runs) -> Option:
    """A cluster, by its runs of this very job."""
    makespan = median_estimate(cluster.makespans_s)
    assert makespan is not None
    usd = None if cluster.usd is None else median(cluster.usd)
    per_day = _runs_a_day(runs, makespan.value)
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


def _charged(profile: Profile, hour_usd: Decimal, job: Job, start_s: float, run_s: float) -> Decimal:
    """What a run costs there: its start too, the minimum at the least, and its requests."""
    seconds = start_s + run_s
    if profile.minimum_s is not None and start_s:
        seconds = max(seconds, profile.minimum_s.value)
    requests_usd = Decimal(profile.usd_per_million_requests) * job.calls / 1_000_000
    return hour_usd * Decimal(str(seconds)) / 3600 + requests_usd


def _break_even(job: Job, model: LambdaModel, best: Option, predict: _Lambda) -> BreakEven | None:
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
    makespan = _scheduled(job, profile.vcpus, 1.0, job.overhead_s, _speed(profile, model))
    return BreakEven(
        runs=runs if runs * makespan.value <= _DAY_S else None,
        low=most_runs(cold.high_usd, warm.high_usd),
        high=most_runs(cold.low_usd, warm.low_usd),
        machine=profile.name,
        usd_day=day_usd,
    )


# -- what the answer hangs on

_ASSUMED: tuple[tuple[str, str], ...] = (
    ("core_ratio", "a core here is worth"),
    ("concurrency", "environments at once"),
    ("allocation_s", "placing a new environment"),
    ("start_delay_s", "delay of a burst of calls"),
    ("rtt_s", "round trip to AWS"),
    ("uplink_mb_per_s", "upload from here"),
    ("network_mb_per_s", "network of an environment"),
)


def _sensitivity(job: Job, model: LambdaModel, memory_mb: int, predict: _Lambda, runs: Runs) -> list[Sensitivity]:
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
