"""Charts: round ticks, curves on both scales, crossings and the cursor, in three kinds of signs."""

from __future__ import annotations

import math
import re

import msgspec
import pytest

from lbench.tui.draw.axes import Axis, axis_of, number_text
from lbench.tui.draw.curves import Curve, Curves, Spot, chart
from lbench.tui.draw.marker import Marker

PLACES = (1.0, 2.0, 4.0, 8.0, 16.0)


def curve(name: str, factor: float, power: float, *, measured: bool = True) -> Curve:
    values = [(at, factor * at**power) for at in PLACES]
    spots = tuple(Spot(at, value, 0.8 * value, 1.25 * value) for at, value in values)
    return Curve(name, "@processes/processes", spots, measured)


TWO = Curves((curve("one", 0.1, 1.0), curve("other", 0.8, 0.0, measured=False)), PLACES, ((8.0, "8"),))


def text_of(shown: Curves, width: int = 60, height: int = 14, **options: object) -> list[str]:
    lines = chart(shown, width, height, **({"log": True} | options))  # type: ignore[arg-type]
    return ["".join(text for text, _ in pieces) for pieces in lines]


@pytest.mark.parametrize(
    ("low", "high", "log", "most", "expected"),
    [
        (0, 10, False, 6, [0, 2, 4, 6, 8, 10]),
        (0.1, 100, True, 8, [0.1, 0.3, 1, 3, 10, 30, 100]),
        (0.1, 100, True, 4, [0.1, 1, 10, 100]),
        (1, 128, True, 9, [1, 2, 5, 10, 20, 50, 100]),
        (6.1, 6.9, True, 5, [6.2, 6.4, 6.6, 6.8]),
    ],
)
def test_ticks_stand_at_round_numbers_and_are_not_too_many(
    low: float, high: float, log: bool, most: int, expected: list[float]
) -> None:
    found = Axis(low, high, log).ticks(most)
    assert found == pytest.approx(expected)
    assert len(found) <= most


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [-1.0, 2.0], [math.nan, 3.0], [1e-9, 1e9], [2.0, 2.0]])
@pytest.mark.parametrize("log", [True, False])
def test_an_axis_is_made_of_any_values(values: list[float], log: bool) -> None:
    axis = axis_of(values, log=log)
    assert axis.low < axis.high and axis.ticks(5)
    for value in values:
        share = axis.share(value)
        assert share is None or math.isfinite(share)


def test_numbers_of_ticks_are_written_in_full() -> None:
    assert [
        number_text(value) for value in (0, 999.9, 0.05, 2.5, 0.00002, 0.000025, 1.5e-6, 3e-7, 4e6, 1e12, 2e-9)
    ] == [
        "0",
        "1,000",
        "0.05",
        "2.5",
        "0.00002",
        "0.000025",
        "0.0000015",
        "0.0000003",
        "4,000,000",
        "1e+12",
        "2e-09",
    ]


def test_the_crossing_is_marked_on_the_axis_before_the_other_numbers() -> None:
    *_, line, numbers = text_of(TWO)
    assert line.count("┼") == 1
    at = line.index("┼")
    assert numbers[at] == "8"
    assert [int(part) for part in numbers.split()] == [1, 2, 4, 8, 16]


def test_measured_and_predicted_points_have_different_signs() -> None:
    body = "\n".join(text_of(TWO))
    assert body.count("●") >= 4 and body.count("○") >= 4


def test_the_cursor_stands_at_its_point() -> None:
    lines = text_of(TWO, cursor=4.0)
    columns = {line.index("┊") for line in lines if "┊" in line}
    assert len(columns) == 1
    assert lines[-2][columns.pop()] == "┬"


@pytest.mark.parametrize(
    ("marker", "sign"), [("ascii", r"[.:]"), ("block", "[▘▝▀▖▌▞▛▗▚▐▜▄▙▟█]"), ("braille", "[\u2801-\u28ff]")]
)
def test_lines_are_drawn_with_the_chosen_signs_alone(marker: Marker, sign: str) -> None:
    plot = "".join(re.split("[┤│]", line, maxsplit=1)[1] for line in text_of(TWO, marker=marker)[:-2])
    assert re.search(sign, plot)
    assert set(re.sub(sign, "", plot)) <= set(" ●○│")


@pytest.mark.parametrize("size", [(8, 3), (20, 5), (64, 10), (200, 60)])
def test_a_chart_keeps_to_its_room(size: tuple[int, int]) -> None:
    lines = text_of(TWO, *size)
    assert len(lines) <= max(size[1], 5)
    if size[0] >= 20:
        assert max(map(len, lines)) <= size[0]


def test_names_stand_at_the_ends_where_there_is_room_and_none_hides_another() -> None:
    same = Curves(tuple(curve(f"series {number}", 1.0, 1.0) for number in range(4)), PLACES)
    body = text_of(same, 90, 12)
    assert [sum(f"series {number}" in line for line in body) for number in range(4)] == [1, 1, 1, 1]
    assert not any("series" in line for line in text_of(same, 50, 12))


@pytest.mark.parametrize("marker", ["braille", "block", "ascii"])
def test_a_line_breaks_where_its_backend_failed_and_a_cross_stands_there(marker: Marker) -> None:
    whole = curve("one", 0.1, 1.0)
    spots = tuple(spot for spot in whole.spots if spot.x != 4.0)
    broken = msgspec.structs.replace(whole, spots=spots, failed=(4.0,), banded=False)
    lines = text_of(Curves((broken,), PLACES), marker=marker)
    at = lines[-1].index("4")
    assert lines[-3][at] == "✘" and sum(line.count("✘") for line in lines) == 1
    points = [(row, line.index("●", at)) for row, line in enumerate(lines) if "●" in line[at:]]
    before = max(line.rindex("●", 0, at) for line in lines if "●" in line[:at])
    assert {line[before + 1 : min(column for _, column in points)].strip("✘ ") for line in lines[:-2]} == {""}


def test_crosses_of_one_place_stand_above_one_another() -> None:
    failed = tuple(
        msgspec.structs.replace(one, failed=(4.0,), spots=one.spots[:2] + one.spots[3:]) for one in TWO.curves
    )
    assert sum(line.count("✘") for line in text_of(Curves(failed, PLACES))) == 2


def test_no_curve_is_no_fault() -> None:
    assert text_of(Curves(()))
    lonely = Curves((Curve("a", "text", (Spot(3.0, 0.0),)),), (3.0,))
    assert text_of(lonely) and text_of(lonely, log=False)
