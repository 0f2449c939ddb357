"""Sweeps and tunings in the session document: every figure of the report, the same after it was written and read."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lbench.analysis.resumption import joined
from lbench.analysis.scaling import scalings
from lbench.analysis.scaling_text import scaling_sentence
from lbench.analysis.statistics import Estimate
from lbench.analysis.sweep_record import sweep_curves
from lbench.cli import documents
from lbench.cli.documents import document_of, load_document, load_views
from lbench.cli.html.content import content_of
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.export.document import encode_document
from lbench.engine.journal.events import Event
from lbench.engine.session.view import SessionView, fold
from lbench.errors import InputError, SessionFileError
from tests.analysis.sweeps import sweep_events, sweep_session
from tests.analysis.test_scaling import bill, cut_off, forest


def test_a_sweep_has_its_curves_crossings_and_break_evens() -> None:
    (scaling,) = scalings([forest()], bill)
    found = sweep_curves(scaling, "s-1")
    assert (found.id, found.axis, found.places[0], found.places[-1]) == ("s-1", "n_trees", 1.0, 128.0)
    assert [curve.name for curve in found.curves] == ["processes", "emulated"]
    point = found.curves[0].points[3]
    assert (point.at, point.repeats, point.in_curve, point.unfinished) == (8.0, 6, True, False)
    assert (point.makespan_s.kind, point.makespan_s.count) == ("95 %", 6)
    assert point.makespan_s.low is not None and point.makespan_s.low <= point.makespan_s.value
    emulated = found.curves[1].points[0]
    assert emulated.usd is not None and Decimal(emulated.usd.value) == Decimal("0.0001")
    time, usd = found.crossings
    own = scaling.crossings[0].root
    assert (time.of, time.below, time.above) == ("time", "processes", "emulated")
    assert (time.at, time.low, time.high, time.kind, time.count) == (own.at, own.low, own.high, "95 %", 6)
    assert (time.missing, time.first, time.last) == (0.0, 1.0, 128.0)
    assert usd.of == "usd"
    even = next(one for one in found.break_evens if one.at == 16.0)
    assert (even.paid, even.machine, even.usd_per_hour, even.reachable) == ("emulated", "processes", "0.1", True)
    assert even.runs_an_hour == pytest.approx(0.10 / 0.0016)
    assert found.text == scaling_sentence(scaling)


def same_fields(made: Any, source: Any) -> None:
    """Each field that both have is the same: a number as text is the number, an interval has its ends."""
    names = set(made.__struct_fields__) & set(source.__struct_fields__) - {"kind"}
    assert len(names) >= 4
    for name in names:
        got, own = getattr(made, name), getattr(source, name)
        if isinstance(own, Estimate):
            read = [None if one is None else float(one) for one in (got.value, got.low, got.high)]
            assert (read, got.count) == ([own.value, own.low, own.high], own.count), name
            assert got.kind == (None if own.interval is None else own.kind), name
        elif name == "repeats":
            assert got == source.repeats_ok
        elif name not in ("points", "crossings", "cold_crossings", "break_evens", "rivals", "alike"):
            assert got == (list(own) if isinstance(own, tuple) else own), name


@pytest.mark.parametrize("repeats", [1, 3, 6])
def test_every_field_of_a_sweep_is_that_of_its_analysis(repeats: int) -> None:
    (scaling,) = scalings([forest(repeats)], bill)
    found = sweep_curves(scaling, "s")
    same_fields(found, scaling)
    assert found.baseline is not None and len(found.curves) == len(scaling.series)
    for curve, series in zip(found.curves, scaling.series, strict=True):
        same_fields(curve, series)
        for point, own in zip(curve.points, series.points, strict=True):
            same_fields(point, own)
            assert point.speedup is not None and (point.usd is None) == (curve.name == "processes")
    for crossing, here in zip(found.crossings, (*scaling.crossings, *scaling.usd_crossings), strict=True):
        same_fields(crossing, here.root)
    for even, found_even in zip(found.break_evens, scaling.break_evens, strict=True):
        same_fields(even, found_even)
    assert [(one.least, one.other, tuple(one.places)) for one in found.rivals] == [
        (one.least, one.other, one.places) for one in scaling.rivals
    ]


def test_a_point_that_was_cut_off_says_so() -> None:
    (scaling,) = scalings([cut_off(8)], bill)
    points = {point.at: point for point in sweep_curves(scaling, "s").curves[0].points}
    assert (points[8.0].unfinished, points[8.0].in_curve, points[8.0].fitted_s, points[8.0].repeats) == (
        True,
        False,
        None,
        2,
    )
    assert points[16.0].in_curve and points[16.0].fitted_s is not None


TWO = {"concurrency": 2}


@pytest.mark.parametrize(
    "view",
    [forest(settings=TWO), cut_off(8, settings=TWO), forest(failed=[({"n_trees": 4}, "emulated")], settings=TWO)],
)
def test_a_document_that_is_read_as_a_session_has_the_same_sweep(tmp_path: Path, view: SessionView) -> None:
    made = document_of(view)
    assert made.sweeps is not None and made.tuning is None
    (tmp_path / "a.json").write_bytes(encode_document(made))
    assert load_document(str(tmp_path / "a.json")).sweeps == made.sweeps
    assert document_of(load_views([str(tmp_path / "a.json")])[0]).sweeps == made.sweeps


def test_a_sweep_of_two_sessions_is_one_in_their_document() -> None:
    sizes = ((1, 2), (4, 8))
    views = [
        sweep_session(
            [({"n": n}, {"processes": [0.1 * n] * 6, "threads": [0.3] * 6}) for n in own], identity=str(number)
        )
        for number, own in enumerate(sizes)
    ]
    merged = document_of(joined(views), predict=False)
    assert merged.sweeps is not None
    assert merged.sweeps[0].places == [1.0, 2.0, 4.0, 8.0]
    assert merged.sweeps[0].crossings[0].at == pytest.approx(3.0, rel=0.02)


def test_a_tuning_has_its_candidates_front_and_picks(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {(512, 8): 3.0, (1769, 8): 1.0, (3538, 8): 1.01}
    points = [
        ({"memory": memory, "tasks": tasks}, {"lambda": [seconds * k for k in (1.0, 1.01, 0.99, 1.0)]})
        for (memory, tasks), seconds in times.items()
    ]
    view = sweep_session(points, sweep_id="tune-1")
    monkeypatch.setattr(
        documents,
        "run_bill",
        lambda run, now_s: RunCost(CostItems(duration=Decimal(run.planned.sweep.point["memory"]) / 1000)),
    )
    found = document_of(view, predict=False)
    assert found.sweeps is None and found.tuning is not None
    tuning = found.tuning
    assert (tuning.id, tuning.label, tuning.workload, tuning.origin) == ("tune-1", "lambda", "probe", "measured")
    by_size = {one.memory_mb: one for one in tuning.candidates}
    assert [one.memory_mb for one in tuning.candidates] == [1769, 3538, 512]
    assert by_size[1769].picks == ["fastest"] and by_size[512].picks == ["cheapest", "balanced"]
    assert [one.on_front for one in tuning.candidates] == [True, False, True]
    assert {(one.tasks, one.runs, one.environments, one.steady) for one in tuning.candidates} == {(8, 4, 2, True)}
    assert by_size[512].cv == pytest.approx(0.00816, abs=1e-4) and by_size[512].cold_s is None
    assert by_size[512].usd.value == "0.512" and by_size[512].makespan_s.kind == "range"
    assert "fastest: 1,769 MB × 8 tasks cannot be distinguished from 3,538 MB × 8 tasks" in tuning.caveats
    assert json.loads(encode_document(found))["tuning"]["candidates"][0]["picks"] == ["fastest"]


def test_without_a_sweep_there_is_none() -> None:
    made = document_of(sweep_session([({"n": 1}, {"processes": [1.0]})], sweep=False))
    assert made.sweeps is None and made.tuning is None


def test_zero_durations_leave_a_document_without_ratios() -> None:
    points = [({"n": n}, {"sequential": [0.0] * 3, "lambda": [0.0] * 3, "threads": [1.0] * 3}) for n in (1, 2)]
    view = sweep_session(points)
    (scaling,) = scalings([view], bill)
    assert all(one.most_an_hour < 1e9 for one in scaling.break_evens)
    assert sweep_curves(scaling, "w1").text.endswith(".")


@pytest.mark.parametrize("point", [{}, {"n": "big"}, {"n": True}, {"memory": "x"}, {"memory": None}])
def test_points_that_nobody_measures_leave_a_document_without_curves_or_picks(point: dict[str, object]) -> None:
    for name in ("w1", "tune-1"):
        view = sweep_session([(point, {"processes": [1.0, 1.1], "threads": [2.0, 2.1]})], sweep_id=name)
        made = document_of(view)
        assert made.sweeps is None and made.tuning is None
        with pytest.raises(InputError, match=r"^[^\n]+$"):
            scalings([view], bill)


def test_each_sweep_of_a_session_has_its_curves() -> None:
    """As the screens measure them one after the other: of other parameters, along another axis."""

    def events(identity: str, axis: str, factor: float, **params: int) -> list[Event]:
        times = {"processes": [1.0 * factor, 1.1 * factor], "threads": [2.0 * factor, 2.1 * factor]}
        points = [({axis: n}, times) for n in (1, 2)]
        return sweep_events(points, identity=identity, sweep_id=f"w-{identity}", params=params)

    first, *more = events("a", "n", 1.0, k=1), events("b", "n", 10.0, k=2), events("c", "tasks", 100.0, n=1, k=1)
    view = fold([*first, *(event for one in more for event in one[1:])])
    made = document_of(view, predict=False)
    assert [(one.id, one.axis, one.curves[0].points[0].makespan_s.value) for one in made.sweeps or []] == [
        ("w-a", "n", 1.05),
        ("w-b", "n", 10.5),
        ("w-c", "tasks", 105.0),
    ]
    titles = [section.title for section in content_of([("s", view)]).sections if " along " in section.title]
    assert titles == ["probe along n", "probe along n", "probe along tasks"]


def test_a_tuning_of_two_backends_is_that_of_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "run_bill", lambda run, now_s: RunCost(CostItems(duration=Decimal(1))))
    point = {"memory": 512, "tasks": 4}
    made = document_of(
        sweep_session([(point, {"lambda": [1.0, 1.1], "emulated": [5.0]})], sweep_id="tune-1"), predict=False
    )
    assert made.tuning is not None
    assert [(one.runs, one.makespan_s.value) for one in made.tuning.candidates] == [(2, 1.05)]


def test_a_document_with_equal_ids_or_a_negative_makespan_is_damaged(tmp_path: Path) -> None:
    text = encode_document(document_of(sweep_session([({"n": 1}, {"processes": [1.0, 1.5]})]), predict=False)).decode()
    for name, old, new, why in (
        ("twice", '"s2"', '"s1"', "two runs have the id 's1'"),
        (
            "short",
            '"makespan_s": 1.5',
            '"makespan_s": 5e-324',
            "makespan_s of run 's2' must be 0 or at least 1e-09, got 4.94066e-324",
        ),
        ("past", '"makespan_s": 1.5', '"makespan_s": -1.5', "makespan_s of run 's2' must be at least 0, got -1.5"),
    ):
        (path := tmp_path / f"{name}.json").write_text(text.replace(old, new))
        for read in (load_document, lambda text: load_views([text])):
            with pytest.raises(SessionFileError) as refused:
                read(str(path))
            assert str(refused.value) == f"{path} is damaged: {why}"


def test_of_several_sweeps_in_a_report_each_answer_says_what_was_swept() -> None:
    points = [({"n": n}, {"processes": [n * 1.0] * 6, "threads": [n * 2.0] * 6}) for n in (1, 2, 4)]
    one, other = (sweep_session(points, identity=name, workload=name, sweep_id=name) for name in ("probe", "kmeans"))
    assert content_of([("a", one)]).answer[0].startswith("processes win from n 1")
    answer = content_of([("a", one), ("b", other)]).answer
    assert [text.partition(": ")[0] for text in answer] == ["probe along n", "kmeans along n"]
