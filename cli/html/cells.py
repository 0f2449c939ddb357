"""Sections of a report, and the cells of its tables."""

from __future__ import annotations

import msgspec

from lbench.analysis.format import ms_text, ratio_text, seconds_text, spread_text, times_spread_text, usd_spread_text
from lbench.analysis.statistics import Estimate
from lbench.cli.html.figure import Figure
from lbench.engine.cost.format import usd_short

__all__ = ["Cell", "Section", "ms_cell", "seconds_cell", "times_cell", "usd_cell"]


class Cell(msgspec.Struct, frozen=True):
    """A cell of a table: its text, the number behind it in plain units for whoever checks it, and its interval."""

    text: str
    value: str = ""
    aside: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A job, a sweep or a tuning: its sentences, its table, its figures."""

    title: str
    facts: str  # tasks, parameters, seed, data
    sentences: tuple[str, ...]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    words: int = 1  # so many of the first columns are words
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


def seconds_cell(found: Estimate | None) -> Cell:
    """A makespan with its interval."""
    return Cell("–") if found is None else Cell(seconds_text(found.value), repr(found.value), spread_text(found))


def times_cell(found: Estimate | None) -> Cell:
    """A ratio with its interval."""
    return Cell("–") if found is None else Cell(ratio_text(found), repr(found.value), times_spread_text(found))


def ms_cell(value: float | None) -> Cell:
    """A duration in milliseconds."""
    return Cell("–") if value is None else Cell(ms_text(value), repr(value))


def usd_cell(found: Estimate, after: str = "") -> Cell:
    """Dollars with their interval; `after`: what they are."""
    return Cell(f"{usd_short(found.value)}{after}", repr(found.value), usd_spread_text(found))
