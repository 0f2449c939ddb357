"""Finds and removes resources with a deployment's tag whose stack is gone. No resource counts as ours by its name alone.

The tagging API also lists deleted resources ("tagged or previously tagged", its reference says), so each is looked up. Log
groups named /aws/lambda/FUNCTION are never a deployment's: its functions write to the stack's own group, and their role
cannot make another.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from lbench.config.aws import aws_client
from lbench.config.deployment import TAG
from lbench.lambda_src.bucket import BucketGone, empty_bucket
from lbench.lambda_src.stack import account_of

__all__ = ["find_leftovers", "remove_leftover"]

_UNKNOWN = ("403", "AccessDenied", "AccessDeniedException")  # it may be there: its removal will tell


async def find_leftovers(session: Any, stack: str) -> list[str]:
    """The ARNs of the leftovers of a stack of that name."""
    found = []
    async with aws_client(session, "resourcegroupstaggingapi") as tagging:
        filters = [{"Key": TAG, "Values": [stack]}]
        async for page in tagging.get_paginator("get_resources").paginate(TagFilters=filters):
            found += [str(item["ResourceARN"]) for item in page["ResourceTagMappingList"]]
    left = [arn for arn in found if await _exists(session, arn)]
    return sorted(set(left))


async def remove_leftover(session: Any, arn: str) -> bool:
    """Remove it, if it is of a kind that lbench deploys.

    Returns:
        whether it was removed.

    Raises:
        AwsError: AWS refused that.
    """
    service, name = _parts(arn)
    if service == "s3":
        owner = await account_of(session)  # a bucket's ARN does not have it
        with contextlib.suppress(BucketGone):
            await empty_bucket(session, name, owner=owner)
            async with aws_client(session, "s3") as s3:
                await s3.delete_bucket(Bucket=name, ExpectedBucketOwner=owner)
    elif service == "lambda" and name.startswith("function:"):
        async with aws_client(session, "lambda") as client:
            with contextlib.suppress(client.exceptions.ResourceNotFoundException):
                await client.delete_function(FunctionName=name.removeprefix("function:"))
    elif service == "logs" and name.startswith("log-group:"):
        async with aws_client(session, "logs") as logs:
            with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
                await logs.delete_log_group(logGroupName=_group(name))
    elif service == "apigateway":
        async with aws_client(session, "apigatewayv2") as gateway:
            with contextlib.suppress(gateway.exceptions.NotFoundException):
                await gateway.delete_api(ApiId=_api(name))
    else:
        return False
    return True


async def _exists(session: Any, arn: str) -> bool:
    """Whether the resource exists; a kind that lbench does not deploy counts as existing."""
    from botocore.exceptions import ClientError

    service, name = _parts(arn)
    if service == "logs" and name.startswith("log-group:"):
        async with aws_client(session, "logs") as logs:
            groups = [group["logGroupName"] async for group in _log_groups(logs, _group(name))]
            return _group(name) in groups
    asked = {
        "s3": ("s3", "head_bucket", {"Bucket": name}),  # that of another account is refused when it is to be removed
        "lambda": ("lambda", "get_function_configuration", {"FunctionName": name.removeprefix("function:")}),
        "apigateway": ("apigatewayv2", "get_api", {"ApiId": _api(name)}),
        "cloudformation": ("cloudformation", "describe_stacks", {"StackName": arn}),
    }.get(service)
    if asked is None:
        return True
    async with aws_client(session, asked[0]) as client:
        try:
            answer = await getattr(client, asked[1])(**asked[2])
        except ClientError as error:
            code = error.response["Error"].get("Code")
            # 301: the name is a bucket's of another region by now; this region's are listed
            gone = ("404", "301", "NoSuchBucket", "NotFoundException", "ResourceNotFoundException", "ValidationError")
            if code in gone:
                return False
            if code in _UNKNOWN:
                return True
            raise
    return not any(stack["StackStatus"] == "DELETE_COMPLETE" for stack in answer.get("Stacks", ()))


async def _log_groups(logs: Any, prefix: str) -> AsyncIterator[dict[str, Any]]:
    async for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            yield group


def _parts(arn: str) -> tuple[str, str]:
    """The ARN's service and resource."""
    parts = arn.split(":", 5)
    return parts[2], parts[5]


def _group(name: str) -> str:
    return name.removeprefix("log-group:").removesuffix(":*")


def _api(name: str) -> str:
    """From `/apis/ID` or `/apis/ID/stages/NAME`."""
    return [*name.split("/"), "", "", ""][2]
