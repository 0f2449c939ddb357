"""A sweep as a chart, as a point's lines and as a table."""

from __future__ import annotations

from typing import Literal

from lbench.analysis.format import (
    interval_text,
    place_label,
    place_number,
    ratio_text,
    seconds_text,
    times_interval_text,
    usd_spread_text,
)
from lbench.analysis.scaling import Scaling
from lbench.analysis.scaling_text import axis_text, crossing_number, far_side
from lbench.analysis.series import Point, Series
from lbench.analysis.statistics import Estimate
from lbench.engine.cost.format import usd_short
from lbench.errors import count_text
from lbench.tui.draw.curves import Curve, Curves, Spot
from lbench.tui.draw.ink import Piece, put, right_of, width_of
from lbench.tui.theme import role_of

__all__ = ["LEGEND_KEYS", "Measure", "curves_of", "key_of", "point_lines", "role_in", "table_lines", "title_of"]

Measure = Literal["time", "usd"]

LEGEND_KEYS = "abefghijknouv"  # none of these is another key of the screen
_GAP = "  "
_TIME, _RATIO = 18, 14  # cells of an interval, where none needs more
_MONEY = 18  # cells of "$0.0000045 rented"


def key_of(scaling: Scaling, series: Series) -> str:
    """The key that hides a series or shows it again; "" for more series than there are keys."""
    number = scaling.series.index(series)
    return LEGEND_KEYS[number] if number < len(LEGEND_KEYS) else ""


def role_in(series: Series) -> str:
    """The role of a series' colour."""
    return "predicted" if series.origin == "predicted" else role_of(series.backend, series.label)


def title_of(scaling: Scaling, repeats: int, room: int) -> str:
    """What was swept: "random_forest · n_trees 1 to 128 · 8 points × 6 repeats"; shorter if `room` is less."""
    ends = " to ".join(place_number(place) for place in dict.fromkeys((scaling.places[0], scaling.places[-1])))
    beside = "".join(f" · {place_label(name, value)}" for name, value in scaling.beside.items())
    head = f"{scaling.workload} · {scaling.axis} {ends}{beside}"
    points = f" · {count_text(len(scaling.places), 'point')}"
    forms = [f"{head}{points} × {count_text(repeats, 'repeat')}", head + points, head]
    return next((form for form in forms if len(form) <= room), forms[-1])


def _estimate(point: Point, measure: Measure) -> Estimate | None:
    return point.makespan_s if measure == "time" else point.usd or point.rent_usd


def curves_of(scaling: Scaling, measure: Measure, hidden: frozenset[str], selected: str | None) -> Curves:
    """The chart of makespans or of dollars; the selected series lies above the others."""
    shown = [one for one in scaling.series if one.name not in hidden]
    shown.sort(key=lambda one: (one.name == selected, one.main))
    found = scaling.crossings if measure == "time" else scaling.usd_crossings
    crossings = [
        (far_side(scaling, one.root.at), crossing_number(scaling, one.root.at))
        for one in found
        if one.root.at is not None and not {one.below, one.above} & hidden
    ]
    return Curves(
        curves=tuple(
            Curve(
                one.name,
                role_in(one),
                tuple(
                    Spot(point.at, value.value, value.low, value.high)
                    for point in one.points
                    if (value := _estimate(point, measure)) is not None
                ),
                measured=one.origin != "predicted",
                banded=one.main
                or one.name == selected,  # of a backend's cold and warm runs, one: bands hide each other
                label=one.name if one.origin != "predicted" else f"predicted {one.temperature or ''}".rstrip(),
                failed=one.failed,
                gaps=scaling.unpredicted(one),
            )
            for one in shown
        ),
        places=scaling.places,
        crossings=tuple(crossings),
        marks=tuple(mark.at for mark in scaling.marks),
        before="$" if measure == "usd" else "",
    )


def _spread(estimate: Estimate | None, text: str) -> str:
    """An interval in brackets; "once" for a single value; "" for none."""
    return "" if estimate is None else f" ({text})" if estimate.interval is not None else " (once)"


def _time_spread(point: Point) -> str:
    return "" if point.makespan_s is None else _spread(point.makespan_s, interval_text(point.makespan_s))


def _ratio_spread(point: Point) -> str:
    return _spread(point.speedup, times_interval_text(point.speedup))


def _money(point: Point) -> str:
    if point.usd is not None:
        return usd_short(point.usd.value)
    if point.rent_usd is not None:
        return f"{usd_short(point.rent_usd.value)} rented"
    return "–"


