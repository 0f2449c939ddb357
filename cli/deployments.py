"""Shared by `deploy`, `status` and `destroy`: AWS session, settings, stack names, interruption."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

__all__ = ["age", "interruptible", "open_session", "say", "stack_names"]

_T = TypeVar("_T")


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    click.echo(f"lbench: {line} ...", err=True)


def open_session(region: str | None) -> tuple[Any, str]:
    """An AWS session and its region: as given, else of the settings, else of the AWS configuration, else us-east-1.

    Raises:
        InputError: the settings or the AWS configuration cannot be used.
    """
    import botocore.session
    from botocore.exceptions import UnknownRegionError

    from lbench.config.aws import aws_session
    from lbench.config.settings import load
    from lbench.errors import InputError

    if region is not None and not region.strip():
        raise InputError("--region must be an AWS region, for example eu-west-1, got an empty text")
    session = aws_session(load({"region": region}).values.region)
    name = str(session.region_name)
    try:
        botocore.session.Session().get_partition_for_region(name)
    except UnknownRegionError:
        raise InputError(f"--region must be an AWS region, for example eu-west-1, got {name}") from None
    return session, name


def stack_names(base: str, arch: str | None) -> list[str]:
    """The names of both architectures' stacks, or of one.

    Raises:
        InputError: an invalid stack name or architecture.
    """
    from lbench.config.deployment import stack_name
    from lbench.errors import InputError

    both = [stack_name(base, "x86_64"), stack_name(base, "arm64")]
    if arch is None:
        return both
    if arch not in ("x86_64", "arm64"):
        raise InputError(f"--arch must be x86_64 or arm64, got {arch}")
    return both[:1] if arch == "x86_64" else both[1:]


def interruptible(work: Coroutine[Any, Any, _T], remedy: str) -> _T:
    """Run the coroutine; if a signal interrupts it, print how to continue."""
    from lbench.cli.signals import exit_on_signals

    with exit_on_signals():
        try:
            return asyncio.run(work)
        except (KeyboardInterrupt, SystemExit):
            click.echo(f"lbench: interrupted: {remedy}", err=True)
            raise
        finally:
            sys.stderr.flush()


def age(since: datetime.datetime, now: datetime.datetime) -> str:
    """The time since then, in its largest unit."""
    seconds = max(0.0, (now - since).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "a moment"
