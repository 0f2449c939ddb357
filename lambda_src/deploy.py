"""Deploys: reads the stack's state and does the next step, until the stack is as wanted.

Two steps make a stack: the bucket (with log group and role), then, once the package is in it, the functions. Wherever a
command is interrupted, the next one continues from the state that is left. Two machines that deploy at once take turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from lbench.config.account_memory import memory_limit, memory_limit_text
from lbench.config.aws import AwsError, aws_client
from lbench.config.deployment import Deployment, lbench_command, read_outputs
from lbench.config.limits import limits
from lbench.config.manifest import Manifest
from lbench.errors import InputError
from lbench.lambda_src.bucket import BucketGone, package_key, prune_packages, put_package
from lbench.lambda_src.destroy import remove_stack
from lbench.lambda_src.stack import MADE, NO_REASON, Pause, Say, Stack, Stacks, refuse_foreign, silent
from lbench.lambda_src.template import body, render

__all__ = ["MOST_SIZES", "Chosen", "Deployed", "Package", "Wanted", "choose", "deploy", "parameters"]

MOST_SIZES = 20  # as many as fit into a template's 51,200 bytes
_TURNS = 6  # reads of the stack, before it gives up on concurrent changes by others
_DEFAULT_RETENTION_DAYS = 7
_NOTHING_LEFT = "nothing of it is left"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A zip to deploy."""

    path: Path
    sha256: str  # hex
    zipped_bytes: int
    manifest: Manifest


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted deployment. None: as it is deployed, else the default."""

    stack: str
    region: str
    memory_mb: tuple[int, ...] | None = None
    default_memory_mb: int
    retention_days: int | None = None
    ephemeral_mb: int | None = None
    http_api: bool | None = None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted deployment with every choice made."""

    memory_mb: tuple[int, ...]
    retention_days: int
    ephemeral_mb: int
    http_api: bool


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a deployment."""

    deployment: Deployment
    changed: bool  # False: everything was as wanted already
    uploaded: bool


def choose(wanted: Wanted, stack: Stack | None) -> Chosen:
    """Choose each value: the wanted one, else the deployed one, else the default.

    Raises:
        InputError: a value that Lambda or CloudWatch Logs does not allow.
    """
    outputs = stack.outputs if stack is not None else {}
    there = stack.parameters if stack is not None and stack.has_functions else {}
    memory_mb = wanted.memory_mb
    if memory_mb is None and "Memory" in outputs:
        memory_mb = tuple(int(size) for size in outputs["Memory"].split(","))
    days = wanted.retention_days
    mb = wanted.ephemeral_mb
    front = wanted.http_api
    chosen = Chosen(
        memory_mb=tuple(sorted(set(memory_mb or (wanted.default_memory_mb,)))),
        retention_days=int(there.get("RetentionDays", _DEFAULT_RETENTION_DAYS)) if days is None else days,
        ephemeral_mb=int(there.get("EphemeralStorage", limits().ephemeral_min_mb)) if mb is None else mb,
        http_api=there.get("HttpApi") == "yes" if front is None else front,
    )
    _check(chosen)
    return chosen


def _check(chosen: Chosen) -> None:
    lambda_has = limits()
    for size in chosen.memory_mb:
        if not lambda_has.memory_min_mb <= size <= lambda_has.memory_max_mb:
            raise InputError(
                f"--memory must be from {lambda_has.memory_min_mb} to {lambda_has.memory_max_mb} MB, got {size}"
            )
    if len(chosen.memory_mb) > MOST_SIZES:
        raise InputError(f"--memory must be at most {MOST_SIZES} sizes for each stack, got {len(chosen.memory_mb)}")
    if not lambda_has.ephemeral_min_mb <= chosen.ephemeral_mb <= lambda_has.ephemeral_max_mb:
        raise InputError(
            f"--ephemeral must be from {lambda_has.ephemeral_min_mb} to {lambda_has.ephemeral_max_mb} MB, "
            f"got {chosen.ephemeral_mb}"
        )
    if chosen.retention_days not in lambda_has.log_retention_days:
        days = ", ".join(str(day) for day in lambda_has.log_retention_days)
        raise InputError(f"--retention-days must be one of {days}, got {chosen.retention_days}")


def parameters(chosen: Chosen, package: Package, *, uploaded: bool) -> dict[str, str]:
    """The template's parameters; before the package is `uploaded` there are no functions."""
    manifest = package.manifest
    return {
        "Architecture": manifest.arch,
        "Python": manifest.python,
        "Handler": manifest.handler,
        "PackageKey": package_key(package.sha256) if uploaded else "",
        "PackageDigest": package.sha256,
        "Workloads": ",".join(manifest.workloads),
        "Preload": manifest.preload,
        "Version": manifest.lbench_version,
        "Timeout": str(limits().timeout_max_s),
        "EphemeralStorage": str(chosen.ephemeral_mb),
        "RetentionDays": str(chosen.retention_days),
        "HttpApi": "yes" if chosen.http_api else "no",
    }


