"""`lbench destroy`: everything that deploy has made goes, and it is looked whether it has."""

from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lbench.lambda_src.stack import Stack

__all__ = ["command"]


@click.command()
@click.option("--arch", metavar="ARCH", help="The stack of one processor only; by default both.")
@click.option("--region", metavar="R", help="AWS region (default: the AWS configuration's, else us-east-1).")
@click.option("--stack", "base", metavar="NAME", help="As it was deployed (default lbench).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(ctx: click.Context, arch: str | None, region: str | None, base: str | None, yes: bool) -> None:
    """Remove what `lbench deploy` has made, with all that runs have left in it.

    Sessions recorded on this machine stay. It can be repeated and broken off at any time.
    """
    from lbench.cli.deployments import broken_off, open_session, say, stack_names
    from lbench.config.deployment import DEFAULT_STACK
    from lbench.lambda_src.deploy import account_of
    from lbench.lambda_src.destroy import find_stacks, find_stray, remove_stacks, remove_stray

    names = stack_names(base if base is not None else DEFAULT_STACK, arch)
    session, region = open_session(region)
    again = "what AWS has begun goes on by itself; run the same command again"

    def ask(lines: list[str]) -> None:
        if lines and not yes:
            _ask(lines, broken_off(account_of(session), again), region)

    ask([_line(stack) for stack in broken_off(find_stacks(session, region, names), again)])
    removed = broken_off(remove_stacks(session, region, names, say=say), again)
    say(f"looking for anything left of {' and '.join(removed or names)}")
    stray = broken_off(find_stray(session, region, names), again)
    ask([f"{arn} carries the tag of a stack that has gone" for arn in stray])
    left = broken_off(remove_stray(session, stray), again)
    for arn in stray:
        if arn not in left:
            click.echo(f"removed, too: {arn}")
    for arn in left:
        click.echo(f"lbench: {arn} carries the tag, and was not made by lbench: look at it in the console", err=True)
    what = f"{', '.join(removed)} removed from {region}"
    if not removed:
        what = f"there is no {' and no '.join(names)} in {region} (deployed elsewhere? name it with --region)"
    click.echo(f"{what}: {'nothing' if not left else 'only what is named above'} is left")
    ctx.exit(1 if left else 0)


def _line(stack: Stack) -> str:
    """What goes with a stack."""
    from lbench.cli.deployments import age

    sizes = stack.outputs.get("Memory", "").replace(",", ", ")
    functions = f"functions of {sizes} MB, " if sizes else ""
    old = age(stack.created, datetime.datetime.now(datetime.UTC))
    return f"{stack.name}, {old} old: {functions}its bucket with all that is in it, logs, role"


def _ask(lines: list[str], account: str, region: str) -> None:
    """Tell what goes, a line each; return only if that is wanted.

    Raises:
        InputError: there is nobody to ask.
        Abort: it is not wanted.
    """
    from lbench.errors import InputError

    if not _asks_somebody():
        raise InputError("destroy asks first, and there is no terminal to ask on: add --yes")
    for line in lines:
        click.echo(line, err=True)
    if not click.confirm(f"Remove {'it' if len(lines) == 1 else 'them'} from account {account} in {region}?", err=True):
        raise click.Abort


def _asks_somebody() -> bool:
    return sys.stdin.isatty()
