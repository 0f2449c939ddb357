"""Fits the model of Lambda to recorded runs: each parameter with its interval, and what the data cannot tell.

Each parameter comes from the calls that show it alone: a round trip less the time inside the function is network (the same
for all calls of a run) and service (skewed), a burst's is its placement, a cold one's the allocation. Intervals are
percentile bootstraps over runs, or over calls where there are fewer than three runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lbench.analysis.format import count_text
from lbench.engine.model import Origin
from lbench.engine.session.columns import STATUSES
from lbench.engine.session.view import RunView, SessionView
from lbench.engine.simulation.compute import speed
from lbench.engine.simulation.distributions import Lognormal
from lbench.engine.simulation.parameters import LambdaModel
from lbench.engine.simulation.platform import BURST
from lbench.errors import InputError

__all__ = ["LEAST_COLD", "Calibration", "Fitted", "calibrate", "parameter_file", "round_trips", "second_part"]

Floats = NDArray[np.float64]

LEAST_COLD = 5
_LEAST = 5  # calls for any parameter
_LEAST_SKEWED = 30  # calls for the skewness of their times
_TAIL, _TAIL_SCORE = 0.05, 1.6449  # a share of calls on each side, and its quantile of a normal distribution
_SKEWED = (0.1, 1.5)  # least and most sigma of a wait
_LEAST_RESIDUALS = 20
_LEAST_COMPUTE_S = 0.005  # below that a ratio of two durations is noise
_LEAST_MB = 0.2  # of a payload, below which its time is lost in the rest
_RESAMPLES = 400
_LEAST_RUNS = 3
_CONFIDENCE = 0.95
_TINY_S = 1e-5
_PLACES = 41  # of a distribution, where two are added
_SIGMAS = tuple(float(one) for one in np.linspace(0.0, 1.2, 25))
_OK, _THROTTLED = STATUSES.index("ok"), STATUSES.index("throttled")
_LOCAL = ("sequential", "processes", "threads")  # the first: there a task shares its core least


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter: its value or median, the interval of that, and the spread of a distribution."""

    name: str
    value: float
    low: float
    high: float
    sigma: float | None = None  # of the logarithm; None: the parameter has no spread of its own
    model: float  # what the model has now
    count: int  # values that it comes from
    what: str  # of what


class Calibration(msgspec.Struct, frozen=True):
    """What recorded runs say about the model."""

    fitted: list[Fitted]
    untold: list[str]  # what the data cannot tell, and what would
    runs: int
    calls: int
    notes: list[str]


class _Calls(msgspec.Struct, frozen=True):
    """The good calls of all runs, as arrays."""

    run: NDArray[np.int64]
    environment: NDArray[np.int64]  # numbered over all runs; -1: not known
    cold: NDArray[np.bool_]
    burst: NDArray[np.bool_]  # sent with many others when nothing was under way
    first: NDArray[np.bool_]  # of its environment's wave
    compute_s: Floats
    inside_s: Floats
    init_s: Floats
    trip_s: Floats  # from dispatch to return
    request_mb: Floats
    response_mb: Floats
    key: NDArray[np.int64]  # the same for the same task of the same job

    @property
    def outside_s(self) -> Floats:
        """The part of the round trip that is network and service."""
        return self.trip_s - self.inside_s - np.where(self.cold & ~np.isnan(self.init_s), self.init_s, 0.0)


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
        raise InputError("calibrating needs runs with transport direct: the others hide when a call arrives")
    keys: dict[tuple[str, ...], int] = {}
    calls = _calls(direct, keys, model.driver_dispatch_s.median)
    cold = int(calls.cold.sum())
    if cold < LEAST_COLD:
        raise InputError(
            f"calibrating needs at least {LEAST_COLD} cold starts, got {cold}: record more, for example with "
            "--cold-repeats 3"
        )
    fitted: list[Fitted] = []
    untold: list[str] = []
    rtt_s = _fit_trips(calls, model, fitted, untold)
    _fit_starts(calls, model, direct, rtt_s, fitted)
    _fit_payloads(calls, model, fitted, untold)
    _fit_spread(calls, model, fitted, untold)
    _fit_ratio(every, direct, calls, keys, model, fitted, untold)
    _fit_concurrency(direct, model, fitted, untold)
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
        interval = f"95 %: {one.low:.4g} to {one.high:.4g}"
        lines += [f'source = "{source}: {one.count} {one.what}, {interval}"', f"date = {date}", ""]
    return "\n".join(lines)


