"""The price file says what the collected facts say, and each row says where it comes from."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

import lbench.config.prices
from lbench.config.limits import limits
from lbench.config.prices import ARCHITECTURES, machines, prices, rates, regions
from lbench.errors import InputError

FILE = Path(lbench.config.prices.__file__).with_name("prices.toml")
ROWS = tomllib.loads(FILE.read_text(encoding="utf-8"))


def test_us_east_1_costs_what_the_price_list_says() -> None:
    x86, arm = rates("us-east-1", "x86_64"), rates("us-east-1", "arm64")
    assert x86.duration_gb_s_usd == Decimal("0.0000166667")
    assert arm.duration_gb_s_usd == Decimal("0.0000133334")
    for found in (x86, arm):
        assert found.request_usd == Decimal("0.0000002")
        assert found.storage_gb_s_usd == Decimal("0.0000000309")
        assert found.s3_put_usd == Decimal("0.005") / 1000
        assert found.s3_get_usd == Decimal("0.0004") / 1000
        assert found.s3_storage_gb_month_usd == Decimal("0.023")
        assert found.logs_gb_usd == Decimal("0.5")
        assert found.transfer_gb_usd == Decimal("0.09")
        assert (found.price_date, "AWSLambda" in found.price_source) == ("2026-09-19", True)


@pytest.mark.parametrize(
    ("region", "x86", "arm", "request_usd", "storage"),
    [
        ("af-south-1", "0.0000221", "0.00001768", "2.7e-7", "4.04e-8"),
        ("ap-east-1", "0.00002292", "0.0000183", "2.8e-7", "4.07e-8"),
        ("ap-southeast-5", "0.000015", "0.000012", "1.8e-7", "3.33e-8"),
        ("eu-central-1", "0.0000166667", "0.0000133334", "2e-7", "3.67e-8"),
        ("eu-central-2", "0.0000183334", "0.0000146667", "2.2e-7", "4.41e-8"),
        ("eu-south-1", "0.0000195172", "0.0000156138", "2.3e-7", "3.57e-8"),
        ("sa-east-1", "0.0000166667", "0.0000133334", "2e-7", "5.86e-8"),
        ("us-west-1", "0.0000166667", "0.0000133334", "2e-7", "3.7e-8"),
    ],
)
def test_a_region_has_prices_of_its_own(region: str, x86: str, arm: str, request_usd: str, storage: str) -> None:
    assert rates(region, "x86_64").duration_gb_s_usd == Decimal(x86)
    assert rates(region, "arm64").duration_gb_s_usd == Decimal(arm)
    assert rates(region, "arm64").request_usd == Decimal(request_usd)
    assert rates(region, "x86_64").storage_gb_s_usd == Decimal(storage)


def test_every_region_with_lambda_has_a_price_for_every_item() -> None:
    assert len(ROWS["regions"]) == 23 and set(ROWS["regions"]) < set(regions()) == set(limits().regions_with_lambda)
    for region in regions():
        for architecture in ARCHITECTURES:
            found = rates(region, architecture)
            assert Decimal("0.00001") < found.duration_gb_s_usd < Decimal("0.00003")
            assert found.price_date and found.price_source
            assert all(getattr(found, field) is not None for field in found.__struct_fields__)


def test_a_price_that_is_not_known_is_the_dearest_known_and_names_its_region() -> None:
    dublin = rates("eu-west-1", "x86_64")
    assert dublin.s3_put_usd == Decimal("0.007") / 1000 and dublin.transfer_gb_usd == Decimal("0.15")  # Sao Paulo's
    assert dublin.logs_gb_usd == Decimal("0.76")
    assert dublin.assumed["s3_put_usd"] == dublin.assumed["transfer_gb_usd"] == "sa-east-1"
    assert "duration_gb_s_usd" not in dublin.assumed and "request_usd" not in dublin.assumed
    assert rates("us-east-1", "arm64").assumed == {}
    seoul = rates("ap-northeast-2", "arm64")
    assert seoul.logs_gb_usd == Decimal("0.76") and set(seoul.assumed) == {"transfer_gb_usd"}


@pytest.mark.parametrize("region", ["ap-south-2", "me-south-1", "us-gov-west-1"])
def test_a_region_without_any_known_price_is_charged_the_dearest_of_each(region: str) -> None:
    found = rates(region, "arm64")
    assert found.duration_gb_s_usd == Decimal("0.0000183") and found.request_usd == Decimal("0.00000028")  # Hong Kong's
    assert found.storage_gb_s_usd == Decimal("0.0000000586") and len(found.assumed) == 9
    assert all(row.assumed_from for row in prices(region))


@pytest.mark.parametrize("region", ["cn-north-1", "mars-north-1", ""])
def test_another_region_is_reported_in_one_line_which_there_are(region: str) -> None:
    with pytest.raises(InputError) as caught:
        rates(region, "x86_64")
    message = str(caught.value)
    assert "\n" not in message
    assert all(known in message for known in regions())


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="must be x86_64 or arm64, got 'mips'"):
        rates("us-east-1", "mips")


def test_every_row_has_a_source_and_a_date() -> None:
    rows = [row for region in ROWS["regions"].values() for row in region.values()] + ROWS["machines"]
    assert len(rows) > 23 * 4
    for row in rows:
        assert row["source"] in ROWS["sources"]
        assert row["date"].year == 2026
        assert isinstance(row.get("usd", row.get("usd_per_hour")), str)  # no float ever holds a price
    used = {row["source"] for row in rows}
    assert used == set(ROWS["sources"])


def test_machines_rent_for_what_the_price_list_says() -> None:
    assert [(m.type, m.vcpus, m.gib, m.usd_per_hour) for m in machines()] == [
        ("c7i.xlarge", 4, 8, Decimal("0.1785")),
        ("m7i.xlarge", 4, 16, Decimal("0.2016")),
    ]
    assert {machine.region for machine in machines()} == {"us-east-1"}
