"""The report of a deployed function: a row for cold calls, a row for warm calls, and their sums."""

from __future__ import annotations

from collections.abc import Iterable

from lbench.analysis.comparison import by_label
from lbench.analysis.format import ms_text
from lbench.analysis.function_calls import CallGroup, Calls, calls_of
from lbench.cli.tables import Column, backend_cell
from lbench.engine.session.view import RunView
from lbench.errors import count_text

__all__ = ["call_columns", "call_lines"]

_TITLES = ("INIT p50", "p99", "DURATION p50", "p99", "ROUND TRIP p50", "BILLED p50")
_RANKS = (0, 2, 0, 1, 3, 0)


def call_columns(runs: Iterable[RunView]) -> list[Column]:
    """Two rows for each backend: cold calls and warm calls."""
    label, kind, count = Column("BACKEND"), Column("CALLS"), Column("", justify="right")
    figures = [Column(title, rank=rank, justify="right") for title, rank in zip(_TITLES, _RANKS, strict=True)]
    for name, group in by_label(runs).items():
        calls = calls_of(group)
        for word, one in (("cold", calls.cold), ("warm", calls.warm)):
            label.add(backend_cell(group[0].planned.backend, name))
            kind.add(word)
            count.add(f"{one.count:,}")
            for column, value in zip(figures, _figures(one), strict=True):
                column.add("–" if value is None else ms_text(value))
    return [label, kind, count, *figures]


def _figures(one: CallGroup) -> tuple[float | None, ...]:
    return (
        one.init_p50_ms,
        one.init_p99_ms,
        one.duration_p50_ms,
        one.duration_p99_ms,
        one.round_trip_p50_ms,
        one.billed_p50_ms,
    )


def call_lines(runs: Iterable[RunView]) -> list[str]:
    """A line for each backend: billed time, memory, errors, and calls that are no samples."""
    return [f"{name}: {_line(calls_of(group))}" for name, group in by_label(runs).items()]


def _line(calls: Calls) -> str:
    parts = [f"{calls.billed_ms:,} ms billed in total"]
    if calls.max_memory_mb is not None:
        parts.append(f"{calls.max_memory_mb} MB of {calls.memory_mb} MB used at most")
    failed = sum(calls.errors.values())
    named = ", ".join(f"{kind} {count:,}" for kind, count in calls.errors.items())
    parts.append(f"{count_text(failed, 'call')} ended in an error of the function ({named})" if failed else "no errors")
    if calls.throttled:
        parts.append(f"{calls.throttled:,} throttled and retried")
    if calls.discarded:
        parts.append(f"{count_text(calls.discarded, 'sample')} discarded (warm)")
    if calls.missing:
        parts.append(f"{count_text(calls.missing, 'sample')} missing: too many calls were warm")
    if calls.unknown:
        parts.append(f"{calls.unknown:,} without a REPORT line, neither cold nor warm")
    return "; ".join(parts)