def _notes(origins: Iterable[Origin]) -> list[str]:
    return [
        f"these runs were {origin}: the parameters describe that, not AWS Lambda"
        for origin in sorted(origins)
        if origin != "measured"
    ]


# -- the calls


def _calls(runs: list[RunView], keys: dict[tuple[str, ...], int], dispatch_s: float) -> _Calls:
    parts: dict[str, list[Any]] = defaultdict(list)
    environments: dict[tuple[str, str], int] = {}
    for number, run in enumerate(runs):
        columns = run.columns
        rows = np.flatnonzero((columns["status"] == _OK) & (columns["dispatched_s"] == columns["dispatched_s"]))
        if not len(rows):
            continue
        names = columns.environments
        label = f"{run.planned.label}/{run.started.package_digest if run.started else ''}"
        codes = [
            -1 if code < 0 else environments.setdefault((label, names[code]), len(environments))
            for code in columns["environment"][rows].tolist()
        ]
        job = _job(run)
        started, finished = columns["started_s"][rows], columns["finished_s"][rows]
        compute = columns["compute_ms"][rows].astype(np.float64) / 1000
        inside = finished - started
        inside = np.where(np.isnan(inside), compute, inside)
        stages, tasks = columns["stage"][rows], columns["task"][rows]
        burst, first, ahead = _waves(run, rows)
        # In virtual time all calls of a wave leave at one moment: the driver's own time for those ahead is in the trip.
        queue_s = ahead * (dispatch_s if run.planned.origin == "simulated" else 0.0)
        parts["run"].append(np.full(len(rows), number))
        parts["environment"].append(np.array(codes))
        parts["cold"].append(columns["cold"][rows] == 1)
        parts["burst"].append(burst)
        parts["first"].append(first)
        parts["compute_s"].append(compute)
        parts["inside_s"].append(inside)
        parts["init_s"].append(columns["init_ms"][rows].astype(np.float64) / 1000)
        parts["trip_s"].append(columns["returned_s"][rows] - columns["dispatched_s"][rows] - queue_s)
        parts["request_mb"].append(np.maximum(columns["request_bytes"][rows], 0) / 1e6)
        parts["response_mb"].append(np.maximum(columns["response_bytes"][rows], 0) / 1e6)
        parts["key"].append(
            np.array(
                [
                    keys.setdefault((*job, str(stage), str(task)), len(keys))
                    for stage, task in zip(stages.tolist(), tasks.tolist(), strict=True)
                ]
            )
        )
    arrays: dict[str, Any] = {
        name: np.concatenate(parts[name]) if parts[name] else np.empty(0, dtype=np.int64)
        for name in _Calls.__struct_fields__
    }
    return _Calls(**arrays)


def _job(run: RunView) -> tuple[str, ...]:
    """What makes two runs the same work."""
    planned = run.planned
    memory = "" if run.started is None else str(run.started.pricing.memory_mb)
    return planned.workload, msgspec.json.encode(planned.params).decode(), str(planned.seed), memory


