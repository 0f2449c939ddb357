"""The model beside public recordings of AWS Lambda: every figure of docs/model.md.

    python -m lbench.engine.simulation.recordings FOLDER [--fit FOLDER] [--write docs/model.md]

FOLDER holds recordings in their authors' formats (docs/model.md names them); whichever are there are used. What the model
needs of a workload (durations, a client's habits) is fitted on `--fit`'s recordings, by default on FOLDER's own: then each
figure is predicted from the others (leave one fan-out, one size, one half of the calls out). Nothing is fitted for a single
figure.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lbench.engine.simulation.compute import Work, fit_work, speed
from lbench.engine.simulation.environments import warm_after
from lbench.engine.simulation.fan_out import Driver, FanOut, Stage, simulate_stage
from lbench.engine.simulation.network import slow_start_s, transfer_s
from lbench.engine.simulation.parameters import lambda_model
from lbench.errors import InputError

__all__ = ["Coverage", "Figure", "Report", "evaluate", "table"]

Floats = NDArray[np.float64]
Rows = list[dict[str, str]]

# 64 threads open connections and call, 1.7 ms apart; results are polled; a worker's start and end take 0.17 s.
LITHOPS = Driver(dispatch_s=0.0004, poll_s=0.8, after_s=0.17, connections_open=False)
THREADS = {"411": 2.0}  # busy threads of a function, where it has more than one
# S3 requests of a warm call, reads and writes, by SeBS's source: boto3's download is a HEAD and a GET, and 311 lists and
# loads the 39 files of its data of 2020. 120 asks another host, of which nothing is known.
REQUESTS = {"210": (2, 1), "311": (79, 1), "411": (2, 0), "503": (0, 0)}
FIT_MB = (512.0, 1024.0)  # what memory laws are fitted on, where both are recorded; else on all sizes
_HANDSHAKES = 3.0  # round trips of a new TLS connection
_LOW, _HIGH = 0.05, 0.95
_Z_90 = 1.2816  # one-sided, 10 %


@dataclass(frozen=True)
class Figure:
    """A measured value and the model's."""

    what: str
    measured: float
    predicted: float
    unit: str = "s"
    seen: bool = False  # whether it was fitted on this very value

    @property
    def error(self) -> float:
        """The relative error."""
        return self.predicted / self.measured - 1 if self.measured else math.nan


@dataclass(frozen=True)
class Coverage:
    """How many measured values lie in their 90 % intervals."""

    what: str
    inside: int
    count: int

    @property
    def share(self) -> float:
        """The share inside."""
        return self.inside / self.count

    @property
    def is_shown(self) -> bool:
        """Whether two one-sided tests at 10 % show that the share is above 85 and below 95 %."""
        return all(
            abs(self.share - edge) > _Z_90 * math.sqrt(edge * (1 - edge) / self.count) for edge in (0.85, 0.95)
        ) and (0.85 < self.share < 0.95)


@dataclass
class Report:
    """All figures, by section."""

    figures: dict[str, list[Figure]] = field(default_factory=lambda: defaultdict(list))
    coverage: list[Coverage] = field(default_factory=list)

    def errors(self, section: str, *, seen: bool = False) -> list[float]:
        """The absolute relative errors of a section."""
        return [abs(one.error) for one in self.figures[section] if one.seen == seen]


def evaluate(folder: Path, fit: Path | None = None) -> Report:
    """Predict whatever is recorded in a folder."""
    report = Report()
    base = fit or folder
    _functions(folder, base, report)
    _fan_outs(folder, base, report)
    _map_reduce(folder, base, report)
    _payloads(folder, base, report)
    _evictions(folder, report)
    _lithops(folder, base, report)
    _storage(folder, report, seen=fit is None)
    _network(folder, report)
    _arrivals(folder, report)
    return report


# -- functions by memory size


def _functions(folder: Path, base: Path, report: Report) -> None:
    inside = count = inside_seen = count_seen = 0
    for path in sorted(folder.glob("sebs_[0-9]*.csv")):
        name = path.stem.removeprefix("sebs_")
        threads = THREADS.get(name.split("_")[0], 1.0)
        fitted_on = base / path.name if (base / path.name).is_file() else path
        for kind in ("warm", "cold"):
            fit = _by_memory(fitted_on, kind)
            if all(size in fit for size in FIT_MB):
                fit = {size: fit[size] for size in FIT_MB}
            if len(fit) < 2:
                continue
            # The quantiles follow the same law as the median; the odd calls are fitted, the even ones are predicted.
            odd = {size: times[1::2] for size, times in fit.items()}
            whole = fit_work({size: float(np.median(times)) for size, times in fit.items()}, threads)
            low, high = (
                fit_work({size: float(np.quantile(times, share)) for size, times in odd.items()}, threads)
                for share in (_LOW, _HIGH)
            )
            for size, times in sorted(_by_memory(path, kind).items()):
                seen = size in fit
                what = f"{name}, {kind}, {size:g} MB"
                report.figures["functions"].append(
                    Figure(what, float(np.median(times)), whole.seconds(size), seen=seen)
                )
                checked = times[0::2] if seen else times
                hits = int(((checked >= low.seconds(size)) & (checked <= high.seconds(size))).sum())
                if seen:
                    inside_seen, count_seen = inside_seen + hits, count_seen + len(checked)
                else:
                    inside, count = inside + hits, count + len(checked)
            if kind == "warm":
                _from_one_size(name, {size: float(np.median(times)) for size, times in fit.items()}, threads, report)
    if count_seen:
        report.coverage.append(Coverage("calls of functions (the other half)", inside_seen, count_seen))
    if count:
        report.coverage.append(Coverage("calls of functions at sizes not fitted", inside, count))


