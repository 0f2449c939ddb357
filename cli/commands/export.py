"""`lbench export`: writes a recorded session to a file."""

from __future__ import annotations

from pathlib import Path

import click

from lbench.cli.session_argument import session_argument

__all__ = ["command"]


@click.command()
@session_argument("session")
@click.option(
    "--format", "format_", metavar="json|csv|parquet|trace|html", help="Format (default: by the suffix of the file)."
)
@click.option("-o", "--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The file to write.")
def command(session: str, format_: str | None, out: Path) -> None:
    """Export a session: JSON (everything), CSV or Parquet (one row for each invocation), a trace for Perfetto, or a report.

    SESSION is an id or its beginning, `last`, or the path of a folder, journal or JSON document.
    """
    from lbench.cli.documents import load_document
    from lbench.engine.export import files as outputs
    from lbench.errors import count_text

    chosen = _format(format_, out)
    if chosen == "html":
        from lbench.cli.html.write import check_report, write_report

        check_report(out, None)
        click.echo(f"{out}: {count_text(write_report([session], out), 'figure')}")
        return
    if chosen == "parquet":
        from lbench.engine.export.parquet import check_parquet

        check_parquet()
    outputs.check_writable(out, "-o")
    document = load_document(session)
    if chosen == "parquet":
        from lbench.engine.export.parquet import parquet_bytes

        content = parquet_bytes(document)
    elif chosen == "trace":
        from lbench.engine.export.perfetto import perfetto_trace

        content = perfetto_trace(document)
    else:
        content = outputs.encode(document, chosen)
    outputs.write(out, content)
    invocations = sum(len(run.invocations) for run in document.runs)
    click.echo(f"{out}: {count_text(len(document.runs), 'run')}, {count_text(invocations, 'invocation')}")


def _format(name: str | None, out: Path) -> str:
    from lbench.engine.export.files import EXPORTS
    from lbench.errors import InputError, UnknownNameError

    if name is not None:
        if name not in EXPORTS:
            raise UnknownNameError("format", name, tuple(EXPORTS))
        return name
    suffix = out.suffix.lower()
    found = next((format_ for format_, ending in EXPORTS.items() if ending == suffix), None)
    if found is None:
        raise InputError(f"-o must end in {', '.join(EXPORTS.values())}, or name the --format, got {out}")
    return found
