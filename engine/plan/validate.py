"""Validates a plan against what there is, before anything runs: one line says what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

from lbench.config.deployment import stack_name
from lbench.config.folders import is_file
from lbench.config.limits import limits
from lbench.config.prices import rates
from lbench.config.server_url import check_server_url
from lbench.engine.backends import catalog
from lbench.engine.backends.region import architecture_of, region_of
from lbench.engine.backends.settings import (
    AwsSettings,
    ClusterSettings,
    DaskSettings,
    EmulatedSettings,
    ExecutorSettings,
    LambdaSettings,
    ServedSettings,
    SimulatedSettings,
    check_store_folder,
)
from lbench.engine.plan import function as function_plan
from lbench.engine.plan.plan import BackendChoice, Plan, resolve_params
from lbench.errors import InputError
from lbench.workloads import parameters, registry
from lbench.workloads.model import Params
from lbench.workloads.own.each import EachParams, specs_of, split
from lbench.workloads.textfile import checked_encoding, why_no_file

__all__ = ["validate", "validate_backend", "validate_job"]

MOST_BATCHED = 100_000
_MOST_COLD = 1_000  # as of warm-up runs


def validate(plan: Plan) -> None:
    """Refuse a plan that cannot be measured.

    Raises:
        InputError: the first fault, and how to mend it.
    """
    validate_job(plan)
    if not plan.backends:
        raise InputError("no backend to run on: choose one with -b")
    labels = [choice.label for choice in plan.backends]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two backends have the label {label!r}: give one another, as in -b {label}@other")
    for choice in plan.backends:
        validate_backend(plan, choice)


def validate_job(plan: Plan) -> None:
    """Refuse a plan whose workload, data or runs cannot be measured on any backend.

    Raises:
        InputError: the first fault, and how to mend it.
    """
    if plan.tasks is not None:
        _at_least("--tasks", plan.tasks, 1)
    for name in ("seed", "tasks"):
        if name in plan.params:
            raise InputError(f"parameter {name} is set by --{name}")
    _check_each(plan, resolve_params(plan))
    if function_plan.is_function(plan):
        function_plan.check(plan)
    if plan.repeats != "auto":
        _at_least("--repeats", plan.repeats, 1)
    if not 0 < plan.for_s <= 1e6:
        raise InputError(f"--for must be above 0 and at most 1,000,000 seconds, got {plan.for_s:g}")
    _at_least("--warmup", plan.warmup, 0)
    if not 0 <= plan.cold_repeats <= _MOST_COLD:
        raise InputError(f"--cold-repeats must be from 0 to {_MOST_COLD:,}, got {plan.cold_repeats:,}")
    if isinstance(plan.batch, int) and not 1 <= plan.batch <= MOST_BATCHED:
        raise InputError(f"--batch must be auto or from 1 to {MOST_BATCHED:,}, got {plan.batch:,}")
    _at_least("--retries", plan.retries, 0)
    longest_s = limits().timeout_max_s
    if not 0 < plan.timeout_s <= longest_s:
        raise InputError(
            f"--timeout must be above 0 and at most {longest_s} seconds, as on Lambda, got {plan.timeout_s:g}"
        )
    if plan.hedge is not None and not 0.5 <= plan.hedge < 1:
        raise InputError(f"--hedge must be a quantile from 0.5 to below 1 (0.95 is usual), got {plan.hedge:g}")
    if plan.max_usd is not None and not 0 < plan.max_usd < 1e6:
        raise InputError(f"--max-usd must be above 0 and below 1,000,000 US dollars, got {plan.max_usd:g}")
    _check_files(plan)


def validate_backend(plan: Plan, choice: BackendChoice) -> None:
    """Refuse a backend that cannot measure a plan's workload, or a setting of it.

    Raises:
        InputError: the first fault, and how to mend it.
    """
    settings = parameters.parse(catalog.settings_type(choice.name), choice.settings, what=f"{choice.name} setting")
    if function_plan.is_function(plan):
        function_plan.check_backend(plan, choice)
    if isinstance(settings, LambdaSettings):
        rates(region_of(settings), architecture_of(settings))  # refuses a region without prices
    if isinstance(settings, ServedSettings) and settings.s3_endpoint is not None:
        check_server_url(f"{choice.label}: s3_endpoint", settings.s3_endpoint)
    if isinstance(settings, SimulatedSettings):
        _check_simulated(choice.label, settings, plan)
    if isinstance(settings, AwsSettings):
        stack_name(settings.stack, architecture_of(settings))  # refuses an invalid name
    if isinstance(settings, EmulatedSettings) and settings.package is not None:
        from lbench.engine.backends.lambda_.package import look_at_package

        look_at_package(settings.package, plan.workload)
    if isinstance(settings, ClusterSettings):
        if plan.cold_repeats:
            raise InputError(
                f"{choice.label}: --cold-repeats needs workers of lbench's own: leave it out, or the backend"
            )
        _check_cluster(choice.label, settings)
    coded = isinstance(settings, EmulatedSettings) and (settings.handler or settings.code)
    if coded and not function_plan.is_function(plan):
        raise InputError(f"{choice.label}: handler= and code= are for `lbench run function`")


def _check_cluster(label: str, settings: ClusterSettings) -> None:
    """Refuse what needs neither a connection nor an import to be known.

    Raises:
        InputError: a store, an address, a file or a factory cannot be used.
    """
    if settings.store is not None:
        check_store_folder(settings.store, label)
    if isinstance(settings, DaskSettings):
        from lbench.engine.backends.cluster.dask import check_dask_settings

        check_dask_settings(settings)
    if isinstance(settings, ExecutorSettings):
        from lbench.engine.backends.cluster.executor import check_factory

        check_factory(settings.factory)


def _check_each(plan: Plan, params: Params) -> None:
    """Refuse a plain function without values, and a parameter that has both one value and several."""
    if not isinstance(params, EachParams):
        return
    names = [spec.name for spec in specs_of(params)]
    if not params.each:
        name = registry.describe(plan.workload).name
        if not names:
            raise InputError(
                f"{name} is a plain function without parameters: it needs one with several values, for --each "
                "(or write a job, which yields lists of tasks: see `lbench new workload`)"
            )
        raise InputError(
            f"--each is required: {name} is a plain function; "
            f"write --each NAME=VALUES, a task for each value (its parameters: {', '.join(names)})"
        )
    for name, _ in split(params.each):
        if name in plan.params:
            raise InputError(f"parameter {name} is given by -p and by --each: leave out one")


def _check_simulated(label: str, settings: SimulatedSettings, plan: Plan) -> None:
    """Refuse what the model cannot stand for.

    Raises:
        InputError: the model's file cannot be used, a new account has no such function, or probe starts processes.
    """
    from lbench.engine.simulation.parameters import load_model

    model = load_model(settings.model)
    most_mb = int(model.memory_quota_of_new_accounts_mb.median)
    if settings.account == "new" and settings.memory > most_mb:
        raise InputError(f"{label}: memory must be at most {most_mb:,} MB in a new account, got {settings.memory:,}")
    if plan.workload == "probe" and plan.params.get("kind") == "spawn":
        raise InputError(f"{label} has no processes: choose another kind of probe than spawn")


def _check_files(plan: Plan) -> None:
    """Refuse a data file or a picture that the workload has no use for.

    Raises:
        InputError: it reads no data, it has no picture, or there is no such file or encoding.
    """
    description = registry.describe(plan.workload)
    if plan.data is not None:
        if description.data is None:
            raise InputError(f"{description.name} reads no data: leave out --data")
        if not is_file(plan.data):
            raise InputError(f"--data {plan.data}: {why_no_file(Path(plan.data))}")
    if plan.encoding is not None:
        if plan.data is None:
            raise InputError("--encoding is of a data file: give the file with --data")
        checked_encoding(plan.encoding)
    if plan.picture is not None and not description.picture:
        raise InputError(f"{description.name} has no picture: leave out --picture")


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{option} must be at least {least}, got {value}")
