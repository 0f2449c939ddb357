"""Fan-outs by Lithops, each predicted with the durations of another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lbench.engine.simulation.fan_out import Driver, FanOut, Stage, simulate_stage
from lbench.engine.simulation.parameters import lambda_model
from lbench.engine.simulation.recordings.files import Recordings, Rows, columns_of, is_true, read_rows
from lbench.engine.simulation.recordings.report import HIGH, LOW, Coverage, Figure, Report

# 64 threads open connections and call, 1.7 ms apart; results are polled; a worker's start and end take 0.17 s.
LITHOPS = Driver(dispatch_s=0.0004, poll_s=0.8, after_s=0.17, connections_open=False)


def predict_lithops(recordings: Recordings, base: Recordings, report: Report) -> None:
    """Predict fan-outs by Lithops: the makespan, when calls start, and how long they take."""
    for path in recordings.of("fan-out"):
        rows = _computing(path)
        if not rows:
            continue
        # A function's duration is fitted on another fan-out, where there is one.
        others = [other for other in base.of("fan-out") if other.name != path.name and _computing(other)]
        durations = np.array([float(row["exec_s"]) for row in (_computing(others[0]) if others else rows)])
        zero_s = min(float(row["submit_s"]) for row in rows)
        ran_s = np.array([float(row["exec_s"]) for row in rows])
        warm = sum(not is_true(row["cold"]) for row in rows)
        run = _lithops_run(float(np.median(durations)), len(rows), warm)
        seen_s = max(float(row["status_seen_s"]) for row in rows) - zero_s
        name = f"{len(rows):,} calls"
        report.figures["fan-out of Lithops"].append(
            Figure(f"{name}, makespan", seen_s, float(np.median(run.makespan_s)))
        )
        starts = np.array([float(row["worker_start_s"]) for row in rows]) - zero_s
        for share in (0.1, 0.5, 0.9):
            predicted = float(np.quantile(run.started_s, share))
            report.figures["fan-out of Lithops, starts"].append(
                Figure(f"{name}, {share:.0%} have started", float(np.quantile(starts, share)), predicted)
            )
        predicted_s = (run.ended_s - run.started_s).ravel() - LITHOPS.after_s
        low, high = np.quantile(predicted_s, (LOW, HIGH))
        inside = int(((ran_s >= low) & (ran_s <= high)).sum())
        report.coverage.append(Coverage(f"durations in the fan-out of {len(rows):,}", inside, len(rows)))


def _computing(path: Path) -> Rows:
    """The calls of a fan-out that computes; none for one that reads or writes."""
    numbers = ("submit_s", "worker_start_s", "status_seen_s", "exec_s", "gflops")
    if not {"exec_s", "gflops"} <= columns_of(path):
        return []
    return read_rows(path, *numbers, texts=("cold",))


def _lithops_run(exec_s: float, tasks: int, warm: int) -> FanOut:
    stage = Stage(work_s=np.full(tasks, exec_s * 1024 / 1769))
    return simulate_stage(
        lambda_model(),
        stage,
        memory_mb=1024,
        environments=tasks,
        warm=warm,
        rng=np.random.default_rng(1),
        driver=LITHOPS,
        replications=400 if tasks <= 200 else 60,
    )
