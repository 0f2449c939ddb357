"""Writes a report of sessions that a person names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lbench.cli.compare_report import session_names
from lbench.cli.documents import load_views
from lbench.cli.html.content import content_of
from lbench.cli.html.figure import Figure, write_figures
from lbench.cli.html.page import page
from lbench.engine.export import files as outputs
from lbench.errors import InputError

__all__ = ["check_report", "report_page", "write_report"]


def check_report(out: Path, figures: Path | None) -> None:
    """Check what a report needs, before anything is read.

    Raises:
        InputError: the extra is not installed, or a file cannot be written.
    """
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise InputError(f"a report needs {' and '.join(missing)}: run pip install 'lbench[report]'")
    outputs.check_writable(out, "-o")
    if figures is not None:
        if figures.exists() and not figures.is_dir():
            raise InputError(f"--figures {figures} must be a folder")
        try:
            figures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--figures {figures} cannot be made: {error.strerror}") from None
        if not os.access(figures, os.W_OK):
            raise InputError(f"--figures {figures} cannot be written: Permission denied")


def write_report(sessions: Sequence[str], out: Path, figures: Path | None = None) -> int:
    """Write the page, and the figures beside it where a folder is given; returns how many figures there are.

    Raises:
        InputError: no such session, or nothing to report.
        LbenchError: a file cannot be read or written.
    """
    text, drawn = report_page(sessions)
    outputs.write(out, text.encode())
    if figures is not None:
        try:
            write_figures(drawn, figures)
        except OSError as error:
            raise InputError(f"--figures {figures}: {error.strerror or error}") from None
    return len(drawn)


def report_page(sessions: Sequence[str]) -> tuple[str, list[Figure]]:
    """The page of these sessions, and its figures.

    Raises:
        InputError: no such session, or nothing to report.
        SessionFileError: a file is no session, or is damaged.
    """
    views = load_views(sessions)
    content = content_of(list(zip(session_names(sessions, views), views, strict=True)))
    return page(content), content.figures
