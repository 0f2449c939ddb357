"""The workloads there are. Each `<name>/__init__.py` holds a light `DESCRIPTION`; the work is loaded on demand.

Besides lbench's own: `PATH.py:FUNCTION`, and entry points in the group `lbench.workloads` (see `own`).
"""

from __future__ import annotations

import importlib
from typing import Any, cast

from lbench.errors import InputError, UnknownNameError
from lbench.workloads.model import Description, Limits, Params, Workload

__all__ = ["absolute", "all_names", "describe", "has_answer", "installed", "limits", "load", "names"]

_NAMES = ("mandelbrot", "random_forest", "kmeans", "map_reduce", "probe")
_OWN = (*_NAMES, "function")  # the last has no code of its own: nothing to pack, and nothing to run here


def names() -> tuple[str, ...]:
    """The names of lbench's own that compute something, in the order in which they are shown."""
    return _NAMES


def all_names() -> tuple[str, ...]:
    """All of lbench's own: `function` too, which calls what is deployed already."""
    return _OWN


def has_answer(name: str) -> bool:
    """Whether a run of this workload comes to an answer; one that is not known here does."""
    return name not in _OWN or describe(name).answers


def installed() -> dict[str, Description | InputError]:
    """Workloads of installed packages, by name; one that cannot be used, with the reason."""
    from lbench.workloads.own.describe import describe_entry
    from lbench.workloads.own.locate import entry_points

    told: dict[str, Description | InputError] = {}
    for name, value in sorted(entry_points().items()):
        if name in _OWN:
            continue  # lbench's own come first
        try:
            told[name] = describe_entry(name, value)
        except InputError as error:
            told[name] = error
    return told


def absolute(name: str) -> str:
    """The name for a process that is in another folder."""
    if name in _OWN:
        return name
    from lbench.workloads.own import locate as naming

    return naming.absolute(name)


def describe(name: str) -> Description:
    """A workload's parameters and texts, without importing numpy, scikit-learn or a user's code.

    Raises:
        UnknownNameError: there is no such workload.
        InputError: a user's own that cannot be used; the message says what to do.
    """
    if name in _OWN:
        module = importlib.import_module(f"lbench.workloads.{name}")
        return cast(Description, module.DESCRIPTION)
    from lbench.workloads.own import describe as asking
    from lbench.workloads.own import locate as naming

    if naming.is_path(name):
        return asking.describe_path(name)
    entries = naming.entry_points()
    if name in entries:
        return asking.describe_entry(name, entries[name])
    if ":" in name:
        raise InputError(f"{name}: name a Python file and the job in it, as in ./mine.py:job")
    raise UnknownNameError("workload", name, [*_OWN, *entries])


def load(description: Description) -> Workload[Any]:
    """The workload itself (imports what it computes with).

    Raises:
        WorkloadError: a user's own module does not import here.
    """
    if description.code is not None:
        from lbench.workloads.own.workload import load_own

        return load_own(description)
    module, _, attribute = description.implementation.partition(":")
    return cast("Workload[Any]", getattr(importlib.import_module(module), attribute))


def limits(description: Description, params: Params) -> Limits:
    """The most that a job can ask for, without running a user's code in this process.

    Raises:
        InputError: a user's own `limits` fails.
    """
    if description.code is None:
        return load(description).limits(params)
    from lbench.workloads.own.describe import limits_of

    return limits_of(description, params)
