"""`lbench report`: the answer in words and figures, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from lbench.cli.session_argument import session_argument

__all__ = ["command"]


@click.command()
@session_argument("sessions", nargs=-1)
@click.option(
    "-o", "--out", required=True, metavar="FILE.html", type=click.Path(path_type=Path), help="The file to write."
)
@click.option(
    "--figures", metavar="DIR", type=click.Path(path_type=Path), help="Write each figure as SVG and PNG, too."
)
def command(sessions: tuple[str, ...], out: Path, figures: Path | None) -> None:
    """Write a report: the answer in words, tables, figures, the environment and every caveat. One file, to forward.

    SESSION is an id or its beginning, `last`, a folder, or an exported FILE.json. Several sessions are compared with the
    first. Needs `pip install 'lbench[report]'`.

    \b
    Examples:
      lbench report last -o report.html
      lbench report laptop.json server.json -o report.html --figures figures
    """
    from lbench.cli.html.write import check_report, write_report
    from lbench.errors import InputError, count_text

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o must end in .html, got {out}")
    check_report(out, figures)
    count = write_report(sessions, out, figures)
    click.echo(f"{out}: {count_text(count, 'figure')}, {out.stat().st_size / 1e6:.1f} MB")
