"""`lbench status`: shows what is deployed, its age, and its cost at rest."""

from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lbench.lambda_src.status import Status

__all__ = ["command"]


@click.command()
@click.option("--arch", metavar="ARCH", help="x86_64 or arm64 (default: the stacks of both).")
@click.option("--region", metavar="R", help="AWS region (default: the AWS configuration's, else us-east-1).")
@click.option("--stack", "base", metavar="NAME", help="Name of the deployment (default lbench).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(arch: str | None, region: str | None, base: str | None, as_json: bool) -> None:
    """Show what `lbench deploy` created: functions, version, age, stored bytes and their cost."""
    import msgspec

    from lbench.cli.deployments import interruptible, open_session, stack_names
    from lbench.config.deployment import DEFAULT_STACK, lbench_command
    from lbench.lambda_src.status import look

    names = stack_names(base if base is not None else DEFAULT_STACK, arch)
    session, region = open_session(region)
    found = interruptible(look(session, region, names), "nothing was changed")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    elif found:
        _print(found)
    else:
        there = lbench_command("deploy", names[0], region)
        click.echo(f"no {' and no '.join(names)} in {region}: create it with {there}")


def _print(found: list[Status]) -> None:
    from lbench.cli.console import BRIGHT, console
    from lbench.cli.deployments import age
    from lbench.cli.tables import Column, print_table
    from lbench.engine.cost.format import ASSUMED

    now = datetime.datetime.now(datetime.UTC)
    names, states, ages = Column("stack"), Column("state", rank=1), Column("age")
    sizes, runtimes, packages = Column("memory (MB)"), Column("runtime", rank=2), Column("lbench", rank=3)
    held, rest = Column("in the bucket", rank=2, justify="right"), Column("$ a month", justify="right")
    logged = Column("in the logs", rank=4, justify="right")
    so_far = Column("$ so far", rank=4, justify="right")
    for one in found:
        there = one.deployment
        names.add(one.stack, BRIGHT)
        states.add(one.state)
        ages.add(age(one.created, now))
        sizes.add("–" if there is None else ", ".join(f"{size:,}" for size in there.memory_mb))
        runtimes.add("–" if there is None else f"Python {there.python} on {there.arch}")
        packages.add("–" if there is None else there.lbench_version)
        held.add("–" if one.bucket_bytes is None else f"{one.bucket_bytes / 2**20:.1f} MiB")
        logged.add("–" if one.log_bytes is None else f"{one.log_bytes / 2**20:.1f} MiB")
        mark = ASSUMED * one.assumed
        rest.add("–" if one.idle_usd_month is None else f"{one.idle_usd_month:.4f}{mark}")
        so_far.add("–" if one.idle_usd_so_far is None else f"{one.idle_usd_so_far:.4f}{mark}")
    print_table(console(sys.stdout), [names, states, ages, sizes, runtimes, packages, held, logged, rest, so_far])
    for one in found:
        if one.note is not None:
            click.echo(f"! {one.stack}: {one.note}")
    click.echo(f"in {found[0].region}; $ is the storage of the bucket; logs and runs cost extra")
    if any(one.assumed for one in found):
        click.echo(f"{ASSUMED} at the dearest known price: none is known for {found[0].region}")
