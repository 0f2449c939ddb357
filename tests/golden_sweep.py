"""Every figure of a sweep's report, from its exported CSV alone: numpy and the standard library, nothing of lbench.

Written from docs/statistics.md and docs/cli.md ("A sweep"), not from the code that it checks. What is predicted is no row of
the CSV; resamples are drawn by another generator, so that crossings agree to the third digit or so.
"""

from __future__ import annotations

import csv
import io
import json
import math
from statistics import median
from typing import Any

import numpy as np

from tests.golden import expanded, median_interval, ratio_interval

Run = dict[str, str]
Interval = tuple[float, float] | None
RESAMPLES = 2000


class Line:
    """One backend at one place, or its cold or its warm repeats there."""

    def __init__(self, label: str, cold: bool | None, runs: list[Run]) -> None:
        self.label, self.cold = label, cold
        self.name = label if cold is None else f"{label} {'cold' if cold else 'warm'}"
        self.repeats = len(runs)
        self.runs = [run for run in runs if run["run_status"] == "ok" and run["run_paused"] == "false"]
        self.measured = runs[0]["origin"] == "measured"
        self.crowded = not self.measured and any(run["run_oversubscribed"] == "true" for run in runs)
        self.times = [float(run["run_makespan_s"]) for run in self.runs]
        self.usds = [float(run["run_usd"]) for run in self.runs if run["run_usd"]]
        self.rents = [float(run["run_rent_usd"]) for run in self.runs if run["run_rent_usd"]]
        self.rounds = {
            int(run["run_round"]): seconds
            for run, seconds in zip(self.runs, self.times, strict=True)
            if run["run_round"]
        }

    def speedup(self, base: Line) -> tuple[float, Interval]:
        """Times as fast as the baseline, by rounds where they share two."""
        if self is base:
            return 1.0, None
        shared = [number for number in self.rounds if number in base.rounds]
        if len(shared) > 1:
            ratios = [base.rounds[number] / self.rounds[number] for number in shared]
            return median(ratios), median_interval(ratios)
        return median(base.times) / median(self.times), ratio_interval(base.times, self.times)


Places = dict[float, dict[str, Line]]


def places_of(text: str, axis: str) -> Places:
    """The lines of each place of an axis."""
    runs: dict[str, Run] = {}
    for row in csv.DictReader(io.StringIO(text)):
        runs.setdefault(row["run"], row)
    groups: dict[float, dict[str, list[Run]]] = {}
    for run in runs.values():
        if run["warmup"] == "false" and run["run_point"]:
            at = float(json.loads(run["run_point"])[axis])
            groups.setdefault(at, {}).setdefault(run["label"], []).append(run)
    places: Places = {}
    for at, labels in sorted(groups.items()):
        lines = []
        for label, own in labels.items():
            cold = [run for run in own if run["run_cold"] == "true"]
            if any(run["run_cold"] for run in own):
                lines += [Line(label, True, cold)] if cold else []
                lines += [Line(label, False, rest)] if (rest := [run for run in own if run not in cold]) else []
            else:
                lines.append(Line(label, None, own))
        places[at] = {line.name: line for line in lines}
    return places


def baseline(lines: dict[str, Line]) -> Line:
    """The plain loop, else `sequential`, else the first; of cold and warm repeats the warm ones."""
    timed = [line for line in lines.values() if line.times]
    return next(
        line
        for label in ("loop", "sequential", *(line.label for line in timed))
        for line in reversed(timed)
        if line.label == label
    )


def points(places: Places) -> dict[tuple[float, str], dict[str, Any]]:
    """The rows of the report's table, by place and line."""
    found = {}
    for at, lines in places.items():
        base = baseline(lines)
        for name, line in lines.items():
            if line.times:
                usds = line.usds or line.rents
                found[at, name] = {
                    "runs": f"{len(line.runs)}/{line.repeats}",
                    "makespan_s": (median(line.times), median_interval(line.times)),
                    "speedup": line.speedup(base),
                    "usd": (median(usds), median_interval(usds)) if usds else None,
                }
    return found


