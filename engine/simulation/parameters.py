"""The parameters of the model, from `config/lambda_model.toml`: each has a value or a distribution, a source, a date."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lbench.config.lambda_model import STUDIES, rows
from lbench.decoding import decode_toml
from lbench.engine.simulation.distributions import Constant, Distribution, Lognormal, Quantiles
from lbench.errors import InputError, utf8
from lbench.workloads.textfile import check_regular

__all__ = ["LambdaModel", "lambda_model", "load_model", "old_parameters", "with_rows", "with_values"]


@dataclass(frozen=True)
class LambdaModel:
    """What the model assumes of driver, network, AWS Lambda and S3. Units are in the names; `_s` are seconds."""

    driver_dispatch_s: Distribution  # CPU of the driver for each call: calls leave one after the other
    driver_connect_s: Distribution  # CPU of a new connection, before the first call on it
    driver_decode_s_per_mb: Distribution  # of each response, one after the other
    rtt_s: Distribution  # driver to region and back
    uplink_mb_per_s: Distribution  # shared by all calls under way
    downlink_mb_per_s: Distribution  # shared by all responses
    invoke_overhead_s: Distribution  # of a warm call inside AWS
    start_delay_s: Distribution  # of many calls at once: from their arrival to the start on a warm environment
    allocation_s: Distribution  # of a new environment: placement and download, before its init
    init_s: Mapping[str, Mapping[str, Distribution]]  # the runtime's own, by architecture and Python version
    init_vcpus: Distribution  # what an init runs with
    mb_per_vcpu: Distribution
    environment_sigma: Distribution  # lognormal spread of speed between environments
    task_sigma: Distribution  # and within one, from call to call
    idle_halving_s: Distribution
    idle_last_s: Distribution  # how long a lone environment is kept
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

    def spread_by(self, factor: float) -> LambdaModel:
        """The model with so many times the spread of every parameter; 0: nothing varies."""
        changed: dict[str, Any] = {
            field.name: getattr(self, field.name).spread_by(factor)
            for field in dataclasses.fields(self)
            if field.name != "init_s"
        }
        changed["init_s"] = {
            arch: {version: one.spread_by(factor) for version, one in by_version.items()}
            for arch, by_version in self.init_s.items()
        }
        for name in ("environment_sigma", "task_sigma"):
            changed[name] = Constant(factor * getattr(self, name).median)
        return dataclasses.replace(self, **changed)

    def init_of(self, arch: str, python: str) -> Distribution:
        """The init of a runtime; a version that was not measured is taken as the newest that was."""
        by_version = self.init_s.get(arch) or self.init_s["x86_64"]
        return by_version.get(python) or by_version[max(by_version, key=_version)]


_MOST_SIGMA = 10.0  # of a logarithm: a factor of e^20 is no spread of anything
_RATES = ("_per_s", "_halving_s", "_period_s")  # what is divided by


def _may_be_zero(name: str) -> bool:
    return name.endswith(("_s", "_sigma", "_s_per_mb")) and not name.endswith(_RATES)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _distribution(row: Mapping[str, Any]) -> Distribution:
    about = {"source": row.get("source", ""), "date": row.get("date")}
    if "value" in row:
        return Constant(_usable(float(row["value"])), **about)
    if "median" in row:
        median, sigma = _usable(float(row["median"])), _usable(float(row["sigma"]))
        if sigma > _MOST_SIGMA:
            raise ValueError
        if median == 0:
            return Constant(0.0, **about)
        return Lognormal(median, sigma, **about)
    values = tuple(_usable(float(value)) for value in row["values"])
    probabilities = tuple(_usable(float(one)) for one in row["probabilities"])
    if len(values) != len(probabilities) or min(values) <= 0 or sorted(probabilities) != list(probabilities):
        raise ValueError
    return Quantiles(probabilities, values, **about)


def _usable(value: float) -> float:
    if not 0 <= value < 1e12:
        raise ValueError
    return value


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


def load_model(path: str | None) -> LambdaModel:
    """The model with the parameters of a file, or of a study by its name, in place of the data file's; None: those alone.

    Raises:
        InputError: there is no such file, or something in it is no parameter.
    """
    if path is None:
        return lambda_model()
    try:
        file = STUDIES.get(path, Path(path))
        check_regular(file)
        parsed = decode_toml(utf8(file.read_bytes()).decode())
    except OSError as error:
        raise InputError(f"model {path} cannot be read: {error.strerror}: name a file of parameters (TOML)") from None
    except ValueError as error:
        raise InputError(f"model {path} is not a file of parameters (TOML): {error}") from None
    return with_rows(lambda_model(), parsed, path)


def with_rows(model: LambdaModel, parsed: Mapping[str, Any], where: str) -> LambdaModel:
    """The model with parameters as a TOML file has them. `init_s` may be one row: of every runtime.

    Raises:
        InputError: something in it is no parameter of the model.
    """
    known = {field.name for field in dataclasses.fields(model)}
    changed: dict[str, Any] = {}
    for name, row in parsed.items():
        if name not in known or not isinstance(row, dict):
            raise InputError(f"{where}: {name} is not a parameter of the model")
        try:
            if name == "init_s" and not {"value", "median", "probabilities"} & set(row):
                changed[name] = {
                    arch: {version: _distribution(one) for version, one in by_version.items()}
                    for arch, by_version in row.items()
                }
            elif name == "init_s":
                one = _distribution(row)
                changed[name] = {arch: dict.fromkeys(by_version, one) for arch, by_version in model.init_s.items()}
            else:
                changed[name] = _distribution(row)
                if not changed[name].median > 0 and not _may_be_zero(name):
                    raise ValueError
                if name.endswith("_sigma") and changed[name].median > _MOST_SIGMA:
                    raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                f"{where}: {name} must have a positive value, or a median and a sigma (at most "
                f"{_MOST_SIGMA:g}), or probabilities and values"
            ) from None
    return dataclasses.replace(model, **changed)


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
        if not value > 0 and not (value == 0 and _may_be_zero(name)):
            raise InputError(f"the model's parameter {name} must be above 0, got {value:g}")
        if name.endswith("_sigma") and value > _MOST_SIGMA:
            raise InputError(f"the model's parameter {name} must be at most {_MOST_SIGMA:g}, got {value:g}")
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
