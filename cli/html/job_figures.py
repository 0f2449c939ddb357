"""Figures of the runs of one job: makespans, variance, cold against warm, dollars, latency, timelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lbench.analysis.comparison import Comparison, by_label, is_cold, makespans
from lbench.analysis.run_timeline import dollars_so_far, lanes_of, mean_at_once, median_run, tasks_so_far, thinned
from lbench.analysis.variance import VarianceParts
from lbench.cli.html.figure import (
    Figure,
    add_legend,
    colours_of,
    log_if_wide,
    make_figure,
    new_axes,
    plain_numbers,
)
from lbench.engine.session.view import RunView

__all__ = ["job_figures"]

_PART_COLOURS = {  # of the variance, the same in every figure
    "within an environment": "#2f7ed8",
    "network and hand-over": "#d98a00",
    "hand-over": "#f0b840",
    "between tasks": "#2f9e8f",
    "between environments": "#9b5de5",
    "between repeats": "#d6336c",
    "driver": "#6b7f8f",
    "cold starts": "#9a7b4f",
    "fetch": "#6f9f00",
}
_MOST_POINTS, _MOST_SPANS, _MOST_LANES = 900, 1500, 400
_BINS = 80  # stretches of time of which the mean is drawn


def job_figures(
    comparison: Comparison, runs: list[RunView], parts: Sequence[VarianceParts], prefix: str
) -> list[Figure]:
    """What the runs of one job show, as far as there is something to show."""
    groups = {label: [run for run in group if run.counts] for label, group in by_label(runs).items()}
    groups = {label: group for label, group in groups.items() if makespans(group)}
    if not groups:
        return []
    colours = colours_of([(label, group[0].planned.backend) for label, group in groups.items()])
    middle = {label: run for label, group in groups.items() if (run := median_run(_warm(group))) is not None}
    figures = [
        make_figure(
            f"{prefix}-makespans",
            "Makespan of each run, cold ones hollow; the bar is the median with its interval",
            lambda: _strip(comparison, groups, colours),
        )
    ]
    if parts:
        figures.append(
            make_figure(
                f"{prefix}-variance-parts",
                "Of what the variance of the invocations' times is made; the whole bar is all of it",
                lambda: _parts(parts),
            )
        )
    if any(len({line.temperature for line in one.lines}) > 1 for one in comparison.summaries):
        figures.append(
            make_figure(
                f"{prefix}-cold-warm",
                "Cold against warm: the median makespan where all environments were new, and where they were there already",
                lambda: _cold_warm(comparison, colours),
            )
        )
    if any(one.usd is not None or one.rent_usd is not None for one in comparison.summaries):
        figures.append(
            make_figure(
                f"{prefix}-cost",
                "Dollars of a run: the bill (filled), and the rent of an equal machine while a local run lasts (outlined)",
                lambda: _costs(comparison, colours),
            )
        )
    latency = {
        label: np.sort(np.concatenate([run.warm_compute_ms() for run in group])) for label, group in groups.items()
    }
    latency = {label: values for label, values in latency.items() if len(values) > 1}
    if latency:
        figures.append(
            make_figure(
                f"{prefix}-latency",
                "Compute times of warm invocations: the share that took at most so long",
                lambda: _latency(latency, colours),
            )
        )
    if middle:
        paid = any(dollars_so_far(run) is not None for run in middle.values())
        dollars = ", and dollars for their requests and time (the bill has S3, transfer and logs too)" if paid else ""
        figures += [
            make_figure(
                f"{prefix}-timeline",
                "Timelines of the median runs: a lane for each environment, cold starts dark, failed attempts red",
                lambda: _timelines(middle, colours),
            ),
            make_figure(
                f"{prefix}-at-once",
                f"Invocations that ran at once in the median runs: the mean of each {_BINS}th of the time",
                lambda: _at_once(middle, colours),
            ),
            make_figure(
                f"{prefix}-so-far",
                f"Tasks with their result{dollars}, over the time of the median runs; dotted lines are the stages' ends",
                lambda: _so_far(middle, colours),
            ),
        ]
    return figures


def _warm(group: list[RunView]) -> list[RunView]:
    warm = [run for run in group if is_cold(run) is not True]
    return warm or group


def _strip(comparison: Comparison, groups: dict[str, list[RunView]], colours: dict[str, str]) -> Any:
    rows = [(one, line) for one, line in comparison.rows if line.makespan_s is not None]
    figure, (axes,) = new_axes(0.9 + 0.38 * len(rows))
    for row, (one, line) in enumerate(rows):
        own = [
            run
            for run in groups.get(one.label, [])
            if line.temperature is None or (is_cold(run) is True) == (line.temperature == "cold")
        ]
        times = np.array(makespans(own))
        colour = colours.get(one.label, "#6b7f8f")
        spread = np.linspace(-0.14, 0.14, max(len(times), 1))[: len(times)] if len(times) > 1 else np.zeros(len(times))
        hollow = line.temperature == "cold"
        axes.scatter(
            times, row + spread, s=14, facecolors="none" if hollow else colour, edgecolors=colour, alpha=0.8, zorder=3,
            rasterized=len(times) > _MOST_SPANS,
        )  # fmt: skip
        assert line.makespan_s is not None
        found = line.makespan_s
        axes.plot([found.value] * 2, [row - 0.32, row + 0.32], color=colour, linewidth=2.2)
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [row, row], color=colour, linewidth=5, alpha=0.3, solid_capstyle="butt")
    _name_rows(axes, [_row_name(one.label, line.temperature) for one, line in rows])
    axes.set_xlabel("makespan (s)")
    log_if_wide(axes, [line.makespan_s.value for _, line in rows if line.makespan_s is not None])
    return figure


def _parts(every: Sequence[VarianceParts]) -> Any:
    figure, (axes,) = new_axes(1.1 + 0.38 * len(every))
    names = list(dict.fromkeys(part.name for one in every for part in one.parts if part.share >= 0.005))
    for name in names:
        shares = [{part.name: part.share for part in one.parts} for one in every]
        left = [sum(share.get(other, 0.0) for other in names[: names.index(name)]) for share in shares]
        axes.barh(
            range(len(every)), [100 * share.get(name, 0.0) for share in shares], left=[100 * one for one in left],
            color=_PART_COLOURS.get(name, "#b56576"), height=0.6, label=name,
        )  # fmt: skip
    _name_rows(axes, [one.label for one in every])
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the variance (%)")
    add_legend(figure, axes)
    return figure


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _row_name(label: str, temperature: str | None) -> str:
    return label if temperature is None else f"{label} {temperature}"


def _cold_warm(comparison: Comparison, colours: dict[str, str]) -> Any:
    rows = [
        (one, line)
        for one in comparison.summaries
        if len(one.lines) > 1
        for line in one.lines
        if line.makespan_s is not None
    ]
    figure, (axes,) = new_axes(0.9 + 0.38 * max(1, len(rows)))
    for row, (one, line) in enumerate(rows):
        assert line.makespan_s is not None
        colour = colours.get(one.label, "#6b7f8f")
        axes.barh(
            row, line.makespan_s.value, color=colour, alpha=0.45 if line.temperature == "cold" else 0.9, height=0.6
        )
    _name_rows(axes, [_row_name(one.label, line.temperature) for one, line in rows])
    axes.set_xlabel("makespan (s)")
    return figure


def _costs(comparison: Comparison, colours: dict[str, str]) -> Any:
    rows = [(one, line) for one, line in comparison.rows if line.usd is not None or line.rent_usd is not None]
    figure, (axes,) = new_axes(0.9 + 0.38 * len(rows))
    for row, (one, line) in enumerate(rows):
        colour = colours.get(one.label, "#6b7f8f")
        usd = line.usd if line.usd is not None else line.rent_usd
        assert usd is not None
        own = line.usd is not None or one.priced_by_worker
        axes.barh(row, float(usd), facecolor=colour if own else "none", edgecolor=colour, height=0.6)
    _name_rows(axes, [_row_name(one.label, line.temperature) for one, line in rows])
    axes.set_xlabel("US dollars a run")
    plain_numbers(axes.xaxis)
    return figure


def _latency(latency: dict[str, Any], colours: dict[str, str]) -> Any:
    figure, (axes,) = new_axes()
    for label, values in latency.items():
        share = np.arange(1, len(values) + 1) / len(values)
        x, y = thinned(values, share, _MOST_POINTS)
        axes.step(x, y, where="post", color=colours[label], label=label)
    everything = [value for values in latency.values() for value in (values[0], values[-1])]
    log_if_wide(axes, everything)
    axes.set_xlabel("compute time (ms)")
    axes.set_ylabel("share of invocations")
    axes.set_ylim(0, 1.01)
    add_legend(figure, axes)
    return figure


def _timelines(middle: dict[str, RunView], colours: dict[str, str]) -> Any:
    from matplotlib.collections import LineCollection

    shown = {label: lanes_of(run) for label, run in list(middle.items())[:6]}
    heights = [min(3.0, 0.5 + 0.09 * min(lanes.count, _MOST_LANES)) for lanes in shown.values()]
    figure, every = new_axes(0.6 + sum(heights), len(shown), height_ratios=heights, sharex=True)
    for axes, (label, lanes) in zip(every, shown.items(), strict=True):
        inside = lanes.lane < _MOST_LANES
        raster = int(inside.sum()) > _MOST_SPANS
        thickness = max(0.6, min(6.0, 150 / max(1, min(lanes.count, _MOST_LANES))))
        for mask, colour, alpha in (
            (inside & ~lanes.cold & ~lanes.failed, colours[label], 0.7),
            (inside & lanes.cold & ~lanes.failed, colours[label], 1.0),
            (inside & lanes.failed, "#d1242f", 0.9),
        ):
            if mask.any():
                bars: Any = np.empty((int(mask.sum()), 2, 2))  # from and to, time and lane
                bars[:, 0, 0], bars[:, 1, 0] = lanes.start_s[mask], lanes.end_s[mask]
                bars[:, :, 1] = lanes.lane[mask][:, None]
                axes.add_collection(
                    LineCollection(bars, colors=colour, alpha=alpha, linewidth=thickness, rasterized=raster)
                )
        axes.autoscale_view()
        axes.set_ylim(min(lanes.count, _MOST_LANES) - 0.5, -0.5)
        more = f", {_MOST_LANES} of {lanes.count} environments" if lanes.count > _MOST_LANES else ""
        axes.set_title(f"{label}{more}", loc="left", fontsize=9)
        axes.set_yticks([])
    every[-1].set_xlim(0, max((float(lanes.end_s.max()) for lanes in shown.values() if len(lanes.end_s)), default=1.0))
    every[-1].set_xlabel("time since the run began (s)")
    return figure


def _at_once(middle: dict[str, RunView], colours: dict[str, str]) -> Any:
    figure, (axes,) = new_axes()
    for label, run in middle.items():
        edges, running = mean_at_once(run, _BINS)
        axes.stairs(running, edges, color=colours[label], label=label, linewidth=1.5)
    axes.set_xlabel("time since the run began (s)")
    axes.set_ylabel("running at once")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    add_legend(figure, axes)
    return figure


def _so_far(middle: dict[str, RunView], colours: dict[str, str]) -> Any:
    dollars = {label: found for label, run in middle.items() if (found := dollars_so_far(run)) is not None}
    figure, every = new_axes(4.2 if dollars else 2.8, 2 if dollars else 1, sharex=True)
    for label, run in middle.items():
        x, y = thinned(*tasks_so_far(run), _MOST_POINTS)
        every[0].step(x, y, where="post", color=colours[label], label=label)
        ends = [stage.finished_s for stage in run.stages if stage.finished_s is not None]
        for end in ends if len(ends) <= 40 else []:
            every[0].axvline(end, color=colours[label], linestyle=":", linewidth=0.8, alpha=0.6)
    every[0].set_ylabel("tasks done")
    every[0].set_xlim(left=0)
    every[0].set_ylim(bottom=0)
    add_legend(figure, every[0])
    for label, (x, y) in dollars.items():
        x, y = thinned(x, y, _MOST_POINTS)
        every[1].step(x, y, where="post", color=colours[label], label=label)
    if dollars:
        every[1].set_ylabel("US dollars")
        every[1].set_ylim(bottom=0)
        plain_numbers(every[1].yaxis)
    every[-1].set_xlabel("time since the run began (s)")
    return figure