def _from_one_size(name: str, medians_s: dict[float, float], threads: float, report: Report) -> None:
    """Predict one size from another one: all of it computing, or all but the S3 requests that its source makes."""
    requests = REQUESTS.get(name.split("_")[0])
    for one, other in itertools.permutations(sorted(medians_s), 2):
        what = f"{name}, {other:g} MB from {one:g}"
        laws = {"all of it computing": fit_work({one: medians_s[one]}, threads)}
        if requests is not None:
            wait_s = min(_requests_s(*requests), medians_s[one])
            cpu_s = (medians_s[one] - wait_s) * speed(one, threads)
            laws["its S3 requests known"] = Work(cpu_s=cpu_s, wait_s=wait_s, threads=threads)
        for law, work in laws.items():
            report.figures[f"functions from one size, {law}"].append(
                Figure(what, medians_s[other], work.seconds(other))
            )


def _requests_s(reads: int, writes: int) -> float:
    """The median time of so many S3 requests of a few bytes, one after the other."""
    rng, model = np.random.default_rng(1), lambda_model()
    sums = model.s3_get_s.draw(rng, (4000, reads)).sum(axis=1) + model.s3_put_s.draw(rng, (4000, writes)).sum(axis=1)
    return float(np.median(sums))


def _by_memory(path: Path, kind: str) -> dict[float, Floats]:
    found: dict[float, list[float]] = defaultdict(list)
    for row in _rows(path, "memory", "exec_time", texts=("type",)):
        if row["type"] == kind and float(row["exec_time"]) > 0:
            found[float(row["memory"])].append(float(row["exec_time"]) / 1e6)
    return {size: np.array(times) for size, times in found.items()}


# -- fan-outs by Step Functions


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


_KINDS = ("warm", "burst")  # the environments are there, or all new
_Flows = dict[int, list[tuple[Floats, Floats]]]  # by width: starts and ends of the parallel calls after the first's end


def _flows(folder: Path, kind: str) -> _Flows:
    found: _Flows = {}
    for path in sorted(folder.glob(f"ps_*_{kind}*.csv")):
        if (named := re.match(r"ps_(\d+)t_", path.stem)) is None:
            continue
        width = int(named[1])
        flows = found.get(width, [])
        for rows in _by_request(path).values():
            before = [float(row["end"]) for row in rows if row["func"] == "generate"]
            calls = [row for row in rows if row["func"] == "process"]
            if len(before) == 1 and len(calls) == width:
                times = np.array([[float(row["start"]), float(row["end"])] for row in calls]) - before[0]
                flows.append((times[:, 0], times[:, 1]))
        if flows:
            found[width] = flows
    return found


def _drift(kinds: list[_Flows]) -> float:
    """By how much the first start differs between recordings of one kind, for a further recording."""
    logs = [[math.log(np.median([starts.min() for starts, _ in of])) for of in flows.values()] for flows in kinds]
    several = [np.array(one) for one in logs if len(one) >= 2]
    if not several:
        return 0.0
    freedom = sum(len(one) - 1 for one in several)
    variance = sum(float(((one - one.mean()) ** 2).sum()) for one in several) / freedom
    return math.sqrt(variance * (1 + 1 / max(map(len, several))))


def _fit_steps(flows: _Flows, drift: float = 0.0) -> _Steps:
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


def _fan_outs(folder: Path, base: Path, report: Report) -> None:
    inside = count = 0
    for kind in _KINDS:
        flows, fit = _flows(folder, kind), _flows(base, kind)
        for width, of in flows.items():
            others = {other: those for other, those in fit.items() if other != width}
            if not others:
                continue
            rng = np.random.default_rng(width)
            rest = [{other: those for other, those in _flows(base, one).items() if other != width} for one in _KINDS]
            starts = _fit_steps(others, _drift(rest)).draw(rng, width)
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
            low, high = np.quantile(makespans, (_LOW, _HIGH))
            inside += sum(low <= flow_ends.max() <= high for _, flow_ends in of)
            count += len(of)
    if count:
        report.coverage.append(Coverage("makespans of fan-outs of 2 and more calls", int(inside), count))


