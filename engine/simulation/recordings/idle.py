"""Environments without calls: how many are left after a pause, and how often a call at a random time finds none."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from lbench.engine.simulation.environments import warm_after
from lbench.engine.simulation.parameters import lambda_model
from lbench.engine.simulation.recordings.files import Recordings, read_rows
from lbench.engine.simulation.recordings.report import Figure, Report


def predict_evictions(recordings: Recordings, report: Report) -> None:
    """Predict how many environments are left after a pause."""
    for path in recordings.of("eviction"):
        found: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row in read_rows(path, "Invocations", "DeltaT", "WarmContainers"):
            found[int(float(row["Invocations"])), int(float(row["DeltaT"]))].append(int(float(row["WarmContainers"])))
        if not found:
            continue
        errors = np.array(
            [abs(float(np.median(warm)) - warm_after(most, idle_s)) for (most, idle_s), warm in found.items()]
        )
        report.figures["environments left after a pause, share of cases within half an environment"].append(
            Figure(path.stem.removeprefix("sebs_eviction_results_"), 1.0, float((errors <= 0.5).mean()), unit="")
        )


def predict_arrivals(recordings: Recordings, report: Report) -> None:
    """Predict the share of cold starts by the rate of arrivals, where one environment suffices."""
    kept_s = lambda_model().idle_last_s.median
    rows = [row for path in recordings.of("arrivals") for row in read_rows(path, "ArrivalRate", "ColdStartProbability")]
    for row in rows:
        rate, measured = float(row["ArrivalRate"]), float(row["ColdStartProbability"])
        if measured < 0.035:  # there several environments are kept, and the share of calls on the last decides
            continue
        report.figures["cold starts of single calls at random times"].append(
            Figure(f"{rate * 3600:.3g} calls an hour", measured, math.exp(-rate * kept_s), unit="")
        )
