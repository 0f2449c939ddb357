"""`lbench emulator`: AWS Lambda on this machine, for any client."""

from __future__ import annotations

import os
import sys

import click

from lbench.errors import InputError

__all__ = ["command"]


@click.command()
@click.option("--port", type=int, default=0, metavar="N", help="Port of 127.0.0.1 (default: a free one).")
@click.option("--config", metavar="FILE.json", help="Functions, limits, conditions: see docs/emulator.md.")
@click.option(
    "--no-auth", is_flag=True, envvar="LBENCH_EMULATOR_NO_AUTH", help="Accept unsigned requests, from any user."
)
@click.option("--s3-endpoint", metavar="URL", help="S3 server for on-failure destinations of events.")
@click.option(
    "--activation",
    metavar="SECONDS",
    help="How long a new function is Pending and an update InProgress, for example 0.2s (default: 0.2s).",
)
def command(port: int, config: str | None, no_auth: bool, s3_endpoint: str | None, activation: str | None) -> None:
    """Serve Lambda's API until stopped with Ctrl-C. The first line printed is the endpoint.

    The lines below it are random credentials, made for this emulator: paste them into a shell for boto3 and the AWS
    CLI. Requests that are not signed with them get 403.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 1 to 65535, or 0 for a free port, got {port}")
    sys.stdout.flush()
    # This process becomes the emulator, which then gets the signals and sets the exit code.
    arguments = ["--port", str(port)]
    if config is not None:
        arguments += ["--config", config]
    if no_auth:
        arguments.append("--no-auth")
    if s3_endpoint is not None:
        arguments += ["--s3-endpoint", s3_endpoint]
    if activation is not None:
        arguments += ["--activation", activation]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "lbench.engine.emulator", *arguments])
