"""Reads a region's prices from AWS's Price List API, checks each row, and keeps them in the cache.

A product is matched by its exact group or usage type; its unit must be the expected one. A price more than five times
us-east-1's shipped one, or less than a fifth, is refused: a mistake of a thousand (a request or a thousand of them) cannot
come in.

Source of groups, usage types and units: AWS Price List (offers AWSLambda, AmazonS3, AmazonCloudWatch, AWSDataTransfer,
AmazonApiGateway) as quoted in public files; the free tiers are products of the location "Any" or "Global", or a first
tier that costs nothing, and are passed over.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from lbench.config.aws import aws_client, aws_session
from lbench.config.prices import Snapshot, SnapshotRow, save_snapshot, shipped_price
from lbench.errors import DataFileError

__all__ = ["WANTED", "Wanted", "fetch", "refresh", "rows_of"]

_ENDPOINT_REGION = "us-east-1"  # the API is in few regions, and has the prices of all
_REFERENCE = "us-east-1"
_POLICY = 'have a policy attached that allows pricing:GetProducts on "*"'
_FACTOR = 5  # no region is so much dearer or cheaper: the dearest on record is 3 times us-east-1


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The product of the Price List that gives a row of our prices."""

    row: str  # as in prices.toml
    service: str
    attributes: dict[str, str]  # that it has exactly
    usage: str  # what its usage type is, after the region's prefix: a regular expression
    units: tuple[str, ...]
    family: str | None = None
    scale: int = 0  # our row is of 10 to this power of the unit
    region_field: str = "regionCode"


WANTED = (
    Wanted(
        row="duration_x86_64_per_gb_s",
        service="AWSLambda",
        attributes={"group": "AWS-Lambda-Duration"},
        usage="Lambda-GB-Second",
        units=("Lambda-GB-Second", "GB-Second", "GB-Seconds"),
    ),
    Wanted(
        row="duration_arm64_per_gb_s",
        service="AWSLambda",
        attributes={"group": "AWS-Lambda-Duration-ARM"},
        usage="Lambda-GB-Second-ARM",
        units=("Lambda-GB-Second", "GB-Second", "GB-Seconds"),
    ),
    Wanted(
        row="request",
        service="AWSLambda",
        attributes={"group": "AWS-Lambda-Requests"},
        usage="Request",
        units=("Request", "Requests"),
    ),
    Wanted(
        row="storage_per_gb_s",
        service="AWSLambda",
        attributes={"group": "AWS-Lambda-Storage-Duration"},
        usage="Lambda-Storage-GB-Second",
        units=("GB-Seconds", "GB-Second", "Lambda-GB-Second"),
    ),
    Wanted(
        row="s3_put_per_1000",
        service="AmazonS3",
        attributes={"group": "S3-API-Tier1"},
        usage="Requests-Tier1",
        units=("Requests",),
        scale=3,
    ),
    Wanted(
        row="s3_get_per_1000",
        service="AmazonS3",
        attributes={"group": "S3-API-Tier2"},
        usage="Requests-Tier2",
        units=("Requests",),
        scale=3,
    ),
    Wanted(
        row="s3_storage_per_gb_month",
        service="AmazonS3",
        attributes={"storageClass": "General Purpose", "volumeType": "Standard"},
        usage="TimedStorage-ByteHrs",
        units=("GB-Mo",),
    ),
    Wanted(
        row="logs_per_gb",
        service="AmazonCloudWatch",
        attributes={},
        family="Data Payload",
        usage="DataProcessing-Bytes",
        units=("GB",),
    ),
    Wanted(
        row="transfer_out_per_gb",
        service="AWSDataTransfer",
        attributes={"transferType": "AWS Outbound", "toLocation": "External"},
        usage="DataTransfer-Out-Bytes",
        units=("GB",),
        region_field="fromRegionCode",
    ),
    Wanted(
        row="http_api_per_million",
        service="AmazonApiGateway",
        attributes={},
        family="API Calls",
        usage="ApiGatewayHttpRequest",
        units=("Requests", "Request"),
        scale=6,
    ),
)


class _Dimension(msgspec.Struct, rename="camel"):
    unit: str
    begin_range: str
    price_per_unit: dict[str, str]


class _Term(msgspec.Struct, rename="camel"):
    price_dimensions: dict[str, _Dimension]


class _Terms(msgspec.Struct):
    on_demand: dict[str, _Term] = msgspec.field(default_factory=dict, name="OnDemand")


class _Product(msgspec.Struct, rename="camel"):
    attributes: dict[str, str]
    product_family: str = ""


class _Item(msgspec.Struct, rename="camel"):
    product: _Product
    terms: _Terms
    publication_date: str = ""
    version: str = ""


_item = msgspec.json.Decoder(_Item)


