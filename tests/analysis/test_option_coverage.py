"""How often `lbench estimate`'s intervals hold the truth, where the truth varies as the model says: docs/model.md.

Each trial has a sample of its own, and several truths that may have given it: each with its own core ratio, latencies,
environments, run effects, and tasks that were not sampled. Lambda comes from the model (a test holds its arrays against the
simulated backend call by call), other machines from a scheduler of this file.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from lbench.analysis.job_model import job_of
from lbench.analysis.option_types import Option, Runs, parse_runs
from lbench.analysis.options import option_rows
from lbench.config.prices import rates
from lbench.config.rented_machines import Profile, rented
from lbench.engine.cost.charges import log_bytes, run_cost
from lbench.engine.sampling.model import Sample, SampledStage
from lbench.engine.sampling.process import spread_order
from lbench.engine.simulation.fan_out import Stage, simulate_stage
from lbench.engine.simulation.parameters import lambda_model
from tests.analysis.pages import check_page, table

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "model.md"
TRIALS = 60  # of each kind of job
TRUTHS = 20  # of each trial
NOMINAL = 0.90
LOW, HIGH = 0.85, 0.95
ONE_SIDED = 1.2816  # 10 %
RUN_SIGMA = 0.03  # of times here, from run to run
WORKERS = 4
OVERHEAD_S, BEFORE_S, IMPORT_S, BYTES = 2e-4, 0.05, 0.2, 2000
INTERPRETER_S = 0.03
OPTIONS = ("this machine", "Lambda Managed", "Lambda", "EC2 Spot", "EC2", "Fargate Spot", "Fargate")
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], list[Floats]]  # the seconds of the tasks of each stage


class Kind(msgspec.Struct):
    """A kind of job: its tasks, how many of each stage are sampled (None: all), and how often it runs."""

    draw: Draw
    sampled: int | None = None
    runs: str = "1"


KINDS = {
    "100 equal tasks, all sampled": Kind(lambda rng: [np.full(100, 1.0)]),
    "300 lognormal tasks, 30 of them sampled": Kind(lambda rng: [0.4 * np.exp(0.7 * rng.normal(size=300))], sampled=30),
    "300 exponential tasks, 30 of them sampled": Kind(lambda rng: [0.01 + 0.4 * rng.exponential(size=300)], sampled=30),
    "200 tasks, each fifth three times as long, 40 sampled": Kind(
        lambda rng: [0.3 * np.where(rng.random(200) < 0.8, 1.0, 3.0) * np.exp(0.05 * rng.normal(size=200))], sampled=40
    ),
    "60 tasks, then 5, all sampled": Kind(
        lambda rng: [0.3 * np.exp(0.3 * rng.normal(size=60)), 0.8 * np.exp(0.3 * rng.normal(size=5))]
    ),
    "200 lognormal tasks, 40 of them sampled, always on": Kind(
        lambda rng: [0.3 * np.exp(0.5 * rng.normal(size=200))], sampled=40, runs="always"
    ),
}


def sample_of(stages: Sequence[Floats], sampled: int | None, effect: float) -> Sample:
    """What a sample shows of these tasks, on a machine that is so many times as slow in that run."""
    made = []
    for work in stages:
        chosen = sorted(spread_order(len(work))[: sampled or len(work)])
        count = len(chosen)
        sizes = {"request_bytes": [BYTES] * count, "response_bytes": [BYTES] * count, "peak_mb": [40] * count}
        seconds = (work[chosen] * effect).tolist()
        made.append(SampledStage(tasks=len(work), indices=chosen, compute_s=seconds, **sizes))
    return Sample(
        workload="mine.py:job",
        params={},
        stages=made,
        complete=sampled is None,
        before_s=BEFORE_S * effect,
        init_s=INTERPRETER_S + IMPORT_S * effect,
        data_bytes=0,
        overhead_s=OVERHEAD_S,
        workers=WORKERS,
        contention=1.0,
        limit_s=6.0,
    )


def scheduled_s(stages: Sequence[Floats], workers: int, slower: float, effect: float) -> float:
    """A makespan on so many workers: each takes the next task when it is free."""
    total_s = BEFORE_S
    for work in stages:
        free = [0.0] * workers
        for seconds in work:
            heapq.heappush(free, heapq.heappop(free) + seconds * slower + OVERHEAD_S)
        total_s += max(free)
    return total_s * effect


def on_lambda(
    stages: Sequence[Floats], memory_mb: int, ratio: Floats, rng: np.random.Generator, runs: Runs
) -> tuple[Floats, Floats]:
    """Makespans and dollars of runs with these core ratios; each stage's tasks have a row for each."""
    model, total_s = lambda_model(), np.full(len(ratio), BEFORE_S)
    billed_ms, calls, cold, there = np.zeros(len(ratio)), 0, 0, 0 if runs.once else 10**6
    for work in stages:
        tasks = work.shape[1]
        run = simulate_stage(
            model,
            Stage(
                work_s=work * ratio[:, None],
                request_mb=BYTES / 1e6,
                response_mb=BYTES / 1e6,
                import_s=IMPORT_S * ratio[:, None],
            ),
            memory_mb=memory_mb,
            environments=int(model.concurrency.median),
            warm=min(there, tasks),
            rng=rng,
            replications=len(ratio),
        )
        total_s += run.makespan_s
        billed_ms += np.ceil(run.billed_s * 1000).sum(axis=1)
        calls, cold, there = calls + tasks, cold + max(0, tasks - there), max(there, tasks)
    usd = []
    for amount in billed_ms.tolist():
        cost = run_cost(
            rates("us-east-1", "x86_64"),
            math.ceil(amount),
            requests=calls,
            memory_mb=memory_mb,
            transfer_bytes=calls * BYTES,
            log_bytes=log_bytes(calls, cold),
        )
        assert cost.usd is not None
        usd.append(float(cost.usd))
    return total_s, np.array(usd)


