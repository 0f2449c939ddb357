"""`lbench sessions`: lists the sessions recorded on this machine."""

from __future__ import annotations

from datetime import datetime

import click
import msgspec

from lbench.config.folders import sessions_place
from lbench.engine.session.index import list_sessions

__all__ = ["command"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List recorded sessions, newest first."""
    sessions = list_sessions()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(sessions), indent=1))
        return
    from lbench.cli.console import QUIET, RIGHT, WARN, WRONG, console
    from lbench.cli.tables import Column, print_table

    out = console()
    if not sessions:
        out.print(f"No sessions in {sessions_place()} yet: measure with `lbench run`.", soft_wrap=True)
        return
    columns = {
        "id": Column("ID"),
        "name": Column("NAME", rank=6),
        "state": Column("STATE"),
        "created": Column("CREATED", rank=3),
        "workloads": Column("WORKLOADS", rank=1),
        "backends": Column("BACKENDS", rank=4),
        "runs": Column("RUNS", rank=2, justify="right"),
        "machine": Column("MACHINE", rank=5),
    }
    styles = {"complete": RIGHT, "running": WARN, "stopped": QUIET, "damaged": WRONG}
    for one in sessions:
        columns["id"].add(one.id)
        columns["name"].add(" ".join([one.name or "", *(f"#{tag}" for tag in one.tags)]).strip() or "–")
        columns["state"].add(f"{_GLYPHS[one.state]} {one.state}", styles[one.state])
        columns["created"].add(_local_time(one.created))
        columns["workloads"].add(", ".join(one.workloads) or (one.error or "–")[:60])
        columns["backends"].add(", ".join(one.backends) or "–")
        columns["runs"].add(f"{one.runs_done}/{one.runs}" if one.runs else "–")
        columns["machine"].add(one.machine or "–")
    print_table(out, list(columns.values()))
    out.print(f"in {sessions_place()}", style=QUIET, soft_wrap=True)


_GLYPHS = {"complete": "✔", "running": "▶", "stopped": "■", "damaged": "✘"}


def _local_time(created: str | None) -> str:
    if created is None:
        return "–"
    try:
        return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return created[:16]
