"""What deploy, status and destroy have in common on the command line: where, which stacks, and being broken off."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lbench.config.settings import Settings

__all__ = ["age", "broken_off", "open_session", "say", "settings", "stack_names"]

_T = TypeVar("_T")


def say(line: str) -> None:
    """Progress, on stderr."""
    click.echo(f"lbench: {line} ...", err=True)


def open_session(region: str | None) -> tuple[Any, str]:
    """A session of the region that is named, else the settings', else the AWS configuration's, else us-east-1.

    Raises:
        InputError: the settings or the AWS configuration cannot be used.
    """
    from lbench.config.aws import aws_session
    from lbench.errors import InputError

    if region is not None and not region.strip():
        raise InputError("--region is empty: name one, as in --region eu-west-1, or leave it out")
    session = aws_session(settings(region=region).region)
    return session, str(session.region_name)


def settings(**given: str | None) -> Settings:
    """The settings, with what the command line gives.

    Raises:
        InputError: something of it cannot be used.
    """
    from lbench.config.settings import load
    from lbench.errors import InputError

    try:
        return load(given).values
    except InputError as error:
        raise InputError(str(error).replace("command line: ", "--", 1)) from None


def stack_names(base: str, arch: str | None) -> list[str]:
    """The stacks of a name: both architectures', or that of one.

    Raises:
        InputError: it is no name, or Lambda has no such processor.
    """
    from lbench.config.deployment import stack_name
    from lbench.errors import InputError

    both = [stack_name(base, "x86_64"), stack_name(base, "arm64")]
    if arch is None:
        return both
    if arch not in ("x86_64", "arm64"):
        raise InputError(f"--arch {arch}: Lambda has x86_64 and arm64")
    return both[:1] if arch == "x86_64" else both[1:]


def broken_off(doing: Coroutine[Any, Any, _T], told: str) -> _T:
    """Run it to its end; if a signal breaks it off, tell in a line how it goes on."""
    from lbench.cli.signals import signals_end_it

    with signals_end_it():
        try:
            return asyncio.run(doing)
        except (KeyboardInterrupt, SystemExit):
            click.echo(f"lbench: broken off: {told}", err=True)
            raise
        finally:
            sys.stderr.flush()


def age(since: datetime.datetime, now: datetime.datetime) -> str:
    """How long ago that was, in its largest unit."""
    seconds = max(0.0, (now - since).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "a moment"