def rented_usd(profile: Profile, makespan_s: float, runs: Runs, calls: int) -> float:
    """What a run costs on demand."""
    always = runs.per_day is None and not runs.once
    start_s = 0.0 if profile.start_s is None or always else profile.start_s.value
    charged_s = makespan_s + start_s
    if profile.minimum_s is not None and start_s:
        charged_s = max(charged_s, profile.minimum_s.value)
    requests_usd = float(profile.usd_per_million_requests) * calls / 1e6
    return float(profile.usd_per_hour.usd) * charged_s / 3600 + requests_usd


def truths(
    row: Option, stages: Sequence[Floats], ratio: Floats, rng: np.random.Generator, runs: Runs
) -> tuple[Floats, Floats | None]:
    """What runs of that option take and cost."""
    if row.kind == "lambda":
        assert row.memory_mb is not None
        return on_lambda(stages, row.memory_mb, ratio, rng, runs)
    effects = np.exp(rng.normal(0.0, RUN_SIGMA, len(ratio)))
    profile = next((one for one in rented() if one.name == row.name), None)
    slower = np.ones(len(ratio))
    if profile is not None:
        there = profile.core_ratio.median * np.exp(rng.normal(0.0, profile.core_ratio.sigma, len(ratio)))
        slower = ratio / there
    makespans = np.array(
        [
            scheduled_s([work[place] for work in stages], row.places, slower[place], effects[place])
            for place in range(len(ratio))
        ]
    )
    if profile is None:
        return makespans, None
    calls = sum(work.shape[1] for work in stages)
    return makespans, np.array([rented_usd(profile, one, runs, calls) for one in makespans.tolist()])


def has_minimum(row: Option, runs: Runs) -> bool:
    """Whether the lower end of its dollars is the charged minimum: then the interval holds the truth more often."""
    profile = next((one for one in rented() if one.name == row.name), None)
    if profile is None or profile.minimum_s is None or not row.start_s:
        return False
    low_s, _ = row.makespan_s.interval or (0.0, 0.0)
    return low_s + row.start_s <= profile.minimum_s.value


