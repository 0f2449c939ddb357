"""A tuned function: its candidates as a chart of dollars against seconds with the Pareto front, and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from lbench.analysis.format import interval_text, percent_text, seconds_text
from lbench.analysis.tuning import Candidate, Tuned, candidate_text, front, picks_of
from lbench.engine.cost.format import usd_short
from lbench.errors import count_text
from lbench.tui.draw.curves import Curve, Curves, Spot
from lbench.tui.draw.ink import Piece, put, right_of, width_of, wrapped

__all__ = ["by_time", "candidate_lines", "front_curves", "name_of"]


def by_time(found: Sequence[Tuned]) -> list[Tuned]:
    """The candidates, the fastest first."""
    return sorted(found, key=lambda one: (one.makespan_s.value, one.usd.value))


def name_of(candidate: Tuned) -> str:
    """Like "1,769 MB × 100"."""
    return f"{candidate.candidate.memory_mb:,} MB × {candidate.tasks:,}"


def front_curves(found: Sequence[Tuned], role: str) -> Curves:
    """Dollars a run against seconds: a line along the front, a point for each candidate off it, named."""
    ends = front(found)
    line = Curve("", role, tuple(_spot(one) for one in ends))
    names = [Curve(name_of(one), role, (_spot(one),)) for one in ends]
    others = [Curve(name_of(one), "quiet", (_spot(one),)) for one in by_time(found) if one not in ends]
    return Curves((*others, *([line] if len(ends) > 1 else []), *names), before="$")


def _spot(one: Tuned) -> Spot:
    return Spot(one.makespan_s.value, one.usd.value)


def _marks(found: Sequence[Tuned]) -> dict[Candidate, str]:
    """What a candidate is, if it lies on the front."""
    marks = {one.candidate: "on the front" for one in front(found)}
    picks = picks_of(found)
    return marks if picks is None else marks | {one: ", ".join(names) for one, names in picks.names.items()}


def candidate_lines(
    found: Sequence[Tuned], chosen: int, role: str, width: int, notes: Sequence[str]
) -> list[list[Piece]]:
    """A line a candidate, the fastest first: makespan with its interval, dollars, what it is, CV, cold, runs."""
    ordered, marks = by_time(found), _marks(found)
    names = max((len(name_of(one)) for one in ordered), default=1)
    room = max([18, *map(len, marks.values())]) + 1
    lines: list[list[Piece]] = []
    for number, one in enumerate(ordered):
        mark = marks.get(one.candidate, "")
        line: list[Piece] = [
            (" ▸ " if number == chosen else "   ", "key"),
            (put(candidate_text(one), names + 7), role if mark else "quiet"),
            (right_of(seconds_text(one.makespan_s.value), 9), "bright"),
        ]
        cells: list[Piece] = [
            (f" {put(f'({interval_text(one.makespan_s)})', 15)}", "quiet"),
            (put(f" {usd_short(one.usd.value, width=10)}", 11), "text"),
            (put(f" {mark}", room), "right"),
            ("" if one.cv is None else put(f" CV {percent_text(one.cv)}", 9), "text" if one.steady else "wrong"),
            ("" if one.cold_s is None else put(f" cold {seconds_text(one.cold_s)}", 14), "quiet"),
            (f" {count_text(one.runs, 'run')}", "quiet"),
        ]
        for cell in cells:
            if width_of([*line, cell]) <= width:
                line.append(cell)
        lines.append(line)
    for text in notes:
        rows = wrapped([(text, "quiet")], width - 5, 4)
        lines += [[], *([("  ", "text"), *row] for row in rows)]
    return lines
