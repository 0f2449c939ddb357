"""Figures of a sweep along its axis, and of a tuning's front."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lbench.analysis.format import place_number
from lbench.analysis.layout import unbroken
from lbench.analysis.scaling import Scaling
from lbench.analysis.series import Series
from lbench.analysis.statistics import Estimate
from lbench.analysis.tuning import Tuned, front
from lbench.cli.html.figure import (
    COLOURS,
    Figure,
    add_legend,
    colours_of,
    make_figure,
    new_axes,
    plain_log_axis,
    plain_numbers,
)

__all__ = ["front_figure", "sweep_figures", "ticks_of"]

_AXIS_INCHES, _LETTER_INCHES = 6.2, 0.085


def sweep_figures(scaling: Scaling, prefix: str) -> list[Figure]:
    """Time, speedup and cost along the axis."""
    kinds = [(_line_key(one), "predicted" if one.origin == "predicted" else one.backend) for one in scaling.series]
    by_line = colours_of(list(dict.fromkeys(kinds)))
    colours = {one.name: by_line[_line_key(one)] for one in scaling.series}
    label = scaling.axis.replace("_", " ")
    crosses = "; ×: no right answer there" if any(one.failed for one in scaling.series) else ""
    figures = [
        make_figure(
            f"{prefix}-time",
            f"Makespan against {label}: medians with their intervals, one line a backend and machine{crosses}",
            lambda: _along(scaling, colours, lambda p: p.makespan_s, f"{label}", "makespan (s)", log_y=True),
        )
    ]
    if any(point.speedup is not None for one in scaling.series for point in one.points):
        figures.append(
            make_figure(
                f"{prefix}-speedup",
                f"Speedup against {scaling.baseline} along {label}{crosses}",
                lambda: _along(scaling, colours, lambda p: p.speedup, label, f"times as fast as {scaling.baseline}"),
            )
        )
    if any(point.usd or point.rent_usd for one in scaling.series for point in one.points):
        figures.append(
            make_figure(
                f"{prefix}-cost",
                f"Dollars of a run against {label}; of a local run the rent of an equal machine while it lasts{crosses}",
                lambda: _along(scaling, colours, lambda p: p.usd or p.rent_usd, label, "US dollars a run", log_y=True),
            )
        )
    return figures


def _line_key(one: Series) -> str:
    """Of the lines that share a colour: a backend's cold and warm repeats."""
    return f"{one.label} {one.machine or ''}"


def _along(
    scaling: Scaling,
    colours: dict[str, str],
    value: Callable[[Any], Estimate | None],
    x_label: str,
    y_label: str,
    *,
    log_y: bool = False,
) -> Any:
    figure, (axes,) = new_axes(3.2)
    crosses: dict[float, int] = {}
    for number, one in enumerate(scaling.series):
        points = [(point.at, found) for point in one.points if (found := value(point)) is not None and found.value > 0]
        if not points:
            continue
        _line(axes, one, points, (*one.failed, *scaling.unpredicted(one)), colours[one.name], "os^Dv<>"[number % 7])
        for at in one.failed:  # on the axis, each above the others of its place
            crosses[at] = crosses.get(at, 0) + 1
            height = 0.03 + 0.05 * (crosses[at] - 1)
            axes.plot([at], [height], "x", transform=axes.get_xaxis_transform(), color=colours[one.name], markersize=6)
    if scaling.places[0] > 0 and len(scaling.places) > 1 and scaling.places[-1] / scaling.places[0] >= 4:
        axes.set_xscale("log")
        _plain_ticks(axes, scaling.places)
    if log_y:
        axes.set_yscale("log")
        plain_log_axis(axes.yaxis)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    add_legend(figure, axes)
    return figure


def _plain_ticks(axes: Any, places: Sequence[float]) -> None:
    shown = ticks_of(places)
    axes.set_xticks(shown, [place_number(place) for place in shown])
    axes.minorticks_off()


def ticks_of(places: Sequence[float]) -> list[float]:
    """The places of a logarithmic axis whose numbers have room beside each other."""
    shown = [places[0]]
    for place in places[1:]:
        apart = _AXIS_INCHES * math.log(place / shown[-1]) / math.log(places[-1] / places[0])
        if apart >= _LETTER_INCHES * (len(place_number(place)) + len(place_number(shown[-1])) + 3) / 2:
            shown.append(place)
    return shown


def _line(
    axes: Any, one: Series, points: list[tuple[float, Estimate]], cuts: tuple[float, ...], colour: str, marker: str
) -> None:
    """A curve with its band, broken at the `cuts`: there it has no value."""
    style = "--" if one.origin == "predicted" else ":" if one.temperature == "cold" else "-"
    label: str | None = one.name
    for piece in filter(None, unbroken(points, lambda point: point[0], cuts)):
        x = [at for at, _ in piece]
        axes.plot(x, [found.value for _, found in piece], style, color=colour, marker=marker, markersize=4, label=label)
        low = [found.value if found.low is None else max(found.low, found.value / 1e3) for _, found in piece]
        high = [found.value if found.high is None else found.high for _, found in piece]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        label = None


def front_figure(found: Sequence[Tuned], backend: str, name: str) -> Figure:
    """Dollars a run against seconds: the front as a line, the candidates off it hollow."""
    colour = COLOURS.get(backend, "#2f7ed8")
    return make_figure(
        name,
        "Dollars of a run against its makespan, medians of each candidate; the line is the Pareto front: no candidate is "
        "faster and cheaper than one on it",
        lambda: _front(found, colour),
    )


def _front(found: Sequence[Tuned], colour: str) -> Any:
    figure, (axes,) = new_axes(3.6)
    ends = front(found)
    axes.plot([one.makespan_s.value for one in ends], [one.usd.value for one in ends], color=colour, linewidth=1.2)
    for one in found:
        own = one in ends
        axes.scatter(
            one.makespan_s.value, one.usd.value, s=26, facecolors=colour if own else "none", edgecolors=colour, zorder=3
        )
        axes.annotate(
            f"{one.candidate.memory_mb:,} MB × {one.tasks:,}", (one.makespan_s.value, one.usd.value),
            xytext=(5, 5), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.margins(x=0.2, y=0.2)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    plain_numbers(axes.yaxis)
    axes.set_xlabel("makespan (s)")
    axes.set_ylabel("US dollars a run")
    return figure
