"""Others' published numbers through `analysis`: their own conclusions come out."""

from __future__ import annotations

import csv
import math
import os
import re
from decimal import Decimal
from pathlib import Path
from statistics import median

import pytest

from lbench.analysis.break_even import break_even_runs
from lbench.analysis.crossings import Crossing
from lbench.analysis.scaling import Scaling, scalings
from lbench.analysis.scaling_text import scaling_sentence
from lbench.config.prices import Rates
from lbench.engine.cost.charges import CostItems, RunCost, invocation_usd
from lbench.engine.session.view import RunView
from tests.analysis.sweeps import sweep_session

DATA = Path(os.environ.get("LBENCH_TEST_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data") / "lambda-runs"

# "Serverless Map + Reduce with AWS Lambda" (L. Choung and A. Ho, 2017; lchoung/data-vis-lambda), read off its charts, +-3 %.
TREES = (8, 16, 32, 64, 128)
FOREST_4_CORES = (8.0, 15.7, 32.0, 66.0, 140.0)
FOREST_LAMBDA = (13.0, 12.3, 13.7, 16.1, 16.3)
VARIANCE_LAMBDA = (0.0, 0.0, 0.65, 3.3, 1.3)
VARIANCE_4_CORES = (0.05, 0.3, 2.1, 15.6, 16.5)
TASKS = (30, 50, 75, 100, 125, 150, 175, 200)
MANDELBROT_COLD = (20.8, 14.0, 11.7, 9.5, 6.4, 11.4, 11.0, 9.5)
MANDELBROT_WARM = (9.6, 7.1, 6.4, 5.3, 5.2, 5.7, 5.6, 5.8)
RUN_OF_125_USD = Decimal("0.0013080949")
CORE_USD_PER_HOUR = Decimal("0.023")


def bill(run: RunView, now_s: float | None) -> RunCost:
    return RunCost(CostItems(duration=RUN_OF_125_USD if run.planned.label == "lambda" else None))


def forest(repeats: int) -> Scaling:
    """Their means; with several repeats, values of their mean and variance."""
    spread = [0.0] if repeats == 1 else [-1.2, -0.6, -0.2, 0.2, 0.6, 1.2]
    unit = math.sqrt(sum(x * x for x in spread) / max(1, len(spread) - 1)) or 1.0

    def values(mean: float, variance: float) -> list[float]:
        return [mean + math.sqrt(variance) * x / unit for x in spread]

    points = [
        ({"n_trees": n}, {"processes": values(*local), "lambda": values(*away)})
        for n, local, away in zip(
            TREES,
            zip(FOREST_4_CORES, VARIANCE_4_CORES, strict=True),
            zip(FOREST_LAMBDA, VARIANCE_LAMBDA, strict=True),
            strict=True,
        )
    ]
    (found,) = scalings([sweep_session(points, workload="random_forest")], bill)
    return found


@pytest.mark.parametrize("repeats", [1, 6])
def test_their_forest_is_faster_on_lambda_from_between_8_and_16_trees(repeats: int) -> None:
    found = forest(repeats)
    (crossing,) = found.crossings
    assert isinstance(crossing, Crossing)
    assert (crossing.below, crossing.above) == ("processes", "lambda")
    assert crossing.root.at is not None and 8 < crossing.root.at < 16
    if repeats > 1:
        assert crossing.root.missing == 0
        assert crossing.root.low is not None and crossing.root.high is not None
        assert 8 < crossing.root.low <= crossing.root.high < 16
    sentence = scaling_sentence(found)
    verb = "win" if repeats > 1 else "are ahead"
    assert re.match(rf"below 1[0-4] trees \(.*\) processes {verb}; above, Lambda; ", sentence), sentence


def test_their_forest_is_8_5_times_as_fast_at_128_trees() -> None:
    point = forest(6)["lambda"].at(128.0)
    assert point is not None and point.speedup is not None
    assert point.speedup.value == pytest.approx(8.5, rel=0.03)
    assert forest(6).baseline == "processes"


def test_their_mandelbrot_is_best_with_100_to_125_tasks() -> None:
    points = [
        ({"tasks": n}, {"lambda cold": [cold], "lambda warm": [warm]})
        for n, cold, warm in zip(TASKS, MANDELBROT_COLD, MANDELBROT_WARM, strict=True)
    ]
    (found,) = scalings([sweep_session(points, workload="mandelbrot")], bill)
    for one in found.series:
        assert one.shape == "valley"
        best = min(
            (value, point.at) for value, point in zip(one.fitted_s, one.points, strict=True) if value is not None
        )
        assert 100 <= best[1] <= 125, one.name
    assert "Lambda (warm) is fastest at 125 tasks, 1.85×" in scaling_sentence(found)


def test_their_run_of_125_tasks_breaks_even_with_a_rented_core_at_18_an_hour() -> None:
    assert math.ceil(break_even_runs(float(CORE_USD_PER_HOUR), float(RUN_OF_125_USD))) == 18


# SeBS (Copik et al., Middleware '21), table 6: Lambda against a t2.micro at $0.0116 an hour

SEBS_RATES = Rates(
    region="us-east-1",
    architecture="x86_64",
    duration_gb_s_usd=Decimal("0.0000166667"),
    request_usd=Decimal(0),  # they left it out
    storage_gb_s_usd=Decimal(0),
    price_date="2020-08-01",
    price_source="SeBS",
)
# Their cheapest ("eco") and fastest ("best") sizes: MB and billed ms, by the 100 ms of that time.
SEBS_SIZES = {
    "eco": [(128, 1700), (128, 1100), (128, 1800), (128, 15400), (128, 7600), (128, 1000)],
    "best": [(1024, 400), (1024, 200), (1024, 600), (1024, 3000), (3008, 400), (1536, 100)],
}


def table(name: str) -> str:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not there: set LBENCH_TEST_DATA")
    return path.read_text()


def published() -> list[tuple[str, str]]:
    pairs = re.findall(r"Cost of 1M requests: (\S+)\nBreak-even point: (\S+)", table("sebs_break_even_table.txt"))
    assert len(pairs) == 12
    return pairs


def test_sebs_costs_of_a_million_requests_come_out_to_their_last_digit() -> None:
    sizes = [*SEBS_SIZES["eco"], *SEBS_SIZES["best"]]
    for (memory_mb, billed_ms), (cost, _) in zip(sizes, published(), strict=True):
        million = 1_000_000 * invocation_usd(SEBS_RATES, billed_ms, memory_mb, 512).usd
        assert abs(float(million) - float(cost)) <= math.ulp(float(cost)), (memory_mb, billed_ms)


def test_sebs_break_even_points_come_out_to_their_last_digit() -> None:
    for cost, requests in published():
        found = break_even_runs(0.0116, float(cost) / 1e6)
        assert abs(found - float(requests)) <= 2 * math.ulp(float(requests)), cost  # a float's last digit


@pytest.mark.parametrize(("problem", "place"), [("120", 6), ("210_python", 7), ("311", 9)])
def test_sebs_costs_follow_from_their_own_measurements(problem: str, place: int) -> None:
    rows = csv.DictReader(table(f"sebs_{problem}.csv").splitlines())
    times_us = [float(row["provider_time"]) for row in rows if row["memory"] == "1024" and row["type"] == "warm"]
    billed_ms = int(median(100 * math.ceil(time / 1e5) for time in times_us))
    million = 1_000_000 * invocation_usd(SEBS_RATES, billed_ms, 1024, 512).usd
    assert abs(float(million) - float(published()[place][0])) <= math.ulp(50.0)
