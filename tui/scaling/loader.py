"""Finds and reads a sweep. Slow: not for the event loop."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lbench.analysis.prediction import predict_comparison
from lbench.analysis.resumption import joined, sweeps_of
from lbench.analysis.scaling import Scaling, scalings
from lbench.analysis.scaling_text import law_lines
from lbench.analysis.tuning import Tuned, caveats, memory_text, tuned, tuning_sentence
from lbench.engine.billing.bill import run_bill
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.model import Sweep
from lbench.engine.session.sweeps import newest_sweep, sweep_folders
from lbench.engine.session.view import SessionView, fold, load_folder
from lbench.errors import InputError
from lbench.tui.feeds.records import Source
from lbench.tui.session_index import has_sweep

__all__ = ["NO_SWEEP", "Swept", "load_sweep", "load_view"]

NO_SWEEP = "no sweep is recorded yet: s on Bench measures one, as does `lbench sweep WORKLOAD --over NAME=1..128x2`"


class Swept(msgspec.Struct, frozen=True):
    """A sweep as it stands."""

    scalings: list[Scaling]  # one for each value of a second axis; empty while no point has a result
    seed: int = 1
    repeats: int = 0  # of each backend at a point, at most
    laws: tuple[str, ...] = ()  # strong and weak scaling along workers; none while it is measured
    source: Path | None = None  # of its newest session, to export
    tuned: tuple[Tuned, ...] = ()  # the candidates of a Lambda-like backend whose memory was varied
    label: str = ""  # of that backend
    picks: str = ""  # of these, in a sentence
    caveats: tuple[str, ...] = ()  # what the picks do not settle


def load_view(path: Path) -> SessionView:
    """The session in a folder, a journal or a document.

    Raises:
        LbenchError: it cannot be read.
    """
    return load_folder(path) if path.is_dir() else fold(Source.of(path).events())


def load_sweep(shown: Path | None, *, predict: bool, measuring: bool = False, wanted: str | None = None) -> Swept:
    """The sweep of the session on the screen, else the newest one recorded.

    Args:
        shown: the session.
        predict: add what Lambda is predicted to do, and the laws along workers.
        measuring: the screen's engine measures a sweep.
        wanted: the id of that of several sweeps which is shown; default: the newest.

    Raises:
        LbenchError: there is none, or it cannot be read.
    """
    if measuring and shown is not None and not (shown / JOURNAL_NAME).exists():
        return Swept([], source=shown)  # the engine is only starting
    if shown is not None:
        identity, view = _sweep_of(load_view(shown), wanted)
        try:
            swept = _swept(shown, identity, view, predict=predict)
            if identity is not None or _is_curve(swept):
                return swept
        except InputError:
            if identity is not None or measuring:
                return Swept([], source=shown)  # its first point is being measured
    newest = newest_sweep(has_sweep)
    if newest is None:
        raise InputError(NO_SWEEP)
    return _swept(newest, *_sweep_of(load_view(newest), None), predict=predict)


def _sweep_of(view: SessionView, wanted: str | None) -> tuple[str | None, SessionView]:
    """One of a session's sweeps with its id, the newest by default; without one the session itself."""
    found = sweeps_of(view)
    if wanted in found:
        return wanted, found[wanted]
    return next(reversed(found.items()), (None, view))


def _swept(path: Path, identity: str | None, last: SessionView, *, predict: bool) -> Swept:
    """A sweep by the last session that it is of."""
    earlier = [] if identity is None else [folder for folder in sweep_folders(identity) if folder != path]
    views = [*(sweeps_of(load_view(folder)).get(identity or "", SessionView()) for folder in earlier), last]
    found = scalings(views, run_bill, predict=predict_comparison if predict else None)
    seeds = [run.planned.seed for run in last.runs.values()]
    repeats = max((point.repeats for one in found[0].series for point in one.points), default=0)
    laws = tuple(law_lines(found)) if predict else ()
    swept = Swept(found, seeds[0] if seeds else 1, repeats, laws, path)
    runs = [run for view in views for run in view.runs.values() if run.has_answer]
    kinds = {(run.planned.label, run.planned.origin) for run in runs}
    if len(kinds) > 1 or not all(_is_candidate(run.planned.sweep) for run in runs):
        return swept
    ((label, origin),) = kinds
    measured = tuned(joined(views), run_bill)
    return msgspec.structs.replace(
        swept,
        tuned=tuple(measured),
        label=label,
        picks=tuning_sentence(measured, label, origin),
        caveats=(*caveats(measured), memory_text(measured)) if measured else (),
    )


def _is_candidate(sweep: Sweep | None) -> bool:
    """Whether a run is of `lbench tune`, or of a sweep over both memory and tasks."""
    return sweep is not None and "memory" in sweep.point and ("tasks" in sweep.point or sweep.id.startswith("tune-"))


def _is_curve(swept: Swept) -> bool:
    """Whether a series has two points: backends with different numbers of workers are no sweep."""
    return any(len(one.points) > 1 for scaling in swept.scalings for one in scaling.series)
