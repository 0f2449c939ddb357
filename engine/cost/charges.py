"""The charges of a run on AWS Lambda: exact decimal arithmetic over list prices (first tier, no free tier).

Nothing here rounds but the price of byte-hours in S3. Python's decimals keep 28 digits by default, and a
large bill has more: add amounts with `total_usd`, not with `+`.
"""

from __future__ import annotations

import decimal
import functools
import math
import operator
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from lbench.config.limits import limits
from lbench.config.prices import Rates
from lbench.engine.cost.format import usd_text
from lbench.workloads.wire import LINE_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Bound",
    "CostItems",
    "InvocationCost",
    "RunCost",
    "assumed_items",
    "billed_ms",
    "bound_usd",
    "invocation_usd",
    "log_bytes",
    "logs_usd",
    "lost_deadline_ms",
    "run_cost",
    "s3_usd",
    "total_usd",
    "transfer_usd",
    "worst_ms",
]

# 200 digits are never reached: a result that would be rounded raises instead.
_EXACT = decimal.Context(
    prec=200, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
)
_PER_1024 = Decimal("0.0009765625")  # 1/1024, exactly
_ZERO = Decimal(0)
_GB_BYTES = 1024**3
_PRICES_OF = {  # each item: the fields of `Rates` that it is computed with
    "requests": ("request_usd",),
    "duration": ("duration_gb_s_usd",),
    "storage": ("storage_gb_s_usd",),
    "transfer": ("transfer_gb_usd",),
    "s3": ("s3_put_usd", "s3_get_usd", "s3_storage_gb_month_usd"),
    "logs": ("logs_gb_usd",),
}
_MONTH_S = 30 * 86_400
_LOG_BYTES = 270 + 3 * LINE_BYTES
_LOG_COLD_BYTES = 215 + LINE_BYTES
_LOG_MARK_BYTES = 170 + LINE_BYTES
_MARGIN_MS = 1000  # from a task's deadline to the watchdog's end of its environment, at most


class InvocationCost(msgspec.Struct, frozen=True):
    """What one invocation costs, in US dollars."""

    requests: Decimal
    duration: Decimal
    storage: Decimal

    @property
    def usd(self) -> Decimal:
        return _sum((self.requests, self.duration, self.storage))


