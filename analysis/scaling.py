"""A sweep as curves: makespan and dollars of each backend along an axis, where they cross, and the machine by the hour.

The runs of a sweep carry its point (`sweep` in the session document); runs without one are placed by the parameters in
which they differ. `scalings` is the way in; `analysis.scaling_text` says the result in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from statistics import median_low
from typing import Any

import msgspec
import numpy as np

from lbench.analysis.break_even import BreakEven, break_evens
from lbench.analysis.comparison import Bill, Comparison, Line, Summary, Temperature, compare, price_basis, runs_of_line
from lbench.analysis.crossings import Crossing, Rival, course
from lbench.analysis.curves import Shape, fit, shape_of
from lbench.analysis.format import SETTING_AXES, listed, place_label
from lbench.analysis.prediction import LABEL, PredictedLine, unpredicted_text
from lbench.analysis.resumption import unfinished_runs
from lbench.analysis.series import Point, Series
from lbench.analysis.statistics import FULL_INTERVAL, Estimate, median_estimate
from lbench.engine.session.view import RunView, SessionView
from lbench.errors import InputError, count_text

__all__ = ["Mark", "Predict", "Scaling", "scalings"]

Predict = Callable[[Comparison, list[RunView]], PredictedLine | None]


class Mark(msgspec.Struct, frozen=True):
    """A place of the axis with a meaning of its own: the machine's physical cores, its hardware threads."""

    at: float
    text: str


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep along one axis; a sweep of two axes has one for each value of the second."""

    workload: str
    params: dict[str, Any]  # that all its runs share
    seed: int
    data: str | None  # its source, if all its runs share it
    axis: str  # a parameter, "workers", "memory" or "tasks"
    whole: bool  # the axis has whole numbers only
    beside: dict[str, Any]  # the second axis and its value
    places: tuple[float, ...]
    series: tuple[Series, ...]
    baseline: str | None  # the label that speedups are against
    least: tuple[str, ...]  # the fastest of the series that can be compared, along the axis
    crossings: tuple[Crossing, ...]  # in time; where none lies inside the range, the nearest miss
    usd_crossings: tuple[Crossing, ...]
    alike: tuple[
        tuple[str, str], ...
    ]  # in time: the second of each pair cannot be distinguished from the first, and is left out
    rivals: tuple[Rival, ...]  # in time: what may be as fast as the fastest at some places
    break_evens: tuple[BreakEven, ...]
    cold_crossings: tuple[Crossing, ...]  # as `crossings`, of backends that have cold and warm repeats by the cold ones
    marks: tuple[Mark, ...]
    rent_basis: str | None
    bases: tuple[str, ...]  # what the dollars of paid backends and the prediction rest on
    excluded: tuple[str, ...]  # why some series take no part in crossings

    def unpredicted(self, series: Series) -> tuple[float, ...]:
        """The places of a prediction's machine at which it has no value: no line may pass over them."""
        if series.origin != "predicted":
            return ()
        measured = [one for one in self.series if one.origin != "predicted" and one.machine == series.machine]
        return tuple(
            place for place in self.places if series.at(place) is None and any(one.at(place) for one in measured)
        )

    def __getitem__(self, name: str) -> Series:
        return next(one for one in self.series if one.name == name)


def scalings(
    views: Sequence[SessionView],
    bill: Bill,
    *,
    predict: Predict | None = None,
) -> list[Scaling]:
    """The sweep that these sessions hold, one `Scaling` for each value of its second axis.

    Args:
        views: sessions of one sweep (a resumed one has several), or sessions that differ in one or two parameters.
        bill: the arithmetic of a run's bill.
        predict: `analysis.prediction.predict_comparison`, or the same with a cache; None leaves Lambda's prediction out.

    Raises:
        InputError: nothing was swept, or the runs are of several workloads.
    """
    placed = _placed(views)
    axes = list(placed[0][2])
    main, beside = axes[0], axes[1:]
    groups: dict[tuple[Any, ...], list[_Placed]] = {}
    for one in placed:
        groups.setdefault(tuple(one[2][name] for name in beside), []).append(one)
    ordered = sorted(groups.items(), key=lambda item: tuple(map(float, item[0])))
    return [_scaling(views, main, dict(zip(beside, key, strict=True)), group, bill, predict) for key, group in ordered]