class Held(msgspec.Struct):
    """The share of one trial's truths that the intervals of an option hold."""

    option: str
    time: float
    usd: float | None  # None: no interval, or it has the charged minimum at an end


def trial(name: str, number: int) -> list[Held]:
    """A sample of such a job, and how often the intervals that follow from it hold what it may be a sample of."""
    kind = KINDS[name]
    rng = np.random.default_rng([number, *name.encode()])
    model, runs = lambda_model(), parse_runs(kind.runs)
    sampled = kind.draw(rng)
    job = job_of(sample_of(sampled, kind.sampled, math.exp(rng.normal(0.0, RUN_SIGMA))))
    ratio = model.core_ratio.draw(rng, TRUTHS)
    others = [kind.draw(rng) for _ in range(TRUTHS)]  # of which the sampled tasks are those of the sample
    stages = []
    for place, work in enumerate(sampled):
        chosen = spread_order(len(work))[: kind.sampled or len(work)]
        rows = np.stack([other[place] for other in others])
        rows[:, chosen] = work[chosen]
        stages.append(rows)
    found = []
    for row in option_rows(job, runs, model=model, confidence=NOMINAL):
        makespans, usd = truths(row, stages, ratio, rng, runs)
        low_s, high_s = row.makespan_s.interval or (0.0, 0.0)
        held = Held(row.name, float(np.mean((low_s <= makespans) & (makespans <= high_s))), None)
        # A Spot price is a range by itself.
        if usd is not None and row.usd_high is None and row.usd_interval is not None and not has_minimum(row, runs):
            low, high = map(float, row.usd_interval)
            held.usd = float(np.mean((low * (1 - 1e-9) <= usd) & (usd <= high * (1 + 1e-9))))
        found.append(held)
    return found


def is_shown(shares: Sequence[float]) -> bool:
    """Whether two one-sided tests at 10 % show that the share is above 85 and below 95 %; trials are independent."""
    room = ONE_SIDED * float(np.std(shares, ddof=1)) / math.sqrt(len(shares))
    return LOW + room < float(np.mean(shares)) < HIGH - room


def test_intervals_of_time_and_dollars_hold_the_truth_as_often_as_they_say() -> None:
    rows: list[tuple[str, list[str]]] = []
    by_kind: dict[tuple[str, str], list[float]] = defaultdict(list)  # (kind of option, time or dollars): of each trial
    for name in KINDS:
        options: dict[str, list[Held]] = defaultdict(list)
        for number in range(TRIALS):
            of_kinds: dict[tuple[str, str], list[float]] = defaultdict(list)
            for held in trial(name, number):
                options[held.option].append(held)
                kind = next(one for one in OPTIONS if held.option.startswith(one))
                of_kinds[kind, "time"].append(held.time)
                if held.usd is not None:
                    of_kinds[kind, "dollars"].append(held.usd)
            for key, shares in of_kinds.items():
                by_kind[key].append(float(np.mean(shares)))
        for option, every in options.items():
            usd = [one.usd for one in every if one.usd is not None]
            cells = [f"{np.mean([one.time for one in every]):.0%}", f"{np.mean(usd):.0%}" if usd else "–"]
            rows.append((f"{name}: {option}", cells))
    kinds = [
        (
            f"{kind}, {what}",
            [str(len(shares) * TRUTHS), f"{np.mean(shares):.0%}", "yes" if is_shown(shares) else "not shown"],
        )
        for kind in OPTIONS
        for what in ("time", "dollars")
        if (shares := by_kind.get((kind, what)))
    ]
    check_page(PAGE, "coverage of kinds", table(["90 % intervals", "truths", "inside", "85 to 95 %"], kinds))
    check_page(PAGE, "coverage of options", table(["90 % intervals", "time", "dollars"], rows))
    for key, shares in by_kind.items():
        assert is_shown(shares), (key, np.mean(shares))