# -- a map-reduce by Step Functions

_STAGES = ("split", "map", "shuffle", "reduce")


def _map_reduce(folder: Path, base: Path, report: Report) -> None:
    inside = count = 0
    for path in sorted(folder.glob("sebsflow_mapreduce_*.csv")):
        kind = "burst" if "burst" in path.stem else "warm"
        flows = list(_by_request(path).values())
        if len(flows) < 2:
            continue
        steps = _flows(base, kind) or _flows(folder, kind)
        if not steps:
            continue
        drift = _drift([_flows(base, one) or _flows(folder, one) for one in _KINDS])
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
        low, high = np.quantile(total, (_LOW, _HIGH))
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


# -- payloads


def _payloads(folder: Path, base: Path, report: Report) -> None:
    inside = count = 0
    for path in sorted(folder.glob("sebs_aws_*_payload.csv")):
        kind = path.stem.split("_")[2]
        numbers = ("payload_size", "connection_time", "invocation_time")
        rows = _rows(path, *numbers)
        fitted_on = _rows(base / path.name, *numbers) if (base / path.name).is_file() else rows
        for size in sorted({float(row["payload_size"]) for row in rows}):
            others = [row for row in fitted_on if float(row["payload_size"]) != size]
            if len({row["payload_size"] for row in others}) < 2:
                continue
            law, residuals = _fit_payload(others)
            measured = np.array([float(row["invocation_time"]) for row in rows if float(row["payload_size"]) == size])
            predicted = law(size)
            report.figures[f"payloads, {kind}"].append(
                Figure(f"{size / 1e6:.3g} MB", float(np.median(measured)), predicted)
            )
            low, high = predicted + np.quantile(residuals, (_LOW, _HIGH))
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


# -- evictions


def _evictions(folder: Path, report: Report) -> None:
    for path in sorted(folder.glob("sebs_eviction_results_*.csv")):
        found: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row in _rows(path, "Invocations", "DeltaT", "WarmContainers"):
            found[int(float(row["Invocations"])), int(float(row["DeltaT"]))].append(int(float(row["WarmContainers"])))
        if not found:
            continue
        errors = np.array(
            [abs(float(np.median(warm)) - warm_after(most, idle_s)) for (most, idle_s), warm in found.items()]
        )
        report.figures["environments left after a pause, share of cases within half an environment"].append(
            Figure(path.stem.removeprefix("sebs_eviction_results_"), 1.0, float((errors <= 0.5).mean()), unit="")
        )


# -- a fan-out by Lithops


def _lithops(folder: Path, base: Path, report: Report) -> None:
    for path in sorted(folder.glob("lithops2022_*.csv")):
        rows = _computing(path)
        if not rows:
            continue
        # A function's duration is fitted on another fan-out, where there is one.
        others = [
            other for other in sorted(base.glob("lithops2022_*.csv")) if other.name != path.name and _computing(other)
        ]
        durations = np.array([float(row["exec_s"]) for row in (_computing(others[0]) if others else rows)])
        zero_s = min(float(row["submit_s"]) for row in rows)
        ran_s = np.array([float(row["exec_s"]) for row in rows])
        warm = sum(row["cold"] in ("0", "False", "") for row in rows)
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
        low, high = np.quantile(predicted_s, (_LOW, _HIGH))
        inside = int(((ran_s >= low) & (ran_s <= high)).sum())
        report.coverage.append(Coverage(f"durations in the fan-out of {len(rows):,}", inside, len(rows)))


def _computing(path: Path) -> Rows:
    """The calls of a fan-out that computes; none for one that reads or writes."""
    numbers = ("submit_s", "worker_start_s", "status_seen_s", "exec_s", "gflops")
    if not {"exec_s", "gflops"} <= _columns(path):
        return []
    return _rows(path, *numbers, texts=("cold",))


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


# -- S3 and network


def _storage(folder: Path, report: Report, *, seen: bool) -> None:
    for path in sorted(folder.glob("skyrise_s3_*percentiles.csv")):
        quantile_columns = ("p50", "p90", "p99", "p99.9")
        rows = _rows(path, *quantile_columns, texts=("operation",))
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
    for path in sorted(folder.glob("lithops2022_*.csv")):
        rows = _rows(path, "mb_s") if "mb_s" in _columns(path) else []
        if rows:
            measured = float(np.median([float(row["mb_s"]) for row in rows]))
            predicted = 512 / transfer_s(lambda_model(), 512)
            report.figures["S3, 512 MB a call"].append(Figure(path.stem, measured, predicted, unit="MB/s"))


