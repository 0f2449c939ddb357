"""What the kernels of `workloads.probe.kernels` take on one vCPU of Lambda, as others have measured, from `kernels.toml`."""

from __future__ import annotations

import functools
import tomllib
from datetime import date
from pathlib import Path

import msgspec

__all__ = ["Published", "published_seconds"]


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The seconds of one kernel by Python version; "*": of any."""

    seconds: dict[str, float]
    source: str
    date: date


@functools.cache
def _rows() -> dict[str, dict[str, Published]]:
    with Path(__file__).with_name("kernels.toml").open("rb") as file:
        return msgspec.convert(tomllib.load(file), dict[str, dict[str, Published]])


def published_seconds(arch: str, python: str) -> dict[str, tuple[float, date]]:
    """By kernel: its seconds on a vCPU of that processor, and the date; where nobody has published them it is absent.

    A Python that was not measured is taken as the newest that was.
    """
    found = {}
    for name, by_arch in _rows().items():
        if (row := by_arch.get(arch)) is not None:
            newest = max(row.seconds, key=lambda version: [int(part) for part in version.split(".") if part != "*"])
            found[name] = (row.seconds.get(python, row.seconds[newest]), row.date)
    return found
