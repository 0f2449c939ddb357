"""Sweeps as curves: crossings with their resamples, money, places of runs without a sweep, and bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pytest

from lbench.analysis.break_even import BreakEven
from lbench.analysis.comparison import Bill, Comparison, compare
from lbench.analysis.crossings import Crossing, Rival
from lbench.analysis.format import place_label, place_number
from lbench.analysis.prediction import Predicted, PredictedLine
from lbench.analysis.scaling import Scaling, scalings
from lbench.analysis.scaling_text import break_even_text, crossing_text, law_lines, scaling_notes, scaling_sentence
from lbench.analysis.statistics import Estimate
from lbench.engine.cost.charges import CostItems, RunCost
from lbench.engine.session.view import RunView, SessionView, fold
from lbench.errors import InputError
from tests.analysis.sweeps import ENVIRONMENT, sweep_session

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def noisy(times: dict[float, float], repeats: int, seed: int = 1, noise: float = 0.03) -> dict[float, list[float]]:
    generator = np.random.default_rng(seed)
    return {
        at: [float(value * np.exp(noise * generator.standard_normal())) for _ in range(repeats)]
        for at, value in times.items()
    }


def forest(repeats: int = 6, *, flat: float = 6.0, rate: float = 0.7, noise: float = 0.03, **more: Any) -> SessionView:
    """The local curve grows with the trees, the emulated one does not: they cross at flat / rate."""
    local = noisy({at: rate * at for at in SIZES}, repeats, 1, noise)
    away = noisy(dict.fromkeys(SIZES, flat), repeats, 2, noise)
    points = [({"n_trees": at}, {"processes": local[at], "emulated": away[at]}) for at in SIZES]
    return sweep_session(points, **more)


def bill(run: RunView, now_s: float | None) -> RunCost:
    """A hundredth of a cent a tree on Lambda; ten cents an hour here."""
    if run.planned.label == "emulated":
        return RunCost(CostItems(duration=Decimal("0.0001") * run.planned.params.get("n_trees", 1)))
    return RunCost(CostItems(machine_rent=Decimal(repr(float(run.makespan_s or 0.0))) * Decimal("0.10") / 3600))


def bill_at(usd: Decimal) -> Bill:
    """So many dollars a run on Lambda, nothing else."""
    return lambda run, _: RunCost(CostItems(duration=usd if run.planned.label == "emulated" else None))


def only(view: SessionView, arithmetic: Bill = bill) -> Scaling:
    (found,) = scalings([view], arithmetic)
    return found


def test_the_crossing_of_two_curves_has_its_median_its_interval_and_its_resamples() -> None:
    (one,) = only(forest()).crossings
    assert (one.below, one.above, one.measure) == ("processes", "emulated", "time")
    assert one.root.at == pytest.approx(6 / 0.7, rel=0.05)
    assert one.root.low is not None and one.root.high is not None
    assert one.root.low < 6 / 0.7 < one.root.high
    assert one.root.high / one.root.low < 1.15
    assert (one.root.kind, one.root.count, one.root.missing) == ("95 %", 6, 0.0)


def test_curves_of_several_machines_are_apart_and_named_by_them() -> None:
    points: list[tuple[dict[str, Any], dict[str, list[float]]]] = [
        ({"n_trees": at}, {"processes": [1.0 * at] * 3}) for at in (1, 2, 4)
    ]
    views = [
        sweep_session(points, identity=name, environment=msgspec.structs.replace(ENVIRONMENT, hostname=name))
        for name in ("desk", "rack")
    ]
    (found,) = scalings(views, bill)
    assert [(one.machine, len(one.points)) for one in found.series] == [("desk", 3), ("rack", 3)]
    (found,) = scalings(views[:1], bill)
    assert [one.machine for one in found.series] == [None]


def test_the_same_sweep_gives_the_same_crossing() -> None:
    assert len({repr(only(forest()).crossings) for _ in range(3)}) == 1


def test_the_interval_holds_the_true_crossing_in_most_sweeps() -> None:
    held = 0
    for seed in range(24):
        generator = np.random.default_rng(seed)
        points = [
            (
                {"n_trees": at},
                {
                    "processes": list(0.7 * at * np.exp(0.05 * generator.standard_normal(8))),
                    "emulated": list(6.0 * np.exp(0.05 * generator.standard_normal(8))),
                },
            )
            for at in SIZES
        ]
        (one,) = only(sweep_session(points)).crossings
        held += one.root.low is not None and one.root.high is not None and one.root.low <= 6 / 0.7 <= one.root.high
    assert held >= 20  # of 24; a straight line between two points is an approximation of its own


def test_below_six_repeats_it_is_a_range_and_with_one_nothing_is_settled() -> None:
    few = only(forest(3))
    assert few.crossings[0].root.kind == "range"
    assert "range of 3 repeats" in scaling_sentence(few)
    once = only(forest(1))
    assert (once.crossings[0].root.low, once.crossings[0].root.high) == (None, None)
    assert "measured once: not settled" in scaling_sentence(once)


def test_what_slows_a_whole_round_does_not_widen_the_interval() -> None:
    generator = np.random.default_rng(3)
    points = []
    for at in SIZES:
        common = np.exp(0.3 * generator.standard_normal(8))
        points.append(
            (
                {"n_trees": at},
                {"processes": list(0.7 * at * common), "emulated": list(6.0 * common)},
            )
        )
    (one,) = only(sweep_session(points)).crossings
    assert one.root.high is not None and one.root.low is not None
    # the isotonic curve may still move with noise common to a point, the crossing hardly
    assert one.root.high / one.root.low < 1.6


def test_without_a_crossing_it_lies_outside_the_swept_range() -> None:
    found = only(forest(flat=600.0))
    (one,) = found.crossings
    assert not one.inside and one.root.missing == 1.0 and one.root.high_open
    sentence = scaling_sentence(found)
    assert "processes win from 1 to 128 trees" in sentence
    assert "lies outside the swept range (100 % of the resamples have no crossing)" in sentence


@pytest.mark.parametrize(("repeats", "why"), [(1, " with 1 repeat"), (3, " with 3 repeats")])
def test_a_winner_of_few_repeats_is_not_settled(repeats: int, why: str) -> None:
    sentence = scaling_sentence(only(forest(repeats, flat=600.0)))
    assert f"processes are ahead from 1 to 128 trees, which is not settled{why}; a crossing with" in sentence
    assert ("of the resamples" in sentence) == (repeats > 1)


def test_a_winner_over_a_backend_of_few_repeats_is_not_settled_though_another_is_nearer() -> None:
    points = [
        (
            {"n": n},
            {
                "processes": [n * (1 + x / 100) for x in range(6)],
                "threads": [n * (3 + x / 100) for x in range(6)],
                "loop": [n * 9.0] * 5,
            },
        )
        for n in (1, 2, 4)
    ]
    sentence = scaling_sentence(only(sweep_session(points)))
    assert "processes are ahead from n 1 to 4, which is not settled with 5 repeats; a crossing with loop" in sentence


def three(other: float, repeats: int = 6) -> SessionView:
    """The forest, and a third backend that takes `other` times as long as `processes`."""
    spread = [0.94, 1.06, 0.97, 1.03, 0.99, 1.01][:repeats]
    points = [
        (
            {"n_trees": n},
            {
                "processes": [0.7 * n * one for one in spread],
                "threads": [other * 0.7 * n * one for one in reversed(spread)],
                "emulated": [6.0 * one for one in spread],
            },
        )
        for n in SIZES
    ]
    return sweep_session(points)


def test_a_backend_as_fast_as_the_winner_is_named_where_no_interval_tells_them_apart() -> None:
    found = only(three(1.01))
    assert [(one.below, one.above) for one in found.crossings] == [("processes", "emulated")]
    assert {(one.least, one.other) for one in found.rivals} == {("processes", "threads")}
    sentence = scaling_sentence(found)
    assert re.search(r"; threads cannot be distinguished from processes (at|from) ", sentence), sentence
    assert all(place < 6 / 0.7 for one in found.rivals for place in one.places)
    assert only(three(2.0)).rivals == ()
    assert only(three(1.01, repeats=1)).rivals == ()  # measured once: nothing is claimed


def test_rivals_at_neighbouring_places_are_a_range() -> None:
    found = msgspec.structs.replace(only(three(2.0)), rivals=(Rival("processes", "threads", (2.0, 4.0, 8.0)),))
    assert "threads cannot be distinguished from processes from 2 to 8 trees; " in scaling_sentence(found)
    apart = msgspec.structs.replace(found, rivals=(Rival("processes", "threads", (1.0, 8.0)),))
    assert "threads cannot be distinguished from processes at 1 tree and 8 trees; " in scaling_sentence(apart)


def test_what_may_win_everywhere_or_nowhere_is_no_winner() -> None:
    """A prediction moves as a whole: in half of the resamples it is the less at every place, in half at none."""
    local = noisy({at: 0.7 * at for at in SIZES}, 6, 1)
    view = sweep_session([({"n_trees": n}, {"processes": local[n]}) for n in SIZES])

    def predict(comparison: Comparison, runs: list[RunView]) -> PredictedLine:
        seconds = median(run.makespan_s or 0.0 for run in runs) * 1.05
        one = Predicted(Estimate(seconds, seconds / 1.5, seconds * 1.5, 100), Decimal(1), Decimal(1), Decimal(1))
        return PredictedLine(
            worked_out_from="processes", environments=8, memory_mb=1769, region="us-east-1", architecture="x86_64",
            cold=one, warm=one, core_ratio=(1.0, 0.7, 1.5),
        )  # fmt: skip

    (found,) = scalings([view], bill, predict=predict)
    assert found.crossings == () and found.alike[0][0] == "processes"
    sentence = scaling_sentence(found)
    assert "Lambda (predicted, warm) cannot be distinguished from processes from 1 to 128 trees" in sentence
    assert " win" not in sentence
    assert any("it depends on: one core here = 1" in line for line in scaling_notes(found))


def test_a_range_reaches_no_further_into_a_prediction_than_its_interval() -> None:
    """The speedups of three repeats leave out 1 by far: a sentence that cannot tell the two apart would contradict them."""
    factors = (0.8, 1.0, 1.2)
    points = [
        ({"n": n}, {"processes": [n * x for x in factors], "threads": [8 * x for x in factors]})
        for n in (1, 2, 4, 16, 32, 64)
    ]

    def predict(comparison: Comparison, runs: list[RunView]) -> PredictedLine:
        seconds = 6.0 * median(run.makespan_s or 0.0 for run in runs if run.planned.label == "processes")
        one = Predicted(Estimate(seconds, seconds / 3, seconds * 3, 100), Decimal(1), Decimal(1), Decimal(1))
        return PredictedLine(
            worked_out_from="processes", environments=8, memory_mb=1769, region="us-east-1", architecture="x86_64",
            cold=one, warm=one, core_ratio=(1.0, 0.7, 1.5),
        )  # fmt: skip

    (found,) = scalings([sweep_session(points)], bill, predict=predict)
    sentence = scaling_sentence(found)
    assert re.match(
        r"below n 8 \(range of 3 repeats: .*\) processes are ahead; above, threads; this is not settled", sentence
    )
    assert "cannot be distinguished" not in sentence


def test_the_doubt_is_that_of_the_nearest_crossing() -> None:
    found = only(forest(flat=600.0))
    (one,) = found.crossings
    nearer = msgspec.structs.replace(one, root=msgspec.structs.replace(one.root, missing=0.7))
    sentence = scaling_sentence(msgspec.structs.replace(found, crossings=(one, nearer)))
    assert "processes are ahead from 1 to 128 trees, which is not settled; " in sentence
    assert "(70 % of the resamples have no crossing)" in sentence


def test_who_shares_the_first_place_is_ahead_but_does_not_win() -> None:
    local = noisy({at: 0.7 * at for at in SIZES}, 6, 1)
    other = {at: list(reversed(times)) for at, times in local.items()}
    for flat, words in (
        (600.0, "processes are ahead from 1 to 128 trees; a crossing"),
        (6.0, "processes are ahead; above"),
    ):
        away = noisy(dict.fromkeys(SIZES, flat), 6, 2)
        points = [({"n_trees": n}, {"processes": local[n], "threads": other[n], "emulated": away[n]}) for n in SIZES]
        found = only(sweep_session(points))
        assert found.alike or found.rivals
        found = msgspec.structs.replace(found, alike=(("processes", "threads"),))
        assert words in scaling_sentence(found)
        assert "threads cannot be distinguished from processes" in scaling_sentence(found)


def test_a_winner_that_many_resamples_doubt_is_not_settled() -> None:
    found = only(forest(flat=85.0, noise=0.25))
    (one,) = found.crossings
    assert not one.inside and 0 < one.root.missing < 0.95
    assert "processes are ahead from 1 to 128 trees, which is not settled; " in scaling_sentence(found)


def test_a_job_that_is_run_once_crosses_elsewhere() -> None:
    local, warm = noisy({at: 0.7 * at for at in SIZES}, 6, 1), noisy(dict.fromkeys(SIZES, 6.0), 6, 2)
    cold = noisy(dict.fromkeys(SIZES, 30.0), 6, 3)
    points = [
        ({"n_trees": n}, {"processes": local[n], "emulated cold": cold[n], "emulated warm": warm[n]}) for n in SIZES
    ]
    found = only(sweep_session(points))
    assert found.crossings[0].above == "emulated warm"
    (one,) = found.cold_crossings
    assert (one.below, one.above) == ("processes", "emulated cold")
    assert one.root.at == pytest.approx(30 / 0.7, rel=0.1)
    assert "run once, with new environments, emulated Lambda (cold) from 4" in scaling_sentence(found)


def test_a_cold_crossing_that_few_resamples_have_is_not_settled() -> None:
    local, warm = noisy({at: 0.7 * at for at in SIZES}, 6, 1, 0.3), noisy(dict.fromkeys(SIZES, 6.0), 6, 2)
    cold = noisy(dict.fromkeys(SIZES, 68.0), 6, 3, 0.3)
    points = [
        ({"n_trees": n}, {"processes": local[n], "emulated cold": cold[n], "emulated warm": warm[n]}) for n in SIZES
    ]
    found = only(sweep_session(points))
    assert found.cold_crossings[0].root.missing > 0.05
    assert re.search(r"emulated Lambda \(cold\) from .* on, which is not settled;", scaling_sentence(found))


def test_a_job_that_is_run_once_may_not_cross_at_all() -> None:
    local, warm = noisy({at: 0.7 * at for at in SIZES}, 6, 1), noisy(dict.fromkeys(SIZES, 6.0), 6, 2)
    points = [
        ({"n_trees": n}, {"processes": local[n], "emulated cold": [900.0] * 6, "emulated warm": warm[n]}) for n in SIZES
    ]
    once = "run once, with new environments, processes"
    found = only(sweep_session(points))
    assert f"{once} win from 1 to 128 trees" in scaling_sentence(found)
    shared = msgspec.structs.replace(found, alike=(("processes", "emulated warm"),))
    assert f"{once} are ahead from 1 to 128 trees" in scaling_sentence(shared)
    for _, backends in points:
        backends["emulated cold"] = [900.0]
    few = scaling_sentence(only(sweep_session(points)))
    assert f"{once} are ahead from 1 to 128 trees, which is not settled with 1 repeat" in few


def test_names_with_a_temperature_or_a_machine_keep_their_number() -> None:
    points = [
        ({"n_trees": n}, {"processes cold": [9.0] * 6, "processes warm": [1.0 * n] * 6, "emulated": [600.0 * n] * 6})
        for n in SIZES
    ]
    assert scaling_sentence(only(sweep_session(points))).startswith("processes (warm) win from 1 to 128 trees")


def test_a_crossing_far_from_any_point_says_between_which_the_curves_are_taken_for_straight() -> None:
    points = [({"n_trees": n}, {"processes": [0.7 * n] * 6, "emulated": [6.0] * 6}) for n in (1, 4, 16)]
    (one,) = only(sweep_session(points)).crossings
    assert (one.before, one.after) == (4, 16)
    assert scaling_sentence(only(sweep_session(points))).startswith(
        "below 9 trees (95 %: 9–9; no point between 4 and 16) "
    )
    once = [({"n_trees": n}, {"processes": [0.7 * n], "emulated": [6.0]}) for n in (1, 4, 16)]
    assert "below 9 trees (measured once: not settled; no point between 4 and 16) " in scaling_sentence(
        only(sweep_session(once))
    )
    assert "no point" not in scaling_sentence(only(forest()))  # each point doubles the one before
    at_a_point = [({"n_trees": n}, {"processes": [1.0 * n] * 6, "emulated": [4.0] * 6}) for n in (1, 4, 16)]
    (one,) = only(sweep_session(at_a_point)).crossings
    assert (one.root.at, one.before, one.after) == (pytest.approx(4), 4, 4)


def turning(repeats: int, noise: float) -> SessionView:
    """Two backends, of which one is ahead at 1 and 2, at 8 and 16 the other, then at 32 to 64 the first again, and so on."""
    factors = {1: 0.8, 2: 0.8, 4: 1.25, 8: 1.25, 16: 0.8, 32: 0.8, 64: 1.25, 128: 1.25}
    local = noisy({at: at * factors[at] for at in SIZES}, repeats, 1, noise)
    away = noisy({at: 1.0 * at for at in SIZES}, repeats, 2, noise)
    return sweep_session([({"n_trees": n}, {"processes": local[n], "emulated": away[n]}) for n in SIZES])


def test_curves_that_cross_three_times_have_each_crossing_in_its_place() -> None:
    found = only(turning(8, 0.01)).crossings
    assert [(one.below, one.above) for one in found] == [
        ("processes", "emulated"), ("emulated", "processes"), ("processes", "emulated"),
    ]  # fmt: skip
    places = [one.root.at for one in found if one.root.at is not None]
    assert [2 < places[0] < 4, 8 < places[1] < 16, 32 < places[2] < 64] == [True] * 3


@pytest.mark.parametrize("repeats", [1, 2, 3, 6])
def test_crossings_are_named_in_ascending_order_or_not_at_all(repeats: int) -> None:
    """Of equal backends the curves cross anywhere; "from there to" never leads back."""
    for seed in range(12):
        times = [noisy({at: 1.0 * at for at in SIZES}, repeats, 2 * seed + k, 0.05) for k in range(2)]
        points = [({"n_trees": n}, {"processes": times[0][n], "emulated": times[1][n]}) for n in SIZES]
        inside = [one.root.at for one in only(sweep_session(points)).crossings if one.root.at is not None]
        assert inside == sorted(set(inside))


def test_what_was_billed_once_says_so() -> None:
    once = scaling_sentence(only(forest(1)))
    assert re.search(
        r"would cost \$0\.0016 \(measured once\) a run at 16 trees; .* an hour on \(measured once; 1,500 a day\)", once
    )
    assert "measured once" not in scaling_sentence(only(forest(3)))

    def cheap(run: RunView, now_s: float | None) -> RunCost:
        return RunCost(CostItems(duration=Decimal("1e-7"))) if run.planned.label == "emulated" else bill(run, now_s)

    assert "hardly ever cheaper: it would take 1,000,000 runs an hour (measured once), and" in scaling_sentence(
        only(forest(1), cheap)
    )


def test_large_places_are_written_in_full() -> None:
    points = [
        ({"rows": n, "tasks": 4}, {"processes": [n / 1e6] * 6, "emulated": [2.0] * 6}) for n in (1_000_000, 8_000_000)
    ]
    found = only(sweep_session(points))
    assert scaling_sentence(found).startswith(
        "with 4 tasks; below rows 2,000,000 (95 %: 2,000,000–2,000,000; no point between 1,000,000 and 8,000,000) "
        "processes win"
    )
    assert place_label("spread", 1234.5) == "spread 1,234" and place_label("memory", 1769) == "1,769 MB"
    assert [place_number(one) for one in (0.25, 8.0, 999.7, 1e6, 2.5e-5)] == [
        "0.25",
        "8",
        "1,000",
        "1,000,000",
        "2.5e-05",
    ]


def test_an_interval_that_leaves_the_range_says_so() -> None:
    found = only(forest(flat=88.0, noise=0.3))
    (one,) = found.crossings
    assert one.root.high_open and 0 < one.root.missing < 1
    assert "beyond 128" in crossing_text(found, one) or not one.inside
    assert re.search(r"[\d.]+ % of the resamples have no crossing", " ".join(scaling_notes(found)))


def test_a_crossing_whose_interval_leaves_the_range_is_not_settled() -> None:
    found = only(forest())
    assert "processes win; above, emulated Lambda; emulated" in scaling_sentence(found)
    (one,) = found.crossings
    for end in ("low_open", "high_open"):
        root = msgspec.structs.replace(one.root, **{end: True})
        vague = msgspec.structs.replace(found, crossings=(msgspec.structs.replace(one, root=root),))
        assert "processes are ahead; above, emulated Lambda; this is not settled; " in scaling_sentence(vague)


def test_resamples_without_a_crossing_are_mentioned_where_there_are_any() -> None:
    found = only(forest())
    (one,) = found.crossings
    for missing, text in ((0.0, None), (0.0005, "under 0.1 %"), (0.004, "0.4 %"), (0.03, "3 %")):
        root = msgspec.structs.replace(one.root, missing=missing)
        told = msgspec.structs.replace(found, crossings=(msgspec.structs.replace(one, root=root),))
        (line,) = (line for line in scaling_notes(told) if line.startswith("crossing in time"))
        assert (f"; {text} of the resamples have no crossing" in line) if text else ("resamples" not in line)


def test_a_prediction_without_the_objects_that_tasks_exchange_is_in_no_answer() -> None:
    local = noisy({at: 0.7 * at for at in SIZES}, 6, 1)
    away = noisy({at: 1.4 * at for at in SIZES}, 6, 2)
    view = sweep_session([({"n_trees": n}, {"processes": local[n], "emulated": away[n]}) for n in SIZES])

    def predict(comparison: Comparison, runs: list[RunView]) -> PredictedLine:
        one = Predicted(Estimate(0.01, 0.009, 0.011, 100), *[Decimal("0.0000001")] * 3)
        return PredictedLine(
            worked_out_from="processes", environments=8, memory_mb=1769, region="us-east-1", architecture="x86_64",
            cold=one, warm=one, core_ratio=(1.0, 0.7, 1.5), exchanges=True,
        )  # fmt: skip

    (found,) = scalings([view], bill, predict=predict)
    sentence = scaling_sentence(found)
    assert sentence.startswith("processes win from 1 to 128 trees")
    assert "predicted" not in sentence and "emulated Lambda would cost $0.013 a run at 128 trees" in sentence
    assert {one.paid for one in found.break_evens} == {"emulated"}
    assert any("exchange through S3: in no crossing and no break-even" in line for line in scaling_notes(found))


def test_the_sentence_names_both_sides_the_cost_and_the_rented_machine() -> None:
    sentence = scaling_sentence(only(forest()))
    assert re.match(r"below 9 trees \(95 %: \d+–\d+\) processes win; above, emulated Lambda; ", sentence)
    assert "emulated Lambda would cost $0.0016 a run at 16 trees" in sentence
    assert "a machine rented at $0.10 an hour is cheaper from 63 runs an hour on (1,500 a day)" in sentence


def test_few_repeats_or_many_resamples_without_a_crossing_name_no_winner() -> None:
    few = scaling_sentence(only(forest(3)))
    assert re.match(r"below 9 trees \(range of 3 repeats: .*\) processes are ahead; above, emulated Lambda; ", few), few
    assert "; this is not settled; " in few
    once = scaling_sentence(only(forest(1)))
    assert "(measured once: not settled) processes are ahead" in once
    assert "this is not settled" not in once
    unsure = only(forest(flat=80.0, noise=0.3))
    assert 0.05 < unsure.crossings[0].root.missing < 0.5
    assert " are ahead" in scaling_sentence(unsure) and " win" not in scaling_sentence(unsure)


def test_the_rented_machine_is_never_cheaper_where_it_cannot_do_so_many_runs() -> None:
    def cheap(run: RunView, now_s: float | None) -> RunCost:
        return RunCost(CostItems(duration=Decimal("1e-7"))) if run.planned.label == "emulated" else bill(run, now_s)

    found = only(forest(), cheap)
    assert not found.break_evens[-1].reachable
    assert (
        "a rented machine is never cheaper: it would take 1,000,000 runs an hour, and it can do "
        in scaling_sentence(found)
    )


def test_a_break_even_has_its_interval_and_what_the_machine_can_do() -> None:
    def even(usd: tuple[float, float, float], most: float) -> str:
        value, low, high = usd
        return break_even_text(
            BreakEven(
                at=1.0,
                paid="lambda",
                machine="processes",
                machine_usd_per_hour=Decimal("0.10"),
                run_usd=Estimate(value, low, high, 6),
                runs_an_hour=0.10 / value,
                low=0.10 / high,
                high=0.10 / low,
                most_an_hour=most,
            )
        )

    usd = (0.001, 0.0008, 0.00125)
    assert even(usd, 200.0).endswith("from 100 runs an hour on (95 %: 80–125; 2,400 a day)")
    assert even(usd, 110.0).endswith("from 100 runs an hour on (95 %: 80–125; 2,400 a day; it can do 110 runs)")
    assert even(usd, 90.0).startswith(
        "a rented machine is hardly ever cheaper: it would take 100 runs an hour (95 %: 80–125)"
    )
    assert even(usd, 50.0).startswith(
        "a rented machine is never cheaper: it would take 100 runs an hour, and it can do 50 runs"
    )


def test_the_dollars_of_a_point_are_those_of_its_comparison() -> None:
    def by_time(run: RunView, now_s: float | None) -> RunCost:
        return RunCost(CostItems(duration=Decimal(repr(run.makespan_s)) / 1000))

    view = forest(6)  # an even number: the median is no run's own
    runs = [run for run in view.runs.values() if run.planned.params["n_trees"] == 8]
    for label, point in ((one.label, one.at(8.0)) for one in only(view, by_time).series):
        usd = compare(runs, by_time)[label].usd
        assert point is not None and point.usd is not None and usd is not None
        assert point.usd.value == pytest.approx(float(usd), rel=1e-12)


def test_dollars_cross_elsewhere_than_time() -> None:
    found = only(forest(rate=7.0))
    assert found.usd_crossings and found.usd_crossings[0].measure == "usd"


def test_more_environments_than_the_machine_carries_take_part_in_no_crossing() -> None:
    found = only(forest(oversubscribed=["emulated"]))
    assert found.crossings == ()
    assert any("more environments than this machine can carry everywhere" in line for line in scaling_notes(found))
    assert "only processes have two points or more that can be compared" in scaling_sentence(found)
    here = only(forest(oversubscribed=["processes"]))  # as many workers as one likes are a person's own choice
    assert here.crossings[0].inside


def test_a_failed_point_fails_alone() -> None:
    found = only(forest(failed=[({"n_trees": 4}, "emulated")]))
    point = found["emulated"].at(4.0)
    assert point is not None and point.makespan_s is None and point.error == "a task failed"
    assert found.crossings[0].root.at == pytest.approx(6 / 0.7, rel=0.05)
    assert "emulated: no right answer at 4 trees: a task failed" in scaling_notes(found)


def test_runs_without_a_sweep_are_placed_by_the_parameter_in_which_they_differ() -> None:
    found = only(forest(sweep=False))
    assert (found.axis, found.places) == ("n_trees", tuple(map(float, SIZES)))
    assert found.crossings[0].inside


def test_a_stopped_sweep_is_completed_by_the_session_that_goes_on() -> None:
    whole = forest()
    first = [({"n_trees": at}, {"processes": [0.7 * at] * 6, "emulated": [6.0] * 6}) for at in SIZES[:3]]
    part = [({"n_trees": 8}, {"processes": [100.0], "emulated": [100.0]})]
    rest = [({"n_trees": at}, {"processes": [0.7 * at] * 6, "emulated": [6.0] * 6}) for at in SIZES[3:]]
    found = scalings([sweep_session([*first, *part], identity="a"), sweep_session(rest, identity="b")], bill)[0]
    assert found.places == tuple(map(float, SIZES))
    point = found["processes"].at(8.0)
    assert point is not None and point.times_s == (pytest.approx(5.6),) * 6
    assert only(whole).places == found.places


def cut_off(at: int, repeats: int = 2, **more: Any) -> SessionView:
    """The forest with a point that was stopped after some repeats, all of them slow."""
    local, away = noisy({n: 0.7 * n for n in SIZES}, 6, 1), noisy(dict.fromkeys(SIZES, 6.0), 6, 2)
    points = [({"n_trees": n}, {"processes": local[n], "emulated": away[n]}) for n in SIZES if n != at]
    part = ({"n_trees": at}, {"processes": [2.1 * at] * repeats, "emulated": [6.0] * repeats})
    return sweep_session([*points, part], stopped=[{"n_trees": at}], **more)


@pytest.mark.parametrize("at", [8, 9, 128])
def test_a_point_that_was_cut_off_leaves_the_others_their_interval(at: int) -> None:
    found = only(cut_off(at))
    (one,) = found.crossings
    assert (one.root.kind, one.root.count) == ("95 %", 6)
    assert one.root.at == pytest.approx(6 / 0.7, rel=0.06)
    sentence = scaling_sentence(found)
    gap = "; no point between 4 and 16" if at == 8 else ""
    assert re.match(rf"below \d+ trees \(95 %: \d+–\d+{gap}\) processes win; above, emulated Lambda; ", sentence), (
        sentence
    )
    assert f"at {at} trees" not in sentence  # dollars and the break-even are a whole point's
    assert found["processes"].at(float(at)) is not None
    assert (
        f"{at} trees: unfinished, 2 repeats, fewer than at most points: in no curve and no crossing"
        in scaling_notes(found)
    )


def test_a_winner_is_named_as_far_as_whole_points_go_only() -> None:
    local, away = noisy({n: 0.7 * n for n in SIZES}, 6, 1), noisy(dict.fromkeys(SIZES, 600.0), 6, 2)
    points = [({"n_trees": n}, {"processes": local[n], "emulated": away[n]}) for n in SIZES[:-1]]
    last = ({"n_trees": 128}, {"processes": [89.6], "emulated": [600.0]})
    found = only(sweep_session([*points, last], stopped=[{"n_trees": 128}]))
    assert "processes win from 1 to 64 trees; " in scaling_sentence(found)
    assert "128 trees: unfinished, 1 repeat, fewer than at most points: in no curve and no crossing" in scaling_notes(
        found
    )


def test_a_point_cut_off_counts_where_no_other_points_would_be_left() -> None:
    points = [
        ({"n": 1}, {"processes": [1.0] * 6, "emulated": [2.0] * 6}),
        ({"n": 2}, {"processes": [3.0], "emulated": [2.0]}),
    ]
    found = only(sweep_session(points, stopped=[{"n": 2}]))
    assert found.crossings[0].root.count == 1
    assert "n 2: unfinished, 1 repeat" in scaling_notes(found)


def test_a_point_with_failures_does_not_turn_an_interval_into_a_range() -> None:
    points = [({"n": n}, {"processes": [0.7 * n] * 6, "emulated": [6.0] * (5 if n == 4 else 6)}) for n in (2, 4, 8, 16)]
    found = only(sweep_session(points))
    assert (found.crossings[0].root.kind, found.crossings[0].root.count) == ("95 %", 6)
    assert "n 4: 5 repeats of emulated, fewer than at most points: in no curve and no crossing" in scaling_notes(found)
    few = only(sweep_session([(at, {name: times[:4] for name, times in both.items()}) for at, both in points]))
    assert few.crossings[0].root.count == 4  # as many everywhere: a range of 4


def test_a_backend_without_a_point_loses_no_place_between_its_others() -> None:
    found = only(forest(failed=[({"n_trees": 2}, "processes")]))
    assert [(one.below, one.above) for one in found.crossings] == [("processes", "emulated")]
    assert found.crossings[0].inside


def test_two_axes_give_a_curve_for_each_value_of_the_second() -> None:
    points = [
        ({"n_trees": at, "workers": workers}, {"processes": [at / workers] * 6, "emulated": [3.0] * 6})
        for workers in (1, 2)
        for at in (1, 2, 4, 8)
    ]
    one, two = scalings([sweep_session(points)], bill)
    assert (one.beside, two.beside) == ({"workers": 1}, {"workers": 2})
    assert one.crossings[0].root.at == pytest.approx(3.0, rel=0.05)
    assert two.crossings[0].root.at == pytest.approx(6.0, rel=0.05)
    assert scaling_sentence(one).startswith("with 1 worker; below 3 trees")
    assert (
        "processes, weak scaling (as much work for each worker, by the times with 1 worker): "
        "1.00× with 2 (95 %: 1.00–1.00; efficiency 100 %)" in law_lines([one, two])
    )


def test_along_workers_the_physical_cores_are_marked_and_the_best_is_named() -> None:
    times = {1: 8.0, 2: 4.2, 3: 4.0, 4: 4.4}
    points = [
        ({"workers": at}, {"processes": [value * k for k in (1, 1.01, 0.99, 1, 1, 1.0)]}) for at, value in times.items()
    ]
    found = only(sweep_session(points))
    assert [(mark.at, mark.text) for mark in found.marks] == [(2.0, "physical cores"), (4.0, "hardware threads (SMT)")]
    assert found["processes"].shape == "valley"
    assert "processes are fastest at 3 workers, 2.00×" in scaling_sentence(found)
    first, *laws = law_lines([found])
    assert first == (
        "processes, strong scaling: 1.90× with 2 (95 %: 1.89–1.92; efficiency 95 %), "
        "2.00× with 3 (95 %: 1.98–2.02; efficiency 67 %), 1.82× with 4 (95 %: 1.80–1.84; efficiency 45 %)"
    )
    assert all("needs 6 different numbers of workers, got 4" in line for line in laws)


def test_the_best_number_of_workers_is_named_only_where_it_is_faster_beyond_doubt() -> None:
    wide = [0.8, 1.2, 0.9, 1.1, 0.95, 1.05]
    points = [({"workers": at}, {"processes": [value * k for k in wide]}) for at, value in {1: 4.0, 2: 3.9}.items()]
    sentence = scaling_sentence(only(sweep_session(points)))
    assert re.search(
        r"processes are not distinguishably faster than at 1 worker: at best 1\.03× \(95 %: [\d.]+–[\d.]+\), at 2 workers",
        sentence,
    ), sentence
    falling = [({"workers": at}, {"processes": [value * k for k in wide]}) for at, value in {1: 3.9, 2: 4.0}.items()]
    assert "not distinguishably faster than at 2 workers: at best 1.03×" in scaling_sentence(
        only(sweep_session(falling))
    )
    near = [
        ({"workers": at}, {"processes": [value * k for k in wide]}) for at, value in {1: 9.0, 2: 4.1, 3: 4.0}.items()
    ]
    assert "as fast as at 1 worker, not distinguishably faster than at 2 workers" in scaling_sentence(
        only(sweep_session(near))
    )


def test_a_best_number_of_workers_needs_more_than_an_interval() -> None:
    """The best was chosen among all by its times: intervals alone would find one among equal ones in every third sweep."""
    sentence = scaling_sentence(
        only(sweep_session([({"workers": at}, {"processes": [at, at * 1.1]}) for at in (3, 2, 1)]))
    )
    assert re.search(
        r"processes are fastest at 1 worker, 2\.00× \(range of 2: .*; not settled\) as fast as", sentence
    ), sentence
    claims = {count: 0 for count in (2, 3, 6)}
    for count in claims:
        for seed in range(60):
            generator = np.random.default_rng(seed)
            points = [
                ({"workers": at}, {"processes": list(np.exp(0.05 * generator.normal(size=count)))})
                for at in (1, 2, 3, 4, 6)
            ]
            text = scaling_sentence(only(sweep_session(points)))
            claims[count] += "are fastest at" in text and "not settled" not in text
    assert max(claims.values()) <= 3, claims  # of 60: 5 %


def test_sizes_with_different_numbers_of_environments_are_not_compared() -> None:
    points = [({"memory": mb}, {"emulated": [seconds] * 6}) for mb, seconds in ((512, 2.0), (1769, 3.0))]
    view = sweep_session(points)
    assert "emulated Lambda is fastest at 512 MB, 1.50× (95 %: 1.50–1.50) as fast as at 1,769 MB" in scaling_sentence(
        only(view)
    )
    for run in view.runs.values():
        assert run.started is not None
        run.started.capacity = 6 if run.planned.sweep is not None and run.planned.sweep.point["memory"] == 512 else 2
    found = only(view)
    assert "fastest" not in scaling_sentence(found)
    assert any(
        line.startswith("emulated: from 2 to 6 environments, as many of each size") for line in scaling_notes(found)
    )


@pytest.mark.parametrize(
    ("views", "why"),
    [
        ([], "no runs to draw a curve through"),
        ([sweep_session([({"n": 1}, {"processes": [1.0]})], sweep=False)], "nothing was swept"),
        (
            [
                sweep_session([({"n": 1}, {"processes": [1.0]})], identity="a"),
                sweep_session([({"n": 2}, {"processes": [1.0]})], workload="mandelbrot", identity="b"),
            ],
            "several workloads",
        ),
        (
            [sweep_session([({"a": n, "b": n, "c": n}, {"processes": [1.0]}) for n in (1, 2)], sweep=False)],
            "differ in a, b, c",
        ),
        ([sweep_session([({"kind": "x"}, {"processes": [1.0]})])], "no axis of numbers"),
        (
            [
                sweep_session([({"n": n}, {"processes": [1.0]})], params={"depth": depth}, identity=str(n))
                for n, depth in ((1, 5), (2, 10))
            ],
            "differ in depth as well as in n",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(views: list[SessionView], why: str) -> None:
    with pytest.raises(InputError, match=why):
        scalings(views, bill)


@pytest.mark.parametrize(
    "points",
    [
        [({"n": 1}, {"processes": [0.0, 0.0]}), ({"n": 2}, {"processes": [0.0, 0.0]})],
        [({"n": 1}, {"processes": [0.0], "emulated": [0.0]}), ({"n": 2}, {"processes": [0.0], "emulated": [1.0]})],
        [({"n": 1}, {"processes": [1.0], "emulated": [2.0]})],
        [({"n": 0}, {"processes": [1.0], "emulated": [2.0]}), ({"n": 5}, {"processes": [3.0], "emulated": [2.0]})],
    ],
)
def test_odd_sweeps_have_a_sentence(points: Any) -> None:
    assert scaling_sentence(only(sweep_session(points))).endswith(".")


def test_only_failures_have_a_sentence() -> None:
    view = sweep_session([({"n": 1}, {"processes": [1.0]})], failed=[({"n": 1}, "processes")])
    assert scaling_sentence(only(view)) == "nothing to compare: no run has a right answer."


_: Callable[[Scaling, Crossing], str] = crossing_text


def test_one_comparison_of_backends_with_different_workers_is_no_sweep(make_events: Any) -> None:
    view = fold(make_events({"sequential": [4.0] * 6, "processes": [2.0] * 6}))
    for run in view.runs.values():
        assert run.started is not None
        run.started.settings["concurrency"] = 1 if run.planned.backend == "sequential" else 2
    with pytest.raises(InputError, match="nothing was swept"):
        scalings([view], bill)


def test_a_backend_that_failed_before_it_was_cold_or_warm_failed_for_both() -> None:
    points: list[tuple[dict[str, Any], dict[str, list[float]]]] = [
        ({"n": 1}, {"emulated cold": [3.0], "emulated warm": [2.0, 2.1]}),
        ({"n": 2}, {"emulated": [2.0]}),
        ({"n": 4}, {"emulated cold": [5.0], "emulated warm": [4.0, 4.1]}),
    ]
    found = only(sweep_session(points, failed=[({"n": 2}, "emulated")]))
    assert [(one.name, one.failed) for one in found.series] == [("emulated cold", (2.0,)), ("emulated warm", (2.0,))]
    assert "emulated warm: no right answer at n 2: a task failed" in scaling_notes(found)


def test_repeats_that_never_began_because_the_first_failed_have_failed_as_well() -> None:
    """A document does not hold them: the cold repeat alone is there."""
    points: list[tuple[dict[str, Any], dict[str, list[float]]]] = [
        ({"n": n}, {"emulated cold": [3.0], **({} if n == 2 else {"emulated warm": [2.0, 2.1]})}) for n in (1, 2, 4)
    ]

    def predict(comparison: Comparison, runs: list[RunView]) -> PredictedLine | None:
        if any(run.makespan_s is None for run in runs):
            return None
        one = Predicted(Estimate(5.0, 4.0, 6.0, 100), *[Decimal(1)] * 3)
        return PredictedLine(
            worked_out_from="emulated", environments=8, memory_mb=1769, region="us-east-1", architecture="x86_64",
            cold=one, warm=one, core_ratio=(1.0, 0.7, 1.5),
        )  # fmt: skip

    (found,) = scalings([sweep_session(points, failed=[({"n": 2}, "emulated")])], bill, predict=predict)
    gaps = [(one.name, one.failed, found.unpredicted(one)) for one in found.series]
    assert gaps == [
        ("emulated cold", (2.0,), ()),
        ("emulated warm", (2.0,), ()),
        ("lambda (predicted) cold", (), (2.0,)),
        ("lambda (predicted) warm", (), (2.0,)),
    ]


def test_of_several_machines_each_is_rented_at_its_own_price() -> None:
    """A laptop's price with a server's speed is no machine that can be rented."""
    own: list[SessionView] = []
    for host, price, factor in (("laptop", "0.10", 1.0), ("server", "0.50", 0.1)):
        points = [
            ({"n": n}, {"processes": noisy({n: factor * n}, 6, 1)[n], "emulated": noisy({n: 9.0}, 6, 2)[n]})
            for n in (1, 2, 4)
        ]
        view = sweep_session(points, identity=host, environment=msgspec.structs.replace(ENVIRONMENT, hostname=host))
        for run in view.runs.values():
            if run.started is not None and run.started.pricing.rent_usd_per_hour is not None:
                rent = msgspec.structs.replace(
                    run.started.pricing, rent_usd_per_hour=price, rent_basis=f"a machine at ${price} an hour"
                )
                run.started = msgspec.structs.replace(run.started, pricing=rent)
        own.append(view)
    for usd, host, price, most in ((0.001, "laptop", "0.10", 900), (0.0001, "server", "0.50", 9000)):
        (found,) = scalings(own, bill_at(Decimal(repr(usd))))
        even = next(one for one in found.break_evens if one.at == 4.0 and one.paid == "emulated on laptop")
        assert (even.host, even.machine_usd_per_hour) == (host, Decimal(price))
        assert even.most_an_hour == pytest.approx(most, rel=0.05)
        assert even.runs_an_hour == pytest.approx(float(price) / usd)
        assert f"machine like {host}" in break_even_text(even)
        notes = scaling_notes(found)
        assert any("laptop: a machine at $0.10 an hour; server: a machine at $0.50 an hour" in one for one in notes)


def test_a_point_whose_runs_were_paused_or_stopped_has_not_failed() -> None:
    point = only(forest()).series[0].points[0]
    halted = msgspec.structs.replace(point, makespan_s=None, paused=4, stopped=2)
    assert not point.failed and not halted.failed
    assert msgspec.structs.replace(halted, error="a task failed").failed
    assert msgspec.structs.replace(halted, stopped=1).failed