def _network(folder: Path, report: Report) -> None:
    for path in sorted(folder.glob("skyrise_net_*.json")):
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
            told, metrics = run["parameters"], run["metrics"]
            averages = {way: float(metrics[f"throughput_{way}_mbps_average"]) for way in ("upload", "download")}
            yield float(told["duration_s"]), int(told["concurrent_instance_count"]), averages
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


# -- single calls at random times


def _arrivals(folder: Path, report: Report) -> None:
    path = folder / "simfaas_exp.csv"
    if not path.is_file():
        return
    kept_s = lambda_model().idle_last_s.median
    for row in _rows(path, "ArrivalRate", "ColdStartProbability"):
        rate, measured = float(row["ArrivalRate"]), float(row["ColdStartProbability"])
        if measured < 0.035:  # there several environments are kept, and the share of calls on the last decides
            continue
        report.figures["cold starts of single calls at random times"].append(
            Figure(f"{rate * 3600:.3g} calls an hour", measured, math.exp(-rate * kept_s), unit="")
        )


# -- reading


def _rows(path: Path, *numbers: str, texts: tuple[str, ...] = ()) -> Rows:
    """The rows of a CSV file. One that lacks a number has failed, and is left out.

    Raises:
        InputError: a column is missing, or a value is not a number.
    """
    rows = []
    for line, row in enumerate(_read(path), 2):
        if missing := [name for name in (*numbers, *texts) if name not in row]:
            raise InputError(f"{path}: column {missing[0]} is missing; there are {', '.join(filter(None, row))}")
        try:
            known = [float(row[name]) for name in numbers if row[name]]
        except (TypeError, ValueError):
            raise InputError(f"{path}, line {line}: {', '.join(numbers)} must be numbers") from None
        if len(known) == len(numbers) and all(map(math.isfinite, known)):
            rows.append(row)
    return rows


def _columns(path: Path) -> set[str]:
    return {name for row in _read(path)[:1] for name in row}


def _read(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a CSV file: {error}") from None


def _by_request(path: Path) -> dict[str, Rows]:
    found: dict[str, Rows] = defaultdict(list)
    for row in _rows(path, "start", "end", texts=("func", "request_id")):
        found[row["request_id"]].append(row)
    return found


# -- writing


def table(report: Report) -> str:
    """The figures as Markdown: a table of the sections, the coverage, then every figure."""
    lines = ["| predicted | figures | mean error | worst |", "|---|---|---|---|"]
    for section in report.figures:
        for seen in (False, True):
            errors = report.errors(section, seen=seen)
            if errors:
                name = section + (" (fitted on them)" if seen else "")
                lines.append(f"| {name} | {len(errors)} | {np.mean(errors):.1%} | {max(errors):.1%} |")
    lines += [
        "",
        "| 90 % intervals | values | inside | 85 to 95 % (two one-sided tests at 10 %) |",
        "|---|---|---|---|",
    ]
    for one in report.coverage:
        lines.append(f"| {one.what} | {one.count} | {one.share:.1%} | {'yes' if one.is_shown else 'not shown'} |")
    if report.coverage:
        every = Coverage("all", sum(one.inside for one in report.coverage), sum(one.count for one in report.coverage))
        lines.append(
            f"| {every.what} | {every.count} | {every.share:.1%} | {'yes' if every.is_shown else 'not shown'} |"
        )
    lines += ["", "| every figure | measured | predicted | error |", "|---|---|---|---|"]
    for section, figures in report.figures.items():
        lines.append(f"| **{section}** | | | |")
        lines += [
            f"| {one.what} | {one.measured:.3g} {one.unit} | {one.predicted:.3g} {one.unit} | {one.error:+.1%} |"
            for one in figures
        ]
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- figures: written by lbench.engine.simulation.recordings -->\n", "<!-- end of figures -->\n"


def written(page: str, figures: str) -> str:
    """The page with these figures between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{figures}{END}{after}"


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if not re.fullmatch("--(fit|write)", option):
            raise ValueError
        yield option, value


def main(arguments: list[str]) -> int:
    """Print the figures, or write them into a page."""
    try:
        folder, options = Path(arguments[0]), dict(_options(arguments[1:]))
        if not folder.is_dir():
            raise ValueError
    except (IndexError, ValueError):
        print(
            "usage: python -m lbench.engine.simulation.recordings FOLDER [--fit FOLDER] [--write PAGE]", file=sys.stderr
        )
        return 2
    try:
        report = evaluate(folder, Path(options["--fit"]) if "--fit" in options else None)
        if not report.figures:
            raise InputError(f"{folder} has no recordings that can be predicted: docs/model.md names their files")
        figures = table(report)
        if "--write" in options:
            page = Path(options["--write"])
            page.write_text(written(page.read_text(encoding="utf-8"), figures), encoding="utf-8")
        else:
            sys.stdout.write(figures)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
