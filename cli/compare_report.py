"""The report of `lbench compare`: the answer, a table for each job, what differs, and what stands apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from lbench.analysis.format import interval_text, interval_title, ratio_text, seconds_text, times_interval_text
from lbench.analysis.session_comparison import Job, Row, SessionComparison
from lbench.analysis.session_comparison_text import (
    comparison_sentence,
    comparison_sentences,
    cost_text,
    needed_text,
    permutation_text,
    verdict_lines,
)
from lbench.cli.console import BRIGHT, QUIET, RIGHT, WARN, WRONG, console
from lbench.cli.tables import Column, backend_cell, print_line, print_table
from lbench.engine.cost.format import usd_short
from lbench.engine.session.view import SessionView

__all__ = ["comparison_json", "print_comparison", "session_names"]

_STYLES = {"✘": WRONG, "✔": RIGHT, "?": WARN}


def session_names(texts: Sequence[str], views: Sequence[SessionView]) -> list[str]:
    """Short names that tell the sessions apart: the file's, or the name that a person gave."""
    short = []
    for text, view in zip(texts, views, strict=True):
        header = view.header
        own = "" if header is None or header.name == header.id else header.name
        short.append(own or Path(text).stem or text)
    return [name if short.count(name) == 1 else text for name, text in zip(short, texts, strict=True)]


def comparison_json(comparison: SessionComparison) -> str:
    """The comparison as JSON; amounts are decimal strings."""
    body = {
        "format": "lbench.comparison",
        "version": 1,
        "answer": comparison_sentence(comparison),
        "slower": bool(comparison.slower),
    }
    return msgspec.json.format(msgspec.json.encode(body | msgspec.to_builtins(comparison)), indent=1).decode()


def print_comparison(comparison: SessionComparison) -> None:
    """Print the report on standard output."""
    out = console()
    for sentence in comparison_sentences(comparison):
        print_line(out, sentence, BRIGHT)
    for line in verdict_lines(comparison):
        print_line(out, line, _STYLES[line[0]])
    for job in comparison.jobs:
        if job.rows:
            out.print()
            params = " ".join(f"{name}={value}" for name, value in job.params.items())
            print_line(out, f"{job.workload} {params} · seed {job.seed}", QUIET)
            print_table(out, _columns(job))
        _tests(out, job)
        for one in job.apart:
            print_line(out, f"not compared: {one.session}, {one.what}: {one.why}", WARN)
    if comparison.differences:
        out.print()
        print_table(out, _differences(comparison))
    if (cost := cost_text(comparison)) is not None:
        print_line(out, cost, QUIET)
    print_line(out, "sessions share no rounds: nothing is paired (docs/compare.md)", QUIET)


def _columns(job: Job) -> list[Column]:
    rows = job.rows
    columns = {
        "session": Column("SESSION"),
        "machine": Column("MACHINE", rank=3),
        "backend": Column("BACKEND"),
        "runs": Column("RUNS", rank=2, justify="right"),
        "makespan": Column("MAKESPAN", justify="right"),
        "interval": Column(interval_title(row.makespan_s for row in rows), rank=4, justify="right"),
        "ratio": Column(f"AGAINST {rows[0].session}", justify="right"),
        "ratio_interval": Column(
            interval_title(None if row.effect is None else row.effect.ratio for row in rows), rank=1, justify="right"
        ),
        "cost": Column("COST", rank=5, justify="right"),
    }
    for row in rows:
        for name, cell in _cells(row).items():
            columns[name].add(cell)
    return list(columns.values())


def _cells(row: Row) -> dict[str, str | Text]:
    origin = f" {row.origin}" if row.origin != "measured" and row.origin not in row.label else ""
    temperature = "" if row.temperature is None else f" {row.temperature}"
    ratio = None if row.effect is None else row.effect.ratio
    return {
        "session": row.session,
        "machine": Text(row.machine, style=QUIET),
        "backend": backend_cell(row.backend, row.label, temperature + origin),
        "runs": str(len(row.times_s)),
        "makespan": seconds_text(row.makespan_s.value),
        "interval": Text(interval_text(row.makespan_s), style=QUIET),
        "ratio": "1.00×" if ratio is None else Text(ratio_text(ratio), style=BRIGHT),
        "ratio_interval": Text(times_interval_text(ratio), style=QUIET),
        "cost": "–" if row.usd is None else usd_short(row.usd),
    }


def _tests(out: Console, job: Job) -> None:
    """The second line of each effect: the permutation test, and what would decide what is open."""
    for row in job.rows:
        if row.effect is not None:
            parts = [part for part in (permutation_text(row.effect), needed_text(row.effect)) if part]
            print_line(out, f"{row.session} {row.name}: {'; '.join(parts)}", QUIET)


def _differences(comparison: SessionComparison) -> list[Column]:
    columns = [Column("WHAT DIFFERS"), *(Column(name, wrap=False) for name in comparison.sessions)]
    for one in comparison.differences:
        columns[0].add(one.what)
        for column, value in zip(columns[1:], one.values, strict=True):
            column.add(Text(value, style=QUIET))
    return columns
