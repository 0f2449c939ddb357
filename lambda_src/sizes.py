"""The size of each part of a package, against the limits of Lambda."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from lbench.config.limits import limits
from lbench.errors import InputError

__all__ = ["Part", "check_size", "mib", "part_sizes"]

_NAMED = 3  # parts that an error names


class Part(msgspec.Struct, frozen=True):
    """A library, or lbench's own side; its compiled files count with it."""

    name: str
    version: str
    unzipped_bytes: int
    zipped_bytes: int


def mib(count: int) -> str:
    """Bytes as MiB, the unit of AWS's "MB" for packages."""
    return f"{count / 2**20:.1f} MiB"


def part_sizes(owners: Mapping[str, tuple[str, str]], sizes: Mapping[str, tuple[int, int]]) -> tuple[Part, ...]:
    """The parts, the largest first.

    Args:
        owners: by a file's path, its part's name and version; compiled files are their source's.
        sizes: by a file's path, its bytes unzipped and zipped.
    """
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for name, (unzipped, zipped) in sizes.items():
        owner = owners.get(name) or owners[_source(name)]
        before = totals.get(owner, (0, 0))
        totals[owner] = (before[0] + unzipped, before[1] + zipped)
    parts = [Part(name, version, unzipped, zipped) for (name, version), (unzipped, zipped) in totals.items()]
    return tuple(sorted(parts, key=lambda part: (-part.unzipped_bytes, part.name)))


def _source(name: str) -> str:
    """`a/__pycache__/b.cpython-313.pyc` as `a/b.py`."""
    folder, _, file = name.rpartition("__pycache__/")
    return f"{folder}{file.partition('.')[0]}.py"


def check_size(parts: Iterable[Part], *, one_workload: bool) -> None:
    """Refuse what Lambda would not unpack.

    Raises:
        InputError: it is above the limit; the message names the largest parts and the way out.
    """
    parts = sorted(parts, key=lambda part: -part.unzipped_bytes)
    total, most = sum(part.unzipped_bytes for part in parts), limits().package_unzipped_max_bytes
    if total <= most:
        return
    largest = ", ".join(f"{part.name} {mib(part.unzipped_bytes)}" for part in parts[:_NAMED])
    way_out = "leave out a requirement" if one_workload else "pack one workload with --workload NAME"
    raise InputError(
        f"the unzipped package must be at most {mib(most)}, got {mib(total)}: its largest parts are {largest}; {way_out}"
    )
