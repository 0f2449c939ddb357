"""Workflows by Step Functions: fan-outs and map-reduces, each predicted from others."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.recordings.files import Recordings, Rows, is_cold, rows_by_request
from lbench.engine.simulation.recordings.report import HIGH, LOW, Coverage, Figure, Report

Floats = NDArray[np.float64]

_KINDS = ("warm", "burst")  # the environments are there, or all new
# By width: starts and ends of the parallel calls, after the end of the first function.
_FanOuts = dict[int, list[tuple[Floats, Floats]]]
_STAGES = ("split", "map", "shuffle", "reduce")


@dataclass(frozen=True)
class _Steps:
    """Step Functions as a driver: how long after a function's end the next calls start."""

    first_s: Floats  # of each recorded workflow
    each_s: float  # between two calls that leave
    jitter_s: float  # standard deviation of each call's own delay
    drift: float = 0.0  # standard deviation, on the logarithm, of the first start from one recording to the next

    def draw(self, rng: np.random.Generator, calls: int, replications: int = 4000) -> Floats:
        """Starts after the function before ended: (replications, calls)."""
        own = np.arange(calls) * self.each_s + rng.normal(0.0, self.jitter_s, (replications, calls))
        own -= own.min(axis=1, keepdims=True)
        drifted = np.exp(rng.normal(0.0, self.drift, (replications, 1)))
        return rng.choice(self.first_s, (replications, 1)) * drifted + own


def _read_fan_outs(recordings: Recordings, kind: str) -> _FanOuts:
    found: _FanOuts = {}
    for path in recordings.of("workflow"):
        by_request = rows_by_request(path)
        calls = [row for rows in by_request.values() for row in rows if row["func"] == "process"]
        if not calls or is_cold(path, calls) is not (kind == "burst"):
            continue
        width = statistics.mode(Counter(row["request_id"] for row in calls).values())
        flows = found.get(width, [])
        for rows in by_request.values():
            before = [float(row["end"]) for row in rows if row["func"] == "generate"]
            calls = [row for row in rows if row["func"] == "process"]
            if len(before) == 1 and len(calls) == width:
                times = np.array([[float(row["start"]), float(row["end"])] for row in calls]) - before[0]
                flows.append((times[:, 0], times[:, 1]))
        if flows:
            found[width] = flows
    return found


def _drift_of(kinds: list[_FanOuts]) -> float:
    """By how much the first start differs between recordings of one kind, for a further recording."""
    logs = [[math.log(np.median([starts.min() for starts, _ in of])) for of in flows.values()] for flows in kinds]
    several = [np.array(one) for one in logs if len(one) >= 2]
    if not several:
        return 0.0
    freedom = sum(len(one) - 1 for one in several)
    variance = sum(float(((one - one.mean()) ** 2).sum()) for one in several) / freedom
    return math.sqrt(variance * (1 + 1 / max(map(len, several))))


