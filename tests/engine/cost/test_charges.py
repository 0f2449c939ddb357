"""Costs equal bills worked by hand from the published prices, to the last digit."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbench.config.prices import Rates, machines, rates, regions
from lbench.engine.cost.charges import (
    CostItems,
    assumed_items,
    billed_ms,
    bound_usd,
    invocation_usd,
    log_bytes,
    logs_usd,
    lost_deadline_ms,
    run_cost,
    s3_usd,
    total_usd,
    transfer_usd,
    worst_ms,
)
from lbench.engine.cost.format import usd_short, usd_text
from lbench.engine.cost.rent import hourly_usd, machine_rent, rent_usd

US = rates("us-east-1", "x86_64")
GIB = 1024**3


def _exact(usd: Decimal | None) -> Fraction:
    assert usd is not None
    return Fraction(usd)


# What is billed: real REPORT lines (duration, init, billed) since init is billed, August 2025.
@pytest.mark.parametrize(
    ("duration", "init", "billed"),
    [
        (1.57, 487.97, 490),  # 489.54
        (8959.28, 1202.75, 10163),  # 10162.03
        (276.68, 611.77, 889),  # 888.45
        (2.46, 413.61, 417),  # 416.07
        (133.61, 80.00, 214),  # 213.61: a crash
        (3000.00, 402.04, 3403),  # 3402.04: a timeout
        (1233.96, 463.512, 1698),  # 1697.472
        (14.97, None, 15),
        (600000.00, None, 600000),
    ],
)
def test_billed_is_duration_and_init_rounded_up(duration: float, init: float | None, billed: int) -> None:
    assert billed_ms(duration, init) == billed


@given(st.integers(0, 900_000_00), st.integers(0, 10_000_00))
def test_a_whole_sum_is_never_rounded_up(duration: int, init: int) -> None:
    # hundredths of a millisecond, as AWS prints them
    assert billed_ms(duration / 100, init / 100) == -(-(duration + init) // 100)


def test_a_cold_start_of_128_mb_costs_what_its_bill_says() -> None:
    # 490 ms at 128 MB: 0.49 s x 128/1024 GB = 0.06125 GB-s; x $0.0000166667 = $0.000001020835375
    cost = invocation_usd(US, 490, 128)
    assert cost.duration == Decimal("0.000001020835375")
    assert cost.requests == Decimal("0.0000002")
    assert cost.storage == 0
    assert cost.usd == Decimal("0.000001220835375")


def test_a_million_seconds_of_a_gigabyte_cost_16_dollars_67() -> None:
    # 1,000,000 invocations of 1 s at 1,024 MB: 1,000,000 GB-s x $0.0000166667 = $16.6667
    # and 1,000,000 requests x $0.0000002 = $0.20; on arm64 $13.3334 and $0.20
    billed = np.full(1_000_000, 1000, dtype=np.int32)
    assert run_cost(US, billed, memory_mb=1024).usd == Decimal("16.8667")
    assert run_cost(rates("us-east-1", "arm64"), billed, memory_mb=1024).usd == Decimal("13.5334")


def test_a_run_in_milan_with_a_larger_tmp_costs_what_its_bill_says() -> None:
    # eu-south-1, arm64: 100 invocations of 2 s at 2,048 MB = 400 GB-s x $0.0000156138 = $0.00624552
    # /tmp of 1,024 MB, of which 512 are free: 0.5 GB x 200 s = 100 GB-s x $0.0000000357 = $0.00000357
    # 100 requests x $0.00000023 = $0.000023
    cost = run_cost(rates("eu-south-1", "arm64"), [2000] * 100, memory_mb=2048, ephemeral_mb=1024)
    assert cost.items.duration == Decimal("0.00624552")
    assert cost.items.storage == Decimal("0.00000357")
    assert cost.items.requests == Decimal("0.000023")
    assert cost.usd == Decimal("0.00627209")


def test_s3_transfer_and_logs_in_us_east_1_cost_what_their_bill_says() -> None:
    # S3: 1,000 PUT at $0.005 and 10,000 GET at $0.0004 a thousand = $0.009
    # transfer: 3 GB out x $0.09 = $0.27; logs: 0.5 GB x $0.50 = $0.25
    cost = run_cost(
        US,
        [1000],
        memory_mb=1024,
        s3_requests={"put": 1000, "get": 10_000},
        transfer_bytes=3 * GIB,
        log_bytes=GIB // 2,
    )
    assert (cost.items.s3, cost.items.transfer, cost.items.logs) == (
        Decimal("0.009"),
        Decimal("0.27"),
        Decimal("0.25"),
    )
    # $0.0000166667 + $0.0000002 + $0.009 + $0.27 + $0.25
    assert cost.usd == Decimal("0.5290168667")
    assert cost.left_out == ()


def test_an_item_without_a_known_price_costs_the_dearest_known_and_is_named() -> None:
    # Dublin's S3, transfer and logs are not known. Dearest: 5 PUT x $0.007 + 5 GET x $0.00056 a thousand = $0.0000378,
    # transfer $0.15, logs $0.76
    dublin = rates("eu-west-1", "x86_64")
    cost = run_cost(dublin, [1000], memory_mb=1024, s3_requests={"put": 5, "get": 5}, transfer_bytes=GIB, log_bytes=GIB)
    assert (cost.items.s3, cost.items.transfer, cost.items.logs) == (
        Decimal("0.0000378"),
        Decimal("0.15"),
        Decimal("0.76"),
    )
    assert cost.usd == Decimal("0.0000168667") + Decimal("0.9100378") and cost.left_out == ()
    assert [text.partition(":")[0] for text in cost.assumed] == ["transfer", "s3", "logs"]
    assert all("no price is known for eu-west-1" in text for text in cost.assumed)
    assert "sa-east-1" in cost.assumed[0]


def test_an_item_that_costs_nothing_is_not_named_as_assumed() -> None:
    cost = run_cost(rates("eu-west-1", "x86_64"), [1000], memory_mb=1024, s3_requests={}, transfer_bytes=0, log_bytes=0)
    assert cost.assumed == ()


def _unknown(region: str) -> Rates:
    """Prices as an older version recorded them."""
    gone = dict.fromkeys(("s3_put_usd", "s3_get_usd", "transfer_gb_usd", "logs_gb_usd"))
    return msgspec.structs.replace(rates(region, "x86_64"), assumed={}, **gone)


def test_what_has_no_price_is_null_named_and_in_no_sum() -> None:
    dublin = _unknown("eu-west-1")
    cost = run_cost(dublin, [1000], memory_mb=1024, s3_requests={"put": 5, "get": 5}, transfer_bytes=GIB, log_bytes=GIB)
    assert (cost.items.s3, cost.items.transfer, cost.items.logs) == (None, None, None)
    assert cost.left_out == (
        "s3: no price for eu-west-1",
        "transfer: no price for eu-west-1",
        "logs: no price for eu-west-1",
    )
    assert cost.usd == Decimal("0.0000168667")


def test_what_was_not_counted_is_null_and_named() -> None:
    cost = run_cost(US, [1000], memory_mb=1024)
    assert (cost.items.s3, cost.items.transfer, cost.items.logs) == (None, None, None)
    assert cost.left_out == ("s3: requests not counted", "transfer: not counted", "logs: not counted")


def test_the_bound_is_what_the_worst_run_costs() -> None:
    # 100 tasks x 3 attempts x (10 + 300 + 1) s = 93,300 s; x 2,048/1,024 GB = 186,600 GB-s
    # x $0.0000166667 = $3.11000622; 300 requests x $0.0000002 = $0.00006
    # S3: 10 PUT x $0.000005 + 300 GET x $0.0000004 = $0.00017
    # replies: 300 x 6,291,556 bytes / 2^30 x $0.09; log: 300 x (348 + 241 + 1,000) bytes / 2^30 x $0.50
    bound = bound_usd(
        US,
        tasks=100,
        attempts=3,
        deadline_s=300,
        memory_mb=2048,
        s3_requests={"put": 10, "get": 300},
        printed_bytes=1000,
    )
    bytes_usd = Fraction(300 * 6_291_556 * 9, GIB * 100) + Fraction(300 * 1589, GIB * 2)
    assert _exact(bound.usd) == Fraction("3.11023622") + bytes_usd
    assert bound.left_out == ("transfer: results that travel through S3, whose size is not known before the run",)


def test_the_bound_of_one_task_with_a_large_tmp() -> None:
    # (10 + 2.5 + 1) s at 1,024 MB = 13.5 GB-s x $0.0000166667 = $0.00022500045; 1 request: $0.0000002
    # /tmp of 10,240 MB: 9.5 GB x 13.5 s = 128.25 GB-s x $0.0000000309 = $0.000003962925
    bound = bound_usd(US, tasks=1, attempts=1, deadline_s=2.5, memory_mb=1024, ephemeral_mb=10_240, s3_requests={})
    assert _exact(bound.usd) == Fraction("0.000229163375") + _reply_and_log()


def _reply_and_log(transfer_usd: str = "0.09", logs_usd: str = "0.5") -> Fraction:
    """What the reply and the log of one attempt that prints nothing cost at most: 6 MB and 589 bytes."""
    return (6_291_556 * Fraction(transfer_usd) + 589 * Fraction(logs_usd)) / GIB


def test_there_is_no_bound_where_the_tasks_or_the_s3_requests_are_not_known() -> None:
    common: dict[str, Any] = {"attempts": 1, "deadline_s": 1, "memory_mb": 1024}
    assert bound_usd(US, tasks=None, s3_requests={}, **common).usd is None
    assert bound_usd(US, tasks=1, s3_requests=None, **common).usd is None


def test_a_bound_without_a_price_for_s3_names_that_and_holds_for_the_rest() -> None:
    # (10 + 1 + 1) s at 1,024 MB = 12 GB-s x $0.0000166667 + $0.0000002 = $0.0002002004
    bound = bound_usd(
        _unknown("eu-west-1"),
        tasks=1,
        attempts=1,
        deadline_s=1,
        memory_mb=1024,
        s3_requests={"put": 9},
    )
    assert bound.usd == Decimal("0.0002002004")
    assert "s3: no price for eu-west-1" in bound.left_out


@pytest.mark.parametrize(
    ("cores", "gib", "seconds", "usd", "named"),
    [
        (4, 8, 3600, "0.1785", "4 vCPU, 8 GiB of c7i"),  # c7i.xlarge for an hour
        (4, 15.5, 3600, "0.2016", "4 vCPU, 16 GiB of m7i"),  # m7i.xlarge
        (48, 96, 3600, "2.142", "48 vCPU"),  # c7i.12xlarge's own row: 2.142
        (48, 192, 3600, "2.4192", "48 vCPU"),  # m7i.12xlarge's own row: 2.4192
        (2, 8, 36, "0.001008", "2 vCPU, 8 GiB of m7i"),  # $0.1008 an hour / 100
        (1.5, 4, 7200, "0.1785", "2 vCPU, 4 GiB of c7i"),  # c7i.large, $0.08925, for two hours
        (2, 64, 3600, "0.1008", "more memory, which is not counted"),
        (0.5, 1, 0, "0", "1 vCPU"),
    ],
)
def test_an_equal_machine_rents_for_its_vcpus(cores: float, gib: float, seconds: float, usd: str, named: str) -> None:
    rent = machine_rent(cores, int(gib * GIB))
    assert rent_usd(rent.hourly_usd, seconds) == Decimal(usd)
    assert named in rent.description
    assert "us-east-1" in rent.description
    assert "\n" not in rent.description


def test_the_price_of_an_hour_is_found_again_from_a_rent() -> None:
    assert hourly_usd(rent_usd(Decimal("0.4032"), 12.5), 12.5) == Decimal("0.4032")
    assert hourly_usd(Decimal(0), 0.0001) is None


def test_the_rent_is_in_no_sum() -> None:
    assert CostItems(machine_rent=Decimal(1)).usd is None
    assert CostItems(machine_rent=Decimal(1), requests=Decimal(2)).usd == 2


def test_items_go_into_documents_as_plain_texts() -> None:
    texts = CostItems(requests=Decimal("2E-7"), machine_rent=Decimal("1.50")).texts()
    assert texts == {
        "requests": "0.0000002",
        "duration": None,
        "storage": None,
        "transfer": None,
        "s3": None,
        "logs": None,
        "machine_rent": "1.5",
    }


@given(
    st.lists(st.integers(0, 900_000), max_size=30),
    st.lists(st.integers(0, 900_000), max_size=30),
    st.sampled_from(regions()),
    st.sampled_from(["x86_64", "arm64"]),
    st.integers(128, 10_240),
    st.integers(512, 10_240),
)
def test_cost_is_additive(
    one: list[int], other: list[int], region: str, architecture: str, memory: int, tmp: int
) -> None:
    prices = rates(region, architecture)

    def usd(billed: Any) -> Decimal | None:
        return run_cost(prices, billed, memory_mb=memory, ephemeral_mb=tmp).usd

    assert usd(one + other) == total_usd([usd(one), usd(other)])
    each = [invocation_usd(prices, ms, memory, tmp).usd for ms in one]
    assert total_usd([*each, Decimal(0)]) == usd(one) == usd(np.array(one, dtype=np.int64))


@given(st.integers(0, 10**15), st.integers(1, 10**9), st.integers(128, 10_240), st.sampled_from(regions()))
def test_cost_is_exact_beyond_the_28_digits_of_pythons_decimals(
    total: int, calls: int, memory: int, region: str
) -> None:
    prices = rates(region, "x86_64")
    cost = run_cost(prices, total, requests=calls, memory_mb=memory)
    duration = Fraction(total, 1000) * Fraction(memory, 1024) * Fraction(prices.duration_gb_s_usd)
    assert _exact(cost.usd) == duration + calls * Fraction(prices.request_usd)


@pytest.mark.parametrize("billed", [[1, -1], np.array([5, -1], dtype=np.int32), -1], ids=["list", "array", "total"])
def test_a_marker_for_not_measured_is_not_taken_for_a_time(billed: Any) -> None:
    with pytest.raises(ValueError, match="not measured"):
        run_cost(US, billed, memory_mb=128, requests=2)


def test_milliseconds_are_whole_numbers_and_a_total_needs_its_requests() -> None:
    with pytest.raises(TypeError):
        run_cost(US, np.array([1.5]), memory_mb=128)
    with pytest.raises(TypeError):
        run_cost(US, [1.5], memory_mb=128)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="requests"):
        run_cost(US, np.int64(5), memory_mb=128)  # type: ignore[arg-type]


def test_no_invocation_costs_nothing() -> None:
    assert run_cost(US, [], memory_mb=1769).usd == 0
    assert run_cost(US, np.array([], dtype=np.int32), memory_mb=1769).usd == 0


@pytest.mark.parametrize(
    ("usd", "text"),
    [("2E-7", "0.0000002"), ("1E+3", "1000"), ("0E-10", "0"), ("1.500", "1.5"), ("100", "100"), ("0", "0")],
)
def test_documents_have_plain_decimals(usd: str, text: str) -> None:
    assert usd_text(Decimal(usd)) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0"),
        ("0.00016", "$0.00016"),
        ("0.000164", "$0.00016"),
        ("0.0000002", "$0.0000002"),
        ("0.0013", "$0.0013"),
        ("0.0996", "$0.10"),
        ("0.25", "$0.25"),
        ("1.005", "$1.01"),
        ("12.3", "$12.30"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_people_read_two_digits(usd: str, text: str) -> None:
    assert usd_short(Decimal(usd)) == text


@pytest.mark.parametrize(
    ("usd", "up", "text"),
    [
        ("0.0000043", False, "$4.3e-6"),
        ("0.00000431", True, "$4.4e-6"),
        ("0.000043", False, "$0.000043"),
        ("12345678.5", False, "$12,345,678.50"),
    ],
)
def test_an_amount_without_room_has_an_exponent_and_loses_no_digit(usd: str, up: bool, text: str) -> None:
    assert usd_short(Decimal(usd), up=up, width=9) == text
    assert usd_short(Decimal(usd), up=up).startswith("$0.00000") is ("e" in text)


@given(st.decimals(0, 10**9, places=12))
def test_a_bound_is_never_shown_as_less_than_it_is(usd: Decimal) -> None:
    assert Decimal(usd_short(usd, up=True).lstrip("$").replace(",", "")) >= usd


def test_bytes_in_s3_are_charged_for_the_time_they_lie_there() -> None:
    here = rates("us-east-1", "x86_64")
    month_s = 30 * 24 * 3600

    def s3(byte_s: int) -> Decimal | None:
        return run_cost(here, [], memory_mb=128, s3_requests={"put": 1}, s3_byte_s=byte_s).items.s3

    assert s3(0) == Decimal("0.000005")
    assert s3(2**30 * month_s) == Decimal("0.000005") + Decimal("0.023")
    assert s3(1) == Decimal("0.000005") + Decimal("0.000000000000000009")  # 8.3e-18, rounded up
    left = run_cost(_unknown("af-south-1"), [], memory_mb=128, s3_requests={}, s3_byte_s=1).left_out
    assert "s3: no price for af-south-1" in left


def test_single_items_cost_what_their_bill_says() -> None:
    # 4 PUT at $0.005 and 10 GET at $0.0004 a thousand; 2 GB out x $0.09; 3 GB of log x $0.50
    assert s3_usd(US, {"put": 4, "get": 10}) == Decimal("0.000024")
    assert transfer_usd(US, 2 * GIB) == Decimal("0.18")
    assert logs_usd(US, 3 * GIB) == Decimal("1.5")
    without = msgspec.structs.replace(US, s3_put_usd=None, transfer_gb_usd=None, logs_gb_usd=None)
    assert (s3_usd(without, {"put": 4}), transfer_usd(without, 1), logs_usd(without, 1)) == (None, None, None)
    for half in ({"s3_put_usd": None}, {"s3_get_usd": None}):
        assert s3_usd(msgspec.structs.replace(US, **half), {"put": 4, "get": 10}) is None


def test_the_log_of_calls_is_their_lines_marks_cold_starts_and_prints() -> None:
    # a call's three lines 270 + 3 x 26, its mark 170 + 26, a cold start 215 + 26
    assert log_bytes(10, 0) == 3480
    assert log_bytes(10, 2, 1000) == 3480 + 2 * 241 + 1000
    assert log_bytes(10, 2, 1000, marked=True) == 3480 + 10 * 196 + 2 * 241 + 1000


def test_the_longest_times_that_can_be_billed() -> None:
    assert worst_ms(0.0005) == 10_000 + 1 + 1000
    assert worst_ms(30) == 41_000
    assert lost_deadline_ms() == 910_000


def test_a_bound_has_its_marks_and_names_what_is_missing_or_assumed() -> None:
    call: dict[str, Any] = {"tasks": 1, "attempts": 1, "deadline_s": 1, "memory_mb": 1024, "s3_requests": {}}
    plain, marked = bound_usd(US, **call), bound_usd(US, **call, marked=True)
    assert plain.usd is not None and marked.usd is not None
    assert marked.usd - plain.usd == Decimal("0.5") * 196 / GIB
    assert plain.assumed == () and bound_usd(rates("eu-west-1", "x86_64"), **call).assumed
    unbounded = bound_usd(US, **(call | {"tasks": None}))
    assert unbounded.usd is None
    assert unbounded.left_out == ("transfer: results that travel through S3, whose size is not known before the run",)
    requests_only = bound_usd(US, **(call | {"s3_requests": None}))
    assert requests_only.usd is None and requests_only.left_out[0].startswith("s3:")
    half = msgspec.structs.replace(US, s3_get_usd=None)
    assert bound_usd(half, **(call | {"s3_requests": None})).usd is not None  # no price: no unknown amount of it


def test_items_at_others_prices_name_each_region_once() -> None:
    mixed = msgspec.structs.replace(US, assumed={"s3_put_usd": "sa-east-1", "s3_get_usd": "af-south-1"})
    (text,) = assumed_items(mixed, CostItems(s3=Decimal(1)))
    assert text == "s3: no price is known for us-east-1; the dearest known is taken (af-south-1, sa-east-1)"


def test_a_machine_s_rent_says_when_memory_is_not_counted_only_then() -> None:
    largest, least = machine_rent(2, 10_000 * GIB), machine_rent(2, GIB)
    assert largest.description.endswith("by the second; this machine has more memory, which is not counted")
    assert least.description.endswith("by the second")
    assert largest.hourly_usd > least.hourly_usd


def test_amounts_of_more_digits_than_pythons_decimals_have_by_default() -> None:
    assert usd_short(Decimal("123456789012345678901234567890.125")) == "$123,456,789,012,345,678,901,234,567,890.13"
    assert rent_usd(Decimal(10) ** 25, 1800) == Decimal(5) * 10**24
    stored = run_cost(US, [1], memory_mb=128, s3_requests={}, s3_byte_s=10**40).items.s3
    assert stored is not None and stored > Decimal(10) ** 22


def test_the_machine_with_the_most_memory_is_the_last_resort() -> None:
    assert f" GiB of {machines()[-1].family} in " in machine_rent(2, 10_000 * GIB).description


def test_duplicates_count_in_the_bound_as_attempts_do() -> None:
    call: dict[str, Any] = {"attempts": 1, "deadline_s": 1, "memory_mb": 1024, "s3_requests": {}}
    assert bound_usd(US, tasks=10, hedges=5, **call) == bound_usd(US, tasks=15, **call)


def test_the_free_tmp_is_free_and_storage_without_a_price_is_named() -> None:
    assert invocation_usd(US, 10**9, 128, ephemeral_mb=512).storage == 0
    assert invocation_usd(US, 10**9, 128, ephemeral_mb=513).storage > 0
    without = msgspec.structs.replace(US, s3_storage_gb_month_usd=None, transfer_gb_usd=None)
    cost = run_cost(without, [1], memory_mb=128, s3_requests={"put": 1}, s3_byte_s=1, transfer_bytes=1, log_bytes=1)
    assert cost.left_out[0] == "s3: no price of storage for us-east-1" and cost.left_out[1].startswith("transfer:")
    nothing = run_cost(US, [1], memory_mb=128)
    assert [text.partition(":")[0] for text in nothing.left_out] == ["s3", "transfer", "logs"]


def test_a_machine_with_a_little_more_memory_than_a_family_has_is_of_the_next() -> None:
    assert machine_rent(4, 8 * GIB).description.endswith("by the second")
    assert " of c7i in " in machine_rent(4, 8 * GIB).description
    assert " of m7i in " in machine_rent(4, int(8.01 * GIB)).description
