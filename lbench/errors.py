"""The one tree of errors. Each message is one line: what happened, to what, and what to do next.

    LbenchError
    ├── InputError            bad usage or bad input: exit code 2
    │   ├── UnknownNameError  a name that is not there, with the nearest that is
    │   ├── DataFileError     a data file that cannot be used
    │   └── SessionFileError  a session that cannot be read
    ├── EncodingError         a value that cannot travel, or bytes that are not a value
    ├── WorkloadError         what a user's own workload did: its run fails, exit code 1
    ├── BackendError          a backend that could not be opened or has broken down: the run fails, exit code 1
    └── EngineLostError       the engine process has gone away

This module is the ground floor: every folder may import it, and it imports nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "DataFileError",
    "EncodingError",
    "EngineLostError",
    "InputError",
    "LbenchError",
    "SessionFileError",
    "UnknownNameError",
    "WorkloadError",
]


class LbenchError(Exception):
    """Whatever lbench raises on purpose."""


class InputError(LbenchError):
    """Unusable input; the message says what to do instead."""


class UnknownNameError(InputError):
    """A name that does not exist; the message suggests the nearest that does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        super().__init__(f"unknown {kind} {name!r}: {hint}")
        self.kind, self.name, self.known = kind, name, known


class DataFileError(InputError):
    """A data file that cannot be used, and why."""


class SessionFileError(InputError):
    """A session document or journal that cannot be read."""


class EncodingError(LbenchError):
    """A value that cannot travel between driver and environment, or bytes that do not decode."""


class WorkloadError(LbenchError):
    """A user's own code raised, or gave what cannot be used."""


class BackendError(LbenchError):
    """A backend could not be opened, or no longer works."""


class EngineLostError(LbenchError):
    """The engine process ended without finishing what it was asked to do."""
