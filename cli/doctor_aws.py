"""Findings of `lbench doctor` about AWS: identity, permissions, quota, deployment, clock.

All requests only read, and are free. Without configured credentials there are none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbench.cli.findings import Finding
from lbench.errors import InputError, LbenchError

if TYPE_CHECKING:
    from lbench.config.settings import Loaded
    from lbench.lambda_src.stack import Stack

__all__ = ["aws_findings"]

_WEAK_SKEW_S, _BAD_SKEW_S = 60.0, 300.0  # AWS takes signatures that are at most 5 minutes off
_SOON_S = 3600.0
_FEW = 100  # environments at once; new accounts have 10
_PATIENCE_S = 10.0  # for a source of credentials
_ATTEMPTS = 2
_SIMULATED_AT_ONCE = 50  # actions in a request, to stay within a page
_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def aws_findings(*, asked: bool, region: str | None, stack: str) -> Iterator[Finding]:
    """The findings. `asked`: also without configured credentials; `region` None: of the settings or of AWS."""
    if not asked and not _configured():
        yield Finding(
            "note",
            "credentials",
            "none are configured; AWS was not asked",
            "emulated needs none; for lambda run `aws configure` or `aws sso login`; on a machine with a role: --aws",
        )
        return
    yield from asyncio.run(_all(region, stack))


def _configured() -> bool:
    """Whether credentials are configured on this machine."""
    if any(os.environ.get(name) for name in _VARIABLES):
        return True
    for variable, usual in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        path = Path(os.environ.get(variable) or Path("~/.aws") / usual).expanduser()
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if any(
            word in text for word in ("aws_access_key_id", "role_arn", "sso_", "credential_process", "login_session")
        ):
            return True
    return False


async def _all(region: str | None, stack: str) -> list[Finding]:
    return [finding async for finding in _ask(region, stack)]


async def _ask(region: str | None, stack: str) -> AsyncIterator[Finding]:
    from lbench.config.aws import aws_session, find_credentials
    from lbench.config.settings import load

    try:
        loaded = load({"region": region})
    except InputError as error:
        yield Finding("bad", "region", str(error))
        return
    try:
        session = aws_session(loaded.values.region)
        await find_credentials(session, patience_s=_PATIENCE_S)
    except LbenchError as error:
        yield Finding("bad", "credentials", str(error))
        return
    yield _source(await session._session.get_credentials())
    yield _region(session, loaded)
    try:
        identity = await _identity(session)
    except LbenchError as error:
        yield Finding("bad", "identity", str(error))  # nothing else would go better
        return
    yield Finding("good", "identity", identity["Arn"])
    yield _clock(identity)
    others = await asyncio.gather(
        _permissions(session, identity, stack), _quota(session, stack), _deployments(session, stack)
    )
    for findings in others:
        for finding in findings:
            yield finding


def _source(credentials: Any) -> Finding:
    method = getattr(credentials, "method", None) or "explicit"
    ends = getattr(credentials, "_expiry_time", None)
    if ends is None:
        return Finding("good", "credentials", f"from {method}, without an expiry")
    left_s = ends.timestamp() - time.time()
    when = f"from {method}, until {ends.astimezone():%Y-%m-%d %H:%M} ({max(0.0, left_s) / 3600:.1f} h)"
    if left_s < _SOON_S:
        remedy = "log in again before a long run, unless their source renews them"
        return Finding("weak", "credentials", when, remedy)
    return Finding("good", "credentials", when)


def _region(session: Any, loaded: Loaded) -> Finding:
    from lbench.config.prices import rates

    region, origin = str(session.region_name), loaded.origins["region"]
    if loaded.values.region is None:
        origin = _region_origin(session)
    elif origin == "command line":
        origin = "--region"
    try:
        assumed = rates(region, "x86_64").assumed
    except InputError:
        remedy = "AWS sells no Lambda there in US dollars: choose another with --region"
        return Finding("bad", "region", f"{region} ({origin})", remedy)
    if assumed:
        refresh = f"`lbench prices --refresh --region {region}`"
        remedy = f"some of its prices are not known, the dearest known are taken: {refresh}"
        return Finding("note", "region", f"{region} ({origin})", remedy)
    return Finding("good", "region", f"{region} ({origin})")


def _region_origin(session: Any) -> str:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):  # the order of the AWS CLI
        if os.environ.get(name):
            return name
    return "AWS's configuration" if session._session.get_scoped_config().get("region") else "by default"


async def _identity(session: Any) -> dict[str, Any]:
    from lbench.config.aws import aws_client

    async with aws_client(session, "sts", attempts=_ATTEMPTS) as client:
        began_s = time.time()
        identity: dict[str, Any] = await client.get_caller_identity()
        identity["_asked_s"] = (began_s, time.time())
    return identity


def _clock(identity: dict[str, Any]) -> Finding:
    """The clock's offset by the Date header, which has whole seconds."""
    date = identity["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    try:
        theirs_s = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return Finding("note", "clock", "the response of AWS has no Date header")
    began_s, heard_s = identity["_asked_s"]
    skew_s = max(0.0, began_s - (theirs_s + 1.0), theirs_s - heard_s)
    offset = "less than a second off" if skew_s < 1 else f"{skew_s:.0f} s off the clock of AWS"
    remedy = "set it with `timedatectl set-ntp true`"
    if skew_s >= _BAD_SKEW_S:
        return Finding("bad", "clock", offset, f"AWS rejects signatures that are 5 minutes off: {remedy}")
    return Finding("weak", "clock", offset, remedy) if skew_s >= _WEAK_SKEW_S else Finding("good", "clock", offset)


async def _permissions(session: Any, identity: dict[str, Any], stack: str) -> list[Finding]:
    """The permissions of deploy, run and destroy, as simulated by IAM."""
    from lbench.config.aws import aws_client
    from lbench.config.aws_errors import AwsError
    from lbench.lambda_src.iam_policy import caller_policy

    arn = str(identity["Arn"])
    if arn.endswith(":root"):
        return [
            Finding("weak", "permissions", "root user: everything is allowed", "create a user or a role for lbench")
        ]
    policy = caller_policy(stack, str(session.region_name), account=str(identity["Account"]))
    denied: list[str] = []
    count = 0
    try:
        async with aws_client(session, "iam", attempts=_ATTEMPTS) as client:
            source = await _principal(client, arn)
            for statement in policy["Statement"]:
                actions = statement["Action"]
                for begin in range(0, len(actions), _SIMULATED_AT_ONCE):
                    some = actions[begin : begin + _SIMULATED_AT_ONCE]
                    denied += await _denied(client, source, some, statement)
                    count += len(some)
    except AwsError as error:
        why = "access denied" if error.code == "AccessDenied" else str(error)
        return [
            Finding(
                "note",
                "permissions",
                f"unknown: IAM cannot simulate them ({why})",
                "this needs iam:SimulatePrincipalPolicy; `lbench deploy --dry-run` prints the policy that lbench needs",
            )
        ]
    if not denied:
        return [Finding("good", "permissions", f"all {count} that deploy, run and destroy need (simulated by IAM)")]
    shown = ", ".join(denied[:6]) + (f" and {len(denied) - 6} more" if len(denied) > 6 else "")
    remedy = "attach the policy that `lbench deploy --dry-run` prints"
    return [Finding("bad", "permissions", f"{len(denied)} of {count} are missing: {shown}", remedy)]


async def _principal(client: Any, arn: str) -> str:
    """The principal whose policies are simulated: for an assumed role, the role with its path."""
    if ":assumed-role/" not in arn:
        return arn
    name = arn.split("/")[1]
    role = await client.get_role(RoleName=name)
    return str(role["Role"]["Arn"])


async def _denied(client: Any, source: str, actions: list[str], statement: dict[str, Any]) -> list[str]:
    resources = statement["Resource"]
    names = [resources] if isinstance(resources, str) else list(resources)
    context = []
    if "Condition" in statement:
        for key, value in statement["Condition"]["StringEquals"].items():
            context.append({"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"})
    simulated = await client.simulate_principal_policy(
        PolicySourceArn=source,
        ActionNames=actions,
        ResourceArns=[name.replace("*", "lbench") if name != "*" else name for name in names],
        ContextEntries=context,
    )
    return sorted({one["EvalActionName"] for one in simulated["EvaluationResults"] if one["EvalDecision"] != "allowed"})


async def _quota(session: Any, stack: str) -> list[Finding]:
    from lbench.config.account_memory import memory_limit, memory_limit_text
    from lbench.config.aws import aws_client
    from lbench.errors import count_text

    try:
        async with aws_client(session, "lambda", attempts=_ATTEMPTS) as client:
            account = (await client.get_account_settings())["AccountLimit"]
            most_mb = await memory_limit(client, stack)
    except LbenchError as error:
        return [Finding("weak", "quota", "unknown", str(error))]
    most, left = account["ConcurrentExecutions"], account.get("UnreservedConcurrentExecutions")
    found = f"{count_text(most, 'environment')} at once" + (
        f", {left:,} of them unreserved" if left not in (None, most) else ""
    )
    few = most < _FEW
    findings = [Finding("weak" if few else "good", "quota", found, "request more under Service Quotas (free)" * few)]
    if most_mb is not None:
        found = f"functions of at most {most_mb:,} MB"
        findings.append(Finding("weak", "memory quota", found, memory_limit_text(most_mb)))
    return findings


async def _deployments(session: Any, base: str) -> list[Finding]:
    from lbench.config.aws import aws_client
    from lbench.config.deployment import lbench_command, stack_name
    from lbench.lambda_src.stack import Stacks

    region = str(session.region_name)
    found = []
    try:
        names = stack_name(base, "x86_64"), stack_name(base, "arm64")
        async with aws_client(session, "cloudformation", attempts=_ATTEMPTS) as client:
            for name in names:
                stack = await Stacks(client, region).find(name)
                if stack is not None:
                    found.append(_deployment(stack, region))
    except LbenchError as error:
        return [Finding("bad", "deployment", str(error))]
    remedy = f"create it with {lbench_command('deploy', base, region)}; only the backend lambda needs it"
    return found or [Finding("note", "deployment", f"no stack {base} in {region}", remedy)]


def _deployment(stack: Stack, region: str) -> Finding:
    from lbench._version import __version__
    from lbench.config.deployment import lbench_command, read_outputs

    deploy, destroy = (lbench_command(name, stack.name, region) for name in ("deploy", "destroy"))
    state = f"{stack.name}: {stack.status}"
    if not stack.ours:
        return Finding("bad", "deployment", state, "lbench did not create this stack: name another with --stack")
    if stack.moving:
        return Finding("weak", "deployment", state, "a change is in progress: wait until it has ended")
    if not stack.has_functions:
        return Finding("bad", "deployment", state, f"it has no functions: run {deploy} to continue, or {destroy}")
    try:
        there = read_outputs(stack.name, region, stack.outputs)
    except InputError as error:
        return Finding("bad", "deployment", state, str(error))
    sizes = ", ".join(f"{size:,}" for size in there.memory_mb)
    state += f", lbench {there.lbench_version}, package {there.package_digest[:12]}, functions of {sizes} MB"
    if there.lbench_version != __version__:
        return Finding("weak", "deployment", state, f"this is lbench {__version__}: run {deploy}")
    return Finding("good", "deployment", state)
