"""Checks before a run what is deployed on AWS, and whether the run can use it; each problem with its remedy."""

from __future__ import annotations

from typing import Any

import msgspec

from lbench._version import __version__
from lbench.config.aws import aws_client, aws_session
from lbench.config.deployment import Deployment, account_in, lbench_command, outputs_of, read_outputs, stack_name
from lbench.engine.backends.lambda_.concurrency_quota import Chosen, check_permission, choose_concurrency, read_quota
from lbench.engine.backends.region import architecture_of, region_of
from lbench.engine.backends.settings import AwsSettings
from lbench.errors import InputError
from lbench.workloads import registry

__all__ = ["Survey", "find_deployment", "survey"]


class Survey(msgspec.Struct, frozen=True):
    """The deployment, function and concurrency that a run uses."""

    deployment: Deployment
    function: str
    chosen: Chosen


async def find_deployment(session: Any, stack: str, region: str) -> Deployment:
    """The stack's outputs.

    Raises:
        InputError: there is no such stack, it is being changed, or another version made it.
        AwsError: AWS cannot be asked.
    """
    from botocore.exceptions import ClientError

    async with aws_client(session, "cloudformation", region=region) as client:
        try:
            found = (await client.describe_stacks(StackName=stack))["Stacks"]
        except ClientError as error:
            if "does not exist" not in str(error.response.get("Error", {}).get("Message", "")):
                raise
            found = []
    if not found or found[0]["StackStatus"] == "DELETE_COMPLETE":
        raise InputError(
            f"nothing is deployed as {stack} in {region}: run {lbench_command('deploy', stack, region)}, "
            "or name another with --region or stack="
        )
    status = found[0]["StackStatus"]
    outputs = outputs_of(found[0])
    if status.endswith("_IN_PROGRESS"):
        raise InputError(
            f"the stack {stack} in {region} is being changed ({status}): wait until `lbench status` shows no change"
        )
    if "Format" not in outputs or status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        raise InputError(
            f"the stack {stack} in {region} is incomplete ({status}): run {lbench_command('deploy', stack, region)}"
        )
    return read_outputs(stack, region, outputs, account_in(found[0]["StackId"]))


async def survey(
    settings: AwsSettings, *, workload: str, timeout_s: float, tasks: int | None, sharers: int = 1
) -> Survey:
    """Find what the run needs, and refuse a run that cannot work.

    Args:
        settings: as the user gave them.
        workload: its libraries must be in the package.
        timeout_s: a task's deadline; the function's own must not be shorter.
        tasks: the most that the job can have under way at once, where known.
        sharers: backends that run at once on the region's quota, this one among them.

    Raises:
        InputError: something is missing; the message says what to run.
    """
    region = region_of(settings)
    session = aws_session(region)
    stack = stack_name(settings.stack, architecture_of(settings))
    deployment = await find_deployment(session, stack, region)
    function = deployment.function(settings.memory)
    where = f"the stack {stack} in {region}"
    if deployment.lbench_version != __version__:
        raise InputError(
            f"{where} was deployed by lbench {deployment.lbench_version}, but this is {__version__}: "
            f"run {lbench_command('deploy', stack, region)}"
        )
    described = registry.describe(workload)
    if described.packed not in deployment.workloads:
        there = ", ".join(deployment.workloads) or "none"
        other = any(name.partition("@")[0] == described.name for name in deployment.workloads)
        what = f"another version of {described.name}" if other else there
        # By its short name: the copy in the cache that runs has a private path.
        again = lbench_command("deploy", stack, region, f"--workload {described.name}")
        raise InputError(f"the package in {where} was made for {what}: run {again}")
    if timeout_s > deployment.timeout_s:
        raise InputError(
            f"--timeout must be at most {deployment.timeout_s}, the timeout of the functions of {stack}, got {timeout_s:g}"
        )
    if settings.transport == "http-api" and deployment.http_api is None:
        again = lbench_command("deploy", stack, region, "--http-api")
        raise InputError(f"{where} has no HTTP API: run {again}, or use --transport direct")
    async with aws_client(session, "lambda", region=region) as client:
        if settings.transport != "http-api":  # the HTTP API invokes with a permission of its own
            await check_permission(client, function)
        quota = await read_quota(client, function)
    return Survey(deployment, function, choose_concurrency(quota, settings.concurrency, tasks, region, sharers))
