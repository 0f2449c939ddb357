"""Whose fault a failed task was, in a user's words: which call of their code, and where in it."""

from __future__ import annotations

from lbench.engine.backends.base import Failure
from lbench.errors import EncodingError
from lbench.workloads.encoding import decode
from lbench.workloads.own.tracebacks import call_text, place_in

__all__ = ["blame", "called", "tally"]


def called(encoded: bytes) -> str | None:
    """The call that a task of a user's own is, "simulate(seed=3)"; None for lbench's own tasks."""
    try:
        name, arguments = decode(encoded)
    except (EncodingError, ValueError, TypeError):
        return None
    return call_text(name, arguments) if ":" in name else None


def blame(encoded: bytes, index: int, tries: str, failure: Failure) -> str:
    """One line: "task 3, simulate(seed=3), failed: ValueError: too small (mine.py, line 12 in simulate)"."""
    call = called(encoded)
    if call is None:
        return f"task {index} failed{tries}: {failure.type}: {failure.message}"
    place = place_in(failure.log_tail)
    where = f" ({place})" if place else ""
    return f"task {index}, {call}, failed{tries}: {failure.type}: {failure.message}{where}"


def tally(failed: list[str], tasks: int) -> str:
    """What a stage came to of which some tasks failed; `failed` has each one's line."""
    first = f": {failed[0]}" if len(failed) == 1 else f"; the first to fail: {failed[0]}"
    return f"{len(failed):,} of {tasks:,} tasks failed{first}"
