"""All that is recorded in a folder, predicted."""

from __future__ import annotations

from pathlib import Path

from lbench.engine.simulation.recordings.functions import predict_functions
from lbench.engine.simulation.recordings.idle import predict_arrivals, predict_evictions
from lbench.engine.simulation.recordings.lithops import predict_lithops
from lbench.engine.simulation.recordings.network import predict_network, predict_storage
from lbench.engine.simulation.recordings.payloads import predict_payloads
from lbench.engine.simulation.recordings.report import Report
from lbench.engine.simulation.recordings.step_functions import predict_fan_outs, predict_map_reduces

__all__ = ["evaluate"]


def evaluate(folder: Path, fit: Path | None = None) -> Report:
    """Predict whatever is recorded in a folder."""
    report = Report()
    base = fit or folder
    predict_functions(folder, base, report)
    predict_fan_outs(folder, base, report)
    predict_map_reduces(folder, base, report)
    predict_payloads(folder, base, report)
    predict_evictions(folder, report)
    predict_lithops(folder, base, report)
    predict_storage(folder, report, seen=fit is None)
    predict_network(folder, report)
    predict_arrivals(folder, report)
    return report
