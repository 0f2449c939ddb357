"""`lbench backends`: lists backends and their settings."""

from __future__ import annotations

import click
import msgspec

from lbench.engine.backends import catalog

__all__ = ["command"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List backends and the settings of `lbench run -b NAME:KEY=VALUE,...`."""
    from lbench.cli.field_table import Described, fields_json, print_described

    names = catalog.names()
    if as_json:
        backends = [
            {"name": name, "summary": catalog.summary(name), "settings": fields_json(catalog.settings_type(name))}
            for name in names
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(backends), indent=1))
        return
    from rich.text import Text

    from lbench.cli.console import accent

    def line(name: str) -> Text:
        return Text.assemble((name, f"bold {accent(name)}"), "  ", catalog.summary(name))

    print_described(Described([line(name)], catalog.settings_type(name)) for name in names)
