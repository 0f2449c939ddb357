"""The report of a sweep: the answer, a row for each point and backend, and what the answer rests on."""

from __future__ import annotations

from rich.text import Text

from lbench.analysis.format import (
    interval_text,
    interval_title,
    place_label,
    ratio_text,
    seconds_text,
    times_interval_text,
)
from lbench.analysis.prediction import predict_comparison
from lbench.analysis.scaling import Scaling, scalings
from lbench.analysis.scaling_text import law_lines, scaling_notes, scaling_sentence
from lbench.analysis.series import Point, Series
from lbench.cli.console import BRIGHT, QUIET, WARN, WRONG, console
from lbench.cli.report import runs_mark
from lbench.cli.tables import Column, backend_cell, print_line, print_table
from lbench.cli.warning_lines import warning_lines
from lbench.engine.billing.bill import run_bill
from lbench.engine.cost.format import usd_short
from lbench.engine.model import Document
from lbench.engine.session.view import SessionView
from lbench.errors import InputError

__all__ = ["print_sweep"]


def print_sweep(view: SessionView, document: Document, failures: dict[str, str], saved: str, *, predict: bool) -> None:
    """Print the report on standard output."""
    out = console()
    try:
        found = scalings([view], run_bill, predict=predict_comparison if predict else None)
    except InputError:  # nothing was measured: the failures below say why
        found = []
    for scaling in found:
        out.print()
        if scaling.beside:
            print_line(out, ", ".join(place_label(name, value) for name, value in scaling.beside.items()), QUIET)
        print_table(out, sweep_columns(scaling))
        out.print()
        print_line(out, scaling_sentence(scaling), BRIGHT)
        for line in scaling_notes(scaling):
            print_line(out, line, QUIET)
    for line in law_lines(found):
        print_line(out, line, QUIET)
    for point, why in failures.items():
        print_line(out, f"✘ {point}: {why}", WRONG)
    for line in warning_lines(document.warnings):
        print_line(out, line, WARN)
    out.print(Text(saved, style=QUIET), soft_wrap=True)


def sweep_columns(scaling: Scaling) -> list[Column]:
    """A row for each place and series."""
    points = [point for one in scaling.series for point in one.points]
    columns = {
        "at": Column(scaling.axis, justify="right"),
        "backend": Column("BACKEND"),
        "runs": Column("RUNS", rank=3, justify="right"),
        "makespan": Column("MAKESPAN", justify="right"),
        "interval": Column(interval_title(point.makespan_s for point in points), rank=2, justify="right"),
        "speedup": Column("SPEEDUP", justify="right"),
        "speedup_interval": Column(interval_title(point.speedup for point in points), rank=4, justify="right"),
        "cost": Column("COST", rank=1, justify="right"),
    }
    for place in scaling.places:
        first = True
        for one in scaling.series:
            point = one.at(place)
            if point is not None:
                for name, cell in _cells(scaling, one, point, first=first).items():
                    columns[name].add(cell)
                first = False
    return list(columns.values())


def _cells(scaling: Scaling, one: Series, point: Point, *, first: bool) -> dict[str, str | Text]:
    mark, style = runs_mark(point)
    runs = (
        Text("–", style=QUIET)
        if one.origin == "predicted"
        else Text.assemble((mark, style), f" {point.repeats_ok}/{point.repeats}")
    )
    machine = "" if one.machine is None else f" {one.machine}"
    origin = f" {one.origin}" if one.origin != "measured" and one.origin not in one.label else ""
    aside = f"{'' if one.temperature is None else f' {one.temperature}'}{machine}{origin}"
    return {
        "at": _place(scaling, point.at) if first else "",
        "backend": backend_cell("predicted" if one.origin == "predicted" else one.backend, one.label, aside),
        "runs": runs,
        "makespan": "–" if point.makespan_s is None else seconds_text(point.makespan_s.value),
        "interval": Text("–" if point.makespan_s is None else interval_text(point.makespan_s), style=QUIET),
        "speedup": Text("–" if point.speedup is None else ratio_text(point.speedup), style=BRIGHT),
        "speedup_interval": Text(times_interval_text(point.speedup), style=QUIET),
        "cost": _cost(point),
    }


def _cost(point: Point) -> str:
    usd = point.usd or point.rent_usd
    if usd is None:
        return "–"
    return f"{usd_short(usd.value)}{'' if point.usd is not None else ' rented'}"


def _place(scaling: Scaling, value: float) -> str:
    return f"{value:,.0f}" if scaling.whole else f"{value:.3g}"
