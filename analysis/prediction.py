"""Predicts time and cost of a measured run on AWS Lambda: the same tasks on as many environments as there are tasks.

A prediction, never a measurement: the model of `engine.simulation` with the durations that were measured here. It depends on
how many Lambda vCPUs a core of this machine is worth, which is known as a distribution only; its spread is in the interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.comparison import Comparison, Summary, by_label
from lbench.analysis.format import listed, percent_text, ratio_text, seconds_text, spread_text, times_spread_text
from lbench.analysis.statistics import LEAST_CLAIM, Estimate
from lbench.config.limits import fits_inline, limits
from lbench.config.prices import rates
from lbench.engine.cost.charges import RunCost, log_bytes, run_cost
from lbench.engine.cost.format import usd_short, usd_text
from lbench.engine.machine.processor_time import Usage
from lbench.engine.model import EXCHANGES, Prediction
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView
from lbench.engine.simulation.distributions import Lognormal, even_draws
from lbench.engine.simulation.fan_out import Stage, simulate_stage
from lbench.engine.simulation.parameters import LambdaModel, lambda_model
from lbench.errors import count_text

__all__ = [
    "LABEL",
    "Predicted",
    "PredictedLine",
    "StageTimes",
    "baseline_doubt",
    "core_ratio_ends",
    "independent_ratio",
    "predict_comparison",
    "predict_lambda",
    "predict_stages",
    "predicted_sentence",
    "predictions",
    "quantile_ends",
    "too_large_text",
    "unpredicted_text",
]

Floats = NDArray[np.float64]

CONFIDENCE = 0.95  # as every other interval of a comparison
LABEL = "lambda (predicted)"
_OK = STATUSES.index("ok")
_ALONE = ("sequential", "processes", "threads")  # the first measured: there a task shares its core least
_SEED = 1
_DRAWS = 2_000_000  # tasks times replications at the most: a prediction takes a second or two
_INTERPRETER_S = 0.03  # of a worker's start, what is no import
_MOSTLY = 0.5  # of the tasks' time, above which waiting matters more than how fast a core is


class Predicted(msgspec.Struct, frozen=True):
    """A makespan and a cost: the median of the simulated runs, and the interval that holds most of them."""

    makespan_s: Estimate
    usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    assumed: tuple[str, ...] = ()  # what of it is counted at another region's price (`RunCost.assumed`)
    billed_s: float = 0.0  # of all calls together


class PredictedLine(msgspec.Struct, frozen=True, kw_only=True):
    """The line "lambda (predicted)" of a comparison."""

    worked_out_from: str  # the label of the measured backend whose tasks these are
    environments: int
    memory_mb: int
    region: str
    architecture: str
    cold: Predicted  # all environments new
    warm: Predicted  # all there already
    core_ratio: tuple[float, float, float]  # median, and the ends of its 95 %: a core of this machine in Lambda vCPUs
    baseline_s: Estimate | None = None  # the median makespan of the comparison's baseline
    at_once: int = 1  # tasks that ran together here
    usage: Usage | None = None  # what the tasks did with their time here; None: all of it is taken for computing
    exchanges: bool = False  # whether the tasks exchange objects, which the model does not have

    @property
    def depends_on(self) -> str:
        """The assumption that matters most, in words."""
        if self.usage is not None and self._waits:
            return f"the {percent_text(self.usage.wait)} of their time that tasks wait takes as long there"
        middle, low, high = self.core_ratio
        return f"one core here = {middle:.2g} (95 %: {low:.2g}–{high:.2g}) Lambda vCPUs"

    @property
    def conditions(self) -> str:
        """What it is worked out from, in a line."""
        shared = (
            f"; {self.at_once} of them ran at once here, which may have made each longer: -b sequential measures them alone"
            if self.at_once > 1 and not self._waits
            else ""
        )
        return (
            f"{LABEL}: the model with the tasks of {self.worked_out_from} on "
            f"{count_text(self.environments, 'environment')} of {self.memory_mb:,} MB in {self.region} "
            f"({self.architecture}); nothing was run there (docs/model.md){shared}; {self._time_text}{self._gap}"
        )

    @property
    def _gap(self) -> str:
        return "; objects that they exchange through S3 are in neither its time nor its cost" if self.exchanges else ""

    @property
    def _waits(self) -> bool:
        """Whether the tasks wait for most of their time: then they do not slow each other here."""
        return self.usage is not None and self.usage.wait > _MOSTLY

    @property
    def _time_text(self) -> str:
        """What is known of the tasks' time."""
        if self.usage is None:
            return "all time of the tasks is taken for computing, with one thread"
        wait, threads = self.usage.wait, self.usage.threads
        parts = [f"keep {threads:.2g} threads busy"] if threads > 1 else []
        parts += [f"wait {percent_text(wait)} of their time, there too"] if wait else []
        return f"the tasks {listed(parts) if parts else 'compute all the time, with one thread'}"

    @property
    def lines(self) -> tuple[tuple[Literal["cold", "warm"], Predicted], ...]:
        return ("cold", self.cold), ("warm", self.warm)

    def speedup(self, of: Predicted) -> Estimate | None:
        """The baseline's makespan over a predicted one; None without a baseline, or where a time is 0.

        See `independent_ratio`.
        """
        return None if self.baseline_s is None else independent_ratio(self.baseline_s, of.makespan_s)


