"""Which function is meant, and what Lambda says of it: its memory, processor, timeout; where calls to it may go."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lbench.config.aws import aws_client, aws_session
from lbench.config.aws_errors import AwsError
from lbench.config.limits import limits
from lbench.config.manifest import Architecture
from lbench.engine.backends.lambda_.account import check_permission, read_quota
from lbench.errors import InputError

__all__ = ["FunctionFacts", "FunctionName", "facts_of", "look_up", "parse_name"]

# Lambda's own pattern (`NamespacedFunctionName`).
_NAME = re.compile(
    r"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_LATEST = "$LATEST"


class FunctionName(msgspec.Struct, frozen=True):
    """A function as somebody wrote it."""

    text: str  # as it was given: what is called
    name: str
    qualifier: str | None = None  # a version or an alias
    region: str | None = None  # an ARN's

    @property
    def is_latest(self) -> bool:
        """Whether it is the function itself, which can be changed, and not a version or an alias of it."""
        return self.qualifier in (None, _LATEST)


class FunctionFacts(msgspec.Struct, frozen=True):
    """What GetFunctionConfiguration says of it."""

    arn: str
    memory_mb: int
    arch: Architecture
    timeout_s: float
    runtime: str  # "container image" where there is none
    version: str
    ephemeral_mb: int = limits().ephemeral_min_mb
    most: int | None = None  # calls at once that the account, or what is reserved for it, leaves; None: not known

    @property
    def told(self) -> str:
        """One line."""
        name = self.arn.rpartition("function:")[2]
        return f"{name}: {self.runtime}, {self.arch}, {self.memory_mb} MB, ends a call after {self.timeout_s:g} s"


def parse_name(text: str | None) -> FunctionName:
    """The function that is meant.

    Raises:
        InputError: it is neither a name nor an ARN.
    """
    if not text:
        raise InputError("which function? name it with -p name=NAME_OR_ARN")
    found = _NAME.fullmatch(text)
    if found is None or len(text) > 170:
        raise InputError(f"parameter name={text[:60]}: it is neither a Lambda function's name nor its ARN")
    return FunctionName(text, found["name"], found["qualifier"], found["region"])


async def look_up(text: str | None, region: str | None) -> tuple[FunctionFacts, str]:
    """What AWS says of the function, and the region it is in. A few requests, which cost nothing.

    Args:
        text: its name or ARN.
        region: None: the ARN's, else the chain's.

    Raises:
        InputError: no such name, two regions, no credentials, no such function, or it may not be looked at.
    """
    name = parse_name(text)
    if name.region is not None and region not in (None, name.region):
        raise InputError(f"the function is in {name.region}, and --region says {region}: leave one of them out")
    session = aws_session(name.region or region)
    async with aws_client(session, "lambda") as client:
        facts = facts_of(await client.get_function_configuration(FunctionName=name.text))
        await check_permission(client, name.text)
        return msgspec.structs.replace(facts, most=(await read_quota(client, name.name)).most), str(session.region_name)


def facts_of(told: dict[str, Any]) -> FunctionFacts:
    """From the answer of GetFunctionConfiguration.

    Raises:
        InputError: the function cannot be called at the moment.
    """
    if told.get("State") not in (None, "Active", "Inactive"):
        reason = told.get("StateReason") or "see the console"
        raise AwsError(f"the function {told['FunctionName']} is {told['State']} and cannot be called ({reason})")
    return FunctionFacts(
        arn=told["FunctionArn"],
        memory_mb=told["MemorySize"],
        arch=(told.get("Architectures") or ["x86_64"])[0],
        timeout_s=told["Timeout"],
        runtime=told.get("Runtime") or "container image",
        version=told.get("Version") or _LATEST,
        ephemeral_mb=told.get("EphemeralStorage", {}).get("Size", limits().ephemeral_min_mb),
    )
