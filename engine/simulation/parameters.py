"""The parameters of the model, from `config/lambda_model.toml`: each has a value or a distribution, a source, a date."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lbench.config.lambda_model import rows
from lbench.engine.simulation.distributions import Constant, Distribution, Lognormal, Quantiles
from lbench.errors import InputError

__all__ = ["LambdaModel", "lambda_model", "old_parameters", "with_values"]


@dataclass(frozen=True)
class LambdaModel:
    """What the model assumes of driver, network, AWS Lambda and S3. Units are in the names; `_s` are seconds."""

    driver_dispatch_s: Distribution  # CPU of the driver for each call: calls leave one after the other
    driver_connect_s: Distribution  # CPU of a new connection, before the first call on it
    driver_decode_s_per_mb: Distribution  # of each response, one after the other
    rtt_s: Distribution  # driver to region and back
    uplink_mb_per_s: Distribution  # shared by all calls under way
    invoke_overhead_s: Distribution  # of a warm call inside AWS
    start_delay_s: Distribution  # of many calls at once: from their arrival to the start on a warm environment
    allocation_s: Distribution  # of a new environment: placement and download, before its init
    init_s: Mapping[str, Mapping[str, Distribution]]  # the runtime's own, by architecture and Python version
    init_vcpus: Distribution  # what an init runs with
    mb_per_vcpu: Distribution
    environment_sigma: Distribution  # lognormal spread of speed between environments
    task_sigma: Distribution  # and within one, from call to call
    idle_halving_s: Distribution
    concurrency: Distribution
    concurrency_of_new_accounts: Distribution
    memory_quota_of_new_accounts_mb: Distribution
    ramp_environments: Distribution
    ramp_period_s: Distribution
    invokes_per_s_and_environment: Distribution
    s3_get_s: Distribution
    s3_put_s: Distribution
    network_burst_mb: Distribution
    network_burst_mb_per_s: Distribution
    network_mb_per_s: Distribution
    core_ratio: Distribution  # one core of the measuring machine, in Lambda vCPUs

    def init_of(self, arch: str, python: str) -> Distribution:
        """The init of a runtime; a version that was not measured is taken as the newest that was."""
        by_version = self.init_s.get(arch) or self.init_s["x86_64"]
        return by_version.get(python) or by_version[max(by_version, key=_version)]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _distribution(row: Mapping[str, Any]) -> Distribution:
    about = {"source": row["source"], "date": row["date"]}
    if "value" in row:
        return Constant(float(row["value"]), **about)
    if "median" in row:
        return Lognormal(float(row["median"]), float(row["sigma"]), **about)
    return Quantiles(tuple(row["probabilities"]), tuple(row["values"]), **about)


@functools.cache
def lambda_model() -> LambdaModel:
    """The model with the parameters of the data file."""
    parsed: dict[str, Any] = {}
    for name, row in rows().items():
        if name == "init_s":
            parsed[name] = {
                arch: {version: _distribution(one) for version, one in by_version.items()}
                for arch, by_version in row.items()
            }
        elif isinstance(row, dict):
            parsed[name] = _distribution(row)
    return LambdaModel(**parsed)


def with_values(model: LambdaModel, changes: Mapping[str, float]) -> LambdaModel:
    """The model with other values: a constant is replaced, of a distribution the median.

    Raises:
        InputError: there is no such parameter, or the value is impossible.
    """
    replaced: dict[str, Any] = {}
    for name, value in changes.items():
        known = {field.name for field in dataclasses.fields(model)} - {"init_s"}
        if name not in known:
            raise InputError(f"the model has no parameter {name!r}; it has {', '.join(sorted(known))}")
        if not value > 0 and not (value == 0 and name.endswith(("_s", "_sigma", "_s_per_mb"))):
            raise InputError(f"the model's parameter {name} must be above 0, got {value:g}")
        old = getattr(model, name)
        if isinstance(old, Lognormal) and value > 0:
            replaced[name] = Lognormal(value, old.sigma, "given by hand", date.today())
        else:
            replaced[name] = Constant(value, "given by hand", date.today())
    return dataclasses.replace(model, **replaced)


def _leaves(model: LambdaModel) -> Iterator[tuple[str, Distribution]]:
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if isinstance(value, Mapping):
            for arch, by_version in value.items():
                yield from ((f"{field.name} {arch} {version}", one) for version, one in by_version.items())
        else:
            yield field.name, value


def old_parameters(model: LambdaModel, today: date) -> list[str]:
    """The parameters whose source is older than the data file's `max_age_days`, each as "name (date)"."""
    limit = rows()["max_age_days"]
    return [
        f"{name} ({one.date})"
        for name, one in _leaves(model)
        if one.date is not None and (today - one.date).days > limit
    ]