async def _nothing() -> None:
    """The default of `before`: do nothing."""


async def deploy(
    session: Any,
    wanted: Wanted,
    package: Package,
    *,
    owner: str,
    before: Callable[[], Awaitable[None]] = _nothing,
    say: Say = silent,
    pause: Pause = asyncio.sleep,
) -> Deployed:
    """Bring the stack from any state to the wanted one.

    Args:
        session: see `config.aws.aws_session`, of the wanted region.
        wanted: the wanted deployment.
        package: the package that the functions run.
        owner: the account (`account_of`): no bucket of another's is written to.
        before: awaited once before anything is made or uploaded, if this package is not the deployed one: to try it.
        say: called with a line before a slow step.
        pause: waits for so many seconds.

    Raises:
        InputError: something that is wanted does not exist, or the stack is somebody else's.
        AwsError: AWS refused something, or a resource failed; the message says what is left.
    """
    async with aws_client(session, "cloudformation") as client:
        stacks = Stacks(client, wanted.region, say=say, pause=pause)
        turn = _Turn(session, stacks, wanted, package, owner, say)
        tried = False
        for _ in range(_TURNS):
            stack = await stacks.settled(wanted.stack)
            if stack is not None:
                refuse_foreign(stack, wanted.region)
            chosen = choose(wanted, stack)  # refuses what cannot be, before anything is done
            if not tried:
                await _check_memory(session, chosen, wanted)
            if not tried and not _runs(stack, package):
                await before()
                tried = True
            made = await turn.foundation(stack)
            deployed = None if made is None else await turn.functions(made)
            if deployed is not None:
                return deployed
    raise AwsError(f"another process keeps changing the stack {wanted.stack} in {wanted.region}: try again later")


async def _check_memory(session: Any, chosen: Chosen, wanted: Wanted) -> None:
    """Refuse sizes that the account may not have yet, before anything is made.

    Raises:
        InputError: a new account's functions are limited, and one of the sizes is larger.
    """
    if chosen.memory_mb[-1] <= limits().new_account_memory_mb:
        return
    async with aws_client(session, "lambda", region=wanted.region) as client:
        most = await memory_limit(client, wanted.stack)
    if most is not None and chosen.memory_mb[-1] > most:
        raise InputError(f"--memory must be at most {most}, got {chosen.memory_mb[-1]}: {memory_limit_text(most)}")


def _runs(stack: Stack | None, package: Package) -> bool:
    return stack is not None and stack.outputs.get("PackageDigest") == package.sha256


def _listed(memory_mb: tuple[int, ...]) -> str:
    """As the template's output has them."""
    return ",".join(str(size) for size in memory_mb)


