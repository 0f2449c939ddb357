"""`lbench data`: explains how to get the Lending Club loans, and inspects a file of them."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
def command(path: Path | None) -> None:
    """Explain how to get the Lending Club loans; with PATH, show what `lbench run --data PATH` uses of it."""
    from lbench.workloads.random_forest import loans

    if path is None:
        click.echo(loans.explain().rstrip())
        return
    if not path.is_file():
        from lbench.errors import InputError

        raise InputError(f"{path}: no such file")
    found = loans.inspect(path)
    click.echo(f"{found.source}: {found.rows:,} rows, {found.columns} columns")
    for note in found.notes:
        click.echo(f"  {note}")
