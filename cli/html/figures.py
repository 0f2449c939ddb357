"""The report's figures, as SVG that takes the page's colours, and as files.

Text and axes have the page's own colour (`currentColor`), so that one figure serves a light, a dark and a printed page.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lbench.analysis.comparison import Comparison, by_label, is_cold, makespans
from lbench.analysis.course import dollars_so_far, lanes_of, mean_at_once, median_run, tasks_so_far, thinned
from lbench.analysis.scaling import Scaling
from lbench.analysis.series import Series
from lbench.analysis.statistics import Estimate
from lbench.analysis.tuning import Tuned, front
from lbench.analysis.variance import VarianceParts
from lbench.engine.session.view import RunView

__all__ = ["Figure", "front_figure", "job_figures", "sweep_figures", "write_figures"]

_COLOURS = {
    "sequential": "#6b7f8f",
    "loop": "#9a7b4f",
    "threads": "#2f9e8f",
    "processes": "#2f7ed8",
    "emulated": "#d98a00",
    "lambda": "#e8590c",
    "simulated": "#9b5de5",
    "predicted": "#d6336c",
    "dask": "#6f9f00",
    "executor": "#b56576",
}
_PART_COLOURS = {  # of the variance, the same in every figure
    "within an environment": "#2f7ed8",
    "network and hand-over": "#d98a00",
    "between tasks": "#2f9e8f",
    "between environments": "#9b5de5",
    "between repeats": "#d6336c",
    "driver": "#6b7f8f",
    "cold starts": "#9a7b4f",
    "fetch": "#6f9f00",
}
_OTHERS = ("#2f7ed8", "#d6336c", "#2f9e8f", "#9b5de5", "#b56576", "#6f9f00", "#9a7b4f")
_INK, _HAIR = "#010203", "#040506"  # stand for the page's colours until the SVG is written
_MOST_POINTS, _MOST_SPANS, _MOST_LANES = 900, 1500, 400
_BINS = 80  # stretches of time of which the mean is drawn
_WIDTH = 7.2


class Figure(msgspec.Struct, frozen=True):
    """A figure: its file's name, its caption, and what it is drawn with."""

    name: str
    caption: str
    svg: str
    draw: Callable[[], Any]  # the figure anew, for a file


def _figure(name: str, caption: str, draw: Callable[[], Any]) -> Figure:
    with _style(_INK, _HAIR):
        return Figure(name, caption, _inline(_svg(draw()), name), draw)


@contextmanager
def _style(ink: str, hair: str) -> Iterator[None]:
    import matplotlib as mpl

    settings: Any = {
        "svg.fonttype": "none", "text.parse_math": False, "font.family": "sans-serif", "font.size": 9,
        "axes.edgecolor": hair, "axes.labelcolor": ink, "text.color": ink, "xtick.color": ink, "ytick.color": ink,
        "axes.grid": True, "grid.color": hair, "grid.linewidth": 0.6, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8, "lines.linewidth": 1.5,
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "svg.hashsalt": "lbench",
        "axes.axisbelow": True, "axes.unicode_minus": True,
    }  # fmt: skip
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may have letters that the font lacks: the browser's has them
        yield


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return text.getvalue()


def _inline(svg: str, name: str) -> str:
    """An SVG to put into a page: no prologue, the page's colours, ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(_INK, "currentColor").replace(_HAIR, "var(--hair)")
    unique = f"f{zlib.crc32(name.encode()):08x}-"
    # Markup only: a text may hold anything, and matplotlib writes its < and " as entities.
    svg = re.sub(r'(?<= )id="([^"]*)"', lambda match: f'id="{unique}{match[1]}"', svg)
    return re.sub(r'(xlink:href="#|url\(#)', lambda match: match[1] + unique, svg)


def write_figures(figures: Sequence[Figure], folder: Path) -> None:
    """Write each as SVG and PNG, in black on white.

    Raises:
        OSError: one cannot be written.
    """
    for one in figures:
        with _style("#1b1f23", "#c9ced6"):
            figure = one.draw()
            for suffix in ("svg", "png"):
                figure.savefig(folder / f"{one.name}.{suffix}", dpi=160, facecolor="white")


def _axes(height: float = 2.8, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, squeeze=False, **options)[:, 0]


def _colours(names: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A colour for each label of (label, backend): the backend's, another for a second label of it."""
    found: dict[str, str] = {}
    for label, backend in names:
        colour = _COLOURS.get(backend, "#2f7ed8")
        rest = [one for one in _OTHERS if one not in found.values()]
        found[label] = rest[0] if colour in found.values() and rest else colour
    return found


