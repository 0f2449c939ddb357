"""A value that is typed is the one that is explored, or is refused with its range."""

from __future__ import annotations

import pytest

from lbench.errors import InputError
from lbench.tui.explore.scene import SCENES


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("x", " -1.5 ", -1.5),
        ("y", "2.2", 2.2),
        ("span", "1e3", 0.0024),
        ("detail", "2", 2),
        ("tasks", "1,000", 1000),
        ("tasks", "", None),
    ],
)
def test_a_typed_value_is_taken_as_it_is(name: str, text: str, value: float | None) -> None:
    assert SCENES["mandelbrot"].read(name, text).values[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x", "1e3", "must be -2.2 to 2.2, got 1000"),
        ("y", "nan", "must be -2.2 to 2.2, got nan"),
        ("span", "1e-320", "must be 0.3 to 2.4e\\+12, got 1e-320"),
        ("span", "0", "must be 0.3 to 2.4e\\+12, got 0"),
        ("detail", "0", "must be at least 1, got 0"),
        ("detail", "", "must be a whole number, got nothing"),
        ("tasks", "-1", "must be at least 1, got -1"),
        ("tasks", "1.5", "must be a whole number, got 1.5"),
        ("x", "far", "must be a number, got far"),
    ],
)
def test_a_typed_value_out_of_its_range_is_refused(name: str, text: str, message: str) -> None:
    scene = SCENES["mandelbrot"]
    with pytest.raises(InputError, match=f"^{message}$"):
        scene.read(name, text)


def test_what_is_shown_of_a_value_can_be_typed_again() -> None:
    for scene in SCENES.values():
        for far in range(-60, 61, 20):
            other = scene.zoomed(far).panned(far, far)
            for slider in other.sliders:
                other.read(slider.name, other.typed(slider.name))


def test_each_range_stands_in_its_hint() -> None:
    assert SCENES["mandelbrot"].hint("x").endswith("(-2.2 to 2.2)")
    assert SCENES["mandelbrot"].hint("tasks").endswith("(at least 1)")
