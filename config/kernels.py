"""Published times of `workloads.probe.kernels` on one vCPU of Lambda, from `kernels.toml`."""

from __future__ import annotations

import functools
from datetime import date

import msgspec

from lbench.config.tables import read_table

__all__ = ["Published", "published_seconds"]


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The seconds of one kernel by Python version; "*": of any."""

    seconds: dict[str, float]
    source: str
    date: date


@functools.cache
def _rows() -> dict[str, dict[str, Published]]:
    return read_table("kernels.toml", dict[str, dict[str, Published]])


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
