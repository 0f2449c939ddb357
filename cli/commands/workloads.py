"""`lbench workloads`: lists workloads and their parameters, without importing what they compute with."""

from __future__ import annotations

import click
import msgspec

from lbench.workloads import registry
from lbench.workloads.model import Description

__all__ = ["command"]


@click.command()
@click.argument("workload", metavar="[WORKLOAD]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(workload: str | None, as_json: bool) -> None:
    """List workloads and the parameters of `lbench run WORKLOAD -p NAME=VALUE`.

    With WORKLOAD only that one, for example `lbench workloads ./mine.py:job`.
    """
    from lbench.cli.field_table import Described, fields_json, print_described
    from lbench.errors import InputError

    if workload is not None:
        described = [registry.describe(workload)]
    else:
        described = [registry.describe(name) for name in registry.all_names()]
        for name, one in registry.installed().items():
            if isinstance(one, InputError):
                click.echo(f"lbench: {name} cannot be used: {one}", err=True)
            else:
                described.append(one)
        described += registry.recordings()
    if as_json:
        workloads = [
            {
                "name": one.name,
                "summary": one.summary,
                "data": one.data,
                "picture": one.picture,
                "parameters": fields_json(one.shown_params),
            }
            for one in described
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(workloads), indent=1))
        return
    from rich.text import Text

    from lbench.cli.console import BRIGHT, QUIET

    def lines(one: Description) -> list[Text]:
        data = [] if one.data is None else [Text(f"  reads {one.data}", style=QUIET)]
        return [Text.assemble((one.name, BRIGHT), "  ", one.summary), *data]

    print_described(Described(lines(one), one.shown_params) for one in described)
