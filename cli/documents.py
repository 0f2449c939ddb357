"""Session documents by what a user names: a session, a folder, a journal or a document."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lbench.analysis.causes import explanations, held_runs
from lbench.analysis.comparison import by_label, compare
from lbench.analysis.prediction import predict_comparison, predictions
from lbench.analysis.resumption import load_whole, sweeps_of
from lbench.analysis.scaling import scalings
from lbench.analysis.sweep_record import sweep_curves, tuning_record
from lbench.analysis.tuning import tuned
from lbench.analysis.variance import variance_parts
from lbench.analysis.warnings import stability_warnings
from lbench.engine.billing.bill import run_bill
from lbench.engine.export.document import document, read_document
from lbench.engine.export.document_events import document_events
from lbench.engine.journal.reader import is_journal
from lbench.engine.journal.writer import JOURNAL_NAME
from lbench.engine.model import Document, Explanation, Prediction, SweepCurves, Tuning, VarianceShares
from lbench.engine.session.index import find_session
from lbench.engine.session.labels import Meta, read_meta
from lbench.engine.session.view import RunView, SessionView, fold, load_journal
from lbench.errors import InputError, SessionFileError

__all__ = ["TUNE", "document_of", "load_document", "load_views"]

TUNE = "tune-"  # how the id of a tuning begins


def load_document(text: str) -> Document:
    """The document of a recorded session or of a file.

    Raises:
        InputError: no such session, or several.
        SessionFileError: the file is no session, is damaged, or has a newer version.
    """
    path = _found(text)
    if path.is_dir():
        return document_of(load_whole(path), read_meta(path))
    if is_journal(path):
        return document_of(load_journal(path), read_meta(path.parent))
    return read_document(path)


def load_views(texts: Sequence[str]) -> list[SessionView]:
    """Recorded sessions and those of files, as readers see them. What one of them holds is in no other one.

    Raises:
        InputError: no such session, or several.
        SessionFileError: a file is no session, is damaged, or has a newer version.
    """
    paths = [_found(text) for text in texts]
    return [_view(path, besides=paths) for path in paths]


def _view(path: Path, besides: Sequence[Path]) -> SessionView:
    try:
        if path.is_dir():
            return load_whole(path, besides)
        return load_journal(path) if is_journal(path) else fold(document_events(path))
    except SessionFileError as error:
        if str(path) in str(error):
            raise
        raise SessionFileError(f"{path}: {error}") from None  # one of several: which?


def _found(text: str) -> Path:
    path = find_session(text)
    if path.is_dir() and not (path / JOURNAL_NAME).is_file():
        raise SessionFileError(f"{path} is not a session: it has no {JOURNAL_NAME}")
    return path


def document_of(view: SessionView, meta: Meta | None = None, *, predict: bool = True) -> Document:
    """The document of a session as it is now, with its warnings, name, tags and predictions."""
    made = document(view, stability_warnings(view), meta)
    groups = _comparisons(view, made)
    found = _predictions(groups) if predict else []
    return msgspec.structs.replace(
        made,
        predictions=found or None,
        explanations=_explanations(view, groups) or None,
        sweeps=_sweeps(view, predict=predict) or None,
        tuning=_tuning(view),
    )


def _sweeps(view: SessionView, *, predict: bool) -> list[SweepCurves]:
    """The curves of the sweeps that a session holds; none of one of which no point has come to an end."""
    found: list[SweepCurves] = []
    for identity, part in sweeps_of(view).items():
        if not identity.startswith(TUNE) and _sweep_id(part) is not None:
            with suppress(InputError):
                made = scalings([part], run_bill, predict=predict_comparison if predict else None)
                found += [sweep_curves(one, identity) for one in made]
    return found


def _sweep_id(view: SessionView) -> str | None:
    swept = (run.planned.sweep for run in view.runs.values() if run.has_answer)
    return next((sweep.id for sweep in swept if sweep is not None), None)


def _tuning(view: SessionView) -> Tuning | None:
    """The candidates of a tuned function; None: the session holds none."""
    identity = _sweep_id(view)
    if identity is None or not identity.startswith(TUNE):
        return None
    if not (found := tuned(view, run_bill)):
        return None
    first = next(run.planned for run in view.started_runs if run.planned.sweep is not None)
    return tuning_record(found, identity, first.workload, first.label, first.origin)


def _comparisons(view: SessionView, made: Document) -> dict[str, list[RunView]]:
    """The runs of each comparison of a session; "" where none was recorded."""
    groups = {one.id: [view.runs[run] for run in one.runs if run in view.runs] for one in made.comparisons or []}
    return groups or {"": list(view.runs.values())}


def _explanations(view: SessionView, groups: dict[str, list[RunView]]) -> list[Explanation]:
    """Why each backend is as fast as it is, and where its invocations' times differ from."""
    environment = None if view.header is None else view.header.environment
    found: list[Explanation] = []
    held = held_runs(view)
    for name, runs in groups.items():
        backends = by_label([run for run in runs if run.has_answer and run.id not in held])
        for one in explanations(backends, environment):
            parts = variance_parts(one.label, backends[one.label])
            shares = None
            if parts is not None:
                each = {part.name: part.ms2 for part in parts.parts}
                shares = VarianceShares(parts.invocations, parts.repeats, parts.whole_ms2, each, list(parts.negative))
            found.append(Explanation(name, one.label, one.cause, one.text, one.shares, shares))
    return found


def _predictions(groups: dict[str, list[RunView]]) -> list[Prediction]:
    """What Lambda would take for each comparison of the session."""
    found: list[Prediction] = []
    for name, runs in groups.items():
        line = predict_comparison(compare(runs, run_bill), runs) if runs else None
        found += predictions(line, name) if line is not None else []
    return found
