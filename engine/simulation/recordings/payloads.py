"""Calls with payloads of many sizes, each size predicted from the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.network import slow_start_s
from lbench.engine.simulation.recordings.files import Recordings, Rows, is_cold, read_rows
from lbench.engine.simulation.recordings.report import HIGH, LOW, Coverage, Figure, Report

Floats = NDArray[np.float64]

_HANDSHAKES = 3.0  # round trips of a new TLS connection


def predict_payloads(recordings: Recordings, base: Recordings, report: Report) -> None:
    """Predict a call's time by its payload's size."""
    inside = count = 0
    for path in recordings.of("payload"):
        numbers = ("payload_size", "connection_time", "invocation_time")
        rows = read_rows(path, *numbers)
        kind = "cold" if is_cold(path, rows) else "warm"
        fitted_on = read_rows(base.like("payload", path), *numbers)
        for size in sorted({float(row["payload_size"]) for row in rows}):
            others = [row for row in fitted_on if float(row["payload_size"]) != size]
            if len({row["payload_size"] for row in others}) < 2:
                report.left_out.append(f"{path.name}: payloads of three sizes are needed")
                break
            law, residuals = _fit_payload(others)
            measured = np.array([float(row["invocation_time"]) for row in rows if float(row["payload_size"]) == size])
            predicted = law(size)
            report.figures[f"payloads, {kind}"].append(
                Figure(f"{size / 1e6:.3g} MB", float(np.median(measured)), predicted)
            )
            low, high = predicted + np.quantile(residuals, (LOW, HIGH))
            inside += int(((measured >= low) & (measured <= high)).sum())
            count += len(measured)
    if count:
        report.coverage.append(Coverage("calls with payloads, at sizes not fitted", inside, count))


def _carried_s(size: float, mb_per_s: float, rtt_s: float) -> float:
    return size / 1e6 / mb_per_s + slow_start_s(size / 1e6, rtt_s, mb_per_s)


def _fit_payload(rows: Rows) -> tuple[Callable[[float], float], Floats]:
    """The time of a call by its payload, and what calls differ from it by.

    Fitted are the time without a payload and the client's uplink; its round trip is a third of what connecting took.
    """
    rtt_s = float(np.median([float(row["connection_time"]) for row in rows])) / _HANDSHAKES
    times: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        times[float(row["payload_size"])].append(float(row["invocation_time"]))
    medians = np.array([np.median(one) for one in times.values()])

    def rest(mb_per_s: float) -> Floats:
        left: Floats = medians - np.array([_carried_s(size, mb_per_s, rtt_s) for size in times])
        return left

    rates = np.arange(0.4, 4.0, 0.02)
    errors = [float(np.abs(left - np.median(left)).sum()) for left in map(rest, rates)]
    mb_per_s = float(rates[int(np.argmin(errors))])
    base_s = float(np.median(rest(mb_per_s)))

    def law(size: float) -> float:
        return base_s + _carried_s(size, mb_per_s, rtt_s)

    return law, np.array([one - law(size) for size, of in times.items() for one in of])
