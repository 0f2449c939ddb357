"""`lbench prices`: lists the prices of a region, each with its source and age."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lbench.config.prices import Price

__all__ = ["command"]

_ITEMS = {  # a row's name in prices.toml: what it is, and the unit
    "duration_x86_64_per_gb_s": ("Lambda, x86_64", "a GB-second"),
    "duration_arm64_per_gb_s": ("Lambda, arm64", "a GB-second"),
    "request": ("Lambda, request", "each"),
    "storage_per_gb_s": ("Lambda, /tmp above 512 MB", "a GB-second"),
    "s3_put_per_1000": ("S3, PUT, COPY, POST, LIST", "1,000"),
    "s3_get_per_1000": ("S3, GET", "1,000"),
    "s3_storage_per_gb_month": ("S3, storage", "a GB and month"),
    "logs_per_gb": ("CloudWatch, logs taken in", "a GB"),
    "transfer_out_per_gb": ("transfer to the internet", "a GB"),
    "http_api_per_million": ("API Gateway, HTTP API", "a million"),
}


@click.command()
@click.option("--region", metavar="R", help="AWS region (default: as for `lbench run`).")
@click.option("--refresh", is_flag=True, help="Update from the AWS Price List API first (free; requires credentials).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(region: str | None, refresh: bool, as_json: bool) -> None:
    """List the prices for runs: first tier, no free tier, US dollars; with source and age."""
    import msgspec

    from lbench.config import prices
    from lbench.config.settings import load

    region = load({"region": region}).values.region
    if region is None:
        from lbench.engine.backends.aws_client.endpoints import chain_region

        region = chain_region()
    if refresh:
        from lbench.config.price_list import refresh as ask

        asyncio.run(ask(region))
    rows = prices.prices(region)
    if as_json:
        listing = {
            "region": region,
            "stale_after_days": prices.STALE_DAYS,
            "prices": [msgspec.to_builtins(row) | {"stale": row.stale} for row in rows],
        }
        click.echo(msgspec.json.format(msgspec.json.encode(listing), indent=1))
        return
    _print(region, rows)


def _print(region: str, rows: list[Price]) -> None:
    from rich.text import Text

    from lbench.cli.console import QUIET, WARN, console
    from lbench.cli.tables import Column, print_table
    from lbench.config.prices import STALE_DAYS
    from lbench.engine.cost.format import ASSUMED

    out = console()
    columns = {
        "item": Column("ITEM"),
        "usd": Column("USD", justify="right"),
        "unit": Column("FOR"),
        "age": Column("AGE", justify="right"),
        "date": Column("DATE", rank=1),
        "source": Column("SOURCE", wrap=True),
    }
    for row in rows:
        item, unit = _ITEMS[row.name]
        columns["item"].add(item)
        columns["usd"].add(row.usd + ASSUMED * (row.assumed_from is not None))
        columns["unit"].add(unit)
        columns["age"].add(Text(f"{'! ' if row.stale else ''}{row.age_days} d", style=WARN if row.stale else ""))
        columns["date"].add(row.date)
        whose = f"{row.assumed_from}: " if row.assumed_from is not None else ""
        columns["source"].add(Text(f"{whose}{row.source}", style=QUIET))
    print_table(out, list(columns.values()))
    lines = [f"{region}: first tier, no free tier"]
    if any(row.assumed_from is not None for row in rows):
        lines.append(
            f"{ASSUMED} not known for {region}: the dearest known price is taken, and costs with it are marked; "
            f"`lbench prices --refresh --region {region}` asks AWS"
        )
    missing = [text for name, (text, _) in _ITEMS.items() if name not in {row.name for row in rows}]
    if missing:
        lines.append(f"not sold in {region}: {'; '.join(missing)}")
    if any(row.stale for row in rows):
        lines.append(f"! older than {STALE_DAYS} days: `lbench prices --refresh --region {region}` updates them")
    for line in lines:
        out.print(Text(line, style=WARN if line.startswith("!") else QUIET), soft_wrap=True)