_Placed = tuple[int, RunView, dict[str, Any]]  # the number of its session, the run, its point


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _placed(views: Sequence[SessionView]) -> list[_Placed]:
    """The runs of the sweep with their points.

    Raises:
        InputError: as in `scalings`.
    """
    runs = [
        (number, run)
        for number, view in enumerate(views)
        for run in view.runs.values()
        if run.has_answer and run.planned.interaction is None
    ]
    with_sweep = [(number, run, run.planned.sweep) for number, run in runs if run.planned.sweep is not None]
    swept = [(number, run, sweep.point) for number, run, sweep in with_sweep if sweep.point]
    if swept:
        axes = set(swept[0][2])
        placed = [one for one in swept if set(one[2]) == axes and all(map(_is_number, one[2].values()))]
        if not placed:
            raise InputError("the sweep has no axis of numbers: its values must be numbers")
    else:
        placed = _derived(runs)
    workloads = dict.fromkeys(run.planned.workload for _, run, _ in placed)
    if len(workloads) > 1:
        raise InputError(f"the runs are of several workloads ({', '.join(workloads)}): name sessions of one sweep")
    _check_alike(placed)
    return placed


def _check_alike(placed: list[_Placed]) -> None:
    """Refuse runs that differ in more than the axes: a curve through them would be of several jobs.

    Raises:
        InputError: they do.
    """
    axes = set(placed[0][2])
    first = placed[0][1].planned
    data: dict[str, str] = {}  # digests at each place: it may depend on the swept parameter
    for _, run, point in placed:
        planned = run.planned
        names = [name for name in dict.fromkeys([*first.params, *planned.params]) if name not in axes]
        other = [name for name in names if planned.params.get(name) != first.params.get(name)]
        if planned.seed != first.seed:
            other.append("seed")
        own = None if run.started is None else run.started.data
        if own is not None and data.setdefault(repr(point), own.digest) != own.digest:
            other.append("data")
        if other:
            raise InputError(f"the runs differ in {listed(other)} as well as in {listed(sorted(axes))}: name one sweep")


def _derived(runs: list[tuple[int, RunView]]) -> list[_Placed]:
    """Runs without a sweep, placed by the one or two parameters in which they differ."""
    if not runs:
        raise InputError("no runs to draw a curve through: measure a sweep with `lbench sweep`")
    values: dict[str, set[Any]] = {}
    for _, run in runs:
        for name, value in run.planned.params.items():
            if _is_number(value):
                values.setdefault(name, set()).add(value)
    axes = [name for name, known in values.items() if len(known) > 1]
    if not axes:  # the same job: by the workers of the backends that have them
        workers = {
            run.id: run.started.settings["concurrency"]
            for _, run in runs
            if run.started is not None and _is_number(run.started.settings.get("concurrency"))
        }
        by_backend: dict[str, set[Any]] = {}
        for _, run in runs:
            if run.id in workers:
                by_backend.setdefault(run.planned.backend, set()).add(workers[run.id])
        if any(
            len(known) > 1 for known in by_backend.values()
        ):  # several backends, each with its own number, are no sweep
            return [(number, run, {"workers": workers[run.id]}) for number, run in runs if run.id in workers]
        raise InputError("nothing was swept: all runs have the same parameters. Measure a sweep with `lbench sweep`")
    if len(axes) > 2:
        raise InputError(f"the runs differ in {', '.join(axes)}: name sessions that differ in one or two parameters")
    axes.sort(key=lambda name: -len(values[name]))
    return [
        (number, run, {name: run.planned.params[name] for name in axes})
        for number, run in runs
        if all(_is_number(run.planned.params.get(name)) for name in axes)
    ]