def independent_ratio(over: Estimate, under: Estimate) -> Estimate | None:
    """The ratio of two times that are taken as independent; None where one of them is 0.

    Their intervals add up in quadrature, in logarithms. A range makes it a range, a time without an interval leaves none.
    """
    if min(over.value, under.value, *(over.interval or ()), *(under.interval or ())) <= 0:
        return None
    middle = over.value / under.value
    if over.interval is None or under.interval is None:
        return Estimate(middle, count=1)
    (over_low, over_high), (under_low, under_high) = over.interval, under.interval
    below = math.hypot(math.log(under_high / under.value), math.log(over.value / over_low))
    above = math.hypot(math.log(under.value / under_low), math.log(over_high / over.value))
    least = min((one for one in (over, under) if one.kind == "range"), key=lambda one: one.count, default=over)
    return Estimate(middle, middle * math.exp(-below), middle * math.exp(above), least.count, least.kind)


class StageTimes(msgspec.Struct, frozen=True):
    """What one stage of the job was like here."""

    work_s: list[Floats]  # one array for each repeat: seconds of each call on a core of this machine
    request_mb: float
    response_mb: float
    between_s: float  # the job's own code after the stage, in the driver
    each: int = 1  # calls that one of these stands for, one after the other: a stage of very many is simulated so
    wait: float = 0.0  # the share of their seconds in which tasks do not compute
    threads: float = 1.0  # that are busy in the rest

    @property
    def calls(self) -> int:
        return len(self.work_s[0]) * self.each

    def drawn(self, rng: np.random.Generator, replications: int) -> Floats:
        """A repeat for each replication, all of them alike often: shape (replications, tasks)."""
        picks = rng.permutation(np.arange(replications) % len(self.work_s))
        return np.stack([self.work_s[pick] for pick in picks])


