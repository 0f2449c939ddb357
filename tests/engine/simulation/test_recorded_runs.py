"""The model beside real runs on AWS Lambda, where their records are at hand (docs/model.md has every figure)."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lbench.engine.simulation.compute import fit_work
from lbench.engine.simulation.environments import warm_after
from lbench.engine.simulation.fan_out import FanOut, Stage, simulate_stage
from lbench.engine.simulation.parameters import lambda_model
from lbench.engine.simulation.recordings.evaluate import evaluate
from lbench.engine.simulation.recordings.lithops import LITHOPS
from lbench.engine.simulation.recordings.report import BEGIN, END, Report, table

Floats = NDArray[np.float64]

FUNCTIONS = {  # SeBS's functions, and the threads that each keeps busy
    "120": 1.0,
    "210_python": 1.0,
    "210_node": 1.0,
    "311": 1.0,
    "411": 2.0,
    "503": 1.0,
}


@pytest.fixture
def rows(data_file: Callable[[str], Path]) -> Callable[[str], list[dict[str, str]]]:
    def read(name: str) -> list[dict[str, str]]:
        with data_file(f"lambda-runs/{name}").open(newline="") as file:
            return list(csv.DictReader(file))

    return read


def column(rows: list[dict[str, str]], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


@pytest.mark.parametrize(("function", "threads"), FUNCTIONS.items())
def test_work_fitted_on_two_sizes_explains_them(
    rows: Callable[[str], list[dict[str, str]]], function: str, threads: float
) -> None:
    recorded = rows(f"sebs_{function}.csv")
    medians = {
        size: float(
            np.median(column([r for r in recorded if r["type"] == "warm" and r["memory"] == str(size)], "exec_time"))
        )
        / 1e6
        for size in (512, 1024)
    }
    work = fit_work(medians, threads)
    assert {size: work.seconds(size) for size in medians} == pytest.approx(medians, rel=0.02)


def fan_out_of(recorded: list[dict[str, str]], tasks: int, warm: int) -> FanOut:
    work_s = np.median(column(recorded, "exec_s")) * 1024 / 1769
    return simulate_stage(
        lambda_model(), Stage(work_s=np.full(tasks, work_s)), memory_mb=1024, environments=tasks, warm=warm,
        rng=np.random.default_rng(1), driver=LITHOPS, replications=400,
    )  # fmt: skip


def test_a_fan_out_of_100_takes_as_long_as_recorded(rows: Callable[[str], list[dict[str, str]]]) -> None:
    recorded = rows("lithops2022_aws_lambda_100.csv")
    run = fan_out_of(recorded, 100, 97)
    makespan_s = float((column(recorded, "status_seen_s") - column(recorded, "submit_s").min()).max())
    assert float(np.median(run.makespan_s)) == pytest.approx(makespan_s, rel=0.10)
    assert np.quantile(run.makespan_s, 0.05) <= makespan_s <= np.quantile(run.makespan_s, 0.95)


def test_a_fan_out_of_100_starts_as_recorded(rows: Callable[[str], list[dict[str, str]]]) -> None:
    recorded = rows("lithops2022_aws_lambda_100.csv")
    starts_s = column(recorded, "worker_start_s") - column(recorded, "submit_s").min()
    predicted = fan_out_of(recorded, 100, 97).started_s
    for share, within_s in ((0.1, 0.05), (0.5, 0.10), (0.9, 0.12)):
        assert float(np.quantile(predicted, share)) == pytest.approx(float(np.quantile(starts_s, share)), abs=within_s)


@pytest.mark.parametrize("memory", [128, 1536])
def test_idle_environments_are_evicted_as_recorded(rows: Callable[[str], list[dict[str, str]]], memory: int) -> None:
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in rows(f"sebs_eviction_results_{memory}_1.csv"):
        found[int(row["Invocations"]), int(row["DeltaT"])].append(int(row["WarmContainers"]))
    errors = [
        abs(float(np.median(warm)) - warm_after(environments, idle_s)) for (environments, idle_s), warm in found.items()
    ]
    assert np.mean(np.array(errors) <= 0.5) >= 0.97
    assert max(errors) <= 2


def test_s3_latencies_are_those_recorded(rows: Callable[[str], list[dict[str, str]]]) -> None:
    recorded = rows("skyrise_s3_1kb_percentiles.csv")
    for operation, quantiles in (("kRead", lambda_model().s3_get_s), ("kWrite", lambda_model().s3_put_s)):
        drawn = quantiles.draw(np.random.default_rng(1), 200_000) * 1000
        of_operation = [row for row in recorded if row["operation"] == operation]
        for name, share in (("p5", 0.05), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            assert float(np.quantile(drawn, share)) == pytest.approx(
                float(np.median(column(of_operation, name))), rel=0.06
            )


@pytest.fixture(scope="module")
def report(data_file: Callable[[str], Path]) -> Report:
    """Every figure of docs/model.md."""
    return evaluate(data_file("lambda-runs/PROVENANCE.md").parent)


@pytest.mark.parametrize(
    ("section", "mean", "worst"),
    [
        ("fan-outs of Step Functions, makespan", 0.05, 0.10),
        ("fan-out of Lithops", 0.10, 0.10),
        ("map-reduce, makespan", 0.10, 0.10),
        ("payloads, warm", 0.05, 0.15),
        ("payloads, cold", 0.05, 0.15),
        ("network of an environment, average", 0.10, 0.25),
        ("cold starts of single calls at random times", 0.15, 0.25),
    ],
)
def test_what_was_left_out_is_predicted(report: Report, section: str, mean: float, worst: float) -> None:
    errors = report.errors(section)
    assert errors
    assert np.mean(errors) <= mean
    assert max(errors) <= worst


def test_intervals_of_90_percent_cover_85_to_95(report: Report) -> None:
    inside, count = (sum(getattr(one, name) for one in report.coverage) for name in ("inside", "count"))
    assert 0.85 < inside / count < 0.95
    assert all(0.80 <= one.share <= 1.0 for one in report.coverage)
    assert next(one for one in report.coverage if "functions" in one.what).is_shown


def test_docs_model_has_these_figures(report: Report) -> None:
    page = (Path(__file__).parents[3] / "docs/model.md").read_text(encoding="utf-8")
    there = page.partition(BEGIN)[2].partition(END)[0].splitlines()
    now = table(report).splitlines()
    assert [line.split("|")[1:2] for line in there] == [line.split("|")[1:2] for line in now]


def test_the_model_extrapolates_to_a_thousand_calls() -> None:
    def makespan(tasks: int) -> float:
        stage = Stage(work_s=np.full(tasks, 36 * 1024 / 1769))
        run = simulate_stage(
            lambda_model(), stage, memory_mb=1024, environments=tasks, warm=tasks, rng=np.random.default_rng(1),
            driver=LITHOPS, replications=40,
        )  # fmt: skip
        return float(np.median(run.makespan_s))

    assert makespan(100) < makespan(1000) < 1.15 * makespan(100)
