"""`lbench destroy`: removes everything that deploy created, and checks that nothing is left."""

from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lbench.lambda_src.stack import Stack

__all__ = ["command"]


@click.command()
@click.option("--arch", metavar="ARCH", help="x86_64 or arm64 (default: the stacks of both).")
@click.option("--region", metavar="R", help="AWS region (default: the AWS configuration's, else us-east-1).")
@click.option("--stack", "base", metavar="NAME", help="Name of the deployment (default lbench).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(ctx: click.Context, arch: str | None, region: str | None, base: str | None, yes: bool) -> None:
    """Remove what `lbench deploy` created, with everything that runs left in it.

    Sessions recorded on this machine stay. It is safe to interrupt and to repeat.
    """
    from lbench.cli.deployments import interruptible, open_session, say, stack_names
    from lbench.config.aws import AwsError
    from lbench.config.deployment import DEFAULT_STACK
    from lbench.lambda_src.destroy import find_stacks, find_stray, remove_stacks, remove_stray
    from lbench.lambda_src.stack import account_of

    names = stack_names(base if base is not None else DEFAULT_STACK, arch)
    session, region = open_session(region)
    again = "AWS continues what it has started; run the same command again"

    def ask(lines: list[str]) -> None:
        if lines and not yes:
            _ask(lines, interruptible(account_of(session), again), region)

    ask([_line(stack) for stack in interruptible(find_stacks(session, region, names), again)])
    removed = interruptible(remove_stacks(session, region, names, say=say), again)
    what = f"{', '.join(removed)} removed from {region}"
    if not removed:
        where = "name its region with --region, its account with AWS_PROFILE"
        what = f"there is no {' and no '.join(names)} in {region} (deployed elsewhere? {where})"
    say(f"looking for leftovers of {' and '.join(removed or names)}")
    try:
        stray = interruptible(find_stray(session, region, names), again)
    except AwsError as error:
        click.echo(what)
        raise AwsError(f"cannot look for leftovers: {error}", error.code) from None
    ask([f"{arn} has the tag of a stack that no longer exists" for arn in stray])
    left = interruptible(remove_stray(session, stray), again)
    for arn in stray:
        if arn not in left:
            click.echo(f"also removed: {arn}")
    for arn, why in left.items():
        click.echo(f"lbench: {arn} is left: {why}", err=True)
    click.echo(f"{what}: {'nothing' if not left else 'only what is named above'} is left")
    ctx.exit(1 if left else 0)


def _line(stack: Stack) -> str:
    from lbench.cli.deployments import age

    sizes = stack.outputs.get("Memory", "").replace(",", ", ")
    functions = f"functions of {sizes} MB, " if sizes else ""
    old = age(stack.created, datetime.datetime.now(datetime.UTC))
    return f"{stack.name}, {old} old: {functions}its bucket with all objects, logs, role"


def _ask(lines: list[str], account: str, region: str) -> None:
    """Print what will be removed; return if the user confirms.

    Raises:
        InputError: stdin is not a terminal.
        Abort: the user declines.
    """
    from lbench.errors import InputError

    if not _asks_somebody():
        raise InputError("nothing removed: stdin is not a terminal. Pass --yes to remove")
    for line in lines:
        click.echo(line, err=True)
    if not click.confirm(f"Remove {'it' if len(lines) == 1 else 'them'} from account {account} in {region}?", err=True):
        raise click.Abort


def _asks_somebody() -> bool:
    return sys.stdin.isatty()
