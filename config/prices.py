"""List prices by region, read from `prices.toml`, where every row has its source and its date."""

from __future__ import annotations

import datetime
import functools
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lbench.errors import InputError

__all__ = ["ARCHITECTURES", "Machine", "Rates", "machines", "rates", "regions"]

ARCHITECTURES = ("x86_64", "arm64")

_USD = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)?$")]  # text, so that no float comes near it


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What one region charges for one architecture: first tier, no free tier, US dollars.

    None is a price without a verified row: what it would have priced stays unpriced, and is named.
    """

    region: str
    architecture: str
    duration_gb_s_usd: Decimal  # a second of 1,024 MB of memory
    request_usd: Decimal  # one request
    storage_gb_s_usd: Decimal  # a second of 1,024 MB of /tmp above the free 512 MB
    s3_put_usd: Decimal | None = None  # one PUT, COPY, POST or LIST
    s3_get_usd: Decimal | None = None  # one GET
    s3_storage_gb_month_usd: Decimal | None = None
    logs_gb_usd: Decimal | None = None  # a GB of log taken in
    transfer_gb_usd: Decimal | None = None  # a GB out to the internet; in is free
    price_date: str  # of the duration row, ISO 8601
    price_source: str  # of the duration row


class Machine(msgspec.Struct, frozen=True):
    """What a rented machine of a family costs; a larger one of the family costs as much a vCPU."""

    region: str
    family: str
    type: str  # the row that was read
    vcpus: int  # hyperthreads
    gib: int
    usd_per_hour: Decimal
    price_date: str
    price_source: str


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    usd: _USD
    source: str
    date: datetime.date


class _Region(msgspec.Struct, forbid_unknown_fields=True):
    duration_x86_64_per_gb_s: _Row
    duration_arm64_per_gb_s: _Row
    request: _Row
    storage_per_gb_s: _Row
    s3_put_per_1000: _Row | None = None
    s3_get_per_1000: _Row | None = None
    s3_storage_per_gb_month: _Row | None = None
    logs_per_gb: _Row | None = None
    transfer_out_per_gb: _Row | None = None


class _MachineRow(msgspec.Struct, forbid_unknown_fields=True):
    region: str
    family: str
    type: str
    vcpus: int
    gib: int
    usd_per_hour: _USD
    source: str
    date: datetime.date


class _File(msgspec.Struct, forbid_unknown_fields=True):
    sources: dict[str, str]
    regions: dict[str, _Region]
    machines: list[_MachineRow]


@functools.cache
def _file() -> _File:
    with Path(__file__).with_name("prices.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)
    return msgspec.convert(table, _File)


def regions() -> list[str]:
    """The regions with verified prices, in the alphabet's order."""
    return sorted(_file().regions)


@functools.cache
def rates(region: str, architecture: str) -> Rates:
    """The prices of a region for `x86_64` or `arm64`.

    Raises:
        InputError: there are no verified prices for the region; the message names those there are.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(f"unknown architecture {architecture!r}: it is one of {', '.join(ARCHITECTURES)}")
    found = _file().regions.get(region)
    if found is None:
        raise InputError(
            f"no verified prices for region {region!r}: choose one of {', '.join(regions())} with --region"
        )
    duration = found.duration_arm64_per_gb_s if architecture == "arm64" else found.duration_x86_64_per_gb_s
    return Rates(
        region=region,
        architecture=architecture,
        duration_gb_s_usd=Decimal(duration.usd),
        request_usd=Decimal(found.request.usd),
        storage_gb_s_usd=Decimal(found.storage_per_gb_s.usd),
        s3_put_usd=_each(found.s3_put_per_1000),
        s3_get_usd=_each(found.s3_get_per_1000),
        s3_storage_gb_month_usd=_price(found.s3_storage_per_gb_month),
        logs_gb_usd=_price(found.logs_per_gb),
        transfer_gb_usd=_price(found.transfer_out_per_gb),
        price_date=duration.date.isoformat(),
        price_source=_file().sources[duration.source],
    )


def _price(row: _Row | None) -> Decimal | None:
    return None if row is None else Decimal(row.usd)


def _each(row: _Row | None) -> Decimal | None:
    """The price of one, from the price of a thousand."""
    return None if row is None else Decimal(row.usd).scaleb(-3)


@functools.cache
def machines() -> tuple[Machine, ...]:
    """The rented machines with a verified price, the leanest in memory first."""
    return tuple(
        Machine(
            region=row.region,
            family=row.family,
            type=row.type,
            vcpus=row.vcpus,
            gib=row.gib,
            usd_per_hour=Decimal(row.usd_per_hour),
            price_date=row.date.isoformat(),
            price_source=_file().sources[row.source],
        )
        for row in sorted(_file().machines, key=lambda row: row.gib / row.vcpus)
    )
