"""Reads sessions and compares them. Slow: not for the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lbench.analysis.resumption import load_whole
from lbench.analysis.session_comparison import SessionComparison, compare_sessions
from lbench.engine.billing.bill import run_bill
from lbench.engine.session.labels import read_meta
from lbench.engine.session.view import SessionView
from lbench.errors import InputError
from lbench.tui.scaling.loader import load_view

__all__ = ["HOW_TO_COMPARE", "compare_folders"]

HOW_TO_COMPARE = "nothing is compared yet: mark two sessions or more with space in the list (4), then c"


def compare_folders(folders: Sequence[Path]) -> SessionComparison:
    """Compare sessions with the first.

    Raises:
        LbenchError: there are fewer than two, one cannot be read, or they have nothing in common.
    """
    if len(folders) < 2:
        raise InputError(HOW_TO_COMPARE)
    views = [load_whole(one, folders) if one.is_dir() else load_view(one) for one in folders]
    names = [_name(folder, view) for folder, view in zip(folders, views, strict=True)]
    for tail in (4, 1000):  # of the session's own name, which may end alike, too
        names = [
            name if names.count(name) == 1 else f"{name} {folder.stem[-tail:]}"
            for name, folder in zip(names, folders, strict=True)
        ]
    return compare_sessions(list(zip(names, views, strict=True)), run_bill)


def _name(folder: Path, view: SessionView) -> str:
    """A person's name for a session, else its machine's."""
    header = view.header
    given = read_meta(folder).name if folder.is_dir() else None
    recorded = None if header is None or header.name == header.id else header.name
    if given or recorded:
        return given or recorded or ""
    return (None if header is None else header.environment.hostname) or folder.stem