def break_evens(places: Places, usd_per_hour: float) -> dict[tuple[float, str], dict[str, Any]]:
    """For each place and each line that is paid by the run: from how many runs an hour on a rented machine is cheaper."""
    found = {}
    for at, lines in places.items():
        local = [median(line.times) for line in lines.values() if line.measured and not line.usds and line.times]
        for name, line in lines.items():
            if line.usds and local:
                ends = median_interval(line.usds)
                found[at, name] = {
                    "runs_an_hour": usd_per_hour / median(line.usds),
                    "interval": None if ends is None else (usd_per_hour / ends[1], usd_per_hour / ends[0]),
                    "most_an_hour": 3600 / min(local),
                }
    return found


# Crossings: monotone curves through the logarithms of the medians, straight between the points in both logarithms


def rising(values: list[float]) -> list[float]:
    """Isotonic regression by pooling adjacent violators."""
    pools: list[list[float]] = []  # mean, count
    for value in values:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [(pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count), pools[-1][1] + count]
    return [mean for mean, count in pools for _ in range(int(count))]


def monotone(values: list[float], *, rises: bool) -> list[float]:
    """The curve of one direction."""
    return rising(values) if rises else [-value for value in rising([-value for value in values])]


def rises(values: list[float]) -> bool:
    """Whether the rising curve fits at least as well as the falling one."""
    up, down = (
        sum((v - w) ** 2 for v, w in zip(values, monotone(values, rises=way), strict=True)) for way in (True, False)
    )
    return up <= down


def crossing(places: Places, below: str, above: str, usd: bool = False) -> dict[str, Any]:
    """Where `below` stops being the less: the median of the resamples, its interval, the share without a crossing."""

    def values(line: Line) -> list[float]:
        return (line.usds or line.rents) if usd else line.times

    both = {
        at: (lines[below], lines[above])
        for at, lines in places.items()
        if below in lines and above in lines and not lines[below].crowded and not lines[above].crowded
        if values(lines[below]) and values(lines[above])
    }
    own = [[math.log(median(values(pair[side]))) for pair in both.values()] for side in (0, 1)]
    ways = [
        rises(
            [
                math.log(median(values(lines[name])))
                for lines in places.values()
                if name in lines and values(lines[name])
            ]
        )
        for name in (below, above)
    ]
    logs = [math.log(at) for at in both]
    generator = np.random.default_rng(99)
    columns = [_resampled(one, other, values, generator) for one, other in both.values()]
    near = _roots(logs, _difference(own, ways))
    found = []
    for number in range(RESAMPLES):
        rows = [[math.log(column[side][number]) for column in columns] for side in (0, 1)]
        roots = _roots(logs, difference := _difference(rows, ways))
        if roots:
            found.append(min(roots, key=lambda root: abs(root - near[0]) if near else root))
        else:
            found.append(math.inf if sum(difference) < 0 else -math.inf)
    count = min(len(values(line)) for pair in both.values() for line in pair)
    ordered = np.sort(found)
    low, high = (ordered[0], ordered[-1]) if count < 6 else expanded(_finite(ordered, logs), count)
    return {
        "at": math.exp(ordered[len(ordered) // 2]),
        "low": math.exp(max(low, logs[0])),
        "high": math.exp(min(high, logs[-1])),
        "missing": float((~np.isfinite(ordered)).mean()),
        "count": count,
    }


def _finite(ordered: Any, logs: list[float]) -> Any:
    return np.clip(ordered, logs[0], logs[-1])


def _difference(rows: list[list[float]], ways: list[bool]) -> list[float]:
    fitted = [monotone(row, rises=way) for row, way in zip(rows, ways, strict=True)]
    return [one - other for one, other in zip(*fitted, strict=True)]


def _roots(logs: list[float], difference: list[float]) -> list[float]:
    """The places where the difference turns from below 0 to above it."""
    steps = zip(logs, logs[1:], difference, difference[1:], strict=False)
    return [x - before * (y - x) / (after - before) for x, y, before, after in steps if before < 0 <= after]


def _resampled(one: Line, other: Line, values: Any, generator: Any) -> tuple[Any, Any]:
    """Resampled medians of both; the pairs of a round stay together."""
    mine, theirs = np.array(values(one)), np.array(values(other))
    paired = len(mine) == len(theirs) and one.rounds.keys() == other.rounds.keys() and len(one.rounds) == len(mine) > 1
    first = generator.integers(0, len(mine), (RESAMPLES, len(mine)))
    second = first if paired else generator.integers(0, len(theirs), (RESAMPLES, len(theirs)))
    return np.median(mine[first], axis=1), np.median(theirs[second], axis=1)
