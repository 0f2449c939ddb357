import re
import textwrap

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from lbench.tui.draw.bars import bar, progress
from lbench.tui.draw.curve import curve
from lbench.tui.draw.dots import dots, short_ms
from lbench.tui.draw.histogram import axis, bins, columns, counts, range_of
from lbench.tui.draw.ink import between, clipped, heading, line, put, sentence_lines, shorter, width_of, wrapped
from lbench.tui.draw.lanes import paint, paint_marks, spans
from lbench.tui.draw.picture import Ramp, fit, half_blocks, quadrants, resample, stretched
from lbench.tui.draw.scale import nice_ceiling, nice_range, ticks, window_s
from lbench.tui.theme import DARK
from lbench.tui.widgets.table import _ms

WIDTHS = st.integers(1, 200)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "M", "Z"]), max_size=30)
PIECES = st.lists(st.tuples(TEXTS, st.sampled_from(["text", "quiet!", "@emulated/x"])), max_size=6)


@given(PIECES, WIDTHS)
def test_a_line_is_always_exactly_as_wide_as_it_should_be(pieces: list[tuple[str, str]], width: int) -> None:
    strip = line(DARK, pieces, width)
    assert cell_len(strip.text) == width


@given(PIECES, PIECES, st.integers(4, 200))
def test_headings_and_two_sided_lines_never_get_wider_than_asked(left: list, right: list, width: int) -> None:
    assert cell_len(line(DARK, heading(left, right, width), width).text) == width
    if width_of(right) < width:
        assert width_of(between(left, right, width)) == width


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    assert clipped([("abcdef", "text")], 4) == [("abc…", "text")]
    assert clipped([("abc", "text"), ("def", "text")], 3)[-1][0].endswith("…")
    assert [put("abcdef", width) for width in (8, 6, 5, 1, 0)] == ["abcdef  ", "abcdef", "abcd…", "…", ""]
    assert put("計算機", 4) == "計 …" or cell_len(put("計算機", 4)) == 4


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_a_round_range_holds_what_it_is_around(low: float, size: float) -> None:
    first, last = nice_range(low, low + size)
    assert first <= low * (1 + 1e-9) and last >= (low + size) * (1 - 1e-9)
    assert ticks(first, last, 8)


@given(st.floats(0.0, 1e5))
def test_a_window_reaches_beyond_the_present_and_steps(now_s: float) -> None:
    window = window_s(now_s)
    assert window > now_s
    assert window_s(now_s * 1.0001) in (window, nice_ceiling(window * 1.0001), window_s(now_s * 1.0001))