def rows_of(items: Iterable[str], wanted: Wanted, region: str) -> SnapshotRow | None:
    """The wanted price out of a `PriceList`; None where no product is the one.

    Args:
        items: the products, each a JSON text, as GetProducts returns them.
        wanted: which one.
        region: of which region.

    Raises:
        DataFileError: the product has another unit than is known, two prices, or one that cannot be.
    """
    found: dict[Decimal, _Item] = {}
    for text in items:
        try:
            item = _item.decode(text)
        except msgspec.MsgspecError as error:
            raise DataFileError(
                f"the Price List API's reply is not as documented ({error}): nothing was changed"
            ) from None
        if _is(item.product, wanted, region) and (price := _first_tier(item, wanted)) is not None:
            found[price] = item
    if not found:
        return None
    if len(found) > 1:
        raise _refused(wanted, f"has {len(found)} prices in {region}")
    (each, item), *_ = found.items()
    usd = each.scaleb(wanted.scale)
    reference = shipped_price(_REFERENCE, wanted.row)
    if reference is not None and not reference / _FACTOR <= usd <= reference * _FACTOR:
        raise _refused(wanted, f"would be ${usd:f}, where {_REFERENCE} has ${reference:f}")
    published = item.publication_date[:10]
    return SnapshotRow(
        usd=f"{usd.normalize():f}", source=f"{wanted.service} as published {published}" if published else wanted.service
    )


def _is(product: _Product, wanted: Wanted, region: str) -> bool:
    attributes = product.attributes
    return (
        attributes.get(wanted.region_field) == region
        and all(attributes.get(name) == value for name, value in wanted.attributes.items())
        and wanted.family in (None, product.product_family)
        and re.fullmatch(rf"(?:[A-Z0-9]+-)?{wanted.usage}", attributes.get("usagetype", "")) is not None
    )


def _first_tier(item: _Item, wanted: Wanted) -> Decimal | None:
    """The price of the first tier that costs anything; None: it is free (the free tier's own product)."""
    tiers: list[tuple[Decimal, Decimal]] = []
    for term in item.terms.on_demand.values():
        for one in term.price_dimensions.values():
            if one.unit not in wanted.units:
                raise _refused(wanted, f"has the unit {one.unit!r}, not {' or '.join(wanted.units)}")
            try:
                tiers.append((Decimal(one.begin_range), Decimal(one.price_per_unit["USD"])))
            except (InvalidOperation, KeyError):
                raise _refused(wanted, "has no amount in US dollars") from None
    return next((usd for _, usd in sorted(tiers) if usd > 0), None)


def _refused(wanted: Wanted, why: str) -> DataFileError:
    return DataFileError(f"the price {wanted.row} ({wanted.service}) {why}: it was rejected, and nothing was changed")


async def fetch(region: str) -> dict[str, SnapshotRow]:
    """Ask the Price List API for a region's prices, by the names of prices.toml. It is free, and needs credentials.

    Raises:
        AwsError: it cannot be asked.
        DataFileError: an answer is not as it must be, or the region has no prices for Lambda.
    """
    session = aws_session(_ENDPOINT_REGION)
    rows: dict[str, SnapshotRow] = {}
    async with aws_client(session, "pricing", region=_ENDPOINT_REGION, policy=_POLICY) as client:
        for wanted in WANTED:
            row = rows_of(await _products(client, wanted, region), wanted, region)
            if row is not None:
                rows[wanted.row] = row
    missing = [name for name in ("duration_x86_64_per_gb_s", "request", "storage_per_gb_s") if name not in rows]
    if missing:
        raise DataFileError(
            f"the Price List API has no {missing[0]} for region {region!r}: is it a region with Lambda?"
        )
    return rows


async def _products(client: Any, wanted: Wanted, region: str) -> list[str]:
    filters = {wanted.region_field: region, **wanted.attributes}
    if wanted.family is not None:
        filters["productFamily"] = wanted.family
    asked: dict[str, Any] = {
        "ServiceCode": wanted.service,
        "FormatVersion": "aws_v1",
        "MaxResults": 100,
        "Filters": [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in filters.items()],
    }
    items: list[str] = []
    while True:
        page = await client.get_products(**asked)
        items += page.get("PriceList", [])
        if not page.get("NextToken"):
            return items
        asked["NextToken"] = page["NextToken"]


async def refresh(region: str) -> Snapshot:
    """Fetch a region's prices and keep them in the cache: runs are charged by them from now on.

    Raises:
        AwsError: the API cannot be asked.
        DataFileError: an answer is not as it must be; what was known stays.
        InputError: the cache cannot be written.
    """
    snapshot = Snapshot(region=region, fetched=datetime.datetime.now(datetime.UTC).date(), rows=await fetch(region))
    save_snapshot(snapshot)
    return snapshot
