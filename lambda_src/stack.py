"""CloudFormation's stacks for deploy, status and destroy: reads, waits, changes, and the reason of a failure.

An operation begun here continues in the account after this process ends. So nothing is remembered between commands: the
state is read each time, and the next step follows from it alone.
"""

from __future__ import annotations

import asyncio
import datetime
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from lbench.config.aws import AwsError, aws_client
from lbench.config.aws_errors import resource_failure_text
from lbench.config.deployment import TAG, account_in, outputs_of
from lbench.errors import InputError

__all__ = [
    "MADE",
    "NO_REASON",
    "Pause",
    "Say",
    "Stack",
    "Stacks",
    "account_of",
    "refuse_foreign",
    "refuse_protected",
    "silent",
]

Say = Callable[[str], None]
Pause = Callable[[float], Awaitable[None]]

# What can be updated. Somebody may have imported a resource into it.
MADE = (
    *("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"),
    *("IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"),
)
_LOOK_EACH_S = 2.0
_UNHURRIED_EACH_S = 5.0
_HURRIED = 15  # looks, before they become rarer
_LONGEST_S = 1800.0  # a function that is slow to go away takes minutes; nothing of ours takes half an hour
_CANCELLED = ("Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled")
NO_REASON = "no reason was given; its events are in the CloudFormation console"


async def account_of(session: Any) -> str:
    """The account that the credentials belong to."""
    async with aws_client(session, "sts") as sts:
        return str((await sts.get_caller_identity())["Account"])


def silent(line: str) -> None:
    """The default of `say`: print nothing."""


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """A stack as it was found."""

    name: str
    id: str
    status: str
    reason: str | None
    created: datetime.datetime
    updated: datetime.datetime | None
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    protected: bool = False  # against being removed, by somebody who has switched that on

    @property
    def moving(self) -> bool:
        """Whether an operation is in progress. REVIEW_IN_PROGRESS is none: a change set that nobody executed."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def ours(self) -> bool:
        """Whether lbench has made it."""
        return self.tags.get(TAG) == self.name

    @property
    def account(self) -> str:
        return account_in(self.id)

    @property
    def has_functions(self) -> bool:
        """Whether there is more than the bucket."""
        return "Format" in self.outputs

    @property
    def works(self) -> bool:
        """Whether a complete deployment is there: only `destroy` removes that."""
        return self.has_functions and self.status in MADE


class Stacks:
    """The stacks of one region.

    Args:
        client: aioboto3's for CloudFormation, open.
        region: for messages.
        say: called with a line before a wait.
        pause: waits that many seconds; a test's does not.
    """

    def __init__(self, client: Any, region: str, *, say: Say = silent, pause: Pause = asyncio.sleep) -> None:
        self._client = client
        self.region = region
        self._say = say
        self._pause = pause

    async def find(self, name_or_id: str) -> Stack | None:
        """The stack as it is now; None: it does not exist (any more)."""
        from botocore.exceptions import ClientError

        try:
            found = await self._client.describe_stacks(StackName=name_or_id)
        except ClientError as error:
            if _says(error, "does not exist"):
                return None
            raise
        stack = _stack(found["Stacks"][0])
        return None if stack.status == "DELETE_COMPLETE" else stack

    async def settled(self, name_or_id: str, waiting: str | None = None) -> Stack | None:
        """The stack, once no operation is in progress.

        Args:
            name_or_id: the stack's.
            waiting: the line to say if that takes time; None: the state, as of something that others have begun.

        Raises:
            AwsError: the operation takes more than half an hour.
        """
        waited_s, looks = 0.0, 0
        while True:
            stack = await self.find(name_or_id)
            if stack is None or not stack.moving:
                return stack
            if looks == 0:
                self._say(
                    waiting or f"{stack.name} is in the middle of something else ({stack.status}): waiting for its end"
                )
            if waited_s > _LONGEST_S:
                raise AwsError(
                    f"the stack {stack.name} in {self.region} has been {stack.status} for half an hour: "
                    "see its events in the CloudFormation console, and try again when it has ended"
                )
            looks += 1
            each_s = _LOOK_EACH_S if looks <= _HURRIED else _UNHURRIED_EACH_S
            await self._pause(each_s)
            waited_s += each_s

    async def create(self, name: str, template: str, parameters: Mapping[str, str]) -> str | None:
        """Begin to make a stack, which is removed by itself if that fails.

        Returns:
            its ID; None: there is one of that name by now.
        """
        from botocore.exceptions import ClientError

        try:
            made = await self._client.create_stack(
                StackName=name,
                OnFailure="DELETE",
                ClientRequestToken=_token(),
                **_what(name, template, parameters),
            )
        except ClientError as error:
            if error.response["Error"].get("Code") == "AlreadyExistsException":
                return None
            raise
        return str(made["StackId"])

    async def update(self, stack: Stack, template: str, parameters: Mapping[str, str]) -> str | None:
        """Begin to change a stack.

        Returns:
            the operation's token, by which its events are known; empty: there is nothing to change; None: it has gone,
            or somebody else is changing it: look again.
        """
        from botocore.exceptions import ClientError

        token = _token()
        try:
            await self._client.update_stack(
                StackName=stack.id, ClientRequestToken=token, **_what(stack.name, template, parameters)
            )
        except ClientError as error:
            if _says(error, "No updates are to be performed"):
                return ""
            if _says(error, "can not be updated") or _says(error, "does not exist"):
                return None
            raise
        return token

    async def resume_rollback(self, stack: Stack) -> None:
        """Continue a failed roll-back of a stack."""
        from botocore.exceptions import ClientError

        try:
            await self._client.continue_update_rollback(StackName=stack.id, ClientRequestToken=_token())
        except ClientError as error:
            if not _says(error, "in progress") and not _says(error, "cannot be"):
                raise

    async def delete(self, stack: Stack) -> None:
        """Begin to remove a stack; nothing happens if somebody else is changing it."""
        from botocore.exceptions import ClientError

        try:
            await self._client.delete_stack(StackName=stack.id, ClientRequestToken=_token())
        except ClientError as error:
            if not _says(error, "cannot be deleted while in status"):
                raise

    async def bucket(self, stack: Stack) -> str | None:
        """The name of the stack's bucket, also where making or removing the stack was broken off."""
        if "Bucket" in stack.outputs:
            return stack.outputs["Bucket"]
        async for page in self._client.get_paginator("list_stack_resources").paginate(StackName=stack.id):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] == "AWS::S3::Bucket" and resource["ResourceStatus"] != "DELETE_COMPLETE":
                    return str(resource.get("PhysicalResourceId") or "") or None
        return None

    async def failure(self, stack_id: str, token: str | None = None) -> str | None:
        """Which resource was the first to fail in an operation on the stack, and why, in a line.

        Args:
            stack_id: its ID: the events of a stack that has gone are still there under it.
            token: of the operation; None: the last one.

        Returns:
            None: it has not failed.
        """
        first = None
        ended = False
        async for page in self._client.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            for event in page["StackEvents"]:  # the newest first
                if token is not None and event.get("ClientRequestToken") != token:
                    continue
                of_stack = event.get("PhysicalResourceId") == event["StackId"]
                status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
                if of_stack and first is None and ("ROLLBACK" in status or status.endswith("_FAILED")):
                    first = NO_REASON
                if of_stack and token is None and status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                    ended = True  # the operation began here
                elif status.endswith("_FAILED") and not of_stack and not reason.startswith(_CANCELLED):
                    why = resource_failure_text(reason or status)
                    first = f"{event['LogicalResourceId']} ({event['ResourceType']}): {why}"
                if ended:
                    return first
        return first


