"""Amdahl's law and the USL: known parameters come out, few points are refused, extrapolation is said."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from lbench.analysis.curves import fit
from lbench.analysis.series import Point, Series
from lbench.analysis.speedup_laws import (
    LawFit,
    Refusal,
    fit_law,
    law_text,
    predicted_s,
    strong_scaling,
    weak_scaling,
)
from lbench.analysis.statistics import median_estimate

WORKERS = (1, 2, 3, 4, 6, 8, 12, 16)


def series(times: dict[float, list[float]]) -> Series:
    points = tuple(
        Point(
            at=float(at),
            makespan_s=median_estimate(values),
            usd=None,
            rent_usd=None,
            speedup=None,
            claim=None,
            repeats=len(values),
            repeats_ok=len(values),
            capacity=int(at),
            oversubscribed=False,
            error=None,
            times_s=tuple(values),
        )
        for at, values in times.items()
    )
    curve = fit([np.log(np.median(values)) for values in times.values()], "valley")
    return Series(
        label="processes",
        backend="processes",
        origin="measured",
        temperature=None,
        main=True,
        machine=None,
        points=points,
        shape="valley",
        fitted_s=tuple(map(float, np.exp(curve))),
    )


def usl(serial: float, coherence: float, repeats: int = 8, workers: tuple[int, ...] = WORKERS) -> Series:
    generator = np.random.default_rng(1)
    times = {n: 10 * (1 + serial * (n - 1) + coherence * n * (n - 1)) / n for n in workers}
    noise = {n: np.exp(0.01 * generator.standard_normal(repeats)) for n in workers}
    return series({n: [float(time * factor) for factor in noise[n]] for n, time in times.items()})


def test_the_usl_finds_its_own_parameters_with_intervals_that_hold_them() -> None:
    found = fit_law(usl(0.05, 0.004), "usl")
    assert isinstance(found, LawFit) and found.coherence is not None
    assert found.serial.low is not None and found.serial.high is not None
    assert found.serial.low <= 0.05 <= found.serial.high
    assert found.coherence.low is not None and found.coherence.high is not None
    assert found.coherence.low <= 0.004 <= found.coherence.high
    assert found.best is not None and found.best.low is not None and found.best.high is not None
    assert found.best.value == pytest.approx(np.sqrt(0.95 / 0.004), rel=0.1)
    assert found.best.low <= np.sqrt(0.95 / 0.004) <= found.best.high and found.best.kind == "95 %"
    at, low, high = (round(end) for end in (found.best.value, found.best.low, found.best.high))
    assert f"fastest at {at} workers (95 %: {low}–{high}; " in law_text(found, "usl")
    assert found.serial.kind == "95 %"


def test_the_same_times_give_the_same_law() -> None:
    assert len({repr(fit_law(usl(0.05, 0.004), "usl")) for _ in range(3)}) == 1


def test_amdahls_law_finds_the_serial_share() -> None:
    found = fit_law(usl(0.1, 0.0), "amdahl")
    assert isinstance(found, LawFit) and found.coherence is None
    assert found.serial.value == pytest.approx(0.1, abs=0.01)
    assert "serial share 1" in law_text(found, "amdahl") and "an extrapolation" in law_text(found, "amdahl")


@pytest.mark.parametrize(
    ("workers", "why"),
    [((1, 2, 3, 4, 5), "needs 6 different numbers of workers, got 5"), ((2, 3, 4, 5, 6, 7), "a point with 1 worker")],
)
def test_too_few_places_are_refused(workers: tuple[int, ...], why: str) -> None:
    for law in ("amdahl", "usl"):
        found = fit_law(usl(0.1, 0.001, workers=workers), law)  # type: ignore[arg-type]
        assert isinstance(found, Refusal) and why in found.why
        assert "not fitted" in law_text(found, law)  # type: ignore[arg-type]


def test_a_serial_share_is_at_most_the_whole() -> None:
    slower = series({n: [1.0 + 0.1 * n + 0.01 * k for k in range(6)] for n in WORKERS})
    for law in ("amdahl", "usl"):
        found = fit_law(slower, law)  # type: ignore[arg-type]
        assert isinstance(found, LawFit)
        assert found.serial.high is not None and max(found.serial.value, found.serial.high) <= 1
    assert "serial share 100 % (95 %: 100 % to 100 %), at most 1.0×" in law_text(fit_law(slower, "amdahl"), "amdahl")


def test_beyond_twice_the_largest_number_it_says_that_it_extrapolates() -> None:
    found = fit_law(usl(0.01, 0.0002), "usl")
    assert isinstance(found, LawFit) and found.best is not None and found.best.value > 32
    assert "extrapolated, 16 were measured" in law_text(found, "usl")
    assert predicted_s(found, 32.0)[1] is False and predicted_s(found, 33.0)[1] is True


def test_few_repeats_have_a_range_and_one_has_none() -> None:
    few = fit_law(usl(0.05, 0.004, repeats=3), "usl")
    assert isinstance(few, LawFit) and few.serial.kind == "range"
    assert few.best is not None and few.best.kind == "range" and "workers (range of 3: " in law_text(few, "usl")
    once = fit_law(usl(0.05, 0.004, repeats=1), "usl")
    assert isinstance(once, LawFit) and once.serial.interval is None
    assert once.best is not None and once.best.interval is None
    assert re.search(r"fastest at 1\d workers \(1\.\d\d s\)", law_text(once, "usl"))


def test_where_some_resamples_have_no_slowest_number_the_fastest_has_no_upper_end() -> None:
    found = fit_law(usl(0.05, 0.0001), "usl")
    assert isinstance(found, LawFit) and found.coherence is not None and found.coherence.low == 0
    assert found.best is not None and found.best.low is not None and found.best.high == math.inf
    assert found.best.low <= found.best.value
    assert f"(95 %: {found.best.low:,.0f} or more; " in law_text(found, "usl")
    always = fit_law(series({n: [10 * (1 + 0.05 * (n - 1)) / n] * 6 for n in WORKERS}), "usl")
    assert ", by this law more workers are always faster; off by " in law_text(always, "usl")


def test_strong_scaling_has_speedup_and_efficiency() -> None:
    found = strong_scaling(series({1: [8.0] * 6, 2: [4.0] * 6, 4: [4.0] * 6}))
    assert [(one.workers, one.speedup.value, one.efficiency) for one in found] == [
        (1.0, 1.0, 1.0),
        (2.0, 2.0, 1.0),
        (4.0, 2.0, 0.5),
    ]
    assert strong_scaling(series({1: [8.0]})) == []


def test_weak_scaling_compares_points_with_as_much_work_for_each_worker() -> None:
    columns = [
        (1.0, series({10: [2.0] * 6, 20: [4.0] * 6})),
        (2.0, series({10: [1.1] * 6, 20: [2.5] * 6})),
        (4.0, series({10: [0.6] * 6, 20: [1.2] * 6})),
    ]
    for given in (columns, columns[::-1]):
        found = weak_scaling(given)
        assert [(one.workers, one.efficiency) for one in found] == [(1.0, 1.0), (2.0, 0.8)]
    assert weak_scaling(columns[:1]) == []


def test_work_that_grows_as_the_square_of_a_size_or_not_at_all_is_not_taken_for_the_axis() -> None:
    square = {n: series({10: [2.0 / n] * 6, 20: [8.0 / n] * 6}) for n in (1, 2, 4)}
    found = weak_scaling([(float(n), one) for n, one in square.items()])
    assert [(one.workers, one.efficiency) for one in found] == [(1.0, 1.0), (4.0, 1.0)]  # with 2 nothing is as much
    assert (
        weak_scaling([(1.0, series({4: [2.0] * 6, 8: [2.0] * 6})), (2.0, series({4: [1.0] * 6, 8: [1.0] * 6}))]) == []
    )
