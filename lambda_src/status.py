"""Reads the status of a deployment: its age, its content, and its cost at rest."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from lbench._version import __version__
from lbench.config.aws import aws_client
from lbench.config.deployment import Deployment, lbench_command, read_outputs
from lbench.config.prices import rates
from lbench.errors import InputError
from lbench.lambda_src.bucket import BucketGone, stored_bytes
from lbench.lambda_src.stack import Stack, Stacks

__all__ = ["Status", "idle_usd_month", "is_assumed", "look"]

_GB = 1024**3  # as S3 charges them
_HOURS_A_MONTH = Decimal(730)
_SHOWN = Decimal("0.000001")  # of a dollar; finer ones would be written with an exponent


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A stack with its age, its contents and its cost at rest."""

    stack: str
    region: str
    state: str  # CloudFormation's word
    created: datetime.datetime
    updated: datetime.datetime | None
    deployment: Deployment | None  # None: no functions are there (yet), or another version's
    note: str | None  # what is to be done about it
    bucket_bytes: int | None
    log_bytes: int | None
    idle_usd_month: Decimal | None  # what the bucket's content costs; None: it is not known, or AWS has no such region
    assumed: bool  # whether that is counted at another region's price, the dearest known
    idle_usd_so_far: Decimal | None  # the same since it was created, as if it had held as much all the time


async def look(session: Any, region: str, names: Sequence[str]) -> list[Status]:
    """The status of the stacks that exist among these names."""
    found = []
    async with aws_client(session, "cloudformation") as client:
        stacks = Stacks(client, region)
        for name in names:
            stack = await stacks.find(name)
            if stack is not None:
                found.append(await _status(session, region, stack))
    return found


async def _status(session: Any, region: str, stack: Stack) -> Status:
    deployment, note = _deployment(region, stack)
    held = logged = None
    if stack.ours and "Bucket" in stack.outputs:
        try:
            held = await stored_bytes(session, stack.outputs["Bucket"], owner=stack.account)
        except BucketGone:
            commands = " then ".join(lbench_command(name, stack.name, region) for name in ("destroy", "deploy"))
            note = f"its bucket is gone, and was not removed by lbench: run {commands}"
    if deployment is not None:
        logged = await _log_bytes(session, deployment.log_group)
    cost = idle_usd_month(region, held) if held is not None else None
    age = datetime.datetime.now(datetime.UTC) - stack.created
    hours = Decimal(max(0.0, age.total_seconds())) / 3600
    return Status(
        stack=stack.name,
        region=region,
        state=stack.status,
        created=stack.created,
        updated=stack.updated,
        deployment=deployment,
        note=note,
        bucket_bytes=held,
        log_bytes=logged,
        idle_usd_month=cost,
        assumed=cost is not None and is_assumed(region),
        idle_usd_so_far=None if cost is None else (cost * hours / _HOURS_A_MONTH).quantize(_SHOWN),
    )


def _deployment(region: str, stack: Stack) -> tuple[Deployment | None, str | None]:
    if not stack.ours:
        return None, "it was not made by lbench"
    if stack.moving:
        return None, "it is being changed just now"
    deploy, destroy = (lbench_command(name, stack.name, region) for name in ("deploy", "destroy"))
    if not stack.has_functions:
        return None, f"no functions are there: run {deploy} to go on, or {destroy}"
    try:
        deployment = read_outputs(stack.name, region, stack.outputs, stack.account)
    except InputError:
        return None, f"it was made by another version of lbench: run {deploy}"
    if deployment.lbench_version != __version__:
        return (
            deployment,
            f"it was made by lbench {deployment.lbench_version}, this is {__version__}: run {deploy}",
        )
    return deployment, None


def idle_usd_month(region: str, held_bytes: int) -> Decimal | None:
    """What the bucket costs in a month that nobody runs anything in; None: AWS sells no Lambda in the region.

    Functions, role, an empty log group and the HTTP API cost nothing at rest; what logs hold is not in it.
    """
    try:
        price = rates(region, "x86_64").s3_storage_gb_month_usd
    except InputError:
        return None
    return None if price is None else (price * held_bytes / _GB).quantize(_SHOWN)


def is_assumed(region: str) -> bool:
    """Whether no price of S3's storage is known for a region with Lambda: the dearest known one is taken."""
    return "s3_storage_gb_month_usd" in rates(region, "x86_64").assumed


async def _log_bytes(session: Any, name: str) -> int | None:
    async with aws_client(session, "logs") as logs:
        found = await logs.describe_log_groups(logGroupNamePrefix=name)
    return next((group.get("storedBytes", 0) for group in found["logGroups"] if group["logGroupName"] == name), None)
