"""Calls a user's function with the arguments that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lbench.workloads.signatures import parameters_of

__all__ = ["call_with", "offered_to"]


def call_with(function: Callable[..., Any], offered: Mapping[str, Any]) -> Any:
    """Call a user's function with those of the offered arguments that it names."""
    parameters = parameters_of(function).values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return function(**offered)
    return function(**{one.name: offered[one.name] for one in parameters if one.name in offered})


def offered_to(job: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name; without a requested number of tasks, the job's own default."""
    values = dict(params)
    if values.get("tasks") is None:
        values.pop("tasks", None)
        own = parameters_of(job).get("tasks")
        if own is not None and own.default is not own.empty:
            values["tasks"] = own.default
    return values
