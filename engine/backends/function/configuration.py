"""Parses a function's name or ARN, and reads its configuration from Lambda: memory, processor, timeout, region."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lbench.config.aws import aws_client, aws_session
from lbench.config.aws_errors import AwsError
from lbench.config.limits import limits
from lbench.config.manifest import Architecture
from lbench.engine.backends.lambda_.concurrency_quota import check_permission, read_quota
from lbench.errors import InputError

__all__ = ["FunctionFacts", "FunctionName", "check_forcing", "facts_of", "look_up", "parse_name"]

# Lambda's own pattern (`NamespacedFunctionName`).
_NAME = re.compile(
    r"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_LATEST = "$LATEST"


class FunctionName(msgspec.Struct, frozen=True):
    """A function as the user names it."""

    text: str  # as given: used in calls
    name: str
    qualifier: str | None = None  # a version or an alias
    region: str | None = None  # an ARN's

    @property
    def is_latest(self) -> bool:
        """Whether it is $LATEST, which can be changed, and not a version or an alias."""
        return self.qualifier in (None, _LATEST)


def check_forcing(name: FunctionName, *, allowed: bool) -> None:
    """Refuse to change a function without permission.

    Raises:
        InputError: --allow-update is missing, or the name is a version or an alias, which takes traffic.
    """
    if not name.is_latest:
        raise InputError(
            f"--force-cold changes a function's $LATEST, but {name.text} names {name.qualifier}: "
            "a version cannot be changed, and an alias takes traffic. Measure it without --force-cold"
        )
    if not allowed:
        raise InputError(
            f"--force-cold temporarily changes an environment variable of {name.name}, which restarts it for "
            "all its callers: pass --allow-update to accept that"
        )


class FunctionFacts(msgspec.Struct, frozen=True):
    """A function's configuration, from GetFunctionConfiguration."""

    arn: str
    memory_mb: int
    arch: Architecture
    timeout_s: float
    runtime: str  # "container image" where there is none
    version: str
    ephemeral_mb: int = limits().ephemeral_min_mb
    most: int | None = None  # calls at once that the account or the function's reservation allows; None: not known

    @property
    def summary(self) -> str:
        """The configuration in one line."""
        name = self.arn.rpartition("function:")[2]
        return f"{name}: {self.runtime}, {self.arch}, {self.memory_mb} MB, timeout {self.timeout_s:g} s"


def parse_name(text: str | None) -> FunctionName:
    """Parse a function's name or ARN.

    Raises:
        InputError: it is neither a name nor an ARN.
    """
    if not text:
        raise InputError("the function's name is missing: pass -p name=NAME_OR_ARN")
    found = _NAME.fullmatch(text)
    if found is None or len(text) > 170:
        raise InputError(f"parameter name must be a Lambda function's name or ARN, got {text[:60]}")
    return FunctionName(text, found["name"], found["qualifier"], found["region"])


async def look_up(text: str | None, region: str | None) -> tuple[FunctionFacts, str]:
    """Read the function's configuration and region from AWS. The few requests cost nothing.

    Args:
        text: its name or ARN.
        region: None: the ARN's, else the chain's.

    Raises:
        InputError: an invalid name, two regions, no credentials, no such function, or no permission to read it.
    """
    name = parse_name(text)
    if name.region is not None and region not in (None, name.region):
        raise InputError(f"the function is in {name.region}, but --region is {region}: omit --region")
    session = aws_session(name.region or region)
    async with aws_client(session, "lambda", policy=_policy_of(name)) as client:
        facts = facts_of(await client.get_function_configuration(FunctionName=name.text))
        await check_permission(client, name.text)
        return msgspec.structs.replace(facts, most=(await read_quota(client, name.name)).most), str(session.region_name)


def _policy_of(name: FunctionName) -> str:
    """What a person must be allowed to measure a function, in words."""
    return (
        "have a policy attached that allows lambda:InvokeFunction, lambda:GetFunctionConfiguration "
        f"on the function {name.name} (and its versions, {name.name}:*)"
    )


def facts_of(configuration: dict[str, Any]) -> FunctionFacts:
    """Read the response of GetFunctionConfiguration.

    Raises:
        InputError: the function cannot be called at the moment.
    """
    if configuration.get("State") not in (None, "Active", "Inactive"):
        reason = configuration.get("StateReason") or "see the console"
        raise AwsError(
            f"the function {configuration['FunctionName']} is {configuration['State']} and cannot be called ({reason})"
        )
    return FunctionFacts(
        arn=configuration["FunctionArn"],
        memory_mb=configuration["MemorySize"],
        arch=(configuration.get("Architectures") or ["x86_64"])[0],
        timeout_s=configuration["Timeout"],
        runtime=configuration.get("Runtime") or "container image",
        version=configuration.get("Version") or _LATEST,
        ephemeral_mb=configuration.get("EphemeralStorage", {}).get("Size", limits().ephemeral_min_mb),
    )
