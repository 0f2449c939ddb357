"""List prices by region: those shipped in `prices.toml`, where every row has its source and its date, and newer ones.

`lbench prices --refresh` (`price_list`) keeps a region's prices in the cache; each row that is newer than the shipped one
takes its place. The file's rows have the same names and units as prices.toml, so there is one way to read both.

A region of Lambda's may lack a row. Its place is taken by the dearest row on record, so that no bound and no budget leaves
the item out; `Rates.assumed` and `Price.assumed_from` name the region that the price belongs to.
"""

from __future__ import annotations

import datetime
import functools
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from lbench.config.folders import cache_folder, cache_place, write_whole
from lbench.config.limits import limits
from lbench.config.tables import read_table
from lbench.errors import InputError

__all__ = [
    "ARCHITECTURES",
    "STALE_DAYS",
    "Machine",
    "Price",
    "Rates",
    "Snapshot",
    "SnapshotRow",
    "age_days",
    "machines",
    "prices",
    "rates",
    "regions",
    "save_snapshot",
    "shipped_price",
]

ARCHITECTURES = ("x86_64", "arm64")
STALE_DAYS = 90  # AWS has changed Lambda's prices less than once a year; older ones are marked as stale

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d\Z")
_USD = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)?$")]  # text, so that no float comes near it


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What one region charges for one architecture: first tier, no free tier, US dollars.

    None is a price that was not known when an older version recorded a run: what it would have priced stays unpriced.
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
    http_api_request_usd: Decimal | None = None  # one call of API Gateway's HTTP API, of up to 512 KB

    def __post_init__(self) -> None:
        """Refuse what a decimal can be and a price cannot: a journal that was read may be damaged."""
        for price in msgspec.structs.astuple(self):
            if isinstance(price, Decimal) and not (price.is_finite() and -30 < price.adjusted() < 6 and price >= 0):
                raise ValueError(f"{price} is not a price in US dollars")

    price_date: str  # of the duration row, ISO 8601
    price_source: str  # of the duration row
    assumed: dict[str, str] = {}  # each price above that is another region's, the dearest known: field and region


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


class Price(msgspec.Struct, frozen=True):
    """One row as shown to a person."""

    name: str  # as in prices.toml, which has the unit in it
    usd: str
    source: str
    date: str  # ISO 8601
    age_days: int
    refreshed: bool  # it is from the cache
    assumed_from: str | None = None  # the region it belongs to, where this one has no known price

    @property
    def stale(self) -> bool:
        """It may have changed since."""
        return self.age_days > STALE_DAYS


class SnapshotRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price from the Price List API."""

    usd: _USD
    source: str


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A region's prices as they were fetched, by the names of prices.toml."""

    region: str
    fetched: datetime.date
    rows: dict[str, SnapshotRow]
    version: Literal[1] = 1


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    usd: _USD
    source: str
    date: datetime.date
    refreshed: bool = False
    assumed_from: str | None = None


