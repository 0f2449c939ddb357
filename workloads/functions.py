"""Task functions by name. A function `<workload>.<verb>` is found in that workload's `tasks` module when first called.

A task function is pure: it gets its arguments by name and, if it has a parameter `data`, the job's data set.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from lbench.errors import UnknownNameError

__all__ = ["call", "find", "task_function"]

F = TypeVar("F", bound=Callable[..., Any])

_functions: dict[str, tuple[Callable[..., Any], bool]] = {}


def task_function(name: str) -> Callable[[F], F]:
    """Register a function as `name`; the part before the first dot is its workload."""

    def register(function: F) -> F:
        _functions[name] = (function, "data" in inspect.signature(function).parameters)
        return function

    return register


def find(name: str) -> tuple[Callable[..., Any], bool]:
    """The function of that name, and whether it wants the data set.

    Raises:
        UnknownNameError: no workload registers it.
    """
    if name not in _functions:
        module = f"lbench.workloads.{name.split('.', 1)[0]}.tasks"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
    try:
        return _functions[name]
    except KeyError:
        raise UnknownNameError("task function", name, _functions) from None


def call(name: str, arguments: dict[str, Any], data: Any = None) -> Any:
    """Run one task in this process."""
    function, wants_data = find(name)
    return function(data=data, **arguments) if wants_data else function(**arguments)
