"""`lbench workloads`: what can be run. Loads what describes workloads, not what they compute with."""

from __future__ import annotations

import click
import msgspec

from lbench.workloads import registry

__all__ = ["command"]


@click.command()
@click.argument("workload", metavar="[WORKLOAD]", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(workload: str | None, as_json: bool) -> None:
    """Workloads, and the parameters that `lbench run WORKLOAD -p NAME=VALUE` takes.

    All of them, those of installed packages too; or one, as in `lbench workloads ./mine.py:job`.
    """
    from lbench.cli.fields import field_columns, fields_json
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
    if as_json:
        told = [
            {
                "name": one.name,
                "summary": one.summary,
                "data": one.data,
                "picture": one.picture,
                "parameters": fields_json(one.params),
            }
            for one in described
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=1))
        return
    from rich.text import Text

    from lbench.cli.listing import print_table
    from lbench.cli.style import BRIGHT, QUIET, console

    out = console()
    for number, one in enumerate(described):
        if number:
            out.print()
        out.print(Text.assemble((one.name, BRIGHT), "  ", one.summary))
        if one.data is not None:
            out.print(Text(f"  reads {one.data}", style=QUIET))
        print_table(out, field_columns(one.params))