def _fit_steps(flows: _FanOuts, drift: float = 0.0) -> _Steps:
    """The driver that explains the spreads of starts of these fan-outs best."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0.0, 1.0, (500, max(flows)))
    spreads = {width: float(np.median([np.ptp(starts) for starts, _ in of])) for width, of in flows.items()}
    best, chosen = math.inf, (0.005, 0.01)
    for each_s in np.arange(0.0, 0.0125, 0.001):
        for jitter_s in np.arange(0.002, 0.05, 0.002):
            error = 0.0
            for width, measured in spreads.items():
                starts = np.arange(width) * each_s + noise[:, :width] * jitter_s
                error += math.log(float(np.median(np.ptp(starts, axis=1))) / measured) ** 2
            if error < best:
                best, chosen = error, (float(each_s), float(jitter_s))
    first = np.array([starts.min() for of in flows.values() for starts, _ in of])
    return _Steps(first, *chosen, drift)


def predict_fan_outs(recordings: Recordings, base: Recordings, report: Report) -> None:
    """Predict fan-outs by Step Functions: makespan, first start and spread of starts, each width from the others."""
    inside = count = 0
    fits = {kind: _read_fan_outs(base, kind) for kind in _KINDS}
    for kind in _KINDS:
        for width, of in _read_fan_outs(recordings, kind).items():
            rest = {one: {other: those for other, those in fit.items() if other != width} for one, fit in fits.items()}
            others = rest[kind]
            if not others:
                report.left_out.append(f"the fan-out of {width} calls: one of another width is needed (--fit)")
                continue
            rng = np.random.default_rng(width)
            starts = _fit_steps(others, _drift_of(list(rest.values()))).draw(rng, width)
            lasts = np.concatenate([ends - begins for those in others.values() for begins, ends in those])
            ends = starts + rng.choice(lasts, starts.shape)
            makespans = ends.max(axis=1)
            temperature = "cold" if kind == "burst" else "warm"
            for what, predicted, measured in (
                ("makespan", makespans, [flow_ends.max() for _, flow_ends in of]),
                ("first start", starts.min(axis=1), [flow_starts.min() for flow_starts, _ in of]),
                ("spread of starts", np.ptp(starts, axis=1), [np.ptp(flow_starts) for flow_starts, _ in of]),
            ):
                report.figures[f"fan-outs of Step Functions, {what}"].append(
                    Figure(f"{width} calls, {temperature}", float(np.median(measured)), float(np.median(predicted)))
                )
            low, high = np.quantile(makespans, (LOW, HIGH))
            inside += sum(low <= flow_ends.max() <= high for _, flow_ends in of)
            count += len(of)
    if count:
        report.coverage.append(Coverage("makespans of fan-outs of 2 and more calls", int(inside), count))


def predict_map_reduces(recordings: Recordings, base: Recordings, report: Report) -> None:
    """Predict map-reduces by Step Functions: makespans, by the starts of the fan-outs."""
    inside = count = 0
    fan_outs = {kind: _read_fan_outs(base, kind) or _read_fan_outs(recordings, kind) for kind in _KINDS}
    drift = _drift_of(list(fan_outs.values()))
    for path in recordings.of("workflow"):
        flows = list(rows_by_request(path).values())
        calls = [row for rows in flows for row in rows if row["func"] in _STAGES]
        if len(flows) < 2 or not calls:
            continue
        kind = "burst" if is_cold(path, calls) else "warm"
        steps = fan_outs[kind]
        if not steps:
            report.left_out.append(f"{path.name}: a {kind} fan-out of generate and process is needed (--fit)")
            continue
        widths = {stage: sum(row["func"] == stage for row in flows[0]) for stage in _STAGES}
        if not all(widths.values()):
            continue
        measured = np.array([_length_s(rows) for rows in flows])
        total = _chain(
            flows[0::2], widths, _fit_steps(steps, drift)
        )  # durations of every other workflow; starts from fan-outs
        checked = measured[1::2]
        report.figures["map-reduce, makespan"].append(
            Figure(path.stem.removeprefix("sebsflow_mapreduce_"), float(np.median(checked)), float(np.median(total)))
        )
        low, high = np.quantile(total, (LOW, HIGH))
        inside += int(((checked >= low) & (checked <= high)).sum())
        count += len(checked)
    if count:
        report.coverage.append(Coverage("makespans of map-reduces", inside, count))


def _chain(flows: list[Rows], widths: dict[str, int], steps: _Steps, replications: int = 4000) -> Floats:
    """Makespans of a chain of stages: a workflow's stages are drawn from one recorded workflow, as its calls are alike."""
    rng = np.random.default_rng(1)
    total: Floats = np.zeros(replications)
    for place, stage in enumerate(_STAGES):
        starts = steps.draw(rng, widths[stage], replications) if place else np.zeros((replications, 1))
        durations = np.array(
            [float(row["end"]) - float(row["start"]) for rows in flows for row in rows if row["func"] == stage]
        )
        last: Floats = (starts + rng.choice(durations, (replications, widths[stage]))).max(axis=1)
        total = total + last
    return total


def _length_s(rows: Rows) -> float:
    return max(float(row["end"]) for row in rows) - min(float(row["start"]) for row in rows)
