"""Colours and consoles. Every state has a glyph beside its colour."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.console import Console

__all__ = ["BRIGHT", "HAIRLINE", "QUIET", "RIGHT", "WARN", "WRONG", "accent", "console", "is_live_terminal"]

QUIET = "#5c6773"
HAIRLINE = "#2a333d"
BRIGHT = "bold"
RIGHT = "#8fd694"
WRONG = "#ff7b72"
WARN = "#ffc266"

_ACCENTS = {
    "sequential": "#8fa3b3",
    "threads": "#5fb3a3",
    "processes": "#6fb3ff",
    "emulated": "#ffc266",
    "dask": "#b8d46a",
    "executor": "#d4a5a5",
    "lambda": "#ff9e64",
    "simulated": "#c59bff",
    "predicted": "#e58fb1",
}
_FILE_WIDTH = 200  # without a terminal no column is dropped


def accent(backend: str) -> str:
    """The colour of a backend, the same everywhere."""
    return _ACCENTS.get(backend, "")


def console(stream: TextIO | None = None) -> Console:
    """A console on `stream` (default: standard output); texts are shown literally, without markup or emoji."""
    stream = stream if stream is not None else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _FILE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def is_live_terminal(stream: TextIO) -> bool:
    """Whether the stream is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
