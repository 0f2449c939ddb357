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
@click.option("--check-signatures", is_flag=True, help="Reject requests without a valid signature.")
@click.option("--s3-endpoint", metavar="URL", help="S3 server for on-failure destinations of events.")
def command(port: int, config: str | None, check_signatures: bool, s3_endpoint: str | None) -> None:
    """Serve Lambda's API until stopped with Ctrl-C. The first line printed is the endpoint.

    For boto3: boto3.client("lambda", endpoint_url=..., region_name="us-east-1", aws_access_key_id="x",
    aws_secret_access_key="x").
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 1 to 65535, or 0 for a free port, got {port}")
    sys.stdout.flush()
    # This process becomes the emulator, which then gets the signals and sets the exit code.
    arguments = ["--port", str(port)]
    if config is not None:
        arguments += ["--config", config]
    if check_signatures:
        arguments.append("--check-signatures")
    if s3_endpoint is not None:
        arguments += ["--s3-endpoint", s3_endpoint]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "lbench.engine.emulator", *arguments])
