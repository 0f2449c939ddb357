"""`lbench deploy`: creates or updates the Lambda side in the caller's AWS account."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lbench.lambda_src.deploy import Deployed, Package, Wanted
    from lbench.lambda_src.stack import Stack

__all__ = ["command"]


@click.command()
@click.option("--memory", metavar="MB[,MB...]", help="A function for each size (default: as deployed, else 1769).")
@click.option("--arch", metavar="ARCH", help="x86_64 (default) or arm64; each has its own stack.")
@click.option(
    "--python", metavar="3.N", help="3.12, 3.13 or 3.14 (default: as deployed, else this Python's, else 3.13)."
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    metavar="NAME",
    help="Include only this workload's needs; repeatable (default: as deployed, else all workloads of lbench).",
)
@click.option(
    "--package",
    "file",
    metavar="FILE.zip",
    type=click.Path(path_type=Path),
    help="Deploy this file of `lbench package`.",
)
@click.option("--region", metavar="R", help="AWS region (default: the AWS configuration's, else us-east-1).")
@click.option("--stack", "base", metavar="NAME", help="Name of the deployment (default lbench).")
@click.option("--retention-days", metavar="N", help="Days that logs are kept (default 7).")
@click.option("--ephemeral", metavar="MB", help="Size of /tmp (default 512, which is free).")
@click.option("--http-api/--no-http-api", default=None, help="Add an HTTP API, for comparison (default: none).")
@click.option(
    "--dry-run", is_flag=True, help="Print plan, template, required IAM policy and cost at rest; change nothing."
)
def command(
    memory: str | None,
    arch: str | None,
    python: str | None,
    workloads: tuple[str, ...],
    file: Path | None,
    region: str | None,
    base: str | None,
    retention_days: str | None,
    ephemeral: str | None,
    http_api: bool | None,
    dry_run: bool,
) -> None:
    """Create what `-b lambda` runs on: functions, bucket, logs and role, as one CloudFormation stack.

    It is safe to interrupt and to repeat, and costs next to nothing at rest. Options that are not given stay as they
    are deployed. `lbench destroy` removes everything.
    """
    from lbench.cli.deployments import interruptible, open_session
    from lbench.cli.plan_options import whole_number
    from lbench.config.aws import AwsError
    from lbench.config.deployment import DEFAULT_STACK, stack_name
    from lbench.config.settings import load
    from lbench.lambda_src.deploy import Wanted, choose
    from lbench.lambda_src.stack import account_of
    from lbench.lambda_src.targets import choose_target
    from lbench.workloads import registry

    usual = load({"region": region, "arch": arch}).values
    name = base if base is not None else DEFAULT_STACK
    stack_name(name, "x86_64")  # rejects an invalid name before anything is done
    sizes = None if memory is None else _sizes(memory)
    days = None if retention_days is None else whole_number("--retention-days", retention_days)
    mb = None if ephemeral is None else whole_number("--ephemeral", ephemeral)

    def wanted(arch: Any, region: str) -> Wanted:
        return Wanted(
            stack=stack_name(name, arch),
            region=region,
            memory_mb=sizes,
            default_memory_mb=usual.memory_mb,
            retention_days=days,
            ephemeral_mb=mb,
            http_api=http_api,
        )

    choose(wanted("x86_64", ""), None)  # rejects what Lambda does not have
    session, region = open_session(region)
    again = "AWS continues what it has started; run the same command again to continue, or `lbench destroy`"
    given = _given(file, arch, python, workloads)
    arch = arch or usual.arch or "x86_64"
    target = choose_target(python, arch)
    for workload in workloads:
        registry.describe(workload)  # rejects an unknown workload
    # The account is checked before anything is downloaded.
    owner = "" if dry_run else interruptible(account_of(session), "nothing was changed")
    asked = wanted(target.arch if given is None else given.manifest.arch, region)
    stack, unknown = None, None
    try:
        stack = interruptible(_find(session, asked), "nothing was changed")
    except AwsError as error:
        if not dry_run:
            raise
        unknown = str(error)
    package = given or _build(arch, *_as_deployed(stack, region, python, workloads))
    if dry_run:
        _print_plan(name, asked, stack, unknown, package)
        return
    done = interruptible(_deploy(session, asked, package, owner), again)
    _print(done, package)


def _sizes(text: str) -> tuple[int, ...]:
    from lbench.errors import InputError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--memory must be sizes in MB, for example 1769,3008, got {text}") from None


def _given(file: Path | None, arch: str | None, python: str | None, workloads: tuple[str, ...]) -> Package | None:
    from lbench.errors import InputError
    from lbench.lambda_src.package_file import read_package

    if file is None:
        return None
    if workloads:
        raise InputError("--package and --workload exclude each other: the package has its workloads already")
    return read_package(file, arch=arch, python=python)


async def _find(session: Any, wanted: Wanted) -> Stack | None:
    """The stack, if it exists.

    Raises:
        InputError: lbench did not create it.
        AwsError: the request failed.
    """
    from lbench.config.aws import aws_client
    from lbench.lambda_src.stack import Stacks, refuse_foreign

    async with aws_client(session, "cloudformation") as client:
        stack = await Stacks(client, wanted.region).find(wanted.stack)
    if stack is not None:
        refuse_foreign(stack, wanted.region)
    return stack


def _as_deployed(
    stack: Stack | None, region: str, python: str | None, workloads: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """The Python and the workloads of the package: as given, else as deployed.

    Raises:
        InputError: a workload from a file is deployed, and its path is not given.
    """
    from lbench.config.deployment import read_outputs
    from lbench.config.limits import limits
    from lbench.errors import InputError
    from lbench.workloads.own.locate import is_path

    if stack is None or not stack.has_functions:
        return python, workloads
    try:
        there = read_outputs(stack.name, region, stack.outputs)
    except InputError:  # outputs of another version: deploy again
        return python, workloads
    if python is None and there.python in limits().python_versions:
        python = there.python
    if not workloads:
        workloads = tuple(name.partition("@")[0] for name in there.workloads)
        own = [name for name in workloads if is_path(name)]
        if own:
            raise InputError(
                f"{stack.name} in {region} runs your {own[0]}, which must be packed again: "
                f"pass its path, for example --workload ./{own[0]}, or name another workload"
            )
    return python, workloads


def _build(arch: str, python: str | None, workloads: tuple[str, ...]) -> Package:
    """The package, built or from the cache."""
    from lbench.cli.deployments import say
    from lbench.cli.signals import exit_on_signals
    from lbench.lambda_src.deploy import Package
    from lbench.lambda_src.package import build
    from lbench.lambda_src.targets import choose_target

    with exit_on_signals():
        built = build(choose_target(python, arch), workloads or None, say=say)
    for warning in built.warnings:
        click.echo(f"lbench: {warning}", err=True)
    return Package(path=built.path, sha256=built.sha256, zipped_bytes=built.zipped_bytes, manifest=built.manifest)


async def _deploy(session: Any, wanted: Wanted, package: Package, owner: str) -> Deployed:
    from lbench.cli.deployments import say
    from lbench.engine.verify.package_trial import try_package
    from lbench.lambda_src.deploy import deploy

    async def try_it() -> None:
        say("testing the package on this machine")
        reason = await try_package(package.path)
        if reason is not None:
            click.echo(f"lbench: the package was not tested on this machine: {reason}", err=True)

    return await deploy(session, wanted, package, owner=owner, before=try_it, say=say)


def _print(done: Deployed, package: Package) -> None:
    there = done.deployment
    what = "deployed" if done.changed else "is deployed already, and unchanged"
    functions = ", ".join(there.function(size) for size in there.memory_mb)
    click.echo(f"{there.stack} in {there.region} {what}: {functions} (Python {there.python} on {there.arch})")
    if there.http_api is not None:
        click.echo(f"HTTP API: {there.http_api}")
    click.echo(_at_rest(there.region, package.zipped_bytes))
    arch = "" if there.arch == "x86_64" else f",arch={there.arch}"
    stack = there.stack.removesuffix("-arm64")
    stack = "" if stack == "lbench" else f",stack={stack}"
    click.echo(f"try it: lbench run mandelbrot -b lambda:memory={there.memory_mb[0]}{arch}{stack}")


def _at_rest(region: str, zipped_bytes: int) -> str:
    from lbench.lambda_src.status import idle_usd_month, is_assumed

    cost = idle_usd_month(region, zipped_bytes)
    if cost is None:
        return f"at rest: {zipped_bytes / 2**20:.1f} MiB in the bucket (no verified price for {region}), and logs"
    mark, note = (
        ("*", f" (* at the dearest known price: none is known for {region})") if is_assumed(region) else ("", "")
    )
    return f"at rest: ${cost:.4f}{mark} a month for {zipped_bytes / 2**20:.1f} MiB in the bucket, and logs{note}"


def _print_plan(base: str, wanted: Wanted, stack: Stack | None, unknown: str | None, package: Package) -> None:
    """Print the plan of a deployment; `unknown`: why the present stack could not be read."""
    import json

    from lbench.config.deployment import function_name
    from lbench.errors import count_text
    from lbench.lambda_src.deploy import choose, parameters
    from lbench.lambda_src.iam_policy import caller_policy
    from lbench.lambda_src.template import render

    manifest = package.manifest
    chosen = choose(wanted, stack)
    functions = ", ".join(function_name(wanted.stack, size) for size in chosen.memory_mb)
    before = [int(size) for size in stack.outputs.get("Memory", "").split(",") if size] if stack is not None else []
    gone = ", ".join(function_name(wanted.stack, size) for size in before if size not in chosen.memory_mb)
    if unknown is not None:
        state = f"planned as a new stack, because the present one could not be read: {unknown}"
    elif stack is None:
        state = "a new one"
    else:
        state = f"exists ({stack.status}): options that are not given stay as they are"
    front = "for callers of this account only (IAM)" if chosen.http_api else "none"
    size = f"{package.zipped_bytes / 2**20:.1f} MiB"
    for title, text in (
        ("stack", f"{wanted.stack} in {wanted.region}, {state}"),
        (
            "package",
            f"{size} for Python {manifest.python} on {manifest.arch}: {', '.join(manifest.workloads) or 'nothing'}",
        ),
        ("functions", f"{functions}: up to 900 s, {chosen.ephemeral_mb} MB of /tmp, events are not retried"),
        *([("removed", gone)] if gone else []),
        ("bucket", "private, encrypted, TLS only; objects of runs expire after a day"),
        ("logs", f"kept for {count_text(chosen.retention_days, 'day')}"),
        ("role", "reads and writes objects of runs in the bucket, and writes the logs"),
        ("HTTP API", front),
        ("cost", _at_rest(wanted.region, package.zipped_bytes)),
    ):
        click.echo(f"{title:<10}{text}")
    documents = {
        "The parameters": parameters(chosen, package, uploaded=True),
        "The template": render(chosen.memory_mb),
        "The policy that you need": caller_policy(base, wanted.region, http_api=chosen.http_api),
    }
    for title, document in documents.items():
        click.echo(f"\n# {title}\n{json.dumps(document, indent=2)}")
