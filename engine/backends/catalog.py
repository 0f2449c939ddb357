"""The list of backends, readable without importing what they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from lbench.engine.backends.settings import (
    AwsSettings,
    ClusterSettings,
    DaskSettings,
    EmulatedSettings,
    ExecutorSettings,
    LocalSettings,
    SequentialSettings,
    SimulatedSettings,
)
from lbench.errors import UnknownNameError

__all__ = [
    "hedges",
    "is_cluster",
    "is_paid",
    "names",
    "origin",
    "settings_type",
    "shares_machine",
    "starts_cold",
    "summary",
]

_BACKENDS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "sequential": (SequentialSettings, "one warm worker process runs all tasks in turn"),
    "loop": (SequentialSettings, "one warm worker process computes the answer in one piece, without tasks"),
    "threads": (LocalSettings, "one worker process with one thread per core"),
    "processes": (LocalSettings, "one warm worker process per core"),
    "emulated": (
        EmulatedSettings,
        "AWS Lambda emulated on this machine: real APIs and runtime client, one process per environment",
    ),
    "lambda": (AwsSettings, "AWS Lambda: the function from `lbench deploy`; costs money"),
    "simulated": (
        SimulatedSettings,
        "AWS Lambda simulated by a model in virtual time: thousands of environments, reproducible by seed",
    ),
    "dask": (DaskSettings, "the workers of a Dask cluster; without an address, processes of this machine"),
    "executor": (ExecutorSettings, "any concurrent.futures.Executor: MPI, loky, ipyparallel, SLURM"),
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


def shares_machine(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the backend keeps this machine's cores busy, so that nothing else may be measured meanwhile.

    Of an executor's workers nothing is known: they are taken to be here.
    """
    if name == "dask":
        return msgspec.convert(settings, DaskSettings).is_on_this_machine
    return name != "lambda"


def hedges(name: str) -> bool:
    """Whether a task's duplicate takes no core of this machine from the others."""
    return name in ("lambda", "simulated")


def origin(name: str) -> Literal["measured", "emulated", "simulated"]:
    """Where the figures of its runs come from."""
    return "emulated" if name == "emulated" else "simulated" if name == "simulated" else "measured"


def is_cluster(name: str) -> bool:
    """Whether the workers are not lbench's own; they have a price only where one is given."""
    return name in _BACKENDS and issubclass(settings_type(name), ClusterSettings)


def is_paid(name: str) -> bool:
    """Whether each run costs money."""
    return name == "lambda"


def starts_cold(name: str) -> bool:
    """Whether its first run finds no environment: calls start them, within the run's clock."""
    return name in ("emulated", "lambda", "simulated")


def summary(name: str) -> str:
    """A backend in one line."""
    return _BACKENDS[name][1]
