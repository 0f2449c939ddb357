"""The Price List API's answers: small recorded ones, as AWS gives them, checked by botocore's model of the service."""

from __future__ import annotations

import asyncio
import datetime
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

from lbench.config import prices
from lbench.config.aws import AwsError
from lbench.config.price_list import WANTED, fetch, refresh, rows_of
from lbench.errors import DataFileError, InputError

# us-east-1 as the Price List had them in September 2026: SKU, service, family, attributes, unit, tiers (begin, end, USD).
# Beside each wanted product stand those that are easily taken for it.
Row = tuple[str, str, str, dict[str, str], str, list[tuple[str, str, str]]]
EAST: list[Row] = [
    (
        "TG3M4CAGBA3NYQBH",
        "AWSLambda",
        "Serverless",
        {"group": "AWS-Lambda-Duration", "usagetype": "Lambda-GB-Second"},
        "Lambda-GB-Second",
        [
            ("0", "6000000000", "0.0000166667"),
            ("6000000000", "15000000000", "0.0000150000"),
            ("15000000000", "Inf", "0.0000133334"),
        ],
    ),
    (
        "72SBSFWPMDTH8S3J",
        "AWSLambda",
        "Serverless",
        {"group": "AWS-Lambda-Duration-ARM", "usagetype": "Lambda-GB-Second-ARM"},
        "Lambda-GB-Second",
        [
            ("0", "7500000000", "0.0000133334"),
            ("7500000000", "18750000000", "0.0000120001"),
            ("18750000000", "Inf", "0.0000106667"),
        ],
    ),
    (
        "GU2ZS9HVP6QTQ7KE",
        "AWSLambda",
        "Serverless",
        {"group": "AWS-Lambda-Requests", "usagetype": "Request"},
        "Request",
        [("0", "Inf", "0.0000002000")],
    ),
    (
        "CVY5JH8RFRXMP92N",
        "AWSLambda",
        "Serverless",
        {"group": "AWS-Lambda-Storage-Duration", "usagetype": "Lambda-Storage-GB-Second"},
        "GB-Seconds",
        [("0", "Inf", "0.0000000309")],
    ),
    (
        "EDGE",
        "AWSLambda",
        "Serverless",
        {"group": "AWS-Lambda-Edge-Duration", "usagetype": "Lambda-Edge-GB-Second"},
        "Lambda-GB-Second",
        [("0", "Inf", "0.0000500100")],
    ),
    (
        "FREE",
        "AWSLambda",
        "Serverless",
        {"group": "AWS-Lambda-Duration", "usagetype": "Global-Lambda-GB-Second", "regionCode": ""},
        "seconds",
        [("0", "400000", "0.0000000000")],
    ),
    (
        "E9YHNFENF4XQBZR6",
        "AmazonS3",
        "API Request",
        {"group": "S3-API-Tier1", "usagetype": "Requests-Tier1"},
        "Requests",
        [("0", "Inf", "0.0000050000")],
    ),
    (
        "TIER2",
        "AmazonS3",
        "API Request",
        {"group": "S3-API-Tier2", "usagetype": "Requests-Tier2"},
        "Requests",
        [("0", "Inf", "0.0000004000")],
    ),
    (
        "WP9ANXZGBYYSGJEA",
        "AmazonS3",
        "Storage",
        {"storageClass": "General Purpose", "volumeType": "Standard", "usagetype": "TimedStorage-ByteHrs"},
        "GB-Mo",
        [("51200", "512000", "0.0220000000"), ("0", "51200", "0.0230000000"), ("512000", "Inf", "0.0210000000")],
    ),
    (
        "LOGS",
        "AmazonCloudWatch",
        "Data Payload",
        {"group": "Ingested Logs", "usagetype": "USE1-DataProcessing-Bytes"},
        "GB",
        [("0", "Inf", "0.5000000000")],
    ),
    (
        "INFREQUENT",
        "AmazonCloudWatch",
        "Data Payload",
        {"group": "Ingested Logs", "usagetype": "USE1-DataProcessingIA-Bytes"},
        "GB",
        [("0", "Inf", "0.2500000000")],
    ),
    (
        "OUT",
        "AWSDataTransfer",
        "Data Transfer",
        {
            "transferType": "AWS Outbound",
            "fromRegionCode": "us-east-1",
            "toLocation": "External",
            "usagetype": "USE1-DataTransfer-Out-Bytes",
        },
        "GB",
        [("0", "10240", "0.0900000000"), ("10240", "51200", "0.0850000000"), ("153600", "Inf", "0.0500000000")],
    ),
    (
        "HTTP",
        "AmazonApiGateway",
        "API Calls",
        {"usagetype": "USE1-ApiGatewayHttpRequest"},
        "Requests",
        [("0", "300000000", "0.0000010000"), ("300000000", "Inf", "0.0000009000")],
    ),
]