class _Region(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    duration_x86_64_per_gb_s: _Row
    duration_arm64_per_gb_s: _Row | None = None
    request: _Row
    storage_per_gb_s: _Row
    s3_put_per_1000: _Row | None = None
    s3_get_per_1000: _Row | None = None
    s3_storage_per_gb_month: _Row | None = None
    logs_per_gb: _Row | None = None
    transfer_out_per_gb: _Row | None = None
    http_api_per_million: _Row | None = None


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
    return read_table("prices.toml", _File)


def _snapshot_file(region: str) -> Path:
    return cache_place("prices") / f"{region}.json"


def save_snapshot(snapshot: Snapshot) -> Path:
    """Keep a region's prices in the cache.

    Raises:
        InputError: it cannot be written.
    """
    path = cache_folder("prices") / _snapshot_file(snapshot.region).name
    try:
        write_whole(path, msgspec.json.encode(snapshot))
    except OSError as error:
        raise InputError(f"cannot keep the prices in {path}: {error.strerror}") from None
    return path


def _snapshot(region: str) -> Snapshot | None:
    """What the cache has for a region; a file that cannot be read is as none: it can be fetched again."""
    if not _REGION.match(region):
        return None
    try:
        found = msgspec.json.decode(_snapshot_file(region).read_bytes(), type=Snapshot)
    except (OSError, InputError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.region == region else None


def _region(region: str) -> _Region | None:
    """A region's rows, each the newer of the shipped one and the cache's."""
    shipped = _file().regions.get(region)
    snapshot = _snapshot(region)
    if snapshot is None:
        return shipped
    rows: dict[str, Any] = (
        {} if shipped is None else {name: getattr(shipped, name) for name in _Region.__struct_fields__}
    )
    for name, row in snapshot.rows.items():
        known = rows.get(name)
        if name in _Region.__struct_fields__ and (known is None or known.date <= snapshot.fetched):
            source = f"AWS Price List API, {row.source}"
            rows[name] = _Row(usd=row.usd, source=source, date=snapshot.fetched, refreshed=True)
    try:
        return _Region(**rows)
    except TypeError:  # too little to charge by
        return shipped


def _filled(region: str) -> _Region | None:
    """A region's rows, each missing one replaced by the dearest on record; None: AWS sells no Lambda there.

    Only arm64's may stay missing: a region that has a price for x86_64 alone has no arm64.
    """
    found = _region(region)
    if found is None and region not in limits().regions_with_lambda:
        return None
    rows = {} if found is None else {name: getattr(found, name) for name in _Region.__struct_fields__}
    for name in _Region.__struct_fields__:
        if rows.get(name) is None and not (name == "duration_arm64_per_gb_s" and found is not None):
            rows[name] = _dearest(name)
    return _Region(**rows)


@functools.cache
def _dearest(name: str) -> _Row:
    """The dearest shipped row of this name; it names its region."""
    rows: dict[str, _Row] = {
        region: row for region, found in _file().regions.items() if (row := getattr(found, name)) is not None
    }
    region = max(rows, key=lambda region: Decimal(rows[region].usd))
    return msgspec.structs.replace(rows[region], assumed_from=region)


def regions() -> list[str]:
    """The regions with Lambda, and those with refreshed prices, in the alphabet's order."""
    try:
        cached = {path.stem for path in cache_place("prices").glob("*.json")}
    except InputError:
        cached = set()
    known = {*_file().regions, *limits().regions_with_lambda}
    return sorted(known | {region for region in cached if _region(region) is not None})


def age_days(date: str) -> int:
    """Days since an ISO 8601 date; 0 for one that is to come."""
    return max(0, (datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(date)).days)


def prices(region: str) -> list[Price]:
    """A region's prices with source and age, in the order of prices.toml.

    Raises:
        InputError: there are none.
    """
    found = _found(region)
    return [
        Price(
            name=name,
            usd=row.usd,
            source=_source(row),
            date=row.date.isoformat(),
            age_days=age_days(row.date.isoformat()),
            refreshed=row.refreshed,
            assumed_from=row.assumed_from,
        )
        for name in _Region.__struct_fields__
        if (row := getattr(found, name)) is not None
    ]


def shipped_price(region: str, name: str) -> Decimal | None:
    """The price of a row of prices.toml as it is shipped; None: it has none."""
    found = _file().regions.get(region)
    return None if found is None else _price(getattr(found, name))


def _found(region: str) -> _Region:
    found = _filled(region)
    if found is None:
        raise InputError(
            f"no verified prices for region {region!r}: fetch them with `lbench prices --refresh --region {region}`, or "
            f"choose one of {', '.join(regions())} with --region"
        )
    return found


def _source(row: _Row) -> str:
    return row.source if row.refreshed else _file().sources[row.source]


def rates(region: str, architecture: str) -> Rates:
    """The prices of a region for `x86_64` or `arm64`.

    Raises:
        InputError: AWS sells no Lambda there, or not for this architecture; the message names the regions.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(f"the architecture must be {' or '.join(ARCHITECTURES)}, got {architecture!r}")
    found = _found(region)
    duration = found.duration_arm64_per_gb_s if architecture == "arm64" else found.duration_x86_64_per_gb_s
    if duration is None:
        raise InputError(f"region {region!r} has no price for {architecture}: use --arch x86_64, or another region")
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
        http_api_request_usd=_each(found.http_api_per_million, -6),
        price_date=duration.date.isoformat(),
        price_source=_source(duration),
        assumed={
            field: row.assumed_from
            for field, row in {
                "duration_gb_s_usd": duration,
                "request_usd": found.request,
                "storage_gb_s_usd": found.storage_per_gb_s,
                "s3_put_usd": found.s3_put_per_1000,
                "s3_get_usd": found.s3_get_per_1000,
                "s3_storage_gb_month_usd": found.s3_storage_per_gb_month,
                "logs_gb_usd": found.logs_per_gb,
                "transfer_gb_usd": found.transfer_out_per_gb,
                "http_api_request_usd": found.http_api_per_million,
            }.items()
            if row is not None and row.assumed_from is not None
        },
    )


def _price(row: _Row | None) -> Decimal | None:
    return None if row is None else Decimal(row.usd)


def _each(row: _Row | None, power: int = -3) -> Decimal | None:
    """The price of one, from the price of a thousand (or of 10 to the other power, negated)."""
    return None if row is None else Decimal(row.usd).scaleb(power)


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
