"""`lbench run function`: its defaults and payloads, and the configuration of the function."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lbench.config.settings import Loaded
    from lbench.engine.plan.plan import Plan

__all__ = ["DEFAULT_BACKENDS", "forced", "prepare"]

DEFAULT_BACKENDS = ("lambda",)


def forced(params: dict[str, Any], workload: str, *, force_cold: bool, allow_update: bool) -> dict[str, Any]:
    """The parameters with the options `--force-cold` and `--allow-update`, which are parameters of `function`.

    Raises:
        InputError: the workload is another one.
    """
    from lbench.errors import InputError
    from lbench.workloads.function import WORKLOAD_NAME

    given = {"force_cold": force_cold, "allow_update": allow_update}
    chosen: dict[str, Any] = {name: "yes" for name, value in given.items() if value}
    if chosen and workload != WORKLOAD_NAME:
        name = next(iter(chosen)).replace("_", "-")
        raise InputError(
            f"--{name} works with `lbench run function` only: {workload} starts cold in every new environment"
        )
    return params | chosen


def prepare(plan: Plan, texts: tuple[str, ...], loaded: Loaded) -> Plan:
    """The plan completed by the configuration of the function.

    It has one repeat unless the user asks for more: a user's function is called as often as `invocations` says.

    Raises:
        InputError: see `validate_job`, `function_plan.check_backend` and `adapt`.
    """
    import msgspec

    from lbench.engine.plan import function as function_plan
    from lbench.engine.plan.validate import validate_job

    standard_input = None
    if plan.params.get("payload") == "@-":
        standard_input = sys.stdin.buffer.read()
    plan = function_plan.with_payload(plan, standard_input)
    if loaded.origins["repeats"] == "default":
        plan = msgspec.structs.replace(plan, repeats=1)
    validate_job(plan)
    for choice in plan.backends:
        function_plan.check_backend(plan, choice)
    everywhere = loaded.origins["memory"] == "command line"
    given = {
        choice.label
        for choice, text in zip(plan.backends, texts, strict=True)
        if everywhere or "memory=" in text.partition("@")[0]
    }
    timeout_given = loaded.origins["timeout"] == "command line"
    return asyncio.run(function_plan.adapt(plan, given, timeout_given=timeout_given))
