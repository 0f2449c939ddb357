"""`lbench data`: explains how to get the Lending Club loans, and inspects a file of them."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--encoding", metavar="NAME", help="Text encoding of the file (default: UTF-8, or by its byte order mark)."
)
def command(path: Path | None, encoding: str | None) -> None:
    """Explain how to get the Lending Club loans; with PATH, show what `lbench run --data PATH` uses of it."""
    from lbench.cli.read_progress import ReadingProgress
    from lbench.config.folders import is_file
    from lbench.errors import InputError, count_text, visible
    from lbench.workloads.data_file import describe_file
    from lbench.workloads.textfile import why_no_file

    if path is None:
        from lbench.workloads.random_forest import loans

        click.echo(loans.explain().rstrip())
        return
    if not is_file(path):
        raise InputError(f"{path}: {why_no_file(path)}")
    with ReadingProgress(path.name, path.stat().st_size) as progress:
        found = describe_file(path, encoding, progress)
    click.echo(visible(f"{found.source}: {count_text(found.rows, 'row')}, {count_text(found.columns, 'column')}"))
    for note in found.notes:
        click.echo(visible(f"  {note}"))
