"""`lbench export`: writes a recorded session to a file."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("session", metavar="SESSION|FILE")
@click.option("--format", "format_", metavar="json|csv", help="Format (default: by the suffix of the file).")
@click.option("-o", "--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The file to write.")
def command(session: str, format_: str | None, out: Path) -> None:
    """Export a session as JSON (everything) or CSV (one row for each invocation).

    SESSION is an id or its beginning, `last`, or the path of a folder, journal or JSON document.
    """
    from lbench.cli.documents import load_document
    from lbench.engine.export import files as outputs
    from lbench.errors import UnknownNameError

    if format_ is not None and format_ not in outputs.FORMATS:
        raise UnknownNameError("format", format_, outputs.FORMATS)
    chosen = format_ or outputs.format_of(out)
    outputs.check_writable(out, "-o")
    document = load_document(session)
    outputs.write(out, outputs.encode(document, chosen))
    click.echo(f"{out}: {len(document.runs)} runs, {sum(len(run.invocations) for run in document.runs)} invocations")
