"""Sweeps and tunings as the session document holds them: every figure of their reports, for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from lbench.analysis.break_even import BreakEven
from lbench.analysis.crossings import Crossing
from lbench.analysis.scaling import Scaling
from lbench.analysis.scaling_text import scaling_sentence
from lbench.analysis.series import Point, Series
from lbench.analysis.statistics import Estimate
from lbench.analysis.tuning import Tuned, caveats, front, picks_of
from lbench.engine.cost.format import usd_text
from lbench.engine.model import (
    Curve,
    CurveCrossing,
    CurvePoint,
    CurveRival,
    Interval,
    Origin,
    RentBreakEven,
    SweepCurves,
    TunedCandidate,
    Tuning,
    UsdInterval,
)

__all__ = ["sweep_curves", "tuning_record"]


def sweep_curves(scaling: Scaling, identity: str) -> SweepCurves:
    """A sweep's curves, crossings and break-evens. Points without a right answer are left out."""
    curves = [_curve(one) for one in scaling.series]
    return SweepCurves(
        id=identity,
        workload=scaling.workload,
        axis=scaling.axis,
        beside=scaling.beside,
        places=sorted({point.at for curve in curves for point in curve.points}),
        baseline=scaling.baseline,
        curves=[curve for curve in curves if curve.points],
        crossings=[_crossing(one) for one in (*scaling.crossings, *scaling.usd_crossings)],
        cold_crossings=[_crossing(one) for one in scaling.cold_crossings],
        alike=[list(pair) for pair in scaling.alike],
        break_evens=[_break_even(one) for one in scaling.break_evens],
        rent_basis=scaling.rent_basis,
        left_out=list(scaling.excluded),
        text=scaling_sentence(scaling),
        rivals=[CurveRival(least=one.least, other=one.other, places=list(one.places)) for one in scaling.rivals],
        bases=list(scaling.bases),
    )


def _interval(estimate: Estimate) -> Interval:
    kind = None if estimate.interval is None else estimate.kind
    return Interval(estimate.value, estimate.low, estimate.high, estimate.count, kind)


def _usd(amount: float) -> str:
    return usd_text(Decimal(repr(amount)))


def _usd_interval(estimate: Estimate) -> UsdInterval:
    low, high = (None if end is None else _usd(end) for end in (estimate.low, estimate.high))
    kind = None if estimate.interval is None else estimate.kind
    return UsdInterval(_usd(estimate.value), low, high, estimate.count, kind)


def _curve(one: Series) -> Curve:
    return Curve(
        name=one.name,
        label=one.label,
        backend=one.backend,
        origin=one.origin,
        temperature=one.temperature,
        machine=one.machine,
        main=one.main,
        shape=one.shape,
        points=[
            _point(point, point.makespan_s, fitted_s)
            for point, fitted_s in zip(one.points, one.fitted_s, strict=True)
            if point.makespan_s is not None
        ],
    )


def _point(point: Point, makespan_s: Estimate, fitted_s: float | None) -> CurvePoint:
    return CurvePoint(
        at=point.at,
        makespan_s=_interval(makespan_s),
        usd=None if point.usd is None else _usd_interval(point.usd),
        rent_usd=None if point.rent_usd is None else _usd_interval(point.rent_usd),
        speedup=None if point.speedup is None else _interval(point.speedup),
        repeats=point.repeats_ok,
        capacity=point.capacity,
        unfinished=point.unfinished,
        in_curve=not point.few and not point.oversubscribed,
        fitted_s=fitted_s,
    )


def _crossing(one: Crossing) -> CurveCrossing:
    root = one.root
    return CurveCrossing(
        of=one.measure,
        below=one.below,
        above=one.above,
        at=root.at,
        low=root.low,
        high=root.high,
        low_open=root.low_open,
        high_open=root.high_open,
        kind=root.kind,
        count=root.count,
        missing=root.missing,
        first=one.first,
        last=one.last,
    )


def _break_even(one: BreakEven) -> RentBreakEven:
    return RentBreakEven(
        at=one.at,
        paid=one.paid,
        machine=one.machine,
        usd_per_hour=usd_text(one.machine_usd_per_hour),
        run_usd=_usd_interval(one.run_usd),
        runs_an_hour=one.runs_an_hour,
        low=one.low,
        high=one.high,
        most_an_hour=one.most_an_hour,
        reachable=one.reachable,
    )


def tuning_record(measured: Sequence[Tuned], identity: str, workload: str, label: str, origin: Origin) -> Tuning:
    """The candidates with the front and the picks."""
    ends, picks = front(measured), picks_of(measured)
    named = () if picks is None else picks.named
    return Tuning(
        id=identity,
        workload=workload,
        label=label,
        origin=origin,
        candidates=[
            TunedCandidate(
                memory_mb=one.candidate.memory_mb,
                tasks=one.tasks,
                environments=one.environments,
                runs=one.runs,
                makespan_s=_interval(one.makespan_s),
                cold_s=one.cold_s,
                usd=_usd_interval(one.usd),
                cv=one.cv,
                steady=one.steady,
                on_front=one in ends,
                picks=[name for name, pick in named if pick is one],
            )
            for one in sorted(measured, key=lambda one: one.makespan_s.value)
        ],
        caveats=caveats(measured),
    )