@example([0.0, 2.2250738585e-313], 1, 1)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=300), st.integers(1, 120), st.integers(1, 12))
def test_a_histogram_loses_no_value_and_its_highest_column_fills_it(values: list[float], width: int, rows: int) -> None:
    array = np.array(values)
    scale = range_of([array])
    assert scale is not None
    heights = counts(array, *scale, width)
    many = bins(len(values), width)
    starts = np.flatnonzero(np.diff(np.arange(width) * many // width, prepend=-1))
    assert heights[starts].sum() == len(values)
    lines = columns(heights, rows)
    assert [len(text) for text in lines] == [width] * rows
    assert "█" in lines[0]


def test_what_is_not_nothing_shows() -> None:
    assert columns(np.array([0, 1, 1000]), 1) == [" ▁█"]


def test_numbers_under_a_histogram_are_round_and_do_not_touch() -> None:
    assert [float(text) for text in axis(40, 160, 40).split()] == [50, 100, 150]
    assert axis(40, 160, 50, "ms").rstrip().endswith("150 ms")
    assert len(axis(0, 1, 13)) == 13


@given(st.integers(0, 100), st.integers(1, 100), st.integers(1, 60))
def test_a_progress_bar_keeps_its_width(done: int, total: int, width: int) -> None:
    assert width_of(progress(done, total, width, "text")) == width


def test_a_share_that_is_not_nothing_shows_in_its_bar() -> None:
    assert bar(0.0, 10) == ""
    assert bar(1e-9, 10) == "▏"
    assert bar(1.0, 10) == "█" * 10


def test_a_bar_has_at_least_a_cell_and_is_clipped_to_the_window() -> None:
    first, last = spans([-5.0, 0.11, 9.0], [0.05, 0.111, 20.0], 0.0, 0.1, 10)
    assert list(zip(first.tolist(), last.tolist(), strict=True)) == [(0, 1), (1, 2), (10, 10)]


def test_later_bars_lie_over_earlier_ones_and_marks_over_all() -> None:
    cells = np.zeros((2, 6), dtype=np.uint8)
    paint(cells, np.array([0, 0]), np.array([0, 2]), np.array([4, 6]), np.array([1, 2], dtype=np.uint8))
    assert cells.tolist() == [[1, 1, 2, 2, 2, 2], [0] * 6]
    marks = np.zeros((2, 6), dtype=np.uint8)
    paint_marks(marks, np.array([1, 1, 1]), np.array([3, 3, 9]), np.array([9, 8, 9]))
    assert marks.tolist() == [[0] * 6, [0, 0, 0, 9, 0, 0]]


def test_a_picture_keeps_its_proportions_in_cells_that_are_twice_as_high_as_wide() -> None:
    assert fit(1000, 1000, 60, 20) == (40, 40)
    assert fit(1000, 2000, 60, 20) == (30, 60)


def test_rows_that_have_not_come_are_ground_and_near_ones_stand_in() -> None:
    levels = np.full((100, 4), -1, dtype=np.int16)
    levels[7] = 80
    resampled = resample(levels, 10, 4)
    assert resampled[0].tolist() == [80] * 4
    assert (resampled[1:] == -1).all()
    strips = half_blocks(resampled, Ramp(DARK))
    assert len(strips) == 5
    assert strips[1][0].style is not None and strips[1][0].style.bgcolor.name == DARK.ground


def test_stretching_a_picture_leaves_the_inside_and_what_is_missing_alone() -> None:
    levels = np.array([[-1, 40, 90, 255]], dtype=np.int16)
    values = stretched(levels)[0].tolist()
    assert values[0] == -1 and values[3] == 255
    assert 0 <= values[1] < values[2] <= 254


def test_a_curve_rises_from_the_lower_left_to_the_upper_right() -> None:
    lines, across, up = curve([(1.0, 0.5), (50.0, 0.8), (100.0, 0.9)], 20, 5)
    assert across == (0.0, 100.0)
    assert up[0] <= 0.5 and up[1] >= 0.9
    assert lines[-1].strip() and lines[0].rstrip()[-1] != " "
    assert [len(text) for text in lines] == [20] * 5


@pytest.mark.parametrize("points", [[(1.0, 0.5)], [(0.0, 0.0)], [(3.0, 1.0), (3.0, 1.0)]])
def test_a_curve_of_hardly_any_points_is_drawn_too(points: list[tuple[float, float]]) -> None:
    assert any(text.strip() for text in curve(points, 10, 3)[0])


def test_a_sentence_without_room_is_cut_to_its_first_clauses_and_never_to_a_dangling_word() -> None:
    text = "AWS Lambda on this machine: real API, real runtime client"
    assert shorter(text, 80) == text
    assert shorter(text, 40) == "AWS Lambda on this machine"
    assert shorter("tasks of the first stage; none: the workload's own number", 50) == "tasks of the first stage"
    assert shorter("share of requests that run, and whose answer is lost", 30) == "share of requests that run, …"


@given(st.text(alphabet="ab :;.(,", max_size=60), st.integers(1, 70))
def test_what_is_shortened_fits(text: str, width: int) -> None:
    assert cell_len(shorter(text, width)) <= width


@given(st.lists(st.text(alphabet="abc ", max_size=12), max_size=6), st.integers(14, 40), st.integers(1, 4))
def test_wrapping_keeps_every_word_and_the_number_of_lines(texts: list[str], width: int, rows: int) -> None:
    lines = wrapped([(f" {text.strip()}", "text") for text in texts], width, rows)
    assert 1 <= len(lines) <= rows
    drawn = "".join(text for line in lines for text, _ in line)
    assert drawn.replace(" ", "") == "".join(texts).replace(" ", "")
    assert all(width_of(line) <= width for line in lines[:-1])


def test_a_few_values_are_dots_with_their_numbers_and_pile_up() -> None:
    rows = dots(np.array([100.0, 300.0, 300.0]), 0.0, 400.0, 40, 4)
    assert [row.count("●") for row in rows] == [0, 0, 1, 2]
    assert rows[1].split() == ["100", "300"]
    assert all(len(row) == 40 for row in rows)


def test_what_is_counted_has_an_axis_of_whole_numbers() -> None:
    assert axis(0.0, 3.0, 80, whole=True).split() == ["0", "1", "2", "3"]
    assert axis(0.0, 31.0, 40, whole=True).split() == ["0", "10", "20", "30"]


def test_quadrants_show_each_point_in_the_nearer_of_two_colours() -> None:
    levels = np.array([[0, 200, 255, 16], [0, 200, 255, 255], [-1, 8, 40, 40], [-1, -1, 40, 40]], dtype=np.int16)
    ramp = Ramp(DARK)
    rows = quadrants(levels, ramp)
    assert ["".join(segment.text for segment in row) for row in rows] == ["▐▙", "▝ "]
    first, second = rows[0]
    assert (first.style, second.style) == (ramp.style(200, 0), ramp.style(255, 16))
    assert rows[1][0].style == ramp.style(8, -1)


WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=9), min_size=1, max_size=30).map(" ".join)