class CostItems(msgspec.Struct, frozen=True, kw_only=True):
    """A run's bill in US dollars, item by item; None: it does not apply, was not counted, or has no price."""

    requests: Decimal | None = None
    duration: Decimal | None = None
    storage: Decimal | None = None  # /tmp above 512 MB
    transfer: Decimal | None = None
    s3: Decimal | None = None
    logs: Decimal | None = None
    machine_rent: Decimal | None = None  # of a machine equal to this one: shown apart, in no sum

    @property
    def usd(self) -> Decimal | None:
        """The sum without the rent; None where there is nothing to add (local backends)."""
        return total_usd((self.requests, self.duration, self.storage, self.transfer, self.s3, self.logs))

    def texts(self) -> dict[str, str | None]:
        """The items as a document holds them."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: None if usd is None else usd_text(usd) for name, usd in values.items()}


class RunCost(msgspec.Struct, frozen=True):
    """A run's bill, what is not in it, and what it counts at another region's price."""

    items: CostItems
    left_out: tuple[str, ...] = ()  # each item without an amount, and why: "s3: requests not counted"
    assumed: tuple[str, ...] = ()  # as `assumed_items`

    @property
    def usd(self) -> Decimal | None:
        """The sum of the items, as `CostItems.usd`."""
        return self.items.usd


class Bound(msgspec.Struct, frozen=True):
    """The most that a run can cost, and what that does not cover."""

    usd: Decimal | None  # None: no bound
    left_out: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()  # as `assumed_items`


def billed_ms(duration_ms: float, init_ms: float | None = None) -> int:
    """Milliseconds that AWS bills: duration and init (since 2025-08-01), rounded up to the next whole one.

    It counts in hundredths, as the REPORT line shows both: every cold line of 2025 and later on record agrees
    (1.57 + 487.97 is billed as 490), and the float 1.10 + 1.90 must not be billed as 4.
    """
    hundredths = round(duration_ms * 100) + round((init_ms or 0.0) * 100)
    return -(-hundredths // 100)


def invocation_usd(rates: Rates, billed_ms: int, memory_mb: int, ephemeral_mb: int | None = None) -> InvocationCost:
    """What one invocation costs; `ephemeral_mb` is the size of /tmp (None: the free 512 MB)."""
    return _invocations_usd(rates, billed_ms, 1, memory_mb, ephemeral_mb)


def run_cost(
    rates: Rates,
    billed: int | Iterable[int] | NDArray[Any],
    *,
    memory_mb: int,
    ephemeral_mb: int | None = None,
    requests: int | None = None,
    s3_requests: Mapping[str, int] | None = None,
    s3_byte_s: int = 0,
    transfer_bytes: int | None = None,
    log_bytes: int | None = None,
) -> RunCost:
    """The bill of all invocations that ran, whatever came of them (a throttled one did not run).

    Args:
        rates: the region's prices.
        billed: billed milliseconds: one total (then `requests` is needed), or one number an invocation.
        memory_mb: memory of the function.
        ephemeral_mb: size of /tmp; None: the free 512 MB.
        requests: invocations, where that is not the number of `billed`.
        s3_requests: {"put": n, "get": n}; None: not counted.
        s3_byte_s: bytes in S3 times the seconds for which they lay there.
        transfer_bytes: bytes from AWS to this machine; None: not counted.
        log_bytes: bytes of log; None: not counted.

    Raises:
        ValueError: a negative number of milliseconds, or a total without `requests`.
        TypeError: milliseconds that are no whole numbers.
    """
    total_ms, count = _totals(billed)
    if requests is None and count is None:
        raise ValueError("a total of milliseconds needs the number of requests")
    calls = requests if requests is not None else count
    assert calls is not None
    lambda_items = _invocations_usd(rates, total_ms, calls, memory_mb, ephemeral_mb)
    left_out: list[str] = []
    s3, why = _s3_usd(rates, s3_requests)
    left_out += why
    if s3 is not None and s3_byte_s:
        if rates.s3_storage_gb_month_usd is None:
            left_out.append(f"s3: no price of storage for {rates.region}")
        else:
            s3 = _EXACT.add(s3, _s3_storage_usd(rates.s3_storage_gb_month_usd, s3_byte_s))
    transfer, why = _bytes_usd("transfer", rates.transfer_gb_usd, transfer_bytes, rates.region)
    left_out += why
    logs, why = _bytes_usd("logs", rates.logs_gb_usd, log_bytes, rates.region)
    left_out += why
    items = CostItems(
        requests=lambda_items.requests,
        duration=lambda_items.duration,
        storage=lambda_items.storage,
        transfer=transfer,
        s3=s3,
        logs=logs,
    )
    return RunCost(items, tuple(left_out), assumed_items(rates, items))


def assumed_items(rates: Rates, items: CostItems) -> tuple[str, ...]:
    """The items that cost something and are counted at another region's price, the dearest known, each with that region."""
    assumed = []
    for name, fields in _PRICES_OF.items():
        if getattr(items, name) and (
            others := sorted({rates.assumed[field] for field in fields if field in rates.assumed})
        ):
            assumed.append(
                f"{name}: no price is known for {rates.region}; the dearest known is taken ({', '.join(others)})"
            )
    return tuple(assumed)


def s3_usd(rates: Rates, requests: Mapping[str, int]) -> Decimal | None:
    """What these S3 requests cost, {"put": n, "get": n}; None without a price."""
    return _s3_usd(rates, requests)[0]


def transfer_usd(rates: Rates, size_bytes: int) -> Decimal | None:
    """What so many bytes from AWS to this machine cost; None without a price."""
    return _bytes_usd("transfer", rates.transfer_gb_usd, size_bytes, rates.region)[0]


def logs_usd(rates: Rates, size_bytes: int) -> Decimal | None:
    """What so many bytes of log cost; None without a price."""
    return _bytes_usd("logs", rates.logs_gb_usd, size_bytes, rates.region)[0]


def log_bytes(calls: int, cold: int, output_bytes: int = 0, *, marked: bool = False) -> int:
    """An estimate of what invocations write to the log: AWS's own lines, and what is known of the function's output.

    START, END and REPORT are about 270 bytes with a request id each, INIT_START and the init duration of a cold start 215;
    the handler's mark (`marked`: each call carries one) 170; CloudWatch adds 26 bytes to each event.
    """
    return calls * (_LOG_BYTES + marked * _LOG_MARK_BYTES) + cold * _LOG_COLD_BYTES + output_bytes


def worst_ms(deadline_s: float) -> int:
    """The most milliseconds billed for one attempt whose deadline holds: init limit + deadline + 1 s.

    Lambda repeats an init that took more than 10 s, in the time of the invocation: the handler takes that off the deadline.
    """
    return limits().init_max_s * 1000 + math.ceil(Decimal(str(deadline_s)) * 1000) + _MARGIN_MS


def lost_deadline_ms() -> int:
    """The most milliseconds billed for one attempt that outlives its deadline: init limit + the function's timeout."""
    return (limits().init_max_s + limits().timeout_max_s) * 1000