def item(row: Row, region: str = "us-east-1") -> str:
    """A product as GetProducts tells it: a JSON text."""
    sku, service, family, attributes, unit, tiers = row
    where = {"regionCode": region, "location": region, "locationType": "AWS Region", "servicecode": service}
    dimensions = {
        f"{sku}.JRTCKXETXF.{number}": {
            "unit": unit,
            "beginRange": begin,
            "endRange": end,
            "description": "$",
            "appliesTo": [],
            "rateCode": f"{sku}.JRTCKXETXF.{number}",
            "pricePerUnit": {"USD": usd},
        }
        for number, (begin, end, usd) in enumerate(tiers)
    }
    term = {
        "priceDimensions": dimensions,
        "sku": sku,
        "effectiveDate": "2026-09-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    return json.dumps(
        {
            "product": {"productFamily": family, "attributes": where | attributes, "sku": sku},
            "serviceCode": service,
            "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
            "version": "20260919000000",
            "publicationDate": "2026-09-19T00:00:00Z",
        }
    )


class PriceList:
    """An endpoint of the API: it answers with what it has of a service, two products a page; the model checks both ways."""

    def __init__(self) -> None:
        self.rows = list(EAST)
        self.refusal: tuple[int, str] | None = None
        model = botocore.session.get_session().get_service_model("pricing").operation_model("GetProducts")
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
                validate_parameters(asked, model.input_shape)
                status, reply = outer.answer(asked)
                if status == 200:
                    validate_parameters(reply, model.output_shape)
                body = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def answer(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusal is not None:
            status, code = self.refusal
            return status, {"__type": code, "message": "You are not authorized to perform: pricing:GetProducts"}
        found = [item(row) for row in self.rows if row[1] == asked["ServiceCode"]]
        start = int(asked.get("NextToken", "0"))
        page: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": found[start : start + 2]}
        if start + 2 < len(found):
            page["NextToken"] = str(start + 2)
        return 200, page

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[PriceList]:
    served = PriceList()
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", f"http://127.0.0.1:{served.server.server_address[1]}")
    yield served
    served.close()


def test_what_is_refreshed_from_us_east_1_equals_what_is_shipped(api: PriceList) -> None:
    rows = asyncio.run(fetch("us-east-1"))
    assert set(rows) == {wanted.row for wanted in WANTED}
    for wanted in WANTED:
        assert Decimal(rows[wanted.row].usd) == prices.shipped_price("us-east-1", wanted.row), wanted.row
    for architecture in prices.ARCHITECTURES:
        shipped = prices.rates("us-east-1", architecture)
        asyncio.run(refresh("us-east-1"))
        fetched = prices.rates("us-east-1", architecture)
        same = {"price_date": shipped.price_date, "price_source": shipped.price_source}
        assert msgspec.structs.replace(fetched, **same) == shipped
        assert fetched.price_date == datetime.datetime.now(datetime.UTC).date().isoformat()
        assert fetched.price_source == "AWS Price List API, AWSLambda as published 2026-09-19"
        next(prices.cache_folder("prices").iterdir()).unlink()


def test_runs_are_charged_by_a_refreshed_price_from_then_on(api: PriceList) -> None:
    sku, service, family, attributes, unit, _ = api.rows[2]
    api.rows[2] = (sku, service, family, attributes, unit, [("0", "Inf", "0.0000003000")])
    asyncio.run(refresh("us-east-1"))
    assert prices.rates("us-east-1", "arm64").request_usd == Decimal("0.0000003")
    row = next(row for row in prices.prices("us-east-1") if row.name == "request")
    assert (row.usd, row.refreshed, row.age_days, row.stale) == ("0.0000003", True, 0, False)


def test_a_region_that_is_not_shipped_can_be_charged_once_it_was_refreshed(api: PriceList) -> None:
    moved = [
        (sku, one, two, {**four, "regionCode": "xx-south-1"}, *rest) for sku, one, two, four, *rest in api.rows[:4]
    ]
    api.rows = moved  # type: ignore[assignment]
    with pytest.raises(InputError, match="--refresh --region xx-south-1"):
        prices.rates("xx-south-1", "x86_64")
    asyncio.run(refresh("xx-south-1"))
    found = prices.rates("xx-south-1", "x86_64")
    assert found.duration_gb_s_usd == Decimal("0.0000166667") and "duration_gb_s_usd" not in found.assumed
    assert found.assumed["s3_put_usd"] == "sa-east-1"  # the dearest known stands in for what the list does not have
    assert "xx-south-1" in prices.regions()


def test_a_price_that_the_api_no_longer_tells_keeps_its_shipped_row(api: PriceList) -> None:
    api.rows = [row for row in api.rows if row[1] != "AmazonS3"]
    asyncio.run(refresh("us-east-1"))
    assert prices.rates("us-east-1", "x86_64").s3_put_usd == Decimal("0.000005")


def test_no_price_is_made_up_for_a_processor_that_the_api_tells_nothing_of(api: PriceList) -> None:
    shipped = prices.rates("us-east-1", "arm64").duration_gb_s_usd
    api.rows = [row for row in api.rows if not str(row[3]["usagetype"]).startswith("Lambda-GB-Second-ARM")]
    assert "duration_arm64_per_gb_s" not in asyncio.run(fetch("us-east-1"))
    asyncio.run(refresh("us-east-1"))
    assert prices.rates("us-east-1", "arm64").duration_gb_s_usd == shipped
    assert prices.rates("us-east-1", "x86_64").duration_gb_s_usd > shipped


def test_a_region_without_lambda_is_reported_in_one_line(api: PriceList) -> None:
    with pytest.raises(DataFileError, match=r"no duration_x86_64_per_gb_s for region 'mars-north-1'"):
        asyncio.run(refresh("mars-north-1"))


def test_no_permission_is_reported_with_its_remedy_and_changes_nothing(api: PriceList) -> None:
    api.refusal = (400, "AccessDeniedException")
    with pytest.raises(AwsError) as caught:
        asyncio.run(refresh("us-east-1"))
    assert "\n" not in str(caught.value) and "pricing" in str(caught.value).lower()
    assert not list(prices.cache_folder("prices").iterdir())


def by_row(name: str) -> tuple[Any, Row]:
    wanted = next(one for one in WANTED if one.row == name)
    return wanted, next(row for row in EAST if rows_of([item(row)], wanted, "us-east-1") is not None)


@pytest.mark.parametrize("name", [wanted.row for wanted in WANTED])
@pytest.mark.parametrize("unit", ["1000 Requests", "GB-Hours", "MB", "Seconds", ""])
def test_another_unit_is_refused(name: str, unit: str) -> None:
    wanted, (sku, service, family, attributes, _, tiers) = by_row(name)
    with pytest.raises(DataFileError, match="unit"):
        rows_of([item((sku, service, family, attributes, unit, tiers))], wanted, "us-east-1")


@given(st.sampled_from([wanted.row for wanted in WANTED]), st.sampled_from([3, -3, 6, -6, 1, -1]))
def test_a_price_that_is_off_by_powers_of_ten_is_refused(name: str, power: int) -> None:
    wanted, (sku, service, family, attributes, unit, tiers) = by_row(name)
    moved = [(begin, end, f"{Decimal(usd).scaleb(power):f}") for begin, end, usd in tiers]
    with pytest.raises(DataFileError, match="where us-east-1 has"):
        rows_of([item((sku, service, family, attributes, unit, moved))], wanted, "us-east-1")


@given(st.permutations(EAST), st.data())
def test_the_order_of_products_and_of_tiers_changes_nothing(rows: list[Row], data: st.DataObject) -> None:
    mixed = [(*row[:5], data.draw(st.permutations(row[5]))) for row in rows]
    for wanted in WANTED:
        found = rows_of([item(row) for row in mixed], wanted, "us-east-1")
        assert found is not None
        assert Decimal(found.usd) == prices.shipped_price("us-east-1", wanted.row)


def test_two_prices_for_one_thing_are_refused() -> None:
    wanted, row = by_row("request")
    other = (*row[:5], [("0", "Inf", "0.0000003")])
    with pytest.raises(DataFileError, match="2 prices"):
        rows_of([item(row), item(other)], wanted, "us-east-1")


@pytest.mark.parametrize("text", ["", "{}", '{"product": 1}', "[]", '{"product": {"attributes": {}}, "terms": []}'])
def test_an_answer_that_is_not_as_documented_is_reported_in_one_line(text: str) -> None:
    with pytest.raises(DataFileError, match="nothing was changed"):
        rows_of([text], WANTED[0], "us-east-1")


def test_prices_grow_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prices.age_days("2999-01-01") == 0
    old = (datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=prices.STALE_DAYS + 1)).isoformat()
    assert prices.age_days(old) == prices.STALE_DAYS + 1
    row = prices.Price("request", "1", "x", old, prices.age_days(old), False)
    assert row.stale


@pytest.mark.parametrize("content", [b"", b"{", b'{"region": "us-east-1"}', b"\xff\xfe"])
def test_a_damaged_cache_is_as_none(content: bytes) -> None:
    shipped = prices.rates("us-east-1", "x86_64")
    (prices.cache_folder("prices") / "us-east-1.json").write_bytes(content)
    assert prices.rates("us-east-1", "x86_64") == shipped


def test_the_command_refreshes_and_shows_where_each_price_is_from(api: PriceList) -> None:
    argv = [sys.executable, "-m", "lbench", "prices", "--refresh", "--region", "us-east-1", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["prices"]
    assert len(rows) == len(WANTED) and all(row["refreshed"] and row["age_days"] <= 1 for row in rows)
    api.refusal = (400, "AccessDeniedException")
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert 'have a policy attached that allows pricing:GetProducts on "*"' in refused.stderr