@example("aa bb cc dd ee", 11)
@given(WORDS, st.integers(20, 100))
def test_a_sentence_takes_as_few_lines_as_it_needs_and_loses_no_word(text: str, width: int) -> None:
    lines = sentence_lines(text, width)
    assert " ".join(lines) == text and max(map(len, lines)) <= width
    assert len(lines) == len(textwrap.wrap(text, width))
    pieces = wrapped([(text, "text")], width, 50)
    assert " ".join("".join(word for word, _ in line) for line in pieces) == text
    assert len(pieces) == len(textwrap.wrap(text, width)) and all(width_of(line) <= width for line in pieces)


def test_no_sentence_wraps_by_one_word() -> None:
    text = "emulated is slower than processes, measured once: not settled"
    assert sentence_lines(text, len(text) - 1)[-1].split() == ["not", "settled"]
    assert [word for word, _ in wrapped([(text, "text")], len(text) - 1, 2)[-1]] == ["not", " settled"]


def test_no_duration_reads_as_none() -> None:
    assert [short_ms(ms) for ms in (0.0, 2.6e-5, 0.0004, 0.0006, 0.02)] == ["0.00", "3e-5", "4e-4", "0.001", "0.020"]
    assert [_ms(ms)[0][0] for ms in (2.5e-5, 0.0001, 0.02)] == ["25ns", "0.1µs", "20µs"]


def test_an_axis_always_has_its_unit_and_two_numbers() -> None:
    assert axis(0.0, 50.0, 21, "ms").split() == ["0", "25", "50", "ms"]
    assert axis(0.0, 75.0, 19, "ms").split() == ["0", "50", "ms"]
    for high in (50.0, 60.0, 0.004, 12_345.0):
        for width in range(19, 80):
            assert re.search(r"\d ms *$", axis(0.0, high, width, "ms"))


@pytest.mark.parametrize(
    "text", ["it depends on one core here = 1.4 (95 %: 0.84–2.2) of theirs", "the last took 12.4 s in all"]
)
def test_no_line_ends_between_a_number_and_its_unit(text: str) -> None:
    for width in range(20, 60):
        for lines in (
            sentence_lines(text, width),
            ["".join(word for word, _ in one) for one in wrapped([(text, "text")], width, 9)],
        ):
            assert " ".join(lines) == text
            assert not any(line.endswith(("95", "12.4")) for line in lines)


def test_a_line_breaks_before_a_word_of_another_role_and_never_within_a_word_of_several() -> None:
    pieces = [
        ("processes is ", "text"),
        ("1.98×", "bright!"),
        (" as fast", "text"),
        ("; ", "text"),
        ("emulated", "text"),
    ]
    text = "".join(part for part, _ in pieces)
    for width in range(12, 40):
        lines = ["".join(part for part, _ in one) for one in wrapped(pieces, width, 9)]
        assert " ".join(line.strip() for line in lines) == text and max(map(len, lines)) <= width
        assert not any(line.startswith(";") for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("29 of 30 runs · 2,917 invocations", 20, "29 of 30 runs · …"),
        ("29 of 30 runs · 2,917 invocations", 23, "29 of 30 runs · 2,917 …"),
        ("emulated 0.36× (0.14–0.62)", 11, "emulated …"),
        ("emulated 0.36× (0.14–0.62)", 15, "emulated 0.36×…"),
        ("emulated 0.36× (0.14–0.62)", 20, "emulated 0.36× …"),
        ("sessions/20261129-222321-b877", 20, "sessions/20261129-2…"),
        ("of 2026-11-29 22:16", 10, "of 2026-1…"),
        ("$0.0033 a run", 5, "…"),
    ],
)
def test_a_number_is_cut_nowhere_within_it(text: str, width: int, shown: str) -> None:
    assert "".join(part for part, _ in clipped([(text, "text")], width)) == shown