def _waves(run: RunView, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Which calls left in a burst of many, which were the first of their place in the stage, and how many left ahead."""
    columns = run.columns
    burst, first = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    ahead = np.zeros(len(rows), dtype=np.int64)
    capacity = run.started.capacity if run.started is not None else 1
    for stage in range(len(run.stages)):
        inside = np.flatnonzero(columns["stage"][rows] == stage)
        order = inside[np.argsort(columns["dispatched_s"][rows][inside], kind="stable")]
        wave = order[:capacity]
        first[wave] = True
        ahead[wave] = np.arange(len(wave)) + 1
        burst[wave] = len(wave) >= BURST
    return burst, first, ahead


# -- the parameters


def _fit_trips(calls: _Calls, model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> Floats:
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
    apart = f"rtt_s and {wait} are told apart by the skewness of the latter alone, which is taken for lognormal"
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
    if len(of_runs) >= _LEAST_RUNS:
        spread = float(np.std(np.log(list(of_runs.values())), ddof=1))
    else:
        untold.append(f"rtt_s: its sigma, from run to run, is the model's: {_LEAST_RUNS} runs are needed")
    fitted.append(_fit("rtt_s", model.rtt_s.median, rows, calls, median, what=what, sigma=spread))
    rtt_s = np.array([of_runs.get(run, fitted[-1].value) for run in calls.run.tolist()])
    for name, which, what, now in kinds:
        chosen = np.flatnonzero(which)
        if len(chosen) < _LEAST:
            untold.append(f"{name}: {_LEAST} {what} are needed, got {len(chosen)}")
            continue
        waits = np.maximum(outside - rtt_s, _TINY_S)
        if name == wait:  # its interval holds that of the round trip, too
            sigma = _robust_sigma(np.log(waits[chosen]))
            fitted.append(_fit(name, now.median, chosen, calls, rest, what=what, sigma=sigma))
        else:
            fitted.append(_fit_lognormal(name, now.median, chosen, calls, waits, what))
    return rtt_s


def round_trips(outside_s: Floats, run: NDArray[np.int64], sigma: float | None = None) -> Floats:
    """The constant part of each call's time, the same for all calls of a run; the rest is lognormal, the same in all runs.

    Within a run the quantiles of 5 and 95 % lie at median * (exp(±1.64 sigma) - 1) from the middle: their ratio gives
    sigma, unless it is given, and then the lower one the median of the rest.
    """
    middle = np.empty(len(outside_s))
    for of in _groups(run, np.arange(len(run))):
        middle[of] = np.median(outside_s[of])
    low, high = np.quantile(outside_s - middle, (_TAIL, 1 - _TAIL)).tolist()
    if sigma is None:
        sigma = float(np.log(max(high, _TINY_S) / max(-low, _TINY_S))) / _TAIL_SCORE
    rest_s = -low / (1 - np.exp(-_TAIL_SCORE * min(max(sigma, _SKEWED[0]), _SKEWED[1])))
    return np.asarray(np.maximum(middle - rest_s, _TINY_S))


def _fit_starts(calls: _Calls, model: LambdaModel, runs: list[RunView], rtt_s: Floats, fitted: list[Fitted]) -> None:
    cold = np.flatnonzero(calls.cold & ~np.isnan(calls.init_s))
    if len(cold) >= _LEAST:
        now = model.init_of("x86_64", "3.13").median
        fitted.append(
            _fit_lognormal("init_s", now, cold, calls, calls.init_s, "cold starts, imports of the code included")
        )
    outside = calls.outside_s
    rows = np.flatnonzero(calls.cold & ~np.isnan(outside))
    bursts = bool(np.mean(calls.burst[rows]) > 0.5)
    placed = np.flatnonzero(~calls.cold & ~np.isnan(outside) & (calls.burst == bursts) & calls.first)
    both = np.maximum(outside - rtt_s, _TINY_S)
    if len(placed) >= _LEAST:
        before = both[placed]
    else:
        before = (model.start_delay_s if bursts else model.invoke_overhead_s).draw(np.random.default_rng(1), 500)
    _, sigma = second_part(both[rows], before)

    def median(chosen: NDArray[np.int64]) -> float:
        return second_part(both[chosen], before, sigma)[0]

    now = model.allocation_s.median
    fitted.append(_fit("allocation_s", now, rows, calls, median, what="cold starts", sigma=sigma))
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
        low, high = _percentiles([float(np.median(values[pick])) for pick in _picks(len(values))])
        fitted.append(
            Fitted(
                name="driver_dispatch_s",
                value=float(np.median(values)),
                low=low,
                high=high,
                model=model.driver_dispatch_s.median,
                count=len(values),
                what="bursts",
            )
        )


def _fit_payloads(calls: _Calls, model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> None:
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

        fitted.append(_fit(name, now, rows, calls, rate, what="warm calls"))


def _fit_spread(calls: _Calls, model: LambdaModel, fitted: list[Fitted], untold: list[str]) -> None:
    computed = np.flatnonzero(calls.compute_s >= _LEAST_COMPUTE_S)
    logs = np.full(len(calls.run), np.nan)
    logs[computed] = np.log(calls.compute_s[computed])
    residuals = np.full(len(calls.run), np.nan)  # of a call from the mean of its task
    kept = np.zeros(len(calls.run))  # the share of its own effects that this leaves
    for group in _groups(calls.key, computed):
        if len(group) >= 2:
            residuals[group] = logs[group] - logs[group].mean()
            kept[group] = 1 - 1 / len(group)
    rows = np.flatnonzero(~np.isnan(residuals) & (calls.environment >= 0))
    groups = [group for group in _groups(calls.environment, rows) if len(group) >= 2]
    if len(rows) < _LEAST_RESIDUALS or len(groups) < 3:
        untold.append(
            "environment_sigma, task_sigma: the same tasks in at least two repeats, on environments that are used again, "
            f"are needed ({_LEAST_RESIDUALS} calls of at least {_LEAST_COMPUTE_S * 1000:g} ms)"
        )
        return

    def components(chosen: Sequence[NDArray[np.int64]]) -> tuple[float, float]:
        """Between environments: what two calls of one have in common. Within: the rest of the variance."""
        common = sum(float(residuals[group].sum() ** 2 - (residuals[group] ** 2).sum()) for group in chosen)
        weight = sum(float(kept[group].sum() ** 2 - (kept[group] ** 2).sum()) for group in chosen)
        every = np.concatenate(chosen)
        total = float((residuals[every] ** 2).sum() / kept[every].sum())
        between = max(0.0, common / weight)
        return float(np.sqrt(between)), float(np.sqrt(max(0.0, total - between)))

    value = components(groups)
    resampled = [components([groups[one] for one in pick]) for pick in _picks(len(groups))]
    for place, (name, now) in enumerate(
        (("environment_sigma", model.environment_sigma.median), ("task_sigma", model.task_sigma.median))
    ):
        low, high = _percentiles([one[place] for one in resampled])
        fitted.append(
            Fitted(
                name=name, value=value[place], low=low, high=high, model=now, count=len(rows),
                what=f"calls on {count_text(len(groups), 'environment')}",
            )
        )  # fmt: skip


def _fit_ratio(
    every: list[RunView],
    runs: list[RunView],
    calls: _Calls,
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
        rows = np.flatnonzero(columns["status"] == _OK)
        job = _job(run)[:3]
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
    for group in _groups(calls.key, np.flatnonzero(calls.compute_s >= _LEAST_COMPUTE_S)):
        key = there[int(calls.key[group[0]])]
        found = here.get((*key[:3], *key[4:]))
        if found:
            memory = float(key[3]) if key[3] not in ("", "None") else 1769.0
            ratios.append(float(np.median(calls.compute_s[group])) * min(1.0, speed(memory)) / float(np.median(found)))
    if len(ratios) < 3:
        untold.append(needed)
        return
    logs = np.log(np.array(ratios))
    low, high = _percentiles([float(np.exp(np.median(logs[pick]))) for pick in _picks(len(logs))])
    fitted.append(
        Fitted(
            name="core_ratio",
            value=float(np.exp(np.median(logs))),
            low=low,
            high=high,
            sigma=_robust_sigma(logs),
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
        good = columns["status"] == _OK
        moments = np.concatenate([columns["started_s"][good], columns["finished_s"][good]])
        steps = np.concatenate([np.ones(good.sum()), -np.ones(good.sum())])
        known = ~np.isnan(moments)
        most.append(float(np.cumsum(steps[known][np.argsort(moments[known], kind="stable")]).max()))
    if not most:
        untold.append("concurrency, ramp: no call was throttled, so the account's limits are not seen")
        return
    fitted.append(
        Fitted(
            name="concurrency", value=max(most), low=min(most), high=max(most), model=model.concurrency.median,
            count=len(most), what="runs with throttled calls",
        )
    )  # fmt: skip


# -- arithmetic


def second_part(sums: Floats, first: Floats, sigma: float | None = None) -> tuple[float, float]:
    """The median and sigma of a lognormal part that, added to draws of the first one, gives sums like these.

    Medians do not add up where a part is skewed, so median and quartiles of the sums are matched. A given `sigma` stays.
    """
    places = (np.arange(_PLACES) + 0.5) / _PLACES
    firsts = np.quantile(first, places)[:, None]
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(place) for place in places.tolist()])[None, :]
    low, wanted, high = np.quantile(sums, (0.25, 0.5, 0.75)).tolist()

    def matched(spread: float) -> tuple[float, float]:
        """The median for that sigma, and how far the quartiles then are from those of the sums."""
        shape = np.exp(spread * scores)
        least, most = _TINY_S, max(wanted, _TINY_S)
        for _ in range(30):
            middle = (least + most) / 2
            least, most = (middle, most) if np.median(firsts + middle * shape) < wanted else (least, middle)
        quarters = np.quantile(firsts + least * shape, (0.25, 0.75))
        return least, abs(float(np.ptp(quarters)) - (high - low))

    if sigma is None:
        sigma = min(_SIGMAS, key=lambda one: matched(one)[1])
    return matched(sigma)[0], sigma


def _fit_lognormal(name: str, now: float, rows: NDArray[np.int64], calls: _Calls, values: Floats, what: str) -> Fitted:
    logs = np.log(np.maximum(values, _TINY_S))

    def median(chosen: NDArray[np.int64]) -> float:
        return float(np.exp(np.median(logs[chosen])))

    return _fit(name, now, rows, calls, median, what=what, sigma=_robust_sigma(logs[rows]))


def _fit(
    name: str,
    now: float,
    rows: NDArray[np.int64],
    calls: _Calls,
    value_of: Callable[[NDArray[np.int64]], float],
    *,
    what: str,
    sigma: float | None = None,
) -> Fitted:
    by_run = _groups(calls.run, rows)
    if len(by_run) >= _LEAST_RUNS:
        resampled = [value_of(np.concatenate([by_run[one] for one in pick])) for pick in _picks(len(by_run))]
    else:
        resampled = [value_of(rows[pick]) for pick in _picks(len(rows))]
    low, high = _percentiles(resampled)
    return Fitted(
        name=name, value=value_of(rows), low=low, high=high, sigma=sigma, model=now, count=len(rows), what=what
    )


def _groups(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each label."""
    order = rows[np.argsort(labels[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    return [part for part in np.split(order, cuts) if len(part)]


def _picks(count: int) -> Iterable[NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return (rng.integers(0, count, count) for _ in range(_RESAMPLES))


def _percentiles(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2))
    return float(low), float(high)


def _robust_sigma(logs: Floats) -> float:
    """The standard deviation by the quartiles: a few stragglers do not widen it."""
    quarter, three_quarters = np.quantile(logs, (0.25, 0.75))
    return float(three_quarters - quarter) / 1.349
