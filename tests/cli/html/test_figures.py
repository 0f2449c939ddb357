"""Figures of a report: legends and numbers of an axis have room."""

from __future__ import annotations

import pytest

from lbench.analysis.comparison import compare
from lbench.analysis.scaling import scalings
from lbench.cli.html.figure import add_legend, new_axes
from lbench.cli.html.job_figures import job_figures
from lbench.cli.html.sweep_figures import sweep_figures, ticks_of
from lbench.config.prices import rates
from lbench.engine.billing.bill import run_bill
from lbench.engine.model import Pricing
from tests.analysis.runs import session_of
from tests.analysis.sweeps import sweep_session


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


def test_the_figure_of_dollars_says_which_they_are() -> None:
    rows = [{"dispatched_s": n, "returned_s": n + 1.0, "compute_ms": 1000.0, "billed_ms": 1000} for n in range(4)]
    for pricing, text in (
        (Pricing(rates=rates("us-east-1", "x86_64"), memory_mb=1769), ", and dollars"),
        (None, ", over"),
    ):
        runs = list(session_of([{"rows": rows, "lanes": 1, "makespan_s": 4.0, "pricing": pricing}]).runs.values())
        figures = job_figures(compare(runs, run_bill), runs, (), "job1")
        (caption,) = (one.caption for one in figures if one.name == "job1-so-far")
        assert caption.startswith(f"Tasks with their result{text}")


def test_a_line_of_a_sweep_breaks_where_its_backend_failed() -> None:
    points = [({"n": n}, {"processes": [n * 1.0, n * 1.1]}) for n in (1, 2, 4, 8, 16)]
    (found,) = scalings([sweep_session(points, failed=[({"n": 4}, "processes")])], run_bill)
    time, *_ = sweep_figures(found, "sweep")
    (axes,) = time.draw().axes
    lines = [(list(line.get_xdata()), line.get_marker()) for line in axes.get_lines()]
    assert lines == [([1, 2], "o"), ([8, 16], "o"), ([4], "x")]
    assert len(axes.get_legend_handles_labels()[0]) == 1
    assert "no right answer there" in time.caption
