"""The names in a run's folder, which the engine makes and its workers write into."""

from __future__ import annotations

__all__ = ["NOTICED", "TEMPORARY", "WORKING"]

WORKING = "work"
TEMPORARY = "tmp"
NOTICED = "noticed"  # a file: paths outside the folder that were opened for writing, each with a zero byte behind
