"""`lbench destroy`: everything that deploy has made goes, and it is looked whether it has."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import click

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
    from lbench.lambda_src.destroy import destroy, find_stacks, find_stray

    names = stack_names(base if base is not None else DEFAULT_STACK, arch)
    session, region = open_session(region)
    again = "what AWS has begun goes on by itself; run `lbench destroy` again"
    stacks = broken_off(find_stacks(session, region, names), again)
    if not yes:
        stray = [] if stacks else broken_off(find_stray(session, names), again)
        if stacks or stray:
            _ask(region, stacks, stray)
    done = broken_off(destroy(session, region, names, say=say), again)
    for arn in done.leftovers:
        click.echo(f"removed, too: {arn}")
    for arn in done.left:
        click.echo(f"lbench: {arn} carries the tag, and was not made by lbench: look at it in the console", err=True)
    what = (
        f"{', '.join(done.stacks)} removed from {region}"
        if done.stacks
        else f"there is no {' and no '.join(names)} in {region}"
    )
    click.echo(f"{what}: {'nothing' if not done.left else 'only what is named above'} is left")
    ctx.exit(1 if done.left else 0)


def _ask(region: str, stacks: list[Any], stray: list[str]) -> None:
    """List what goes: stacks, or what is left of one; goes on only if that is wanted.

    Raises:
        InputError: there is nobody to ask.
        Abort: it is not wanted.
    """
    from lbench.cli.deployments import age
    from lbench.errors import InputError

    if not _asks_somebody():
        raise InputError("destroy asks first, and there is no terminal to ask on: add --yes")
    now = datetime.datetime.now(datetime.UTC)
    for stack in stacks:
        sizes = stack.outputs.get("Memory", "").replace(",", ", ")
        functions = f"functions of {sizes} MB, " if sizes else ""
        click.echo(
            f"{stack.name} in {region}, {age(stack.created, now)} old: "
            f"{functions}its bucket with all that is in it, logs, role",
            err=True,
        )
    for arn in stray:
        click.echo(f"{arn} carries the tag of a stack that has gone", err=True)
    if not click.confirm("Remove it?" if len(stacks) + len(stray) == 1 else "Remove them?", err=True):
        raise click.Abort


def _asks_somebody() -> bool:
    return sys.stdin.isatty()
