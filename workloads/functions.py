"""Task functions by name. A function `<workload>.<verb>` is found in that workload's `tasks` module when first called.

A function "module:name" is a user's own (`own.importer`).

A task function is pure: it gets its arguments by name and, if it has a parameter `data`, the job's data set.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from lbench.errors import UnknownNameError
from lbench.workloads.signatures import parameters_of

__all__ = ["BATCH", "STORE_MARK", "WHOLE", "call", "find", "preload", "reads_parts", "task_function"]

WHOLE = "whole "
BATCH = "batch.run"
STORE_MARK = {"lbench": "the run's store"}  # in a batch, in place of the store

F = TypeVar("F", bound=Callable[..., Any])

_functions: dict[str, tuple[Callable[..., Any], bool]] = {}
_by_parts: set[str] = set()


def task_function(name: str, *, parts: bool = False) -> Callable[[F], F]:
    """Register a function as `name`; the part before the first dot is its workload.

    `parts`: of `data` it uses nothing but `data.part(array, first, end)`. Where the data set is far away (on Lambda),
    only these parts are fetched, in the task's own time.
    """

    def register(function: F) -> F:
        _functions[name] = (function, "data" in parameters_of(function))
        if parts:
            _by_parts.add(name)
        return function

    return register


def find(name: str) -> tuple[Callable[..., Any], bool]:
    """The function of that name, and whether it wants the data set.

    Raises:
        UnknownNameError: no workload registers it.
        InputError: it is a user's own, and not in the snapshot.
    """
    if ":" in name:
        from lbench.workloads.own.importer import find_own

        return find_own(name)
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


def preload(workload: str) -> None:
    """Import what a workload's tasks need. The workload: lbench's by its name, a user's own by `Description.pinned`, or by
    "module:job" where its files lie beside lbench's (on Lambda). `WHOLE` before it: what its answer in one piece needs.

    Raises:
        Exception: whatever the import raises.
    """
    if workload.startswith(WHOLE):
        from lbench.workloads import registry

        importlib.import_module("lbench.workloads.whole.tasks")
        workload = workload.removeprefix(WHOLE)
        registry.load(registry.describe(workload))
    if ":" not in workload:
        importlib.import_module(f"lbench.workloads.{workload}.tasks")
        return
    from lbench.workloads.own import importer

    module = workload.partition(":")[0]
    if "/" in workload:
        folder, module, _ = importer.pinned_parts(workload)
        importer.enter(folder)
        importer.share(folder)
    importer.import_own(module)
    importer.import_names()
    importer.show_arguments(module)


def reads_parts(name: str) -> bool:
    """Whether a function that was found reads the data set by parts."""
    return name in _by_parts


def call(name: str, arguments: dict[str, Any], data: Any = None) -> Any:
    """Run one task in this process."""
    function, wants_data = find(name)
    return function(data=data, **arguments) if wants_data else function(**arguments)


@task_function(BATCH)
def run_batch(calls: list[Any], store: Any, data: Any = None) -> list[Any]:
    """Run tasks one after the other; returns their results in order."""
    results = []
    for name, arguments in calls:
        if store is not None:
            arguments = {key: store if _is_mark(value) else value for key, value in arguments.items()}
        results.append(call(name, arguments, data))
    return results


def _is_mark(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == STORE_MARK.keys() and value == STORE_MARK
