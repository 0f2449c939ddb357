"""The report's section on a tuned function: its candidates, the front of time against dollars, and the picks."""

from __future__ import annotations

from collections.abc import Sequence

from lbench.analysis.format import percent_text, seconds_text
from lbench.analysis.tuning import Tuned, caveats, front, memory_text, picks_of, tuned, tuning_sentence
from lbench.cli.documents import TUNE
from lbench.cli.html.cells import Cell, Section, seconds_cell, usd_cell
from lbench.cli.html.sweep_figures import front_figure
from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.events import RunPlanned
from lbench.engine.session.view import SessionView

__all__ = ["TUNED", "is_tuning", "tuning_section"]

TUNED = ": memory and tasks"  # how the section's title ends
_HEAD = ("memory", "tasks", "runs", "makespan", "cold", "CV", "dollars a run", "front")


def is_tuning(planned: RunPlanned) -> bool:
    """Whether a run is of `lbench tune`."""
    return planned.sweep is not None and planned.sweep.id.startswith(TUNE)


def tuning_section(view: SessionView, prefix: str) -> Section | None:
    """The section of a session that is a tuning; None: it is none, or no candidate has a right answer."""
    runs = [run for run in view.started_runs if is_tuning(run.planned)]
    found = sorted(tuned(view, run_bill), key=lambda one: one.makespan_s.value) if runs else []
    if not found:
        return None
    planned = runs[0].planned
    given = [f"{name} {value}" for name, value in planned.params.items() if value is not None]
    return Section(
        title=f"{planned.workload} on {planned.label}{TUNED}",
        facts=" · ".join([*given, f"seed {planned.seed}"]),
        sentences=(tuning_sentence(found, planned.label, planned.origin),),
        head=_HEAD,
        rows=tuple(_row(one, found) for one in found),
        figures=(front_figure(found, planned.backend, f"{prefix}-front"),),
        notes=(*caveats(found), memory_text(found)),
    )


def _row(one: Tuned, every: Sequence[Tuned]) -> tuple[Cell, ...]:
    picks = picks_of(every)
    names = [] if picks is None else [name for name, pick in picks.named if pick is one]
    mark = ", ".join(names) if names else "on it" if one in front(every) else "–"
    return (
        Cell(f"{one.candidate.memory_mb:,} MB", str(one.candidate.memory_mb)),
        Cell(f"{one.tasks:,}", str(one.tasks)),
        Cell(str(one.runs), str(one.runs)),
        seconds_cell(one.makespan_s),
        Cell("–") if one.cold_s is None else Cell(seconds_text(one.cold_s), repr(one.cold_s)),
        Cell("–") if one.cv is None else Cell(percent_text(one.cv), repr(one.cv)),
        usd_cell(one.usd),
        Cell(mark),
    )