def refuse_protected(stack: Stack, region: str) -> None:
    """Before anything of it is removed: CloudFormation would not remove the stack.

    Raises:
        AwsError: its termination protection is on.
    """
    if stack.protected:
        raise AwsError(
            f"the stack {stack.name} in {region} has termination protection, so nothing was removed. To remove it, "
            "run `aws cloudformation update-termination-protection --no-enable-termination-protection "
            f"--stack-name {stack.name} --region {region}`, then try again"
        )


def refuse_foreign(stack: Stack, region: str) -> None:
    """Leave a stack alone that somebody else has made.

    Raises:
        InputError: it is not lbench's.
    """
    if not stack.ours:
        raise InputError(
            f"the stack {stack.name} in {region} was not created by lbench: choose another name with --stack"
        )


def _what(name: str, template: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    return {
        "TemplateBody": template,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": [{"Key": TAG, "Value": name}],
    }


def _token() -> str:
    return f"lbench-{secrets.token_hex(8)}"


def _says(error: Any, text: str) -> bool:
    """CloudFormation distinguishes its cases by text alone: the code is always ValidationError."""
    return text in str(error.response.get("Error", {}).get("Message", ""))


def _stack(found: Mapping[str, Any]) -> Stack:
    return Stack(
        name=found["StackName"],
        id=found["StackId"],
        status=found["StackStatus"],
        reason=found.get("StackStatusReason"),
        created=found["CreationTime"],
        updated=found.get("LastUpdatedTime"),
        outputs=outputs_of(found),
        parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())},
        tags={one["Key"]: one["Value"] for one in found.get("Tags", ())},
        protected=bool(found.get("EnableTerminationProtection")),
    )
