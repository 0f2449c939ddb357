"""What is particular to a plan of the workload `function`: what it may hold, and what Lambda says of the function first."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import cast

import msgspec

from lbench.config.folders import typed_path
from lbench.config.limits import limits
from lbench.engine.backends.settings import AwsSettings, EmulatedSettings
from lbench.engine.plan.plan import BackendChoice, Plan, settings_of
from lbench.errors import InputError
from lbench.workloads import parameters, registry
from lbench.workloads.function import WORKLOAD_NAME, FunctionParams
from lbench.workloads.function.payloads import STANDARD_INPUT, check_payloads, read_payloads

__all__ = ["adapt", "check", "function_params", "is_function", "with_payload"]


def is_function(plan: Plan) -> bool:
    """Whether the plan is of this workload."""
    return plan.workload == WORKLOAD_NAME


def function_params(plan: Plan) -> FunctionParams:
    """The parameters.

    Raises:
        InputError: an unknown one, or a value out of range.
    """
    described = registry.describe(plan.workload)
    return cast(FunctionParams, parameters.parse(described.params, plan.params, tasks=plan.tasks, seed=plan.seed))


def check(plan: Plan) -> None:
    """Refuse what cannot be measured. Nothing is asked of AWS.

    Raises:
        InputError: the first thing that is wrong, and what to do.
    """
    from lbench.engine.backends.function.cold_starts import check_forcing
    from lbench.engine.backends.function.configuration import parse_name
    from lbench.engine.backends.function.locations import check_code

    params = function_params(plan)
    if plan.tasks is not None:
        raise InputError("--tasks: function has calls; give their number with -p invocations=N")
    if plan.hedge is not None:
        raise InputError("--hedge: a function that is not lbench's is called again only where no answer came")
    if plan.audit:
        raise InputError(
            "--audit: the log of a function that is not lbench's is not read; its calls are billed by REPORT"
        )
    if params.allow_update and not params.force_cold:
        raise InputError("--allow-update goes with --force-cold: without it nothing is changed")
    read_payloads(params.payload)
    for choice in plan.backends:
        settings = settings_of(choice)
        if isinstance(settings, AwsSettings) or params.name:
            name = parse_name(params.name)
        if isinstance(settings, AwsSettings):
            if params.force_cold:
                check_forcing(name, allowed=params.allow_update)
        elif isinstance(settings, EmulatedSettings):
            check_code(settings)
        else:
            raise InputError(
                f"function does not run on {choice.name}: take -b lambda, or its code here with "
                "-b emulated:handler=app.handler,code=FOLDER"
            )
        if settings.transport != "direct":
            raise InputError(f"--transport {settings.transport}: a function that is not lbench's is called directly")


async def adapt(plan: Plan, given: Collection[str], *, timeout_given: bool = False) -> Plan:
    """The plan with what Lambda says of the function: region, memory, processor, timeout.

    What the prices and the bound depend on is the function's own, never a setting. Its code here gets the same memory and
    timeout, so that the two can be compared.

    Args:
        plan: a checked one.
        given: labels of the backends whose memory was said; on AWS it must then be the function's.
        timeout_given: the timeout was said; it must then be the function's, too.

    Raises:
        InputError: no credentials, no such function, other memory or another timeout than was said, or more calls at once
            than may be.
    """
    from lbench.engine.backends.function.backend import too_many
    from lbench.engine.backends.function.configuration import look_up

    params = function_params(plan)
    timeout_s, own = plan.timeout_s, dict[str, int]()
    choices = list(plan.backends)
    for index, choice in enumerate(choices):
        settings = settings_of(choice)
        if not isinstance(settings, AwsSettings):
            continue
        facts, region = await look_up(params.name, settings.region)
        if choice.label in given and settings.memory != facts.memory_mb:
            raise InputError(f"memory={settings.memory}: the function has {facts.memory_mb} MB: leave memory out")
        if settings.arch not in (None, facts.arch):
            raise InputError(f"arch={settings.arch}: the function is for {facts.arch}: leave arch out")
        if settings.concurrency is not None and facts.most is not None and facts.most < settings.concurrency:
            raise InputError(too_many(settings.concurrency, facts.most))
        own = {"memory": facts.memory_mb}
        timeout_s = float(min(facts.timeout_s, limits().timeout_max_s))
        if timeout_given and plan.timeout_s != timeout_s:
            raise InputError(
                f"--timeout {plan.timeout_s:g}: the function itself ends a call after {timeout_s:g} s: leave --timeout out"
            )
        choices[index] = _with(choice, region=region, arch=facts.arch, **own)
    for index, choice in enumerate(choices):
        if own and choice.name == "emulated" and choice.label not in given:
            choices[index] = _with(choice, **own)
    return msgspec.structs.replace(plan, backends=choices, timeout_s=timeout_s)


def with_payload(plan: Plan, standard_input: bytes | None) -> Plan:
    """The plan for an engine in another folder: files by their whole path, standard input as a file in the cache.

    Raises:
        InputError: standard input holds no event, or the cache cannot be written.
    """
    given = plan.params.get("payload")
    if not isinstance(given, str) or not given.startswith("@"):
        return plan
    if given != STANDARD_INPUT:
        return _payload(plan, typed_path(given[1:]).absolute())
    check_payloads(standard_input or b"", "standard input")
    return _payload(plan, _spooled(standard_input or b""))


def _spooled(content: bytes) -> Path:
    import hashlib
    import os

    from lbench.config.folders import cache_folder

    path = cache_folder("payloads") / f"{hashlib.sha256(content).hexdigest()[:32]}.json"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - its mode
            file.write(content)
    except OSError as error:
        raise InputError(f"standard input cannot be kept for the engine ({error.strerror}: {path.parent})") from None
    return path


def _payload(plan: Plan, path: Path) -> Plan:
    return msgspec.structs.replace(plan, params=plan.params | {"payload": f"@{path}"})


def _with(choice: BackendChoice, **settings: str | int) -> BackendChoice:
    return msgspec.structs.replace(choice, settings=choice.settings | settings)
