"""The list of backends, readable without importing what they need."""

from __future__ import annotations

import msgspec

from lbench.engine.backends.settings import AwsSettings, EmulatedSettings, LocalSettings, SequentialSettings
from lbench.errors import UnknownNameError

__all__ = ["is_paid", "names", "settings_type", "shares_machine", "starts_cold", "summary"]

_BACKENDS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "sequential": (SequentialSettings, "one warm worker process: the job's tasks one after the other"),
    "loop": (SequentialSettings, "one warm worker process: the answer in one piece, as a person would write it"),
    "threads": (LocalSettings, "one worker process with a thread a core"),
    "processes": (LocalSettings, "a warm worker process a core"),
    "emulated": (
        EmulatedSettings,
        "AWS Lambda on this machine: real API, real runtime client, a process an environment",
    ),
    "lambda": (AwsSettings, "AWS Lambda: the function that `lbench deploy` has put there; it costs money"),
}


def names() -> tuple[str, ...]:
    """The backends' names, in the order in which they are shown."""
    return tuple(_BACKENDS)


def settings_type(name: str) -> type[msgspec.Struct]:
    """The typed settings of a backend.

    Raises:
        UnknownNameError: there is no such backend.
    """
    if name not in _BACKENDS:
        raise UnknownNameError("backend", name, _BACKENDS)
    return _BACKENDS[name][0]


def shares_machine(name: str) -> bool:
    """Whether the backend's tasks use this machine's cores."""
    return name != "lambda"


def is_paid(name: str) -> bool:
    """Whether each run costs money."""
    return name == "lambda"


def starts_cold(name: str) -> bool:
    """Whether its first run finds no environment: calls start them, within the run's clock."""
    return name in ("emulated", "lambda")


def summary(name: str) -> str:
    """A backend in one line."""
    return _BACKENDS[name][1]
