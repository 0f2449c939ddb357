"""`lbench calibrate`: fits the model of Lambda to recorded runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lbench.cli.session_argument import session_argument

if TYPE_CHECKING:
    from lbench.analysis.calibration import Calibration

__all__ = ["command"]


@click.command()
@session_argument("sessions", nargs=-1)
@click.option("--backend", default="lambda", metavar="NAME", help="Backend to fit to (default lambda).")
@click.option(
    "-o",
    "--out",
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    help="Write the parameters, for simulated:model=FILE.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(sessions: tuple[str, ...], backend: str, out: Path | None, as_json: bool) -> None:
    """Fit the model of AWS Lambda to recorded runs, with uncertainty, and list what the data cannot tell.

    SESSION is an id or its beginning, `last`, or the path of a folder, journal or JSON document.

    \b
    Examples:
      lbench run WORKLOAD -b sequential -b lambda --cold-repeats 3
      lbench calibrate last -o mine.toml
      lbench run WORKLOAD -b simulated:model=mine.toml
    """
    from datetime import UTC, datetime

    import msgspec

    from lbench.analysis.calibration import calibrate, parameter_file
    from lbench.cli.documents import load_views
    from lbench.engine.backends import catalog
    from lbench.engine.export.files import check_writable, write
    from lbench.engine.simulation.parameters import lambda_model
    from lbench.errors import InputError

    if not catalog.starts_cold(backend) or backend not in catalog.names():
        fitting = [name for name in catalog.names() if catalog.starts_cold(name)]
        raise InputError(f"--backend must be one of {', '.join(fitting)}, got {backend}")
    if out is not None:
        if out.suffix.lower() != ".toml":
            raise InputError(f"-o must be a file name that ends in .toml, got {out}")
        check_writable(out, "-o")
    if of_others := [text for text in sessions if text.lower().endswith(".csv")]:
        raise InputError(
            f"{of_others[0]}: calibrate reads sessions of lbench. Public recordings of Lambda are compared with the model "
            "by `python -m lbench.engine.simulation.recordings FOLDER` (docs/model.md)"
        )
    views = load_views(sessions)
    found = calibrate(views, lambda_model(), backend)
    if out is not None:
        names = ", ".join(view.header.id for view in views if view.header is not None)
        today = datetime.now(UTC).date().isoformat()
        write(out, parameter_file(found, f"lbench calibrate, session {names}", today).encode())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1))
        return
    _show(found)
    if out is not None:
        click.echo(f"parameters in {out}: use them with -b simulated:model={out}")


def _show(found: Calibration) -> None:
    from lbench.cli.console import QUIET, console
    from lbench.cli.tables import Column, print_table
    from lbench.errors import count_text

    titles = ("PARAMETER", "MODEL", "FITTED", "INTERVAL", "SIGMA", "FROM")
    columns = [
        Column(title, rank=rank, justify="right" if 0 < place < 5 else "left", wrap=place == 5)
        for place, (title, rank) in enumerate(zip(titles, (0, 0, 0, 0, 2, 1), strict=True))
    ]
    for one in found.fitted:
        cells = (
            one.name,
            f"{one.model:.3g}",
            f"{one.value:.3g}",
            "once" if one.low is None else f"{one.kind}: {one.low:.3g} to {one.high:.3g}",
            "–" if one.sigma is None else f"{one.sigma:.2g}",
            f"{one.count:,} {one.what}",
        )
        for column, cell in zip(columns, cells, strict=True):
            column.add(cell, QUIET if column.title in ("MODEL", "FROM") else "")
    click.echo(f"{count_text(found.calls, 'call')} of {count_text(found.runs, 'run')}")
    print_table(console(), columns)
    click.echo("the data cannot tell:")
    for text in found.untold:
        click.echo(f"  {text}")
    for text in found.notes:
        click.echo(f"! {text}")
