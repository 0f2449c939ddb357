"""`lbench gc`: finds and removes leftovers of crashed runs, on this machine and on AWS."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lbench.config.exit_codes import EXIT_FAILED

if TYPE_CHECKING:
    from lbench.engine.maintenance.aws import Remain
    from lbench.engine.maintenance.local import Leftover

__all__ = ["command"]


@click.command()
@click.option("--dry-run", is_flag=True, help="List leftovers, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
def command(dry_run: bool, yes: bool) -> None:
    """Find and remove leftovers of crashed runs: folders, sockets, cgroups, objects in S3 or a store, a changed function.

    Kept results of simulated runs (--answers compute) are listed too: they are computed again when needed. Recorded
    sessions and everything in use stay. AWS is asked only if the records of this machine name a killed run that may
    have left something there.
    """
    from lbench.cli.console import WARN, console
    from lbench.cli.tables import Column, print_table
    from lbench.engine.maintenance.aws import find_remains
    from lbench.engine.maintenance.local import local_leftovers
    from lbench.errors import InputError

    out = console()
    here = local_leftovers()
    away, problems = asyncio.run(find_remains())
    for problem in problems:
        out.print(f"! {problem}", style=WARN, soft_wrap=True)
    if not here and not away:
        out.print("No leftovers of crashed runs." if not problems else "No other leftovers were found.")
        click.get_current_context().exit(EXIT_FAILED if problems else 0)
    what, where, size = Column("WHAT", wrap=True), Column("WHERE", wrap=True), Column("SIZE", justify="right")
    found: list[Leftover | Remain] = [*here, *away]
    for one in found:
        what.add(one.what)
        where.add(one.where)
        size.add(_size(one.size_bytes))
    print_table(out, [what, where, size])
    if dry_run:
        return
    if not yes:
        if not _can_ask():
            raise InputError("nothing removed: stdin is not a terminal. Pass --yes to remove, or --dry-run to list")
        if not click.confirm("Remove all of this?", default=False):
            return
    left = []
    for local in here:
        try:
            local.remove()
        except OSError as error:
            left.append(f"{local.where}: {error.strerror}")
    left += asyncio.run(_remove(away))
    for line in left:
        out.print(f"✘ {line}", style=WARN, soft_wrap=True)
    out.print(f"Removed {len(here) + len(away) - len(left)} of {len(here) + len(away)}.")
    if left or problems:
        click.get_current_context().exit(EXIT_FAILED)


def _can_ask() -> bool:
    return sys.stdin.isatty()


async def _remove(remains: Sequence[Remain]) -> list[str]:
    """Remove them; returns those that could not be removed, with the reason."""
    from lbench.errors import LbenchError

    left = []
    for one in remains:
        try:
            await one.remove()
        except LbenchError as error:
            left.append(f"{one.where}: {error}")
    return left


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B" if count else "–"
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"
