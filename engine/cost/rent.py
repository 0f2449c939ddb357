"""The hourly price of a rented machine equal to this one: the rent of a local run, shown beside its bill."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal

import msgspec

from lbench.config.prices import machines
from lbench.engine.cost.format import usd_text

__all__ = ["Rent", "hourly_usd", "machine_rent", "rent_usd"]

_DIGITS = decimal.Context(prec=200)
_HOUR_MS = 3_600_000
_GB_BYTES = 1024**3


class Rent(msgspec.Struct, frozen=True):
    """What renting a machine equal to this one costs, and which machine was taken."""

    hourly_usd: Decimal
    description: str


def machine_rent(cores: float, memory_bytes: int) -> Rent:
    """The rent of an EC2 machine equal to this one.

    As many vCPUs as this machine has usable logical cores (a vCPU is one hyperthread); the leanest family
    that has its memory per core, else the one with the most.
    """
    vcpus = max(1, math.ceil(cores))
    gib_per_core = memory_bytes / _GB_BYTES / vcpus
    rows = machines()
    row = next((row for row in rows if row.gib / row.vcpus >= gib_per_core), rows[-1])
    with decimal.localcontext(_DIGITS):
        hourly = row.usd_per_hour * vcpus / row.vcpus
    gib = row.gib * vcpus / row.vcpus
    short = "" if gib >= gib_per_core * vcpus else "; this machine has more memory, which is not counted"
    return Rent(
        hourly,
        f"rent of an equal EC2 machine: {vcpus} vCPU, {gib:g} GiB of {row.family} in {row.region} "
        f"(Linux, on demand, {row.price_date}) at ${usd_text(hourly)} an hour, by the second{short}",
    )


def rent_usd(hourly_usd: Decimal, seconds: float) -> Decimal:
    """The rent for so long, by the millisecond, to 12 decimals."""
    with decimal.localcontext(_DIGITS):
        return (hourly_usd * _ms(seconds) / _HOUR_MS).quantize(Decimal("1e-12"))


def hourly_usd(rent_usd: Decimal, seconds: float) -> Decimal | None:
    """The price of an hour by which so long costs so much; None where it was less than a millisecond."""
    return rent_usd * _HOUR_MS / ms if (ms := _ms(seconds)) else None


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
