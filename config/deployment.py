"""A deployment's names, tags and outputs, shared by the code that deploys and the code that runs.

A deployment is one CloudFormation stack for one architecture in one region. It has a function for each memory size, all of
the same package. Whoever wants to run on it reads the stack's outputs, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lbench.config.manifest import Architecture
from lbench.errors import InputError

__all__ = [
    "DEFAULT_STACK",
    "FORMAT",
    "TAG",
    "TEMPORARY",
    "Deployment",
    "account_in",
    "function_name",
    "lbench_command",
    "outputs_of",
    "read_outputs",
    "stack_name",
]

DEFAULT_STACK = "lbench"
TAG = "lbench:stack"  # on everything that is deployed; its value is the stack's name
TEMPORARY = "tmp/"  # keys of a run's objects begin so: a rule of the bucket deletes them after a day
FORMAT = "1"

# CloudFormation's own rule is up to 128. A bucket's name has 63 letters at most, and to the stack's (with `-arm64`)
# CloudFormation adds `-bucket-` and up to 13 of its own; a longer one it cuts, and the caller's policy does not fit that.
_STACK = re.compile(r"(?=.{1,36}\Z)[A-Za-z](?:-?[A-Za-z0-9])*\Z")

_ARM = "-arm64"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What is deployed, as the stack's outputs tell it."""

    stack: str
    region: str
    arch: Architecture
    python: Annotated[str, Meta(pattern=r"^3\.\d+$")]
    lbench_version: str
    package_digest: str  # SHA-256 of the zip, hex
    workloads: tuple[str, ...]  # those whose libraries are in the package
    bucket: str
    memory_mb: tuple[int, ...]  # a function each
    timeout_s: int
    ephemeral_mb: int  # of /tmp; what is above 512 is charged
    log_group: str
    http_api: str | None = None  # the front's URL, where it was deployed
    account: str | None = None  # that it belongs to

    def function(self, memory_mb: int) -> str:
        """The name of the function of this memory size.

        Raises:
            InputError: there is none; the message says which there are.
        """
        if memory_mb not in self.memory_mb:
            there = ", ".join(str(size) for size in self.memory_mb)
            wanted = ",".join(str(size) for size in sorted({*self.memory_mb, memory_mb}))
            raise InputError(
                f"no function of {memory_mb} MB is deployed in {self.stack} ({self.region}; there are: {there}): "
                f"run {lbench_command('deploy', self.stack, self.region, f'--memory {wanted}', *self._own_named)}"
            )
        return function_name(self.stack, memory_mb)

    @property
    def _own_named(self) -> list[str]:
        """Where a user's own workload is in the package: what has to be named, to pack the same again."""
        if not any("@" in name for name in self.workloads):
            return []
        return [f"--workload {name.partition('@')[0]}" for name in self.workloads]


def stack_name(base: str, arch: Architecture) -> str:
    """The stack for an architecture: the name itself for x86_64, with `-arm64` for the other.

    Raises:
        InputError: `base` is no name that CloudFormation takes.
    """
    if not _STACK.match(base):
        raise InputError(
            f"stack name must have 1 to 36 letters, digits and single hyphens, a letter first, got {base!r}"
        )
    if base.endswith(_ARM):
        raise InputError(f"stack name must not end in {_ARM}, got {base!r}: choose the processor with --arch arm64")
    return base if arch == "x86_64" else f"{base}{_ARM}"


def function_name(stack: str, memory_mb: int) -> str:
    """Of the function of one memory size."""
    return f"{stack}-{memory_mb}"


def lbench_command(name: str, stack: str, region: str, *options: str) -> str:
    """`lbench deploy` or the like for just this stack, in backquotes, to be repeated as it stands."""
    base = stack.removesuffix(_ARM)
    where = [f"--stack {base}"] if base != DEFAULT_STACK else []
    where += ["--arch arm64"] if stack != base else []
    return f"`{' '.join(['lbench', name, *options, *where, f'--region {region}'])}`"


def outputs_of(described: Mapping[str, Any]) -> dict[str, str]:
    """A stack's outputs by their keys, from what CloudFormation says of it (`DescribeStacks`)."""
    return {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", ())}


def account_in(arn: str) -> str:
    """The account in an ARN, such as a stack's ID."""
    return arn.split(":")[4]


def read_outputs(stack: str, region: str, outputs: Mapping[str, str], account: str | None = None) -> Deployment:
    """A stack's outputs, by their keys, as a deployment.

    Raises:
        InputError: the stack is not lbench's, or that of another version.
    """
    if outputs.get("Format") != FORMAT:
        raise InputError(
            f"the stack {stack} in {region} was not deployed by this version of lbench: "
            f"run {lbench_command('deploy', stack, region)}, or name another with --stack"
        )
    try:
        return msgspec.convert(
            {
                "stack": stack,
                "region": region,
                "arch": outputs["Architecture"],
                "python": outputs["Python"],
                "lbench_version": outputs["Version"],
                "package_digest": outputs["PackageDigest"],
                "workloads": [name for name in outputs["Workloads"].split(",") if name],
                "bucket": outputs["Bucket"],
                "memory_mb": [int(size) for size in outputs["Memory"].split(",")],
                "timeout_s": int(outputs["Timeout"]),
                "ephemeral_mb": int(outputs["EphemeralStorage"]),
                "log_group": outputs["LogGroup"],
                "http_api": outputs.get("HttpApi") or None,
                "account": account,
            },
            Deployment,
        )
    except (KeyError, ValueError) as error:  # msgspec.ValidationError is a ValueError
        raise InputError(
            f"the outputs of the stack {stack} in {region} cannot be read ({error}): "
            f"run {lbench_command('deploy', stack, region)}"
        ) from None
