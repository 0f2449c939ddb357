"""What a person asks to be measured, and its check against what there is: one line says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lbench.config.deployment import stack_name
from lbench.config.folders import typed_path
from lbench.config.prices import rates
from lbench.config.settings import Settings
from lbench.engine.backends import catalog
from lbench.engine.backends.placement import architecture_of, region_of
from lbench.engine.backends.settings import AwsSettings, EmulatedSettings, LambdaSettings
from lbench.engine.model import Schedule
from lbench.engine.plan import function as function_plan
from lbench.errors import InputError
from lbench.workloads import parameters, registry
from lbench.workloads.model import Params

__all__ = [
    "DEFAULT_BACKENDS",
    "BackendChoice",
    "Plan",
    "check_files",
    "parse_backend",
    "plan_of_settings",
    "resolve_params",
    "schedule_of",
    "validate",
]

DEFAULT_BACKENDS = ("sequential", "processes", "emulated")

_LABEL = re.compile(r"[\w.+-]{1,32}\Z")


class BackendChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backend, its settings as given, and what it is called in the results."""

    name: str
    label: str
    settings: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison: a workload with its parameters, over backends, so many times."""

    workload: str
    params: dict[str, Any] = {}
    seed: int = 1
    tasks: int | None = None
    backends: list[BackendChoice] = []
    repeats: int = 3
    warmup: int = 0
    schedule: Schedule | None = None  # None: as `schedule_of` says; what shares this machine is isolated all the same
    timeout_s: float = 300.0
    retries: int = 2
    keep_going: bool = False  # run a stage's other tasks after one has failed for good; the run fails then
    hedge: float | None = None  # the quantile of a stage's durations beyond which a task is issued once more
    max_usd: float | None = None  # what all runs together may cost; None: no limit
    audit: bool = False  # afterwards, replace estimates of billed time by what AWS's log says
    data: str | None = None
    picture: str | None = None
    preview: bool = False  # record a growing preview for a screen; it costs the driver some CPU


def parse_backend(text: str, defaults: Mapping[str, Any]) -> BackendChoice:
    """Read `NAME[:key=value,...][@label]`; `defaults` fill what the backend knows and the text doesn't say.

    Raises:
        InputError: it is not of that form, or names a backend or a setting that does not exist.
    """
    body, at, label = text.partition("@")
    name, _, settings_text = body.partition(":")
    settings_type = catalog.settings_type(name)
    if at and not _LABEL.match(label):
        raise InputError(f"backend {text!r}: a label is up to 32 letters, digits and . _ + -")
    known = {field.name for field in parameters.fields(settings_type)}
    settings: dict[str, Any] = {key: value for key, value in defaults.items() if key in known}
    for part in filter(None, settings_text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"backend {text!r}: write settings as key=value, with commas between them")
        settings[key.strip()] = value.strip()
    checked = parameters.parse(settings_type, settings, what=f"{name} setting")
    if isinstance(checked, EmulatedSettings) and checked.package is not None:
        # The engine may be in another folder.
        checked = msgspec.structs.replace(checked, package=str(typed_path(checked.package).absolute()))
    if isinstance(checked, EmulatedSettings) and checked.code is not None:
        checked = msgspec.structs.replace(checked, code=str(typed_path(checked.code).absolute()))
    return BackendChoice(name=name, label=label or name, settings=msgspec.to_builtins(checked))


def schedule_of(plan: Plan) -> Schedule:
    """The plan's own; else concurrent where AWS runs beside this machine, and isolated where it is only one of the two."""
    if plan.schedule is not None:
        return plan.schedule
    return "concurrent" if len({catalog.shares_machine(choice.name) for choice in plan.backends}) > 1 else "isolated"


