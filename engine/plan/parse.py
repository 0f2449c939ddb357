"""Parses what a person writes into a plan: `NAME:key=value@label`, the options and the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.folders import typed_path
from lbench.config.lambda_model import STUDIES
from lbench.config.settings import Settings
from lbench.engine.backends import catalog
from lbench.engine.backends.settings import (
    ClusterSettings,
    EmulatedSettings,
    ExecutorSettings,
    SimulatedSettings,
    parse_store,
)
from lbench.engine.plan.plan import BackendChoice, Plan
from lbench.errors import InputError
from lbench.workloads import parameters, registry

__all__ = ["DEFAULT_BACKENDS", "backend_choice", "parse_backend", "plan_of_settings", "with_each"]

DEFAULT_BACKENDS = ("sequential", "processes", "emulated")

_LABEL = re.compile(r"[\w.+-]{1,32}\Z")


def parse_backend(text: str, defaults: Mapping[str, Any]) -> BackendChoice:
    """Parse `NAME[:key=value,...][@label]`; `defaults` apply to settings that the backend has and the text leaves out.

    Raises:
        InputError: the form is wrong, or there is no such backend or setting.
    """
    body, at, label = text.partition("@")
    name, _, settings_text = body.partition(":")
    settings_type = catalog.settings_type(name)
    if at and not _LABEL.match(label):
        raise InputError(f"backend {text!r}: a label must be 1 to 32 letters, digits or . _ + -")
    known = {field.name for field in parameters.fields(settings_type)}
    settings: dict[str, Any] = {key: value for key, value in defaults.items() if key in known}
    for part in filter(None, settings_text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"backend {text!r}: write settings as key=value, with commas between them")
        settings[key.strip()] = value.strip()
    return backend_choice(name, label or name, settings)


def backend_choice(name: str, label: str, settings: Mapping[str, Any]) -> BackendChoice:
    """Check the settings of a backend, texts as a person types them; paths become absolute.

    Raises:
        InputError: there is no such backend or setting, or a value is none of it.
    """
    checked = parameters.parse(catalog.settings_type(name), settings, what=f"{name} setting")
    checked = msgspec.structs.replace(checked, **_absolute(checked))
    return BackendChoice(name=name, label=label, settings=msgspec.to_builtins(checked))


def _absolute(settings: msgspec.Struct) -> dict[str, str]:
    """The paths of settings, absolute: the engine may have another working folder."""
    paths = [name for name in ("scheduler_file", "ca", "cert", "key") if hasattr(settings, name)]
    if isinstance(settings, EmulatedSettings):
        paths = ["package", "code"]
    if isinstance(settings, SimulatedSettings) and settings.model not in STUDIES:
        paths = ["model"]
    if isinstance(settings, ClusterSettings) and settings.store and isinstance(parse_store(settings.store), Path):
        paths.append("store")
    found = {name: str(typed_path(path).absolute()) for name in paths if (path := getattr(settings, name)) is not None}
    if isinstance(settings, ExecutorSettings):
        module, colon, function = settings.factory.rpartition(":")
        if module.endswith(".py"):
            found["factory"] = f"{typed_path(module).absolute()}{colon}{function}"
    return found


def plan_of_settings(
    chosen: Settings,
    workload: str,
    backends: Sequence[str] = DEFAULT_BACKENDS,
    ways: Mapping[str, str | None] | None = None,
) -> Plan:
    """Make the plan of `lbench run WORKLOAD`, with which the set-up screen begins, too.

    Args:
        chosen: the person's settings; they are the defaults.
        workload: a name or a path.
        backends: texts for `parse_backend`.
        ways: more defaults for the backends, by name, which no settings file can hold; None: not given.

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
        for_s=chosen.for_s,
        warmup=chosen.warmup,
        schedule=chosen.schedule,
        timeout_s=chosen.timeout_s,
        retries=chosen.retries,
    )


def with_each(plan: Plan, texts: Sequence[str]) -> Plan:
    """The plan with the values of `--each NAME=VALUES`; those of files are read and kept.

    Raises:
        InputError: the workload is not a plain function, or the values cannot be used.
    """
    from lbench.workloads.own.each import EachParams, pinned, specs_of, split

    description = registry.describe(plan.workload)
    if not issubclass(description.params, EachParams):
        if texts:
            raise InputError(
                f"--each is for a plain function of yours: {description.name} makes its own tasks "
                "(set its parameters with -p)"
            )
        return plan
    given = [f"{name}={values}" for name, values in split(str(plan.params.get("each", "")))]
    each = pinned(specs_of(description.params), [*given, *texts])
    return msgspec.structs.replace(plan, params=plan.params | {"each": each})
