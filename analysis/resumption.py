"""A sweep or a tuning that was stopped and resumed: which of its runs count, and its sessions as one."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from lbench.analysis.format import listed
from lbench.analysis.warnings import machine_warnings
from lbench.engine.journal.events import ComparisonEnded, Warned
from lbench.engine.session.sweeps import earlier_parts
from lbench.engine.session.view import RunView, SessionView, load_folder
from lbench.errors import count_text

__all__ = ["cut_off_runs", "joined", "load_whole", "resumed_text", "sweeps_of", "unfinished_runs", "whole_comparisons"]

_Place = tuple[tuple[str, Any], ...]  # a point of a sweep


def whole_comparisons(view: SessionView) -> list[list[RunView]]:
    """The runs of each point that was measured to its end: they have all ended, well or not, and were not stopped."""
    found = []
    for comparison in view.comparisons:
        runs = [view.runs[name] for name in comparison.runs if name in view.runs]
        stopped = comparison.ended_by == "cancelled" or any(run.status == "over_budget" for run in runs)
        if not stopped and runs and runs[0].planned.sweep is not None:
            found.append(runs)
    return found


def unfinished_runs(view: SessionView) -> set[str]:
    """The ids of the runs of comparisons that were stopped or are under way."""
    found = {
        run.id for run in view.started_runs if run.status in ("running", "cancelled", "interrupted", "over_budget")
    }
    for comparison in view.comparisons:
        if comparison.ended_by == "cancelled":
            found.update(comparison.runs)
    return found


def cut_off_runs(views: Sequence[SessionView]) -> list[set[str]]:
    """For each session the ids of its runs that were cut off, where their point was measured to its end as well."""
    whole = [whole_comparisons(view) for view in views]
    done = {_place(runs[0]) for runs in chain.from_iterable(whole)}
    found = []
    for view, comparisons in zip(views, whole, strict=True):
        kept = {run.id for run in chain.from_iterable(comparisons)}
        found.append({run.id for run in view.runs.values() if run.id not in kept and _place(run) in done})
    return found


def load_whole(folder: Path, besides: Collection[Path] = ()) -> SessionView:
    """The session in a folder, with those that it goes on with: a sweep or a tuning that was stopped is one.

    Args:
        folder: of the session.
        besides: the folders of sessions that are not taken in.

    Raises:
        InputError: the folder of sessions cannot be read.
        SessionFileError: there is no readable journal.
    """
    last = load_folder(folder)
    return joined([*map(load_folder, earlier_parts(folder, besides)), last])


def resumed_text(view: SessionView) -> str | None:
    """How many runs of a session are of which earlier ones; None: it went on with none."""
    counts = Counter(run.rpartition("/")[0] for run in view.runs)
    earlier = [f"{count} of {name}" for name, count in counts.items() if name]
    if not earlier:
        return None
    runs = count_text(len(view.runs), "run")
    return f"it was stopped and resumed: of its {runs}, {listed(earlier)}, {counts['']} of the last session"


def _place(run: RunView) -> _Place | None:
    return None if run.planned.sweep is None else tuple(sorted(run.planned.sweep.point.items()))


def joined(views: Sequence[SessionView]) -> SessionView:
    """One session of them all: the last one's, with the runs of all; an earlier one's have its id before their own.

    Runs that were cut off and measured again are left out with their warnings: their own session keeps them. Views of
    one session are that session, unless it has such runs.
    """
    cut = cut_off_runs(views)
    last = views[-1]
    if len(views) == 1 and not cut[0]:
        return last
    found = SessionView()
    found.header, found.end, found.phase, found.paused = last.header, last.end, last.phase, last.paused
    for view, without in zip(views, cut, strict=True):
        session = "" if view is last or view.header is None else f"{view.header.id}/"
        for run in view.runs.values():
            if run.id not in without:
                renamed = _renamed(run, session)
                found.runs[renamed.id] = renamed
        for one in view.comparisons:
            if not without.intersection(one.runs):
                runs = [session + run for run in one.runs]
                found.comparisons.append(ComparisonEnded(session + one.id, runs, one.ended_by, one.rounds, one.text))
        found.warnings += [
            Warned(one.code, one.text, None if one.run is None else session + one.run)
            for one in view.warnings
            # What failed before it had a run is tried again: the last session knows how it went.
            if one.run not in without and (view is last or one.run is not None or one.code != "failed")
        ]
        if view is not last:
            found.warnings += [Warned(one.code, one.text, one.run) for one in machine_warnings(view, without)]
        found.events += view.events
    return found


def sweeps_of(view: SessionView) -> dict[str, SessionView]:
    """A session's sweeps by their ids, each as a session of its own, in the order in which they were begun."""
    runs: dict[str, dict[str, RunView]] = {}
    for run in view.runs.values():
        if run.planned.sweep is not None:
            runs.setdefault(run.planned.sweep.id, {})[run.id] = run
    if len(runs) < 2:
        return dict.fromkeys(runs, view)
    found = {}
    for identity, own in runs.items():
        part = found[identity] = SessionView()
        part.header, part.end, part.runs = view.header, view.end, own
        part.comparisons = [one for one in view.comparisons if own.keys() & set(one.runs)]
        part.warnings = [one for one in view.warnings if one.run is None or one.run in own]
    return found


def _renamed(run: RunView, session: str) -> RunView:
    """The run with its session before its id."""
    if not session:
        return run
    found = copy.copy(run)
    found.planned = msgspec.structs.replace(run.planned, run=session + run.id)
    found.previews = []  # they lie in the session's folder
    if run.ended is not None:
        found.ended = msgspec.structs.replace(run.ended, overlaps=[session + other for other in run.ended.overlaps])
    return found