class _Turn:
    """The two steps. Each returns None after a concurrent change by another machine: then read the stack again."""

    def __init__(self, session: Any, stacks: Stacks, wanted: Wanted, package: Package, owner: str, say: Say) -> None:
        self._session = session
        self._stacks = stacks
        self._wanted = wanted
        self._package = package
        self._owner = owner
        self._say = say
        self._changed = False

    async def foundation(self, stack: Stack | None) -> Stack | None:
        """Make a stack with a bucket that can be updated."""
        name, region = self._wanted.stack, self._wanted.region
        if stack is None:
            self._say(f"making the stack {name} in {region}: bucket, log group, role")
            chosen = choose(self._wanted, None)
            first = parameters(chosen, self._package, uploaded=False)
            made = await self._stacks.create(name, body(render(chosen.memory_mb)), first)
            if made is None:
                return None
            stack = await self._stacks.settled(made, f"waiting for the stack {name}")
            if stack is None or stack.status not in MADE:
                why = await self._stacks.failure(made)
                # Where it is there still, it was caught before CloudFormation began to remove it.
                raise self._failed(why, _NOTHING_LEFT if stack is None else await self._clear_away(stack))
            return stack
        if stack.status == "UPDATE_ROLLBACK_FAILED":
            self._say(f"bringing the stack {name} back to where it was: an earlier change could not be undone")
            await self._stacks.resume_rollback(stack)
            after = await self._stacks.settled(stack.id, f"waiting for the stack {name}")
            if after is not None and after.status == "UPDATE_ROLLBACK_FAILED":
                destroy = lbench_command("destroy", name, region)
                raise self._failed(await self._stacks.failure(stack.id), f"run {destroy}, then deploy again")
            return None
        if stack.status not in MADE:
            self._say(f"removing what an earlier attempt has left of the stack {name} ({stack.status})")
            await self._clear_away(stack)
            return None
        return stack

    async def functions(self, stack: Stack) -> Deployed | None:
        """Upload the package and update the functions."""
        bucket = await self._stacks.bucket(stack)
        if bucket is None:
            raise self._bucket_gone(stack)
        package = self._package
        try:
            uploaded = await put_package(
                self._session,
                bucket,
                package.path,
                package.sha256,
                owner=self._owner,
                deployed=_runs(stack, package),
                upload=lambda: self._say(f"uploading the package ({package.zipped_bytes / 2**20:.1f} MiB)"),
            )
        except AwsError as error:
            name, region = stack.name, self._wanted.region
            left = (
                "its functions are as they were before"
                if stack.has_functions
                else "its bucket, log group and role are there, and no function yet"
            )
            deploy, destroy = (lbench_command(verb, name, region) for verb in ("deploy", "destroy"))
            raise AwsError(
                f"the package was not uploaded: {error}. The stack {name} in {region} stays ({left}): "
                f"run {deploy} to continue, or {destroy}",
                error.code,
            ) from None
        except BucketGone:
            again = await self._stacks.settled(stack.id)
            if again is not None and await self._stacks.bucket(again) == bucket:
                raise self._bucket_gone(stack) from None
            return None
        chosen = choose(self._wanted, stack)
        wanted = parameters(chosen, package, uploaded=True)
        sizes = ", ".join(f"{size:,}" for size in chosen.memory_mb)
        token = await self._stacks.update(stack, body(render(chosen.memory_mb)), wanted)
        if token is None:
            return None
        if token == "":
            return self._deployed(stack, uploaded=uploaded)
        self._changed = True
        after = await self._stacks.settled(stack.id, f"deploying the functions of {sizes} MB")
        if after is None:
            return None
        # What is seen may be the end of another machine's change, which came after ours.
        if after.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            if not _runs(after, package) or after.outputs.get("Memory") != _listed(chosen.memory_mb):
                return None
            try:
                await prune_packages(self._session, bucket, package.sha256, owner=self._owner)
            except BucketGone:
                return None
            return self._deployed(after, uploaded=uploaded)
        why = await self._stacks.failure(stack.id, token)
        if why is None:
            return None
        left = "what was deployed before is still there" if after.has_functions else await self._clear_away(after)
        raise self._failed(why, left)

    async def _clear_away(self, stack: Stack) -> str:
        """Remove a failed attempt, unless another machine has deployed meanwhile; returns what is left, in words."""
        gone = await remove_stack(self._session, self._stacks, stack, unless=lambda found: found.works)
        return _NOTHING_LEFT if gone else "what another machine has deployed meanwhile is there"

    def _deployed(self, stack: Stack, *, uploaded: bool) -> Deployed:
        deployment = read_outputs(stack.name, self._wanted.region, stack.outputs, stack.account)
        return Deployed(deployment=deployment, changed=self._changed, uploaded=uploaded)

    def _failed(self, why: str | None, left: str) -> AwsError:
        why = why or NO_REASON
        return AwsError(f"cannot deploy {self._wanted.stack} in {self._wanted.region}: {why}; {left}")

    def _bucket_gone(self, stack: Stack) -> AwsError:
        region = self._wanted.region
        return AwsError(
            f"the bucket of the stack {stack.name} in {region} was removed outside lbench: "
            f"run {lbench_command('destroy', stack.name, region)}, then {lbench_command('deploy', stack.name, region)}"
        )
