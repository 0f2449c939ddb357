"""The workloads there are. Each `<name>/__init__.py` holds a light `DESCRIPTION`; the work is loaded on demand."""

from __future__ import annotations

import importlib
from typing import Any, cast

from lbench.errors import UnknownNameError
from lbench.workloads.model import Description, Workload

__all__ = ["describe", "load", "names"]

_NAMES = ("mandelbrot", "random_forest", "kmeans", "probe")


def names() -> tuple[str, ...]:
    """The workloads' names, in the order in which they are shown."""
    return _NAMES


def describe(name: str) -> Description:
    """A workload's parameters and texts, without importing numpy or scikit-learn.

    Raises:
        UnknownNameError: there is no such workload.
    """
    if name not in _NAMES:
        raise UnknownNameError("workload", name, _NAMES)
    module = importlib.import_module(f"lbench.workloads.{name}")
    return cast(Description, module.DESCRIPTION)


def load(description: Description) -> Workload[Any]:
    """The workload itself (imports what it computes with)."""
    module, _, attribute = description.implementation.partition(":")
    return cast("Workload[Any]", getattr(importlib.import_module(module), attribute))