_ORIGINS = {"emulated": "emulated here", "simulated": "simulated", "predicted": "predicted"}


def point_lines(
    scaling: Scaling,
    place: float,
    hidden: frozenset[str],
    selected: str | None,
    width: int,
    *,
    measuring: bool = False,
) -> list[list[Piece]]:
    """A line for each series at one place: key, name, makespan, speedup, dollars. `measuring`: a sweep is under way."""
    rows: list[list[Piece]] = []
    names = max((len(one.name) for one in scaling.series), default=1)
    points = [point for one in scaling.series if (point := one.at(place)) is not None]
    times = max([_TIME, *(len(_time_spread(one)) + 2 for one in points)])
    ratios = max([_RATIO, *(len(_ratio_spread(one)) + 2 for one in points)])
    for one in scaling.series:
        point = one.at(place)
        key = key_of(scaling, one) or " "
        off = one.name in hidden
        role = "quiet" if off else role_in(one)
        mark = "▸" if one.name == selected else " "
        line: list[Piece] = [(f" {mark}", "key"), (f"{key} ", "key!"), (put(one.name, names) + _GAP, role)]
        if off:
            line.append(("hidden", "quiet"))
        elif point is None:
            line.append(("not predicted" if one.origin == "predicted" else "not measured yet", "quiet"))
        elif point.makespan_s is None:
            why = f"✘ {point.error or 'no right answer'}"
            halted = "■ paused" if point.paused else "▶ being measured" if measuring else "■ stopped"
            line.append((why, "wrong") if point.failed else (halted, "quiet"))
        else:
            cells: list[list[Piece]] = [
                [
                    (right_of(seconds_text(point.makespan_s.value), 10), "bright"),
                    (put(_time_spread(point), times), "quiet"),
                ]
            ]
            if point.speedup is not None:
                base = one.label == scaling.baseline and one.origin == "measured"
                cells.append(
                    [
                        (right_of(ratio_text(point.speedup), 7), "text"),
                        (put("" if base else _ratio_spread(point), ratios), "quiet"),
                    ]
                )
            cells.append([(put(_money(point), _MONEY), "text")])
            cells.append([(put(_ORIGINS.get(one.origin, ""), 15), "quiet")])
            if (usd := point.usd or point.rent_usd) is not None:
                cells.append([(usd_spread_text(usd), "quiet")])
            for cell in cells:
                if width_of([*line, *cell]) <= width:
                    line += cell
        rows.append(line)
    return rows


def table_lines(
    scaling: Scaling, measure: Measure, hidden: frozenset[str], place: float, selected: str | None, width: int
) -> list[list[Piece]]:
    """All points of a measure as a table, a line for each place and a column for each series; the selected one is shown."""
    shown = [one for one in scaling.series if one.name not in hidden]
    first = max(len(scaling.axis), *(len(axis_text(scaling, at)) for at in scaling.places)) + 2
    columns = [(one, [_cell(one.at(at), measure) for at in scaling.places]) for one in shown]
    sizes = [max(len(one.name), *(map(len, cells))) + 2 for one, cells in columns]
    while len(columns) > 1 and 2 + first + sum(sizes) > width:
        drop = 0 if columns[-1][0].name == selected else -1
        del columns[drop], sizes[drop]
    head: list[Piece] = [("  " + put(scaling.axis, first), "quiet")]
    head += [(right_of(one.name, size), role_in(one)) for (one, _), size in zip(columns, sizes, strict=True)]
    lines = [head]
    for number, at in enumerate(scaling.places):
        here = at == place
        line: list[Piece] = [(" ▸" if here else "  ", "key"), (put(axis_text(scaling, at), first), "text")]
        line += [
            (right_of(cells[number], size), "bright" if here else "text")
            for (_, cells), size in zip(columns, sizes, strict=True)
        ]
        lines.append(line)
    if len(columns) < len(shown):
        have = "has" if len(columns) == 1 else "have"
        lines.append([(f"  {len(columns)} of {len(shown)} series {have} room: ↑↓ goes to the others", "quiet")])
    return lines


def _cell(point: Point | None, measure: Measure) -> str:
    if point is None:
        return "–"
    if measure == "usd":
        return _money(point)
    if point.makespan_s is None:
        return "✘" if point.failed else "■"
    interval = "" if point.makespan_s.interval is None else f" ({interval_text(point.makespan_s)})"
    return f"{seconds_text(point.makespan_s.value)}{interval}"