def _scaling(
    views: Sequence[SessionView],
    axis: str,
    beside: dict[str, Any],
    placed: list[_Placed],
    bill: Bill,
    predict: Predict | None,
) -> Scaling:
    groups: dict[float, dict[int, list[RunView]]] = {}
    for number, run, point in placed:
        groups.setdefault(float(point[axis]), {}).setdefault(number, []).append(run)
    hosts = [None if view.header is None else view.header.environment.hostname for view in views]
    stopped = [unfinished_runs(view) for view in views]
    several = len({hosts[number] for number, _, _ in placed}) > 1
    collected: dict[tuple[str | None, str, Temperature | None], _Collected] = {}
    baselines: list[str] = []
    paid: dict[str, str] = {}  # by label: at what prices
    forecast: dict[float, PredictedLine] = {}
    unpredicted: dict[str, list[float]] = {}  # by the reason
    for place, sessions in sorted(groups.items()):
        for number, runs in _best(sessions, hosts).items():
            comparison = compare(runs, bill)
            baselines += [comparison.baseline] if comparison.baseline is not None else []
            machine = hosts[number] if several else None
            for summary, line in comparison.rows:
                key = (machine, summary.label, line.temperature)
                collected.setdefault(key, _Collected(summary, line.temperature, machine)).add(
                    place, number, summary, line, runs, bill, unfinished=any(run.id in stopped[number] for run in runs)
                )
                if (basis := price_basis(summary, with_memory=axis != "memory")) is not None:
                    paid.setdefault(summary.label, basis)
            predicted = None if predict is None else predict(comparison, runs)
            if predict is not None and predicted is None and (why := unpredicted_text(comparison)) is not None:
                unpredicted.setdefault(why, []).append(place)
            if predicted is not None:
                forecast[place] = predicted
                for temperature, _ in predicted.lines:
                    key = (machine, LABEL, temperature)
                    kept = collected.setdefault(key, _Collected(None, temperature, machine))
                    kept.points.append(_predicted_point(place, predicted, temperature))
                    kept.partial |= predicted.exchanges
    parameter = axis not in SETTING_AXES
    _share_failures(collected)
    series = _series(list(collected.values()), parameter)
    places = tuple(sorted(groups))
    used, excluded = _comparable(series)
    in_time = course(used, places, "time")
    in_usd = course([one for one in used if _has_usd(one)], places, "usd")
    shared = _shared_params([run for _, run, _ in placed], [axis, *beside])
    baseline = max(baselines, key=baselines.count) if baselines else None
    return Scaling(
        workload=placed[0][1].planned.workload,
        params=shared,
        seed=placed[0][1].planned.seed,
        data=_data([run for _, run, _ in placed]),
        axis=axis,
        whole=all(place == int(place) for place in places),
        beside=beside,
        places=places,
        series=tuple(series),
        baseline=baseline,
        least=in_time.least,
        crossings=in_time.crossings,
        usd_crossings=in_usd.crossings,
        alike=in_time.alike,
        rivals=in_time.rivals,
        cold_crossings=_cold_crossings(series, used, places),
        break_evens=tuple(break_evens(used, places)),
        marks=_marks(views) if axis == "workers" else (),
        rent_basis=_rent_basis(placed, hosts if several else None),
        bases=(
            *(f"dollars of {label}: {basis}" for label, basis in paid.items()),
            *_forecast_texts(forecast, axis),
            *_unpredicted_texts(unpredicted, axis, len(places)),
        ),
        excluded=tuple(excluded),
    )


def _share_failures(collected: dict[tuple[str | None, str, Temperature | None], _Collected]) -> None:
    """Give a place where a backend failed to its cold and its warm repeats: those that never began have no point there.

    One that failed before it was cold or warm is no series of its own beside these.
    """
    groups: dict[tuple[str | None, str], list[_Collected]] = {}
    for (machine, label, _), one in collected.items():
        groups.setdefault((machine, label), []).append(one)
    for key, group in groups.items():
        points = [point for one in group for point in one.points]
        timed = {point.at for point in points if point.makespan_s is not None}
        failed = {point.at: point for point in points if point.failed and point.at not in timed}
        for one in group:
            known = {point.at for point in one.points}
            one.points += [point for at, point in failed.items() if at not in known]
        own = collected.get((*key, None))
        if own is not None and len(group) > 1 and all(point.makespan_s is None for point in own.points):
            del collected[(*key, None)]


def _best(sessions: Mapping[int, list[RunView]], hosts: list[str | None]) -> dict[int, list[RunView]]:
    """For each machine the session that measured a point most often: a stopped one may have left a part of it."""
    best: dict[str | None, int] = {}
    for number, runs in sessions.items():
        other = best.get(hosts[number])
        if other is None or _ok(runs) >= _ok(sessions[other]):
            best[hosts[number]] = number
    return {number: sessions[number] for number in best.values()}


def _ok(runs: Iterable[RunView]) -> int:
    return sum(run.status == "ok" for run in runs)


