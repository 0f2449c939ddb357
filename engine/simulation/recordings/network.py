"""Latencies of S3, and the network of an environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lbench.engine.simulation.network import transfer_s
from lbench.engine.simulation.parameters import lambda_model
from lbench.engine.simulation.recordings.files import Recordings, columns_of, read_rows
from lbench.engine.simulation.recordings.report import Figure, Report
from lbench.errors import InputError


def predict_storage(recordings: Recordings, report: Report, *, seen: bool) -> None:
    """Predict latencies of S3, and the throughput of fan-outs that read or write."""
    for path in recordings.of("S3"):
        quantile_columns = ("p50", "p90", "p99", "p99.9")
        rows = read_rows(path, *quantile_columns, texts=("operation",))
        for operation, name, quantiles in (
            ("kRead", "GET", lambda_model().s3_get_s),
            ("kWrite", "PUT", lambda_model().s3_put_s),
        ):
            drawn = quantiles.draw(np.random.default_rng(1), 200_000) * 1000
            for column in quantile_columns:
                recorded = [float(row[column]) for row in rows if row["operation"] == operation]
                if recorded:
                    report.figures["S3, 1 KB"].append(
                        Figure(
                            f"{name} {column}",
                            float(np.median(recorded)),
                            float(np.quantile(drawn, float(column[1:]) / 100)),
                            unit="ms",
                            seen=seen,
                        )
                    )
    for path in recordings.of("fan-out"):
        rows = read_rows(path, "mb_s") if "mb_s" in columns_of(path) else []
        if rows:
            measured = float(np.median([float(row["mb_s"]) for row in rows]))
            predicted = 512 / transfer_s(lambda_model(), 512)
            report.figures["S3, 512 MB a call"].append(Figure(path.stem, measured, predicted, unit="MB/s"))


def predict_network(recordings: Recordings, report: Report) -> None:
    """Predict an environment's average throughput by how long it sends or receives."""
    for path in recordings.of("network"):
        for seconds, at_once, averages in _network_runs(path):
            for way, measured in averages.items():
                if measured <= 0:
                    continue
                report.figures["network of an environment, average"].append(
                    Figure(
                        f"{path.stem.removeprefix('skyrise_net_')[:8]}, {at_once} at once, {way}, {seconds:g} s",
                        measured,
                        _carried_mb(seconds) / seconds,
                        unit="MB/s",
                    )
                )


def _network_runs(path: Path) -> Iterator[tuple[float, int, dict[str, float]]]:
    """Seconds, instances at once, and MB/s up and down of each run in a file."""
    try:
        for run in json.loads(path.read_text(encoding="utf-8-sig"))["runs"]:
            parameters, metrics = run["parameters"], run["metrics"]
            averages = {way: float(metrics[f"throughput_{way}_mbps_average"]) for way in ("upload", "download")}
            yield float(parameters["duration_s"]), int(parameters["concurrent_instance_count"]), averages
    except KeyError as error:
        raise InputError(f"{path}: {error} is missing") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: not a recording of Skyrise's network benchmark: {error}") from None


def _carried_mb(seconds: float) -> float:
    """What an environment's network carries in so many seconds."""
    model = lambda_model()
    burst_s = model.network_burst_mb.median / model.network_burst_mb_per_s.median
    if seconds <= burst_s:
        return seconds * model.network_burst_mb_per_s.median
    return model.network_burst_mb.median + (seconds - burst_s) * model.network_mb_per_s.median
