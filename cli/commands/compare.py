"""`lbench compare`: sessions of several machines and days side by side, and a limit for continuous integration."""

from __future__ import annotations

import click

from lbench.cli.session_argument import session_argument

__all__ = ["command"]


@click.command()
@session_argument("sessions", nargs=-1)
@click.option(
    "--fail-if-slower",
    metavar="5%",
    help="Exit with 1 if a makespan has grown by more: only if its whole interval lies beyond.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON on stdout.")
def command(sessions: tuple[str, ...], fail_if_slower: str | None, as_json: bool) -> None:
    """Compare sessions of several machines and days with the first: the same workload, parameters and data only.

    SESSION is an id or its beginning, `last`, a folder, or an exported FILE.json.

    \b
    Examples:
      lbench compare laptop.json server.json
      lbench compare baseline.json last --fail-if-slower 5%
    """
    from lbench.analysis.session_comparison import compare_sessions
    from lbench.cli.compare_report import comparison_json, print_comparison, session_names
    from lbench.cli.documents import load_views
    from lbench.config.exit_codes import EXIT_FAILED
    from lbench.engine.billing.bill import run_bill

    threshold = _share(fail_if_slower)
    views = load_views(sessions)
    found = compare_sessions(
        list(zip(session_names(sessions, views), views, strict=True)), run_bill, threshold=threshold
    )
    if as_json:
        click.echo(comparison_json(found))
    else:
        print_comparison(found)
    if found.slower:
        click.get_current_context().exit(EXIT_FAILED)


def _share(text: str | None) -> float | None:
    """The share that `5%`, `5 %` or `0.05` stands for."""
    from lbench.errors import InputError

    if text is None:
        return None
    number, percent, rest = text.partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest.strip() or not 0 <= share < 10:
        raise InputError(f"--fail-if-slower must be a share from 0% to below 1000%, for example 5%, got {text}")
    if not percent and share >= 1:
        raise InputError(f"--fail-if-slower must be a share with its sign, for example {text}%, got {text}")
    return share
