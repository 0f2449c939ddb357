"""Fits the model of Lambda to recorded runs: each parameter with its interval, and what the data cannot tell.

Each parameter comes from the calls that show it alone: a round trip less the time inside the function is network (the same
for all calls of a run) and service (skewed), a burst's is its placement, a cold one's the allocation. Intervals are
percentile bootstraps over runs, or over calls where there are fewer than three runs; of fewer than six a range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.format import listed
from lbench.analysis.lambda_calls import OK, Calls, calls_of, job_key
from lbench.analysis.parameter_fits import (
    LEAST_RUNS,
    TINY_S,
    Fitted,
    fit_lognormal,
    fit_parameter,
    group_rows,
    interval,
    robust_sigma,
    round_trips,
    second_part,
)
from lbench.engine.model import Origin
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView, SessionView
from lbench.engine.simulation.compute import speed
from lbench.engine.simulation.distributions import Lognormal
from lbench.engine.simulation.parameters import LambdaModel
from lbench.engine.simulation.platform import BURST
from lbench.errors import InputError, count_text

__all__ = ["Calibration", "calibrate", "parameter_file"]

_THROTTLED = STATUSES.index("throttled")

Floats = NDArray[np.float64]

LEAST_COLD = 5
_LEAST = 5  # calls for any parameter
_LEAST_SKEWED = 30  # calls for the skewness of their times
_LEAST_RESIDUALS = 20
_LEAST_COMPUTE_S = 0.005  # below that a ratio of two durations is noise
_LEAST_MB = 0.2  # of a payload, below which its time is lost in the rest
_LOCAL = ("sequential", "processes", "threads")  # the first: there a task shares its core least


class Calibration(msgspec.Struct, frozen=True):
    """What recorded runs say about the model."""

    fitted: list[Fitted]
    untold: list[str]  # what the data cannot tell, and what would
    runs: int
    calls: int
    notes: list[str]


def calibrate(sessions: Sequence[SessionView], model: LambdaModel, backend: str = "lambda") -> Calibration:
    """Fit the model's parameters to the runs of a backend in these sessions.

    Raises:
        InputError: there are none, or too few cold starts.
    """
    every = [run for session in sessions for run in session.started_runs]
    runs = [
        run
        for run in every
        if run.planned.backend == backend and run.status == "ok" and not run.paused and run.has_answer
    ]
    named = "AWS Lambda" if backend == "lambda" else backend
    if not runs:
        had = sorted({run.planned.backend for run in every})
        raise InputError(
            f"no finished run on {named} to calibrate with: the backends here are {', '.join(had) or 'none'} "
            "(record one with `lbench run WORKLOAD -b lambda --cold-repeats 3`)"
        )
    direct = [run for run in runs if run.started is not None and run.started.transport in (None, "direct")]
    if not direct:
        raise InputError("no run has transport direct, which calibrating requires: the others hide when a call arrives")
    keys: dict[tuple[str, ...], int] = {}
    calls = calls_of(direct, keys, model.driver_dispatch_s.median)
    cold = int(calls.cold.sum())
    if cold < LEAST_COLD:
        raise InputError(
            f"cold starts to calibrate with must be at least {LEAST_COLD}, got {cold}: record more, for example with "
            "--cold-repeats 3"
        )
    fitted: list[Fitted] = []
    untold: list[str] = []
    rtt_s = _fit_trips(calls, model, fitted, untold)
    _fit_starts(calls, model, direct, rtt_s, fitted)
    _fit_payloads(calls, model, fitted, untold)
    _fit_spread(calls, model, fitted, untold)
    _fit_ratio(every, calls, keys, model, fitted, untold)
    _fit_concurrency(direct, model, fitted, untold)
    if few := [one.name for one in fitted if one.runs is not None and one.runs < LEAST_RUNS]:
        untold.append(
            f"how {listed(few)} {'differs' if len(few) == 1 else 'differ'} from run to run: the interval is of the calls of "
            f"fewer than {LEAST_RUNS} runs"
        )
    untold += [
        "idle_halving_s: how fast idle environments are evicted needs pauses of minutes between runs",
        "s3_get_s, s3_put_s, network_mb_per_s: a call records its S3 time as one sum of latency and transfer",
    ]
    origins = {run.planned.origin for run in direct}
    return Calibration(fitted, untold, len(direct), len(calls.run), _notes(origins))


def parameter_file(found: Calibration, source: str, date: str) -> str:
    """The fitted parameters as TOML, for `model=FILE`."""
    lines = [
        "# Parameters of the model of AWS Lambda, fitted by `lbench calibrate`. Use with -b simulated:model=FILE.",
        "",
    ]
    for one in found.fitted:
        lines.append(f"[{one.name}]")
        if one.sigma is None:
            lines.append(f"value = {one.value:.6g}")
        else:
            lines += [f"median = {one.value:.6g}", f"sigma = {one.sigma:.4g}"]
        spread = "once" if one.low is None else f"{one.kind}: {one.low:.4g} to {one.high:.4g}"
        lines += [f'source = "{source}: {one.count} {one.what}, {spread}"', f"date = {date}", ""]
    return "\n".join(lines)


def _notes(origins: Iterable[Origin]) -> list[str]:
    return [
        f"these runs were {origin}: the parameters describe that, not AWS Lambda"
        for origin in sorted(origins)
        if origin != "measured"
    ]


def _fit_trips(calls: Calls, model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> Floats:
    """Fit the round trip and what a warm call waits for besides; returns the round trip of each call's run.

    A warm call takes the round trip of its run and a lognormal wait. The wait's skewness tells the two apart: calls that
    come singly show it best.
    """
    outside = calls.outside_s
    small = (calls.request_mb < _LEAST_MB) & (calls.response_mb < _LEAST_MB) & ~np.isnan(outside)
    warm = small & ~calls.cold
    if warm.sum() < _LEAST:
        untold.append(f"rtt_s, invoke_overhead_s: {_LEAST} warm calls with small payloads are needed; use more repeats")
        return np.full(len(outside), model.rtt_s.median)
    kinds = (
        ("invoke_overhead_s", warm & ~calls.burst, "warm calls, singly", model.invoke_overhead_s),
        ("start_delay_s", warm & calls.burst, f"warm calls in bursts of {BURST} or more", model.start_delay_s),
    )
    single = kinds[0][1].sum() >= _LEAST
    wait, which, what, now = kinds[0 if single else 1]
    rows = np.flatnonzero(which)
    sigma = None
    apart = f"rtt_s and {wait} are separated by the skewness of the latter alone, which is taken for lognormal"
    if len(rows) < _LEAST_SKEWED:
        sigma = now.sigma if isinstance(now, Lognormal) else 0.0
        apart += f", with the model's sigma: its own needs {_LEAST_SKEWED} {what}, got {len(rows)}"
    untold.append(apart)

    def trips(chosen: NDArray[np.int64]) -> Floats:
        return round_trips(outside[chosen], calls.run[chosen], sigma)

    def median(chosen: NDArray[np.int64]) -> float:
        return float(np.median(trips(chosen)))

    def rest(chosen: NDArray[np.int64]) -> float:
        return float(np.median(outside[chosen] - trips(chosen)))

    found = trips(rows)
    of_runs = {int(run): float(one) for run, one in zip(calls.run[rows], found, strict=True)}
    spread = model.rtt_s.sigma if isinstance(model.rtt_s, Lognormal) else 0.0
    if len(of_runs) >= LEAST_RUNS:
        spread = float(np.std(np.log(list(of_runs.values())), ddof=1))
    else:
        untold.append(f"rtt_s: its sigma, from run to run, is the model's: {LEAST_RUNS} runs are needed")
    fitted.append(fit_parameter("rtt_s", model.rtt_s.median, rows, calls, median, what=what, sigma=spread))
    rtt_s = np.array([of_runs.get(run, fitted[-1].value) for run in calls.run.tolist()])
    for name, which, what, now in kinds:
        chosen = np.flatnonzero(which)
        if len(chosen) < _LEAST:
            untold.append(f"{name}: {_LEAST} {what} are needed, got {len(chosen)}")
            continue
        waits = np.maximum(outside - rtt_s, TINY_S)
        if name == wait:  # its interval holds that of the round trip, too
            sigma = robust_sigma(np.log(waits[chosen]))
            fitted.append(fit_parameter(name, now.median, chosen, calls, rest, what=what, sigma=sigma))
        else:
            fitted.append(fit_lognormal(name, now.median, chosen, calls, waits, what))
    return rtt_s


def _fit_starts(calls: Calls, model: LambdaModel, runs: list[RunView], rtt_s: Floats, fitted: list[Fitted]) -> None:
    cold = np.flatnonzero(calls.cold & ~np.isnan(calls.init_s))
    if len(cold) >= _LEAST:
        now = model.init_of("x86_64", "3.13").median
        fitted.append(
            fit_lognormal("init_s", now, cold, calls, calls.init_s, "cold starts, imports of the code included")
        )
    outside = calls.outside_s
    rows = np.flatnonzero(calls.cold & ~np.isnan(outside))
    bursts = bool(np.mean(calls.burst[rows]) > 0.5)
    placed = np.flatnonzero(~calls.cold & ~np.isnan(outside) & (calls.burst == bursts) & calls.first)
    both = np.maximum(outside - rtt_s, TINY_S)
    if len(placed) >= _LEAST:
        before = both[placed]
    else:
        before = (model.start_delay_s if bursts else model.invoke_overhead_s).draw(np.random.default_rng(1), 500)
    _, sigma = second_part(both[rows], before)

    def median(chosen: NDArray[np.int64]) -> float:
        return second_part(both[chosen], before, sigma)[0]

    now = model.allocation_s.median
    fitted.append(fit_parameter("allocation_s", now, rows, calls, median, what="cold starts", sigma=sigma))
    gaps: list[float] = []
    for run in runs:
        columns = run.columns
        capacity = run.started.capacity if run.started is not None else 1
        for stage in range(len(run.stages)):
            times = np.sort(columns["dispatched_s"][(columns["stage"] == stage) & (columns["attempt"] == 0)])[:capacity]
            if len(times) >= BURST:
                gaps.append(float(times[-1] - times[0]) / (len(times) - 1))
    if gaps and np.median(gaps) > 0:  # in virtual time all calls leave at one moment
        values = np.array(gaps)
        low, high, kind = interval(lambda pick: float(np.median(values[pick])), len(values))
        fitted.append(
            Fitted(
                name="driver_dispatch_s",
                value=float(np.median(values)),
                low=low,
                high=high,
                kind=kind,
                model=model.driver_dispatch_s.median,
                count=len(values),
                what="bursts",
            )
        )


def _fit_payloads(calls: Calls, model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> None:
    outside = calls.outside_s
    warm = ~calls.cold & ~np.isnan(outside)
    for name, sizes, now in (
        ("uplink_mb_per_s", calls.request_mb, model.uplink_mb_per_s.median),
        ("downlink_mb_per_s", calls.response_mb, model.downlink_mb_per_s.median),
    ):
        rows = np.flatnonzero(warm)
        varied = (
            len(rows) >= _LEAST and sizes[rows].max() >= _LEAST_MB and np.ptp(sizes[rows]) >= 0.5 * sizes[rows].max()
        )
        if not varied:
            untold.append(f"{name}: payloads of different sizes, some above {_LEAST_MB:g} MB, are needed")
            continue

        def rate(chosen: NDArray[np.int64], sizes: Floats = sizes) -> float:
            slope = float(np.polyfit(sizes[chosen], outside[chosen], 1)[0])
            return 1.0 / max(slope, 1e-6)

        fitted.append(fit_parameter(name, now, rows, calls, rate, what="warm calls"))


def _fit_spread(calls: Calls, model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> None:
    computed = np.flatnonzero(calls.compute_s >= _LEAST_COMPUTE_S)
    logs = np.full(len(calls.run), np.nan)
    logs[computed] = np.log(calls.compute_s[computed])
    residuals = np.full(len(calls.run), np.nan)  # of a call from the mean of its task
    kept = np.zeros(len(calls.run))  # the share of its own effects that this leaves
    for group in group_rows(calls.key, computed):
        if len(group) >= 2:
            residuals[group] = logs[group] - logs[group].mean()
            kept[group] = 1 - 1 / len(group)
    rows = np.flatnonzero(~np.isnan(residuals) & (calls.environment >= 0))
    groups = [group for group in group_rows(calls.environment, rows) if len(group) >= 2]
    if len(rows) < _LEAST_RESIDUALS or len(groups) < 3:
        untold.append(
            "environment_sigma, task_sigma: the same tasks in at least two repeats, on environments that are used again, "
            f"are needed ({_LEAST_RESIDUALS} calls of at least {_LEAST_COMPUTE_S * 1000:g} ms)"
        )
        return

    sums, squares, weights, weight_squares = np.array(
        [
            (residuals[group].sum(), (residuals[group] ** 2).sum(), kept[group].sum(), (kept[group] ** 2).sum())
            for group in groups
        ]
    ).T

    def components(pick: NDArray[np.int64]) -> tuple[float, float]:
        """Between environments: what two calls of one have in common. Within: the rest of the variance."""
        common = (sums[pick] ** 2 - squares[pick]).sum() / (weights[pick] ** 2 - weight_squares[pick]).sum()
        between = max(0.0, float(common))
        total = float(squares[pick].sum() / weights[pick].sum())
        return float(np.sqrt(between)), float(np.sqrt(max(0.0, total - between)))

    value = components(np.arange(len(groups)))
    for place, (name, now) in enumerate(
        (("environment_sigma", model.environment_sigma.median), ("task_sigma", model.task_sigma.median))
    ):
        low, high, kind = interval(lambda pick, place=place: components(pick)[place], len(groups))  # type: ignore[misc]
        fitted.append(
            Fitted(
                name=name, value=value[place], low=low, high=high, kind=kind, model=now, count=len(rows),
                what=f"calls on {count_text(len(groups), 'environment')}",
            )
        )  # fmt: skip


def _fit_ratio(
    every: list[RunView],
    calls: Calls,
    keys: dict[tuple[str, ...], int],
    model: LambdaModel,
    fitted: list[Fitted],
    untold: list[str],
) -> None:
    needed = (
        "core_ratio: the same job on this machine (-b sequential) in the same session or another one given is needed"
    )
    local = [
        run
        for run in every
        if run.planned.backend in _LOCAL and run.planned.origin == "measured" and run.status == "ok" and not run.paused
    ]
    if not local:
        untold.append(needed)
        return
    best = min((run.planned.backend for run in local), key=_LOCAL.index)
    here: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for run in local:
        if run.planned.backend != best:
            continue
        columns = run.columns
        rows = np.flatnonzero(columns["status"] == OK)
        job = job_key(run)[:3]
        for stage, task, ms in zip(
            columns["stage"][rows].tolist(),
            columns["task"][rows].tolist(),
            columns["compute_ms"][rows].tolist(),
            strict=True,
        ):
            if ms == ms and ms >= _LEAST_COMPUTE_S * 1000:
                here[(*job, str(stage), str(task))].append(ms / 1000)
    there = {number: key for key, number in keys.items()}
    ratios = []
    for group in group_rows(calls.key, np.flatnonzero(calls.compute_s >= _LEAST_COMPUTE_S)):
        key = there[int(calls.key[group[0]])]
        found = here.get((*key[:3], *key[4:]))
        if found:
            memory = float(key[3]) if key[3] not in ("", "None") else 1769.0
            ratios.append(float(np.median(calls.compute_s[group])) * min(1.0, speed(memory)) / float(np.median(found)))
    if len(ratios) < 3:
        untold.append(needed)
        return
    logs = np.log(np.array(ratios))
    low, high, kind = interval(lambda pick: float(np.exp(np.median(logs[pick]))), len(logs))
    fitted.append(
        Fitted(
            name="core_ratio",
            value=float(np.exp(np.median(logs))),
            low=low,
            high=high,
            kind=kind,
            sigma=robust_sigma(logs),
            model=model.core_ratio.median,
            count=len(ratios),
            what=f"tasks, against {best}",
        )
    )
    untold.append(
        "core_ratio holds for this code and this machine: other code uses caches and vector units differently"
    )


def _fit_concurrency(runs: list[RunView], model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> None:
    most = []
    for run in runs:
        columns = run.columns
        if not (columns["status"] == _THROTTLED).any():
            continue
        good = columns["status"] == OK
        moments = np.concatenate([columns["started_s"][good], columns["finished_s"][good]])
        steps = np.concatenate([np.ones(good.sum()), -np.ones(good.sum())])
        known = ~np.isnan(moments)
        most.append(float(np.cumsum(steps[known][np.argsort(moments[known], kind="stable")]).max()))
    if not most:
        untold.append("concurrency, ramp: no call was throttled, so the account's limits are not seen")
        return
    ends = (min(most), max(most)) if len(most) > 1 else (None, None)
    fitted.append(
        Fitted(
            name="concurrency", value=max(most), low=ends[0], high=ends[1], kind="range", model=model.concurrency.median,
            count=len(most), what="runs with throttled calls",
        )
    )  # fmt: skip
