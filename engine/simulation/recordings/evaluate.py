"""All that is recorded in some files and folders, predicted."""

from __future__ import annotations

from pathlib import Path

from lbench.engine.simulation.recordings.files import Recordings
from lbench.engine.simulation.recordings.functions import predict_functions
from lbench.engine.simulation.recordings.idle import predict_arrivals, predict_evictions
from lbench.engine.simulation.recordings.lithops import predict_lithops
from lbench.engine.simulation.recordings.network import predict_network, predict_storage
from lbench.engine.simulation.recordings.payloads import predict_payloads
from lbench.engine.simulation.recordings.report import Report
from lbench.engine.simulation.recordings.step_functions import predict_fan_outs, predict_map_reduces

__all__ = ["evaluate"]


def evaluate(*places: Path, fit: Path | None = None) -> Report:
    """Predict what is recorded in files and folders; what workloads bring is fitted on `fit`, or on the others of these.

    Raises:
        InputError: a file cannot be read, is of no kind, or lacks a column.
    """
    report = Report()
    recordings = Recordings(places)
    base = recordings if fit is None else Recordings([fit])
    predict_functions(recordings, base, report)
    predict_fan_outs(recordings, base, report)
    predict_map_reduces(recordings, base, report)
    predict_payloads(recordings, base, report)
    predict_evictions(recordings, report)
    predict_lithops(recordings, base, report)
    predict_storage(recordings, report, seen=fit is None)
    predict_network(recordings, report)
    predict_arrivals(recordings, report)
    return report
