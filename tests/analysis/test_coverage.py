"""How often intervals hold the truth, and how often equal backends are called different: docs/statistics.md.

The figures of that page are made here: UPDATE_SNAPSHOTS=1 writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lbench.analysis.comparison import compare
from lbench.analysis.statistics import (
    Estimate,
    median_estimate,
    paired_ratio_estimate,
    quantile_estimates,
    ratio_estimate,
)
from lbench.analysis.verdict import answer_sentence
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.measure.stop_rule import StopRule
from lbench.engine.session.view import fold
from tests.analysis.pages import check_page, table

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
SIZES = (2, 3, 5, 6, 7, 8, 10, 15, 20, 30)
TRIALS = 500
QUANTILE_TRIALS = 120
SESSIONS = 300
LIMIT_S = 60.0  # of `--repeats auto`
Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Values]

DRAWS: dict[str, Draw] = {  # relative times
    "normal, 4 %": lambda g, shape: 1 + 0.04 * g.normal(size=shape),
    "lognormal, 15 %": lambda g, shape: np.exp(0.15 * g.normal(size=shape)),
    "bimodal, 30 % of them +25 %": lambda g, shape: (
        np.where(g.random(shape) < 0.7, 1.0, 1.25) * (1 + 0.02 * g.normal(size=shape))
    ),
    "heavy-tailed (Student, 2 degrees)": lambda g, shape: 1 + np.clip(0.03 * g.standard_t(2, size=shape), -0.9, None),
}


def true_quantile(draw: Draw, q: float) -> float:
    return float(np.quantile(draw(np.random.default_rng(99), (1_000_000,)), q))


def holds(estimate: Estimate | None, truth: float) -> bool:
    assert estimate is not None and estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


def medians(draw: Draw, size: int) -> float:
    generator, truth = np.random.default_rng(size), true_quantile(draw, 0.5)
    return float(np.mean([holds(median_estimate(draw(generator, (size,))), truth) for _ in range(TRIALS)]))


def pairs(draw: Draw, size: int) -> float:
    """Rounds share 5 %, and each run has its own noise."""
    generator = np.random.default_rng(size)
    found = []
    for _ in range(TRIALS):
        common = np.exp(0.05 * generator.normal(size=size))
        over, under = 2 * common * draw(generator, (size,)), common * draw(generator, (size,))
        found.append(holds(paired_ratio_estimate(list(over), list(under)), 2.0))
    return float(np.mean(found))


def unpaired(draw: Draw, size: int) -> float:
    generator = np.random.default_rng(size)
    return float(
        np.mean(
            [holds(ratio_estimate(2 * draw(generator, (size,)), draw(generator, (size,))), 2.0) for _ in range(TRIALS)]
        )
    )


def over_repeats(draw: Draw, repeats: int, invocations: int, q: float) -> float:
    """Quantiles of invocations whose repeats differ by 3 %."""
    generator = np.random.default_rng(repeats)
    effects = np.random.default_rng(98)
    truth = float(np.quantile(draw(effects, (1_000, 1_000)) * np.exp(0.03 * effects.normal(size=(1_000, 1))), q))
    found = []
    for _ in range(QUANTILE_TRIALS):
        values = draw(generator, (repeats, invocations)) * np.exp(0.03 * generator.normal(size=(repeats, 1)))
        found.append(holds(quantile_estimates(values, (q,))[0], truth))
    return float(np.mean(found))


def coverage_rows() -> Iterator[tuple[str, list[str], list[tuple[int, float]]]]:
    """(heading, cells, (size, share) of those that are called 95 %)."""
    for kind, simulate in (("median", medians), ("speedup of rounds", pairs), ("speedup without rounds", unpaired)):
        for name, draw in DRAWS.items():
            shares = [(size, simulate(draw, size)) for size in SIZES]
            yield f"{kind}: {name}", [f"{share:.0%}" for _, share in shares], shares


def quantile_rows() -> Iterator[tuple[str, list[str], list[tuple[int, float]]]]:
    sizes = (3, 6, 10)
    for name, draw in DRAWS.items():
        shares = [(size, over_repeats(draw, size, 64, 0.5)) for size in sizes]
        yield f"p50 of 64 invocations a repeat: {name}", [f"{share:.0%}" for _, share in shares], shares


def bill(run: object, now_s: float | None) -> RunCost:
    return RunCost(CostItems(machine_rent=Decimal(0)))


def fourth_root(draw: Draw) -> Draw:
    """The same kind of differences, a quarter as large."""
    return lambda generator, shape: np.power(draw(generator, shape), 0.25)


def rounds_until_the_stop_rule(names: list[str], times: Values, limit_s: float) -> int:
    """The rounds that `--repeats auto` makes of these makespans (rounds x backends)."""
    rule = StopRule(names, limit_s)
    for number, makespans in enumerate(times):
        for name, makespan_s in zip(names, makespans, strict=True):
            rule.add(name, number, float(makespan_s))
        if rule.ended_by(names, float(times[: number + 1].sum()), number + 1) is not None:
            return number + 1
    raise AssertionError("the time limit has not ended it")


def false_claims(
    make_events: Any, draw: Draw, backends: int, repeats: int | None, drift: float
) -> tuple[float, list[int]]:
    """The share of sessions of equal backends, in shuffled rounds, whose sentence claims a difference; and their rounds.

    `repeats`: None for `--repeats auto`, of runs of a second.
    """
    most = repeats or round(1.5 * LIMIT_S / backends)
    generator = np.random.default_rng(backends * 100 + (repeats or 0))
    names = ["sequential", "a", "b", "c", "d"][:backends]
    false, rounds = 0, []
    for _ in range(SESSIONS):
        places = generator.permuted(np.tile(np.arange(backends), (most, 1)), axis=1)
        slower = 1 + drift * (places + backends * np.arange(most)[:, None]) / (
            backends * (repeats or LIMIT_S / backends)
        )
        times = draw(generator, (most, backends)) * slower
        if repeats is None:
            times = times[: rounds_until_the_stop_rule(names, times, LIMIT_S)]
        rounds.append(len(times))
        events = make_events(
            {name: list(times[:, index]) for index, name in enumerate(names)}, schedule="alternating", invocations=[]
        )
        sentence = answer_sentence(compare(fold(events).runs.values(), bill))
        clauses = sentence.removesuffix(".").split("as fast")
        false += sum("not settled" not in clause and "cannot be distinguished" not in clause for clause in clauses[:-1])
    return false / SESSIONS, rounds


def test_intervals_that_are_called_95_percent_hold_the_truth_as_often() -> None:
    rows = list(coverage_rows())
    check_page(PAGE, "coverage", table(["interval", *map(str, SIZES)], [(name, cells) for name, cells, _ in rows]))
    for name, _, shares in rows:
        for size, share in shares:
            assert size < 6 or share >= 0.93, (name, size, share)  # 2 standard errors below


def test_quantiles_over_repeats_hold_the_truth_as_often() -> None:
    rows = list(quantile_rows())
    sizes = [str(size) for size, _ in rows[0][2]]
    check_page(PAGE, "quantiles", table(["repeats", *sizes], [(name, cells) for name, cells, _ in rows]))
    for name, _, shares in rows:
        for size, share in shares:
            assert size < 6 or share >= 0.9, (name, size, share)  # of 120 trials


def test_equal_backends_are_called_different_in_at_most_5_percent_of_sessions(make_events: Any) -> None:
    sizes = (3, 6, 10, 30)
    rows, worst = [], 0.0
    for name, draw in DRAWS.items():
        for drift in (0.0, 0.10):
            for backends in (2, 5):
                shares = [false_claims(make_events, draw, backends, size, drift)[0] for size in sizes]
                worst = max(worst, *shares)
                drifting = ", 10 % drift" if drift else ""
                rows.append((f"{backends} backends, {name}{drifting}", [f"{share:.1%}" for share in shares]))
    check_page(PAGE, "false claims", table(["repeats", *map(str, sizes)], rows))
    assert worst < 0.05


def test_equal_backends_are_called_different_as_seldom_where_the_intervals_end_the_repeats(make_events: Any) -> None:
    """Ending at a narrow interval is looking at the data: it must not make claims of what is none."""
    calmer = {f"{name}; a quarter of it": fourth_root(draw) for name, draw in DRAWS.items()}
    rows, worst = [], 0.0
    for name, draw in (DRAWS | calmer).items():
        for backends in (2, 5):
            cells = []
            for drift in (0.0, 0.10):
                share, rounds = false_claims(make_events, draw, backends, None, drift)
                worst = max(worst, share)
                cells += [f"{share:.1%}", f"{np.median(rounds):.0f}"]
            rows.append((f"{backends} backends, {name}", cells))
    check_page(PAGE, "false claims of auto", table(["auto", "equal", "rounds", "10 % drift", "rounds"], rows))
    assert worst < 0.05