class _Collected:
    """The points of one series, as they are found."""

    def __init__(self, summary: Summary | None, temperature: Temperature | None, machine: str | None) -> None:
        self.label = LABEL if summary is None else summary.label
        self.backend = "lambda" if summary is None else summary.backend
        self.origin = "predicted" if summary is None else summary.origin
        self.temperature = temperature
        self.machine = machine
        self.points: list[Point] = []
        self.partial = False

    def add(
        self,
        place: float,
        number: int,
        summary: Summary,
        line: Line,
        runs: list[RunView],
        bill: Bill,
        *,
        unfinished: bool,
    ) -> None:
        group = [run for run in runs if run.planned.label == summary.label and run.makespan_s is not None]
        own = runs_of_line(group, line)
        costs = [bill(run, None) for run in own]
        usds = [cost.usd for cost in costs]
        rents = [cost.items.machine_rent for cost in costs]
        billed = _amounts(usds) or _amounts(rents)
        self.points.append(
            Point(
                at=place,
                makespan_s=line.makespan_s,
                usd=median_estimate(known) if (known := _amounts(usds)) else None,
                rent_usd=median_estimate(known) if (known := _amounts(rents)) else None,
                speedup=line.speedup,
                claim=line.claim,
                repeats=line.repeats,
                repeats_ok=line.repeats_ok,
                paused=line.paused,
                stopped=line.stopped,
                capacity=summary.capacity,
                oversubscribed=summary.crowded,
                error=summary.error,
                unfinished=unfinished,
                times_s=tuple(run.makespan_s for run in own if run.makespan_s is not None),
                rounds=tuple(_round(number, run) for run in own),
                usds=tuple(billed) if len(billed) == len(own) else (),
                usd_per_hour=_usd_per_hour(own),
            )
        )


def _amounts(amounts: list[Decimal | None]) -> list[float]:
    return [float(amount) for amount in amounts if amount is not None]


def _round(number: int, run: RunView) -> int | None:
    """A key that runs of the same round and session share."""
    pair = run.planned.pair_round
    return None if pair is None else number * 1_000_000 + pair


def _predicted_point(place: float, line: PredictedLine, temperature: Temperature) -> Point:
    one = line.cold if temperature == "cold" else line.warm
    return Point(
        at=place,
        makespan_s=one.makespan_s,
        usd=Estimate(float(one.usd), float(one.low_usd), float(one.high_usd), one.makespan_s.count),
        rent_usd=None,
        speedup=line.speedup(one),
        claim=None,
        repeats=0,
        repeats_ok=0,
        capacity=line.environments,
        oversubscribed=False,
        error=None,
    )


def _series(collected: list[_Collected], parameter: bool) -> list[Series]:
    """All series; of a backend with two the warm one is the main one, if it has as many whole points."""
    found = []
    for one in collected:
        twin = next(
            (
                other
                for other in collected
                if other is not one and (other.label, other.machine) == (one.label, one.machine)
            ),
            None,
        )
        main = twin is None or _rank(one) > _rank(twin)
        points = _with_few(sorted(one.points, key=lambda point: point.at))
        values = [
            None if p.few or p.makespan_s is None or p.makespan_s.value <= 0 else p.makespan_s.value for p in points
        ]
        logs = [math.log(value) for value in values if value is not None]
        shape: Shape = (shape_of(logs) if parameter else "valley") if logs else "rising"
        curve = iter(np.exp(fit(logs, shape)) if logs else ())
        fitted = tuple(None if value is None else float(next(curve)) for value in values)
        found.append(
            Series(
                label=one.label,
                backend=one.backend,
                origin=one.origin,
                temperature=one.temperature,
                main=main,
                machine=one.machine,
                points=points,
                shape=shape,
                fitted_s=fitted,
                partial=one.partial,
            )
        )
    return found


def _with_few(points: list[Point]) -> tuple[Point, ...]:
    """The points of a series; those are marked whose few repeats would make all intervals as poor as their own.

    That is a point with fewer repeats than most, and fewer than an interval needs, if it was stopped or if most have enough.
    """
    counts = [len(point.times_s) for point in points if point.times_s]
    usual = median_low(counts) if counts else 0
    return tuple(
        msgspec.structs.replace(point, few=True)
        if 0 < len(point.times_s) < min(usual, FULL_INTERVAL) and (point.unfinished or usual >= FULL_INTERVAL)
        else point
        for point in points
    )


def _rank(one: _Collected) -> tuple[int, bool, bool]:
    """Which of two series stands for a backend. The first repeats are cold: a point that was cut off may have no others."""
    timed = [point for point in one.points if point.makespan_s is not None]
    return sum(not point.unfinished for point in timed), bool(timed), one.temperature == "warm"