def plan_of_settings(
    chosen: Settings,
    workload: str,
    backends: Sequence[str] = DEFAULT_BACKENDS,
    ways: Mapping[str, str | None] | None = None,
) -> Plan:
    """The plan of `lbench run WORKLOAD`, and what the set-up begins with: a person's settings fill what is not said.

    Args:
        chosen: the settings.
        workload: a name or a path.
        backends: as `parse_backend` reads them.
        ways: further defaults of backends that are no settings, by name; None: not given.

    Raises:
        InputError: a backend or one of its settings cannot be used.
    """
    defaults = {
        "concurrency": chosen.concurrency,
        "memory": chosen.memory_mb,
        "arch": chosen.arch,
        "region": chosen.region,
        **(ways or {}),
        "client": chosen.client,
        "s3_endpoint": chosen.s3_endpoint,
    }
    given = {name: value for name, value in defaults.items() if value is not None}
    return Plan(
        workload=registry.absolute(workload),
        seed=chosen.seed,
        backends=[parse_backend(text, given) for text in backends],
        repeats=chosen.repeats,
        warmup=chosen.warmup,
        schedule=chosen.schedule,
        timeout_s=chosen.timeout_s,
        retries=chosen.retries,
    )


def resolve_params(plan: Plan) -> Params:
    """The workload's parameters with the run's own in them.

    Raises:
        InputError: an unknown workload or parameter, or a value out of range.
    """
    description = registry.describe(plan.workload)
    return parameters.parse(description.params, plan.params, tasks=plan.tasks, seed=plan.seed)


def validate(plan: Plan) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: the first thing that is wrong, and what to do.
    """
    if plan.tasks is not None:
        _at_least("--tasks", plan.tasks, 1)
    resolve_params(plan)
    if function_plan.is_function(plan):
        function_plan.check(plan)
    _at_least("--repeats", plan.repeats, 1)
    _at_least("--warmup", plan.warmup, 0)
    _at_least("--retries", plan.retries, 0)
    if not 0 < plan.timeout_s <= 900:
        raise InputError(f"--timeout {plan.timeout_s:g}: it is more than 0 and at most 900 seconds, as on Lambda")
    if plan.hedge is not None and not 0.5 <= plan.hedge < 1:
        raise InputError(f"--hedge {plan.hedge:g}: it is a quantile from 0.5 up to, but not, 1; 0.95 is usual")
    if plan.max_usd is not None and not 0 < plan.max_usd < 1e6:
        raise InputError(f"--max-usd {plan.max_usd:g}: it is more than 0 and less than a million US dollars")
    if not plan.backends:
        raise InputError("no backend to run on: name one with -b")
    labels = [choice.label for choice in plan.backends]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two backends are called {label!r}: tell them apart with a label, as in -b {label}@other")
    for choice in plan.backends:
        settings = parameters.parse(catalog.settings_type(choice.name), choice.settings, what=f"{choice.name} setting")
        if isinstance(settings, LambdaSettings):
            rates(region_of(settings), architecture_of(settings))  # refuses a region without prices
            _check_endpoint(choice.label, settings.s3_endpoint)
        if isinstance(settings, AwsSettings):
            stack_name(settings.stack, architecture_of(settings))  # refuses what is no name
        if isinstance(settings, EmulatedSettings) and settings.package is not None:
            from lbench.engine.backends.lambda_.package import look_at_package

            look_at_package(settings.package, plan.workload)
        coded = isinstance(settings, EmulatedSettings) and (settings.handler or settings.code)
        if coded and not function_plan.is_function(plan):
            raise InputError(f"{choice.label}: handler= and code= are for `lbench run function`")
    check_files(plan)


def check_files(plan: Plan) -> None:
    """Whether the workload reads data and draws a picture, where that is asked for.

    Raises:
        InputError: it does not; or there is no such file.
    """
    description = registry.describe(plan.workload)
    if plan.data is not None:
        if description.data is None:
            raise InputError(f"{description.name} reads no data: leave out --data")
        if not Path(plan.data).is_file():
            what = "that is a folder: name a file in it" if Path(plan.data).is_dir() else "there is no such file"
            raise InputError(f"--data {plan.data}: {what}")
    if plan.picture is not None and not description.picture:
        raise InputError(f"{description.name} has no picture: leave out --picture")


def _check_endpoint(label: str, url: str | None) -> None:
    """An S3 server's URL is recorded and shown, so none with a password is taken; nor is it repeated here."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"{label}: s3_endpoint is no URL of a server: write it as in http://127.0.0.1:9000")
    if "@" in parts.netloc:
        raise InputError(f"{label}: s3_endpoint holds a user or a password: leave them out, credentials are AWS_*'s")


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{option} {value}: it is at least {least}")
