"""Figures of a report: legends and numbers of an axis have room."""

from __future__ import annotations

import pytest

from lbench.cli.html.figure import add_legend, new_axes
from lbench.cli.html.sweep_figures import ticks_of


@pytest.mark.parametrize("label", ["processes", "lambda (predicted) on laptop warm", "a long name " * 6])
def test_a_legend_is_no_wider_than_its_figure(label: str) -> None:
    figure, (axes,) = new_axes()
    for number in range(8):
        axes.plot([0, 1], [0, number], label=f"{label} {number}")
    add_legend(figure, axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"{label} {number}" for number in range(8)]
    assert legend.get_window_extent(figure.canvas.get_renderer()).width <= figure.bbox.width


def test_an_axis_names_the_places_that_have_room() -> None:
    sizes = [float(2**n) for n in range(8)]
    assert ticks_of(sizes) == sizes
    assert ticks_of([5_000.0, 18_900.0, 20_000.0, 80_000.0]) == [5_000.0, 18_900.0, 80_000.0]
    many = [float(n) for n in range(1, 200)]
    assert 3 < len(ticks_of(many)) < 30 and ticks_of(many)[:2] == [1.0, 2.0]