def _has_usd(one: Series) -> bool:
    return all(
        point.usd is not None or point.rent_usd is not None for point in one.points if point.makespan_s is not None
    )


def _comparable(series: list[Series]) -> tuple[list[Series], list[str]]:
    """The main series whose times can be compared, without the points that cannot; and why some are left out."""
    used, excluded = [], []
    for one in series:
        if not one.main:
            continue
        if one.partial:
            excluded.append(
                f"{one.name} is without the objects that its tasks exchange through S3: in no crossing and no break-even"
            )
            continue
        crowded = [point for point in one.points if point.oversubscribed]
        kept = [point for point in one.points if not point.oversubscribed and not point.few]
        if crowded:
            where = "everywhere" if len(crowded) == len(one.points) else f"at {count_text(len(crowded), 'point')}"
            excluded.append(
                f"{one.name} has more environments than this machine can carry {where}: not in crossings there"
            )
        if any(point.makespan_s is not None and point.makespan_s.value <= 0 for point in kept):
            excluded.append(f"{one.name} has a makespan of 0: left out of crossings")
        elif sum(point.makespan_s is not None for point in kept) > 1:
            used.append(one if len(kept) == len(one.points) else msgspec.structs.replace(one, points=tuple(kept)))
    return used, excluded


def _rent_basis(placed: list[_Placed], hosts: list[str | None] | None) -> str | None:
    """Which machine is rented, at what price; with `hosts`, of several machines."""
    found: dict[str | None, str] = {}
    for number, run, _ in placed:
        basis = None if run.started is None else run.started.pricing.rent_basis
        if basis is not None:
            found.setdefault(None if hosts is None else hosts[number], basis)
    if len(set(found.values())) > 1:
        return "; ".join(f"{host}: {basis}" for host, basis in found.items())
    return next(iter(found.values()), None)


def _usd_per_hour(runs: list[RunView]) -> Decimal | None:
    """The rent of the machine that these runs had."""
    prices = (None if run.started is None else run.started.pricing.rent_usd_per_hour for run in runs)
    return next((Decimal(price) for price in prices if price is not None), None)


def _cold_crossings(series: list[Series], used: list[Series], places: tuple[float, ...]) -> tuple[Crossing, ...]:
    """The crossings of a job that is run once: its environments are all new."""
    warm = {(one.label, one.machine) for one in used if one.temperature == "warm"}
    cold = [one for one in series if one.temperature == "cold" and (one.label, one.machine) in warm]
    kept, _ = _comparable([msgspec.structs.replace(one, main=True) for one in cold])
    others = [one for one in used if one.temperature != "warm"]
    return course([*others, *kept], places, "time").crossings if kept and others else ()


def _forecast_texts(forecast: dict[float, PredictedLine], axis: str) -> list[str]:
    """What the predicted series rests on, at the last of its places."""
    if not forecast:
        return []
    place, line = max(forecast.items())
    return [f"{line.conditions}; it depends on: {line.depends_on} (at {place_label(axis, place)})"]


def _unpredicted_texts(unpredicted: dict[str, list[float]], axis: str, places: int) -> list[str]:
    """Why there is no prediction, with the places where there is none."""
    return [
        why if len(at) == places else f"{listed([place_label(axis, place) for place in at])}: {why}"
        for why, at in unpredicted.items()
    ]


def _data(runs: list[RunView]) -> str | None:
    known = {run.started.data.source for run in runs if run.started is not None and run.started.data is not None}
    return known.pop() if len(known) == 1 else None


def _shared_params(runs: list[RunView], axes: list[str]) -> dict[str, Any]:
    first = runs[0].planned.params
    return {
        name: value
        for name, value in first.items()
        if name not in axes and all(run.planned.params.get(name) == value for run in runs)
    }


def _marks(views: Sequence[SessionView]) -> tuple[Mark, ...]:
    """The physical cores and the hardware threads of the machine, where they differ."""
    environment = next((view.header.environment for view in views if view.header is not None), None)
    if environment is None or environment.physical_cores is None:
        return ()
    physical, logical = environment.physical_cores, environment.logical_cores
    marks = [Mark(float(physical), "physical cores")]
    if logical is not None and logical > physical:
        marks.append(Mark(float(logical), "hardware threads (SMT)"))
    return tuple(marks)