def predict_lambda(
    runs: Iterable[RunView],
    *,
    baseline_s: Estimate | None = None,
    memory_mb: int | None = None,
    region: str = "us-east-1",
    architecture: str = "x86_64",
    environments: int | None = None,
    model: LambdaModel | None = None,
) -> PredictedLine | None:
    """Predict the job of these runs on Lambda; None where no local run of it ended well.

    Args:
        runs: of one job; the tasks are taken from `sequential`, else `loop`'s neighbours with the fewest workers, since a
            task that shares its core takes longer than alone.
        baseline_s: the makespan that the speedup refers to.
        memory_mb: of the function; default: one vCPU.
        region: whose prices are charged.
        architecture: of the function.
        environments: at most so many at once; default: the account's usual limit.
        model: other parameters than the data file's.

    Raises:
        InputError: there are no prices for the region.
    """
    source = _source(runs)
    if not source:
        return None
    used = model or lambda_model()
    memory = memory_mb or limits().memory_mb_per_vcpu
    usage = _usage(source)
    stages = _stages(source, usage or Usage())
    if not stages:
        return None
    most = min(int(used.concurrency.median), environments or 10**9)
    widest = max(len(stage.work_s[0]) for stage in stages)
    replications = max(40, min(400, _DRAWS // max(1, sum(len(stage.work_s[0]) for stage in stages))))
    data = source[0].started.data if source[0].started is not None else None

    def of(cold: bool) -> Predicted:
        return predict_stages(
            used,
            stages,
            memory_mb=memory,
            environments=most,
            warm=0 if cold else most,
            import_s=_import_s(source),
            fetch_mb=data.bytes / 1e6 if data is not None else 0.0,
            region=region,
            architecture=architecture,
            replications=replications,
        )

    # In turn: two threads that convert to the same Structs for the first time crash in msgspec 0.22.
    cold, warm = of(True), of(False)
    return PredictedLine(
        worked_out_from=source[0].planned.label,
        environments=min(most, widest),
        memory_mb=memory,
        region=region,
        architecture=architecture,
        cold=cold,
        warm=warm,
        core_ratio=core_ratio_ends(used),
        baseline_s=baseline_s,
        at_once=_at_once(source[0], widest),
        usage=usage,
        exchanges=any(EXCHANGES in run.notes for run in source),
    )


def predict_stages(
    model: LambdaModel,
    stages: Sequence[StageTimes],
    *,
    memory_mb: int,
    environments: int,
    warm: int,
    import_s: float = 0.0,
    fetch_mb: float = 0.0,
    region: str = "us-east-1",
    architecture: str = "x86_64",
    replications: int = 200,
    run_sigma: float = 0.0,
    confidence: float = CONFIDENCE,
) -> Predicted:
    """Predict one run of these stages on a function of that size.

    Args:
        model: its parameters.
        stages: of the job, with the times of this machine.
        memory_mb: of the function.
        environments: at most so many at once.
        warm: of them are there already.
        import_s: what a new environment imports, on a core of this machine.
        fetch_mb: what a new environment reads from S3.
        region: whose prices are charged.
        architecture: of the function.
        replications: simulated runs.
        run_sigma: how much the times of this machine differ from run to run, where they come from one run.
        confidence: the share of simulated runs that the intervals hold.

    Raises:
        InputError: there are no prices for the region.
    """
    ratio = even_draws(model.core_ratio, np.random.default_rng(_SEED), replications)[:, None]
    rng = np.random.default_rng(_SEED + 1)
    if run_sigma:
        ratio = ratio * even_draws(Lognormal(1.0, run_sigma), np.random.default_rng(_SEED + 2), replications)[:, None]
    total_s = np.zeros(replications)
    billed_s = np.zeros(replications)
    there = min(warm, environments)
    cold = 0
    for stage in stages:
        work = stage.drawn(rng, replications)
        between_calls_s = model.rtt_s.median + model.invoke_overhead_s.median
        run = simulate_stage(
            model,
            Stage(
                work_s=work * (1 - stage.wait) * stage.threads * ratio,
                wait_s=work * stage.wait + (stage.each - 1) * between_calls_s,
                threads=stage.threads,
                request_mb=stage.request_mb,
                response_mb=stage.response_mb,
                fetch_mb=fetch_mb if there < work.shape[1] else 0.0,
                import_s=import_s * ratio,
            ),
            memory_mb=memory_mb,
            environments=environments,
            warm=there,
            rng=rng,
            replications=replications,
            arch=architecture,
        )
        total_s += run.makespan_s + stage.between_s
        billed_s += np.ceil(run.billed_s * 1000).sum(axis=1) / 1000
        billed_s -= stage.calls / stage.each * (stage.each - 1) * between_calls_s  # is not within a call
        used = min(environments, work.shape[1])
        cold += max(0, used - there)
        there = max(there, used)
    amounts = quantile_ends(billed_s, confidence)
    bills = [
        _bill(seconds, stages, cold, cold if fetch_mb else 0, memory_mb, region, architecture)
        for seconds in (amounts.low or 0.0, amounts.value, amounts.high or 0.0)
    ]
    low_usd, usd, high_usd = (bill.usd or Decimal(0) for bill in bills)
    return Predicted(quantile_ends(total_s, confidence), usd, low_usd, high_usd, bills[1].assumed, amounts.value)


def quantile_ends(values: Floats, confidence: float) -> Estimate:
    """The median of simulated values, and an interval that holds a further one with this probability.

    Of n values the k-th is exceeded by a further one with the probability 1 - k / (n + 1): few give a wider interval.
    """
    ends = ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    low, middle, high = np.quantile(values, ends, method="weibull").tolist()
    return Estimate(middle, low, high, len(values))


def predict_comparison(comparison: Comparison, runs: Iterable[RunView]) -> PredictedLine | None:
    """The prediction that stands beside a comparison, in the region and size of its Lambda-like backend.

    None also where a task used more memory here than an environment of that size has.
    """
    base = None if comparison.baseline is None else comparison[comparison.baseline].makespan_s
    like = _lambda_like(comparison)
    if too_large_text(comparison) is not None:
        return None
    return predict_lambda(
        runs,
        baseline_s=base,
        memory_mb=None if like is None else like.memory_mb,
        region="us-east-1" if like is None or like.region is None else like.region,
        architecture="x86_64" if like is None or like.architecture is None else like.architecture,
    )


def unpredicted_text(comparison: Comparison) -> str | None:
    """Why there is no prediction beside measurements that end without one; None: nobody would look for it."""
    if not any(one.makespan_s is not None for one in comparison.summaries):
        return None
    backends = {one.backend for one in comparison.summaries}
    if (too_large := too_large_text(comparison)) is not None:
        return f"no {LABEL}: {too_large}"
    if backends & {*_ALONE, "lambda"} or backends == {"simulated"}:
        return None
    return f"no {LABEL}: that needs the times of tasks on a core of this machine; add -b sequential"


def _lambda_like(comparison: Comparison) -> Summary | None:
    return next((one for one in comparison.summaries if one.region is not None), None)


def too_large_text(comparison: Comparison) -> str | None:
    """That a task has no room in an environment, by the backend whose tasks would be taken; None: not known to be so."""
    source = min(
        (one for one in comparison.summaries if one.backend in _ALONE and one.makespan_s is not None),
        key=lambda one: (_ALONE.index(one.backend), one.capacity or 1),
        default=None,
    )
    if source is None or source.peak_memory_mb is None or (source.backend == "threads" and source.capacity != 1):
        return None  # threads share a process, whose memory is that of several tasks
    like = _lambda_like(comparison)
    memory = (None if like is None else like.memory_mb) or limits().memory_mb_per_vcpu
    if source.peak_memory_mb <= memory:
        return None
    used, has = f"{source.peak_memory_mb:,} MB", f"{memory:,} MB"
    return f"a task used {used} here, and an environment has {has}: `lbench estimate` takes a size that fits"


def predicted_sentence(line: PredictedLine, baseline: str | None) -> str:
    """The prediction in words, with the assumption that it depends on."""
    places = count_text(line.environments, "environment")
    clauses: list[str] = []
    for name, one in reversed(line.lines):
        ratio = line.speedup(one)
        if ratio is None or baseline is None:
            figure = (
                f"{'' if clauses else 'to take '}{seconds_text(one.makespan_s.value)} ({spread_text(one.makespan_s)})"
            )
        else:
            as_what = "" if clauses else f" as {baseline}"
            spread = "; ".join(filter(None, (times_spread_text(ratio), baseline_doubt(ratio))))
            if ratio.interval is not None and ratio.interval[0] <= 1 <= ratio.interval[1]:
                spread += ", so either may be faster"
            figure = f"{'' if clauses else 'to be '}{ratio_text(ratio)} ({spread}) as fast{as_what}"
        clauses.append(f"{name}, {figure}, for {usd_short(one.usd, assumed=bool(one.assumed))}")
    gap = " Objects that its tasks exchange through S3 are in neither its time nor its cost." if line.exchanges else ""
    return f"AWS Lambda with {places} of its own is predicted, {'; '.join(clauses)}. It depends on: {line.depends_on}.{gap}"


def baseline_doubt(speedup: Estimate) -> str:
    """Why a predicted speedup is not settled: its baseline has too few repeats; "" where it has enough."""
    if speedup.interval is None:
        return "baseline measured once: not settled"
    few = speedup.count < LEAST_CLAIM
    return f"baseline of {count_text(speedup.count, 'repeat')}: not settled" if few else ""


def predictions(line: PredictedLine, comparison: str) -> list[Prediction]:
    """The prediction as a document holds it, cold and warm."""
    return [
        Prediction(
            comparison=comparison,
            label=f"{LABEL} {name}",
            makespan_s=one.makespan_s.value,
            low_s=one.makespan_s.low,
            high_s=one.makespan_s.high,
            usd=usd_text(one.usd),
            model="lbench.engine.simulation",
            parameters={
                "environments": line.environments,
                "memory_mb": line.memory_mb,
                "region": line.region,
                "architecture": line.architecture,
                "core_ratio": list(line.core_ratio),
                "worked_out_from": line.worked_out_from,
                "usage": None if line.usage is None else {"wait": line.usage.wait, "threads": line.usage.threads},
                "exchanges": line.exchanges,
            },
            date=str(lambda_model().core_ratio.date),
        )
        for name, one in line.lines
    ]


def core_ratio_ends(model: LambdaModel) -> tuple[float, float, float]:
    """The core ratio's median, and the ends of its 95 %."""
    ratio = model.core_ratio
    if isinstance(ratio, Lognormal):
        return ratio.median, ratio.quantile((1 - CONFIDENCE) / 2), ratio.quantile((1 + CONFIDENCE) / 2)
    return (ratio.median,) * 3


def _bill(
    billed_s: float,
    stages: Sequence[StageTimes],
    cold: int,
    fetches: int,
    memory_mb: int,
    region: str,
    architecture: str,
) -> RunCost:
    """The bill of a run; `fetches`: of the data set from S3, to which the driver has put it for the first of them."""
    calls = sum(stage.calls for stage in stages)
    large = sum(
        stage.calls * (not fits_inline(1e6 * megabytes))  # either goes through S3: a PUT and a GET
        for stage in stages
        for megabytes in (stage.request_mb, stage.response_mb)
    )
    return run_cost(
        rates(region, architecture),
        math.ceil(billed_s * 1000),
        requests=calls,
        memory_mb=memory_mb,
        s3_requests={"put": large + (fetches > 0), "get": large + fetches},
        transfer_bytes=int(sum(stage.calls * stage.response_mb * 1e6 for stage in stages)),
        log_bytes=log_bytes(calls, cold),
    )


def _source(runs: Iterable[RunView]) -> list[RunView]:
    """The good repeats of the local backend on which a task runs most alone."""
    good = []
    for run in runs:
        ended_well = run.counts and run.started is not None and run.has_answer
        if ended_well and run.planned.origin == "measured" and run.planned.backend in _ALONE:
            good.append(run)

    def alone(group: list[RunView]) -> tuple[int, int]:
        started = group[0].started
        return _ALONE.index(group[0].planned.backend), 1 if started is None else started.capacity

    return min(by_label(good).values(), key=alone, default=[])


def _usage(source: list[RunView]) -> Usage | None:
    """What the tasks did with their time, by the median repeat; None: it was not counted."""
    known = [run.ended.usage for run in source if run.ended is not None and run.ended.usage is not None]
    if not known:
        return None
    return Usage(*(float(np.median([getattr(one, name) for one in known])) for name in ("wait", "threads")))


def _stages(source: list[RunView], usage: Usage) -> list[StageTimes]:
    """The stages that all repeats have in common, with each task's seconds in each repeat."""
    samples = []
    for number, stage in enumerate(source[0].stages):
        works, sent, received, between = [], [], [], []
        for run in source:
            columns = run.columns
            rows = (columns["stage"] == number) & (columns["status"] == _OK)
            order = np.argsort(columns["task"][rows], kind="stable")
            seconds = columns["compute_ms"][rows][order].astype(np.float64) / 1000
            if len(seconds) != stage.tasks or np.isnan(seconds).any() or (seconds < 0).any():
                continue
            works.append(seconds)
            sent.append(_mean(columns["request_bytes"][rows]))
            received.append(_mean(columns["response_bytes"][rows]))
            between.append(_between_s(run, number))
        if not works:
            return []
        samples.append(
            StageTimes(
                works,
                float(np.median(sent)) / 1e6,
                float(np.median(received)) / 1e6,
                float(np.median(between)),
                wait=usage.wait,
                threads=usage.threads,
            )
        )
    return samples


def _at_once(run: RunView, widest: int) -> int:
    if run.started is None or run.planned.backend == "sequential":
        return 1
    return min(run.started.capacity, widest)


def _mean(sizes: NDArray[np.int64]) -> float:
    known = sizes[sizes >= 0]
    return float(known.mean()) if len(known) else 0.0


def _between_s(run: RunView, number: int) -> float:
    """Seconds from the end of a stage to the next one's start, or to the answer."""
    ended = run.stages[number].finished_s
    if ended is None:
        return 0.0
    after = run.stages[number + 1].started_s if number + 1 < len(run.stages) else run.makespan_s
    return max(0.0, (after or ended) - ended)


def _import_s(source: list[RunView]) -> float:
    """What a worker's start took here, less the interpreter's own: the imports that a new environment does too."""
    starts = [
        environment.init_ms / 1000
        for run in source
        for environment in run.environments.values()
        if environment.init_ms is not None
    ]
    return max(0.0, float(np.median(starts)) - _INTERPRETER_S) if starts else 0.0
