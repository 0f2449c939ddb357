"""Plans of the workload `function`: their checks, and the settings that come from the deployed function itself."""

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

__all__ = ["adapt", "check", "check_backend", "function_params", "is_function", "with_payload"]


def is_function(plan: Plan) -> bool:
    """Whether the plan runs the workload `function`."""
    return plan.workload == WORKLOAD_NAME


def function_params(plan: Plan) -> FunctionParams:
    """The parameters of the plan's workload.

    Raises:
        InputError: an unknown parameter, or a value out of range.
    """
    described = registry.describe(plan.workload)
    return cast(FunctionParams, parameters.parse(described.params, plan.params, tasks=plan.tasks, seed=plan.seed))


def check(plan: Plan) -> None:
    """Refuse a plan that cannot be measured on any backend.

    Raises:
        InputError: the first fault, and how to mend it.
    """
    from lbench.engine.backends.function.configuration import parse_name

    params = function_params(plan)
    if plan.tasks is not None:
        raise InputError("--tasks does not apply to function: set the number of calls with -p invocations=N")
    if plan.hedge is not None:
        raise InputError("--hedge does not apply to function: it is called again only when no answer came")
    if plan.batch is not None:
        raise InputError("--batch does not apply to function: each of its calls is measured alone")
    if plan.cold_repeats:
        raise InputError("--cold-repeats does not apply to function: its cold starts are forced with --force-cold")
    if plan.audit:
        raise InputError(
            "--audit does not apply to function: its calls already have their billed time from the REPORT line"
        )
    if params.allow_update and not params.force_cold:
        raise InputError("--allow-update requires --force-cold: nothing else changes the function")
    if params.name:
        parse_name(params.name)
    read_payloads(params.payload)


def check_backend(plan: Plan, choice: BackendChoice) -> None:
    """Refuse a backend that cannot run the plan's function, without a request to AWS.

    Raises:
        InputError: the first fault, and how to mend it.
    """
    from lbench.engine.backends.function.configuration import check_forcing, parse_name
    from lbench.engine.backends.function.locations import check_code

    params = function_params(plan)
    settings = settings_of(choice)
    if isinstance(settings, AwsSettings):
        name = parse_name(params.name)
        if params.force_cold:
            check_forcing(name, allowed=params.allow_update)
    elif isinstance(settings, EmulatedSettings):
        check_code(settings)
    else:
        raise InputError(
            f"function does not run on {choice.name}: choose -b lambda, or run its code here with "
            "-b emulated:handler=app.handler,code=FOLDER"
        )
    if settings.transport != "direct":
        raise InputError(f"--transport {settings.transport} does not apply to function: it is called directly")


async def adapt(plan: Plan, given: Collection[str], *, timeout_given: bool = False) -> Plan:
    """Fill in the deployed function's own region, memory, processor and timeout.

    Prices and the bound depend on these, so they are never settings. The emulated function gets the same memory and timeout,
    so that the two can be compared.

    Args:
        plan: a plan that `check` accepts.
        given: labels of the backends whose memory was set; on AWS it must be the function's.
        timeout_given: the timeout was set; it must be the function's.

    Raises:
        InputError: no credentials, no such function, a memory or timeout that is not the function's, or more calls at once
            than its concurrency allows.
    """
    from lbench.engine.backends.function.backend import concurrency_refusal
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
            raise InputError(
                f"memory must be the function's {facts.memory_mb} MB, got {settings.memory}: leave memory out"
            )
        if settings.arch not in (None, facts.arch):
            raise InputError(f"arch must be the function's {facts.arch}, got {settings.arch}: leave arch out")
        if settings.concurrency is not None and facts.most is not None and facts.most < settings.concurrency:
            raise InputError(concurrency_refusal(settings.concurrency, facts.most))
        own = {"memory": facts.memory_mb}
        timeout_s = float(min(facts.timeout_s, limits().timeout_max_s))
        if timeout_given and plan.timeout_s != timeout_s:
            raise InputError(
                f"--timeout must be the function's own {timeout_s:g} s, got {plan.timeout_s:g}: leave --timeout out"
            )
        choices[index] = _with(choice, region=region, arch=facts.arch, **own)
    for index, choice in enumerate(choices):
        if own and choice.name == "emulated" and choice.label not in given:
            choices[index] = _with(choice, **own)
    return msgspec.structs.replace(plan, backends=choices, timeout_s=timeout_s)


def with_payload(plan: Plan, standard_input: bytes | None) -> Plan:
    """Make the payload's path absolute, for an engine in another folder; write standard input to a file in the cache.

    Raises:
        InputError: standard input contains no event, or the cache cannot be written.
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
        raise InputError(f"cannot write standard input to {path.parent} for the engine: {error.strerror}") from None
    return path


def _payload(plan: Plan, path: Path) -> Plan:
    return msgspec.structs.replace(plan, params=plan.params | {"payload": f"@{path}"})


def _with(choice: BackendChoice, **settings: str | int) -> BackendChoice:
    return msgspec.structs.replace(choice, settings=choice.settings | settings)
