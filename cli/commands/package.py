"""`lbench package`: builds the zip for Lambda; it requires no AWS account."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lbench.lambda_src.package import Built

__all__ = ["command"]


@click.command()
@click.option(
    "--workload",
    metavar="NAME",
    help="Include only this workload's needs; ./mine.py:job works too (default: all workloads of lbench).",
)
@click.option("--arch", metavar="ARCH", help="x86_64 or arm64 (default: this machine's).")
@click.option(
    "--python", metavar="3.N", help="3.12, 3.13 or 3.14 (default: this Python's if Lambda has it, else 3.13)."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.zip",
    help="File to write (default: named by its contents).",
)
def command(workload: str | None, arch: str | None, python: str | None, out: Path | None) -> None:
    """Build the deployment package: handler, workloads and libraries for one Python version of Lambda.

    Try it here with `lbench run WORKLOAD -b emulated:package=FILE.zip`.
    """
    from lbench.cli.deployments import say
    from lbench.cli.signals import exit_on_signals
    from lbench.engine.export.files import check_writable, write
    from lbench.errors import InputError
    from lbench.lambda_src.package import build
    from lbench.lambda_src.targets import choose_target
    from lbench.workloads import registry

    target = choose_target(python, arch)
    name = "all"
    if workload is not None:
        name = registry.describe(workload).name  # rejects an unknown workload before anything is downloaded
    if out is None:
        name = re.sub(r"\W+", "-", name.replace(".py:", ":"))
        out = Path(f"lbench-{name}-py{target.python}-{target.arch}.zip")
    if out.suffix != ".zip":
        raise InputError(f"-o must be a file name that ends in .zip, got {out}")
    check_writable(out, "-o")
    with exit_on_signals():
        built = build(
            target,
            None if workload is None else [workload],
            say=say,
        )
    write(out, built.path.read_bytes())
    _print(built, out)
    for warning in built.warnings:
        click.echo(f"lbench: {warning}", err=True)


def _print(built: Built, out: Path) -> None:
    from rich.text import Text

    from lbench.cli.console import BRIGHT, QUIET, console
    from lbench.cli.tables import Column, print_table
    from lbench.config.limits import limits
    from lbench.lambda_src.sizes import mib

    names = Column("part")
    versions = Column("version", rank=1)
    unzipped = Column("unzipped", justify="right")
    zipped = Column("zipped", justify="right")
    for part in built.parts:
        names.add(part.name)
        versions.add(part.version)
        unzipped.add(mib(part.unzipped_bytes))
        zipped.add(mib(part.zipped_bytes))
    names.add("total", BRIGHT)
    versions.add("")
    unzipped.add(mib(built.unzipped_bytes), BRIGHT)
    zipped.add(mib(built.zipped_bytes), BRIGHT)
    names.add("Lambda's limit", QUIET)
    versions.add("")
    unzipped.add(mib(limits().package_unzipped_max_bytes), QUIET)
    zipped.add(mib(limits().package_zipped_max_bytes), QUIET)
    out_console = console(sys.stdout)
    print_table(out_console, [names, versions, unzipped, zipped])
    way = "deploy uploads it through S3" + (", where Lambda's limit for a zip does not apply" if built.needs_s3 else "")
    manifest = built.manifest
    out_console.print(Text(f"for Python {manifest.python} on {manifest.arch}; {way}", style=QUIET))
    out_console.print(Text(f"SHA-256 {built.sha256}", style=QUIET))
    click.echo(out)
