import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from textual.geometry import Region

from lbench.tui.bench.layout import LEAST, Wanted, arrange

WANTED = st.builds(
    Wanted,
    backends=st.integers(0, 8),
    lanes=st.lists(st.integers(1, 1000), max_size=6).map(tuple),
    picture=st.booleans(),
    cold=st.booleans(),
    favourite=st.integers(0, 7),
    only_picture=st.booleans(),
)
THREE = Wanted(backends=3, lanes=(1, 2, 8), picture=True, cold=True, favourite=2)


@given(st.integers(LEAST[0], 260), st.integers(LEAST[1], 90), WANTED)
@example(100, 22, Wanted(backends=4, lanes=(2,), picture=True, cold=False))  # no room is left for the picture
def test_no_part_leaves_the_screen_or_covers_another(width: int, height: int, wanted: Wanted) -> None:
    screen = Region(0, 0, width, height)
    places = arrange(width, height, wanted).places
    for name, place in places.items():
        assert place.width > 0 and place.height > 0, (name, place)
        assert screen.contains_region(place), (name, place)
    names = list(places)
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            assert not places[name].overlaps(places[other]), (name, other, places)


@given(st.integers(LEAST[0], 260), st.integers(LEAST[1], 90), WANTED)
def test_every_timeline_names_the_run_that_it_shows(width: int, height: int, wanted: Wanted) -> None:
    arrangement = arrange(width, height, wanted)
    drawn = [name for name in arrangement.places if name.startswith("timeline")]
    assert len(drawn) <= len(arrangement.timelines) <= 4
    assert all(0 <= one < len(wanted.lanes) for one in arrangement.timelines)
    assert len(set(arrangement.timelines)) == len(arrangement.timelines)


def test_a_terminal_that_is_too_small_gets_a_message_and_nothing_else() -> None:
    assert list(arrange(20, 5, THREE).places) == ["small"]


def test_a_narrow_terminal_shows_one_timeline_the_favourite() -> None:
    arrangement = arrange(80, 24, THREE)
    assert arrangement.timelines == (2,)
    assert arrangement.places["timeline0"].width == 80
    assert "preview" not in arrangement.places


def test_the_picture_takes_the_place_of_the_timeline_on_a_narrow_terminal_when_asked_to() -> None:
    arrangement = arrange(80, 24, Wanted(backends=3, lanes=(1, 2, 8), picture=True, cold=True, only_picture=True))
    assert "preview" in arrangement.places and "timeline0" not in arrangement.places


def test_the_usual_size_has_the_timelines_the_picture_and_all_of_the_last_timelines_lanes() -> None:
    arrangement = arrange(120, 40, THREE)
    assert arrangement.timelines == (0, 1, 2)
    assert arrangement.places["timeline2"].height == 9
    assert arrangement.places["preview"].height >= 8
    assert {"cold", "warm", "cost", "inspect"} <= set(arrangement.places)


@pytest.mark.parametrize("lanes", [(1, 2, 2), (1, 2, 8), (1, 1, 2)])
@pytest.mark.parametrize(("height", "picture"), [(40, True), (40, False), (30, False), (50, True)])
def test_two_columns_show_a_third_timeline_where_one_of_them_has_room(
    lanes: tuple[int, ...], height: int, picture: bool
) -> None:
    arrangement = arrange(120, height, Wanted(backends=4, lanes=lanes, picture=picture, cold=True, warnings=2))
    places = arrangement.places
    assert arrangement.timelines == (0, 1, 2)
    assert [places[f"timeline{number}"].height for number in (0, 1)] == [1 + lanes[0], 1 + lanes[1]]
    assert "preview" not in places or places["preview"].height >= 8
    assert places["inspect"].height >= 6


def test_a_third_timeline_takes_no_lanes_of_others_and_nothing_of_a_small_picture() -> None:
    assert arrange(120, 30, Wanted(backends=3, lanes=(1, 2, 2), picture=True, favourite=2)).timelines == (1, 2)
    assert arrange(120, 40, Wanted(backends=3, lanes=(12, 9, 9), favourite=2)).timelines == (1, 2)


def test_a_large_terminal_shows_all_three() -> None:
    assert arrange(200, 60, THREE).timelines == (0, 1, 2)


def test_a_large_terminal_gives_half_of_itself_to_the_picture_as_long_as_the_lanes_are_few() -> None:
    assert arrange(200, 60, THREE).places["preview"].area > 4500
    many = arrange(200, 60, Wanted(backends=3, lanes=(1, 2, 60), picture=True, cold=True)).places
    assert many["timeline2"].height > 20 > many["preview"].width // 4


def test_without_cold_starts_their_histogram_leaves_its_room_to_the_other() -> None:
    arrangement = arrange(120, 40, Wanted(backends=2, lanes=(1, 2)))
    assert "cold" not in arrangement.places
    assert arrangement.places["warm"].width > 70