# -- a sweep


def sweep_figures(scaling: Scaling, prefix: str) -> list[Figure]:
    """Time, speedup and cost along the axis."""
    kinds = [(_line_key(one), "predicted" if one.origin == "predicted" else one.backend) for one in scaling.series]
    by_line = _colours(list(dict.fromkeys(kinds)))
    colours = {one.name: by_line[_line_key(one)] for one in scaling.series}
    label = scaling.axis.replace("_", " ")
    figures = [
        _figure(
            f"{prefix}-time",
            f"Makespan against {label}: medians with their intervals, one line a backend and machine",
            lambda: _along(scaling, colours, lambda p: p.makespan_s, f"{label}", "makespan (s)", log_y=True),
        )
    ]
    if any(point.speedup is not None for one in scaling.series for point in one.points):
        figures.append(
            _figure(
                f"{prefix}-speedup",
                f"Speedup against {scaling.baseline} along {label}",
                lambda: _along(scaling, colours, lambda p: p.speedup, label, f"times as fast as {scaling.baseline}"),
            )
        )
    if any(point.usd or point.rent_usd for one in scaling.series for point in one.points):
        figures.append(
            _figure(
                f"{prefix}-cost",
                f"Dollars of a run against {label}; of a local run the rent of an equal machine while it lasts",
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
    figure, (axes,) = _axes(3.2)
    for number, one in enumerate(scaling.series):
        points = [(point.at, found) for point in one.points if (found := value(point)) is not None and found.value > 0]
        if points:
            _line(axes, one, points, colours[one.name], "os^Dv<>"[number % 7])
    if scaling.places[0] > 0 and len(scaling.places) > 1 and scaling.places[-1] / scaling.places[0] >= 4:
        axes.set_xscale("log")
        _plain_ticks(axes, scaling.places)
    if log_y:
        axes.set_yscale("log")
        _plain(axes.yaxis)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    _legend(figure, axes)
    return figure


def _legend(figure: Any, axes: Any) -> None:
    """One legend above the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(handles)))


def _plain(axis: Any) -> None:
    """Numbers as people write them: mathematical notation is off, as labels are never parsed."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    low, high = axis.get_view_interval()
    few = low > 0 and high / low < 100
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _plain_numbers(axis: Any) -> None:
    """Numbers in full, without a factor beside the axis."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _number(value: float) -> str:
    return f"{value:,.10f}".rstrip("0").rstrip(".") if value < 1e6 else f"{value:g}"


def _plain_ticks(axes: Any, places: Sequence[float]) -> None:
    step = max(1, len(places) // 9)
    axes.set_xticks(list(places)[::step], [f"{place:,g}" for place in list(places)[::step]])
    axes.minorticks_off()


def _line(axes: Any, one: Series, points: list[tuple[float, Estimate]], colour: str, marker: str) -> None:
    x = [at for at, _ in points]
    style = "--" if one.origin == "predicted" else ":" if one.temperature == "cold" else "-"
    axes.plot(x, [found.value for _, found in points], style, color=colour, marker=marker, markersize=4, label=one.name)
    low = [found.value if found.low is None else max(found.low, found.value / 1e3) for _, found in points]
    high = [found.value if found.high is None else found.high for _, found in points]
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


# -- a tuning


def front_figure(found: Sequence[Tuned], backend: str, name: str) -> Figure:
    """Dollars a run against seconds: the front as a line, the candidates off it hollow."""
    colour = _COLOURS.get(backend, "#2f7ed8")
    return _figure(
        name,
        "Dollars of a run against its makespan, medians of each candidate; the line is the Pareto front: no candidate is "
        "faster and cheaper than one on it",
        lambda: _front(found, colour),
    )


def _front(found: Sequence[Tuned], colour: str) -> Any:
    figure, (axes,) = _axes(3.6)
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
    _plain_numbers(axes.yaxis)
    axes.set_xlabel("makespan (s)")
    axes.set_ylabel("US dollars a run")
    return figure


# -- one job


def job_figures(
    comparison: Comparison, runs: list[RunView], parts: Sequence[VarianceParts], prefix: str
) -> list[Figure]:
    """What the runs of one job show, as far as there is something to show."""
    groups = {label: [run for run in group if run.counts] for label, group in by_label(runs).items()}
    groups = {label: group for label, group in groups.items() if makespans(group)}
    if not groups:
        return []
    colours = _colours([(label, group[0].planned.backend) for label, group in groups.items()])
    middle = {label: run for label, group in groups.items() if (run := median_run(_warm(group))) is not None}
    figures = [
        _figure(
            f"{prefix}-makespans",
            "Makespan of each run, cold ones hollow; the bar is the median with its interval",
            lambda: _strip(comparison, groups, colours),
        )
    ]
    if parts:
        figures.append(
            _figure(
                f"{prefix}-variance-parts",
                "Of what the variance of the invocations' times is made; the whole bar is all of it",
                lambda: _parts(parts),
            )
        )
    if any(len({line.temperature for line in one.lines}) > 1 for one in comparison.summaries):
        figures.append(
            _figure(
                f"{prefix}-cold-warm",
                "Cold against warm: the median makespan where all environments were new, and where they were there already",
                lambda: _cold_warm(comparison, colours),
            )
        )
    if any(one.usd is not None or one.rent_usd is not None for one in comparison.summaries):
        figures.append(
            _figure(
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
            _figure(
                f"{prefix}-latency",
                "Compute times of warm invocations: the share that took at most so long",
                lambda: _latency(latency, colours),
            )
        )
    if middle:
        figures += [
            _figure(
                f"{prefix}-timeline",
                "Timelines of the median runs: a lane for each environment, cold starts dark, failed attempts red",
                lambda: _timelines(middle, colours),
            ),
            _figure(
                f"{prefix}-at-once",
                f"Invocations that ran at once in the median runs: the mean of each {_BINS}th of the time",
                lambda: _at_once(middle, colours),
            ),
            _figure(
                f"{prefix}-so-far",
                "Tasks with their result, and dollars, over the time of the median runs; dotted lines are the stages' ends",
                lambda: _so_far(middle, colours),
            ),
        ]
    return figures


def _warm(group: list[RunView]) -> list[RunView]:
    warm = [run for run in group if is_cold(run) is not True]
    return warm or group


def _strip(comparison: Comparison, groups: dict[str, list[RunView]], colours: dict[str, str]) -> Any:
    rows = [(one, line) for one, line in comparison.rows if line.makespan_s is not None]
    figure, (axes,) = _axes(0.9 + 0.38 * len(rows))
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
    axes.set_yticks(range(len(rows)), [_row_name(one.label, line.temperature) for one, line in rows])
    axes.invert_yaxis()
    axes.set_xlabel("makespan (s)")
    axes.grid(visible=False, axis="y")
    _log_if_wide(axes, [line.makespan_s.value for _, line in rows if line.makespan_s is not None])
    return figure


def _parts(every: Sequence[VarianceParts]) -> Any:
    figure, (axes,) = _axes(1.1 + 0.38 * len(every))
    names = list(dict.fromkeys(part.name for one in every for part in one.parts if part.share >= 0.005))
    for name in names:
        shares = [{part.name: part.share for part in one.parts} for one in every]
        left = [sum(share.get(other, 0.0) for other in names[: names.index(name)]) for share in shares]
        axes.barh(
            range(len(every)), [100 * share.get(name, 0.0) for share in shares], left=[100 * one for one in left],
            color=_PART_COLOURS.get(name, "#b56576"), height=0.6, label=name,
        )  # fmt: skip
    axes.set_yticks(range(len(every)), [one.label for one in every])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the variance (%)")
    axes.grid(visible=False, axis="y")
    _legend(figure, axes)
    return figure


def _log_if_wide(axes: Any, values: Sequence[float]) -> None:
    positive = [value for value in values if value > 0]
    if positive and max(positive) / min(positive) > 30:
        axes.set_xscale("log")
        _plain(axes.xaxis)


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
    figure, (axes,) = _axes(0.9 + 0.38 * max(1, len(rows)))
    for row, (one, line) in enumerate(rows):
        assert line.makespan_s is not None
        colour = colours.get(one.label, "#6b7f8f")
        axes.barh(
            row, line.makespan_s.value, color=colour, alpha=0.45 if line.temperature == "cold" else 0.9, height=0.6
        )
    axes.set_yticks(range(len(rows)), [_row_name(one.label, line.temperature) for one, line in rows])
    axes.invert_yaxis()
    axes.set_xlabel("makespan (s)")
    axes.grid(visible=False, axis="y")
    return figure


def _costs(comparison: Comparison, colours: dict[str, str]) -> Any:
    rows = [(one, line) for one, line in comparison.rows if line.usd is not None or line.rent_usd is not None]
    figure, (axes,) = _axes(0.9 + 0.38 * len(rows))
    for row, (one, line) in enumerate(rows):
        colour = colours.get(one.label, "#6b7f8f")
        usd = line.usd if line.usd is not None else line.rent_usd
        assert usd is not None
        own = line.usd is not None or one.priced_by_worker
        axes.barh(row, float(usd), facecolor=colour if own else "none", edgecolor=colour, height=0.6)
    axes.set_yticks(range(len(rows)), [_row_name(one.label, line.temperature) for one, line in rows])
    axes.invert_yaxis()
    axes.set_xlabel("US dollars a run")
    _plain_numbers(axes.xaxis)
    axes.grid(visible=False, axis="y")
    return figure


def _latency(latency: dict[str, Any], colours: dict[str, str]) -> Any:
    figure, (axes,) = _axes()
    for label, values in latency.items():
        share = np.arange(1, len(values) + 1) / len(values)
        x, y = thinned(values, share, _MOST_POINTS)
        axes.step(x, y, where="post", color=colours[label], label=label)
    everything = [value for values in latency.values() for value in (values[0], values[-1])]
    _log_if_wide(axes, everything)
    axes.set_xlabel("compute time (ms)")
    axes.set_ylabel("share of invocations")
    axes.set_ylim(0, 1.01)
    _legend(figure, axes)
    return figure


def _timelines(middle: dict[str, RunView], colours: dict[str, str]) -> Any:
    from matplotlib.collections import LineCollection

    shown = {label: lanes_of(run) for label, run in list(middle.items())[:6]}
    heights = [min(3.0, 0.5 + 0.09 * min(lanes.count, _MOST_LANES)) for lanes in shown.values()]
    figure, every = _axes(0.6 + sum(heights), len(shown), height_ratios=heights, sharex=True)
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
    figure, (axes,) = _axes()
    for label, run in middle.items():
        edges, running = mean_at_once(run, _BINS)
        axes.stairs(running, edges, color=colours[label], label=label, linewidth=1.5)
    axes.set_xlabel("time since the run began (s)")
    axes.set_ylabel("running at once")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    _legend(figure, axes)
    return figure


def _so_far(middle: dict[str, RunView], colours: dict[str, str]) -> Any:
    dollars = {label: found for label, run in middle.items() if (found := dollars_so_far(run)) is not None}
    figure, every = _axes(4.2 if dollars else 2.8, 2 if dollars else 1, sharex=True)
    for label, run in middle.items():
        x, y = thinned(*tasks_so_far(run), _MOST_POINTS)
        every[0].step(x, y, where="post", color=colours[label], label=label)
        ends = [stage.finished_s for stage in run.stages if stage.finished_s is not None]
        for end in ends if len(ends) <= 40 else []:
            every[0].axvline(end, color=colours[label], linestyle=":", linewidth=0.8, alpha=0.6)
    every[0].set_ylabel("tasks done")
    every[0].set_xlim(left=0)
    every[0].set_ylim(bottom=0)
    _legend(figure, every[0])
    for label, (x, y) in dollars.items():
        x, y = thinned(x, y, _MOST_POINTS)
        every[1].step(x, y, where="post", color=colours[label], label=label)
    if dollars:
        every[1].set_ylabel("US dollars")
        every[1].set_ylim(bottom=0)
        _plain_numbers(every[1].yaxis)
    every[-1].set_xlabel("time since the run began (s)")
    return figure
