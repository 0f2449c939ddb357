"""Compared sessions as lines: a table for each job, the makespans on one scale, and what differs between the machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from rich.cells import cell_len

from lbench.analysis.format import interval_text, ratio_text, seconds_text, times_interval_text
from lbench.analysis.layout import fitting_columns
from lbench.analysis.session_comparison import Apart, Job, Row, SessionComparison
from lbench.analysis.session_comparison_text import change_text, comparison_sentence, needed_text, permutation_text
from lbench.engine.cost.format import usd_short
from lbench.errors import count_text
from lbench.tui.draw.axes import number_text
from lbench.tui.draw.ink import Piece, aligned, heading, put, right_of, width_of, wrapped
from lbench.tui.draw.scale import nice_ceiling
from lbench.tui.theme import band_role, role_of

__all__ = ["answer_of", "lines_of", "title_of"]

_GAP = "  "
_NAME_MOST = 24


def title_of(comparison: SessionComparison) -> str:
    """Which sessions are compared."""
    jobs = [job.workload for job in comparison.jobs if job.rows]
    return (
        f"{', '.join(dict.fromkeys(jobs)) or 'nothing in common'} · {count_text(len(comparison.sessions), 'session')}"
    )


def lines_of(comparison: SessionComparison, width: int) -> list[list[Piece]]:
    """All lines, in their order."""
    lines: list[list[Piece]] = []
    for job in comparison.jobs:
        params = " ".join(f"{name} {value}" for name, value in job.params.items() if value not in (None, "", []))
        lines.append(
            heading([(job.workload, "text!"), (f" {params}", "quiet")], [(f"seed {job.seed}", "quiet")], width)
        )
        if job.rows:
            lines += [*_table(job, width), [], *_strip(job, width), []]
            lines += [*_details(job, width), []]
        lines += [[("  ", "text"), *line] for one in job.apart for line in wrapped(_apart(one), width - 3, 3)]
    if comparison.differences:
        lines += [[], heading([("what differs", "text!")], [], width), *_differences(comparison, width)]
    lines += [[], [("  sessions share no rounds: nothing is paired", "quiet")]]
    return lines


def answer_of(comparison: SessionComparison, room: int) -> str:
    """The answer in one sentence; of each session the fastest row alone, if all do not fit into so many cells."""
    whole = comparison_sentence(comparison)
    if len(whole) <= room:
        return whole
    jobs = [msgspec.structs.replace(job, rows=tuple(_fastest(job))) for job in comparison.jobs]
    return comparison_sentence(msgspec.structs.replace(comparison, jobs=tuple(jobs)))


def _fastest(job: Job) -> list[Row]:
    best: dict[str, Row] = {}
    for row in job.rows:
        other = best.get(row.session)
        if row.temperature != "cold" and (other is None or row.makespan_s.value < other.makespan_s.value):
            best[row.session] = row
    return list(best.values())


def _apart(one: Apart) -> list[Piece]:
    return [("not comparable: ", "wrong"), (f"{one.session}, {one.what}: {one.why}", "text")]


class _Column(msgspec.Struct, frozen=True):
    title: str
    rank: int  # the highest are dropped first
    right: bool
    cell: Callable[[Row], list[Piece]]


def _role(row: Row) -> str:
    return "predicted" if row.origin == "predicted" else role_of(row.backend, row.label)


def _makespan(row: Row) -> list[Piece]:
    interval = interval_text(row.makespan_s) if row.makespan_s.interval is not None else "once"
    return [(seconds_text(row.makespan_s.value), "bright"), (f" ({interval})", "quiet")]


def _ratio(row: Row) -> list[Piece]:
    if row.effect is None:
        return [("1.00×", "text")]
    if row.effect.claim in ("faster", "slower"):
        return [
            (ratio_text(row.effect.ratio), "bright"),
            (f" ({times_interval_text(row.effect.ratio)})", "quiet"),
        ]
    word = "unclear" if row.effect.claim == "open" else "not settled"
    ratio = row.effect.ratio
    interval = times_interval_text(ratio) if ratio.interval is not None else f"{ratio_text(ratio)} once"
    return [(f"{word} ", "key"), (f"({interval})", "quiet")]


def _columns(job: Job) -> list[_Column]:
    return [
        _Column("SESSION", 0, False, lambda row: [(_shown(row.session), "text")]),
        _Column("MACHINE", 4, False, lambda row: [(row.machine, "quiet")]),
        _Column("BACKEND", 0, False, lambda row: [(row.name, _role(row))]),
        _Column("RUNS", 3, True, lambda row: [(str(len(row.times_s)), "text")]),
        _Column("MAKESPAN", 0, True, _makespan),
        _Column(_shown(f"AGAINST {job.rows[0].session}"), 0, True, _ratio),
        _Column("COST", 2, True, lambda row: [("–" if row.usd is None else usd_short(row.usd), "text")]),
    ]


def _table(job: Job, width: int) -> list[list[Piece]]:
    columns = _columns(job)
    sizes = {one.title: max(len(one.title), *(width_of(one.cell(row)) for row in job.rows)) for one in columns}
    chosen = fitting_columns(
        columns, lambda one: one.rank, lambda kept: 4 + sum(sizes[one.title] + len(_GAP) for one in kept), width
    )
    head: list[Piece] = [("    ", "text")]
    head += [((right_of if one.right else put)(one.title, sizes[one.title]) + _GAP, "quiet") for one in chosen]
    lines = [head]
    for row in job.rows:
        line: list[Piece] = [("  ▌ ", _role(row))]
        for one in chosen:
            line += [*aligned(one.cell(row), sizes[one.title], right=one.right), (_GAP, "text")]
        lines.append(line)
    return lines


def _details(job: Job, width: int) -> list[list[Piece]]:
    """What each effect rests on: its change, the permutation test, how many repeats would decide."""
    lines: list[list[Piece]] = []
    for row in job.rows:
        if row.effect is None:
            continue
        parts = [change_text(row.effect), permutation_text(row.effect), needed_text(row.effect)]
        text = f"{row.session} {row.name}: {'; '.join(part for part in parts if part)}"
        lines += [[("    ", "text"), *line] for line in wrapped([(text, "quiet")], width - 5, 3)]
    return lines


def _strip(job: Job, width: int) -> list[list[Piece]]:
    """The makespans on one scale: each value a dot, the interval a band, the median a disc."""
    most = nice_ceiling(max(max(row.times_s) for row in job.rows))
    names = [f"{_shown(row.session)} {row.name}" for row in job.rows]
    size = min(max(map(cell_len, names)), max(12, 2 * width // 5))
    room = max(10, width - size - 6)

    def cell(seconds: float) -> int:
        return max(0, min(room - 1, round(seconds / most * (room - 1))))

    lines = [heading([("makespans", "text!")], [(f"0 – {number_text(most)} s", "quiet")], width)]
    for row, name in zip(job.rows, names, strict=True):
        cells: list[Piece] = [(" ", "text")] * room
        for seconds in row.times_s:
            cells[cell(seconds)] = ("·", _role(row))
        estimate = row.makespan_s
        if estimate.low is not None and estimate.high is not None:
            for at in range(cell(estimate.low), cell(estimate.high) + 1):
                cells[at] = ("━", band_role(_role(row)))
        cells[cell(estimate.value)] = ("●", _role(row))
        lines.append([("  ", "text"), (put(name, size) + "  ", "text"), *cells])
    return lines


def _differences(comparison: SessionComparison, width: int) -> list[list[Piece]]:
    names: Sequence[str] = comparison.sessions
    first = max(len(one.what) for one in comparison.differences) + 2
    each = max(8, (width - first - 4) // len(names) - 2)
    sizes = [
        min(each, max(cell_len(name), *(cell_len(one.values[number]) for one in comparison.differences)))
        for number, name in enumerate(names)
    ]
    rows = [("", tuple(names), "quiet"), *((one.what, one.values, "text") for one in comparison.differences)]
    lines: list[list[Piece]] = []
    for what, values, role in rows:
        cells = [(put(text, size) + _GAP, role) for text, size in zip(values, sizes, strict=True)]
        lines.append([("  " + put(what, first), "quiet"), *cells])
    return lines


def _shown(name: str) -> str:
    """A name that a person may have given, in so many cells as a column has at most."""
    return put(name, min(cell_len(name), _NAME_MOST))