def bound_usd(
    rates: Rates,
    *,
    tasks: int | None,
    attempts: int,
    deadline_s: float,
    memory_mb: int,
    ephemeral_mb: int | None = None,
    s3_requests: Mapping[str, int] | None = None,
    hedges: int = 0,
    printed_bytes: int = 0,
    marked: bool = False,
) -> Bound:
    """The most that a run can cost, but for results that travel through S3, whose size is not known.

    (tasks x attempts + hedges) x ((init limit + deadline + 1 s) x GB x price + request + the log's lines with
    `printed_bytes` of the task's own + a reply of 6 MB) + S3. No bound where the number of tasks is not known, or that of
    S3 requests while they have a price.
    """
    s3_priced = rates.s3_put_usd is not None and rates.s3_get_usd is not None
    out = ["transfer: results that travel through S3, whose size is not known before the run"]
    if tasks is None or (s3_priced and s3_requests is None):
        _, why = _s3_usd(rates, s3_requests)
        return Bound(None, (*why, *out))
    calls = tasks * attempts + hedges
    worst = run_cost(
        rates,
        calls * worst_ms(deadline_s),
        memory_mb=memory_mb,
        ephemeral_mb=ephemeral_mb,
        requests=calls,
        s3_requests=s3_requests,
        transfer_bytes=calls * limits().response_max_bytes,
        log_bytes=log_bytes(calls, calls, calls * printed_bytes, marked=marked),
    )
    return Bound(worst.usd, (*worst.left_out, *out), worst.assumed)


def total_usd(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The exact sum of the amounts that there are; None where there is none."""
    known = [amount for amount in amounts if amount is not None]
    return _sum(known) if known else None


@functools.lru_cache(maxsize=256)
def _per_ms(gb_s_usd: Decimal, mb: int) -> Decimal:
    """The price of a millisecond of so many MB."""
    return _EXACT.multiply(_EXACT.multiply(gb_s_usd, Decimal(mb)), _PER_1024).scaleb(-3, _EXACT)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return functools.reduce(_EXACT.add, amounts, _ZERO)


def _invocations_usd(
    rates: Rates, total_ms: int, calls: int, memory_mb: int, ephemeral_mb: int | None
) -> InvocationCost:
    free_mb = limits().ephemeral_min_mb
    charged_mb = 0 if ephemeral_mb is None else max(0, ephemeral_mb - free_mb)
    ms = Decimal(total_ms)
    return InvocationCost(
        requests=_EXACT.multiply(rates.request_usd, Decimal(calls)),
        duration=_EXACT.multiply(_per_ms(rates.duration_gb_s_usd, memory_mb), ms),
        storage=_EXACT.multiply(_per_ms(rates.storage_gb_s_usd, charged_mb), ms) if charged_mb else _ZERO,
    )


def _totals(billed: int | Iterable[int] | NDArray[Any]) -> tuple[int, int | None]:
    """The exact sum, and how many there are (None for a total). An array brings its numpy along."""
    if hasattr(billed, "dtype"):
        array: Any = billed
        if array.dtype.kind not in "iu":
            raise TypeError("billed milliseconds are whole numbers: leave out what was not measured")
        total, count = int(array.sum(dtype="int64")), int(array.size) if array.ndim else None
        least = int(array.min()) if array.size else 0
    elif isinstance(billed, int):
        total, count, least = billed, None, billed
    else:
        values = [operator.index(value) for value in billed]
        total, count, least = sum(values), len(values), min(values, default=0)
    if least < 0:
        raise ValueError("billed milliseconds cannot be negative: leave out what was not measured")
    return total, count


def _s3_usd(rates: Rates, counts: Mapping[str, int] | None) -> tuple[Decimal | None, list[str]]:
    if rates.s3_put_usd is None or rates.s3_get_usd is None:
        return None, [f"s3: no price for {rates.region}"]
    if counts is None:
        return None, ["s3: requests not counted"]
    put = _EXACT.multiply(rates.s3_put_usd, Decimal(counts.get("put", 0)))
    return _EXACT.add(put, _EXACT.multiply(rates.s3_get_usd, Decimal(counts.get("get", 0)))), []


def _s3_storage_usd(gb_month_usd: Decimal, byte_s: int) -> Decimal:
    """The price of byte-seconds, rounded up at the 18th decimal; a month is taken as 30 days."""
    with decimal.localcontext(decimal.Context(prec=200)):
        usd = gb_month_usd * byte_s / _GB_BYTES / _MONTH_S
        return usd.quantize(Decimal("1e-18"), rounding=decimal.ROUND_CEILING)


def _bytes_usd(item: str, gb_usd: Decimal | None, count: int | None, region: str) -> tuple[Decimal | None, list[str]]:
    if gb_usd is None:
        return None, [f"{item}: no price for {region}"]
    if count is None:
        return None, [f"{item}: not counted"]
    return _EXACT.divide(_EXACT.multiply(gb_usd, Decimal(count)), Decimal(_GB_BYTES)), []
