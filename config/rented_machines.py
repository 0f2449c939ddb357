"""Machines that can be rented for a job instead of Lambda, from `rented_machines.toml`: each figure with source and date."""

from __future__ import annotations

import functools
from datetime import date
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from lbench.config.tables import read_table

__all__ = ["Profile", "is_old", "rented"]

_Usd = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]


class _Sourced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: str  # a key of [sources]
    date: date


class _Price(_Sourced, frozen=True, kw_only=True):
    usd: _Usd


class _Value(_Sourced, frozen=True, kw_only=True):
    value: Annotated[float, Meta(gt=0)]


class _Share(_Sourced, frozen=True, kw_only=True):
    low: _Usd
    high: _Usd


class _Ratio(_Sourced, frozen=True, kw_only=True):
    median: Annotated[float, Meta(gt=0)]
    sigma: Annotated[float, Meta(ge=0)]


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine for rent. One without a start is always on."""

    name: str
    vcpus: Annotated[int, Meta(ge=1)]
    gib: Annotated[float, Meta(gt=0)]
    usd_per_hour: _Price  # on demand
    share: _Share | None = None  # of that price, which is not fixed: Spot
    start_s: _Value | None = None
    minimum_s: _Value | None = None  # that is charged at the least
    core_ratio: _Ratio  # vCPUs of Lambda that one of its vCPUs is worth
    usd_per_million_requests: _Usd = "0"
    always: _Sourced | None = None  # it cannot be stopped between runs
    needs: str

    @property
    def hourly_usd(self) -> tuple[Decimal, Decimal]:
        """The price of an hour: from, to."""
        price = Decimal(self.usd_per_hour.usd)
        if self.share is None:
            return price, price
        return price * Decimal(self.share.low), price * Decimal(self.share.high)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    max_age_days: int
    sources: dict[str, str]
    profiles: tuple[Profile, ...]


@functools.cache
def _file() -> _File:
    return read_table("rented_machines.toml", _File)


def rented() -> tuple[Profile, ...]:
    """All of them, in the file's order."""
    return _file().profiles


def is_old(profile: Profile, today: date) -> bool:
    """Whether its price is older than prices stay true."""
    return (today - profile.usd_per_hour.date).days > _file().max_age_days
