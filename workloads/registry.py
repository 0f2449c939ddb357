"""All workloads. Each `<name>/__init__.py` holds a light `DESCRIPTION`; the work is loaded on demand.

Besides lbench's own: `PATH.py:FUNCTION`, and entry points in the group `lbench.workloads` (see `own`).
"""

from __future__ import annotations

import importlib
from typing import Any, cast

from lbench.errors import InputError, UnknownNameError
from lbench.workloads.model import Description, Limits, Params, Workload

__all__ = [
    "absolute",
    "all_names",
    "describe",
    "has_answer",
    "installed",
    "limits",
    "load",
    "names",
    "recordings",
    "without_folder",
]

_NAMES = ("mandelbrot", "random_forest", "kmeans", "map_reduce", "probe")
_OWN = (*_NAMES, "function")  # function: no code of its own, so nothing to pack and nothing to run here
_RECORDED = "recorded:"


def names() -> tuple[str, ...]:
    """Names of lbench's own workloads that compute something, in the order in which they are shown."""
    return _NAMES


def all_names() -> tuple[str, ...]:
    """All of lbench's own, including `function`, which calls a function that is deployed already."""
    return _OWN


def has_answer(name: str) -> bool:
    """Whether a run of this workload has an answer; an unknown workload's has one."""
    return name not in _OWN or describe(name).answers


def installed() -> dict[str, Description | InputError]:
    """Workloads of installed packages, by name; an error in place of one that cannot be used."""
    from lbench.workloads.own.describe import describe_entry
    from lbench.workloads.own.locate import entry_points

    found: dict[str, Description | InputError] = {}
    for name, value in sorted(entry_points().items()):
        if name in _OWN:
            continue  # lbench's own come first
        try:
            found[name] = describe_entry(name, value)
        except InputError as error:
            found[name] = error
    return found


def recordings() -> list[Description]:
    """The recorded scripts, without those that cannot be read."""
    found: list[Description] = importlib.import_module("lbench.workloads.recorded.describe").describe_all()
    return found


def without_folder(name: str) -> str:
    """The name as a session records it, without any folder: "mine.py:job"."""
    prefix = _RECORDED if name.startswith(_RECORDED) else ""
    return prefix + name.removeprefix(prefix).rpartition("/")[2]


def absolute(name: str) -> str:
    """The name for a process that is in another folder."""
    if name in _OWN:
        return name
    from lbench.workloads.own import locate

    if name.startswith(_RECORDED):
        return cast(str, importlib.import_module("lbench.workloads.recorded.describe").absolute(name))
    return locate.absolute(name)


def describe(name: str) -> Description:
    """A workload's parameters and texts, without importing numpy, scikit-learn or a user's code.

    Raises:
        UnknownNameError: there is no such workload.
        InputError: a user's own that cannot be used; the message says what to do.
    """
    if name in _OWN:
        module = importlib.import_module(f"lbench.workloads.{name}")
        return cast(Description, module.DESCRIPTION)
    from lbench.workloads.own.describe import describe_entry, describe_path
    from lbench.workloads.own.locate import entry_points, is_path

    if name.startswith(_RECORDED):
        recordings = importlib.import_module("lbench.workloads.recorded.describe")
        return cast(Description, recordings.describe_recording(name))
    if is_path(name):
        return describe_path(name)
    entries = entry_points()
    if name in entries:
        return describe_entry(name, entries[name])
    if ":" in name:
        raise InputError(f"{name}: name a Python file and the job in it, as in ./mine.py:job")
    raise UnknownNameError("workload", name, [*_OWN, *entries])


def load(description: Description) -> Workload[Any]:
    """The workload itself (imports what it computes with).

    Raises:
        WorkloadError: a user's own module does not import here.
    """
    if description.code is not None:
        from lbench.workloads.own.describe import RecordedParams
        from lbench.workloads.own.workload import load_own

        if issubclass(description.params, RecordedParams):
            job = importlib.import_module("lbench.workloads.recorded.job")
            return cast("Workload[Any]", job.RecordedWorkload(description))

        return load_own(description)
    module, _, attribute = description.implementation.partition(":")
    return cast("Workload[Any]", getattr(importlib.import_module(module), attribute))


def limits(description: Description, params: Params) -> Limits:
    """The most tasks and S3 requests of a job, without running a user's code in this process.

    Raises:
        InputError: a user's own `limits` fails.
    """
    if description.code is None:
        return load(description).limits(params)
    from lbench.workloads.own.describe import limits_of

    return limits_of(description, params)
