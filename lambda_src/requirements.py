"""The requirements of distributions on the target, by the markers of their metadata read with its eyes (PEP 508)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement

from lbench.config.manifest import canonical_name
from lbench.config.zip_entries import ZIP_DAMAGE, read_entry
from lbench.errors import InputError
from lbench.lambda_src.targets import Target

__all__ = ["needs", "unmet"]

_LARGEST_METADATA = 10_000_000  # bytes; a long description has some 100,000


def needs(requirements: Iterable[str], target: Target, extras: Iterable[str] = ()) -> list[Requirement]:
    """Those of the requirements that hold on the target, without their markers.

    Args:
        requirements: as they are written.
        target: whose Python and processor the markers are about.
        extras: of the distribution that requires them.

    Raises:
        InputError: one of them is no requirement.
    """
    environment = _environment(target)
    found = []
    for text in requirements:
        try:
            need = Requirement(text)
        except InvalidRequirement:
            raise InputError(
                f"a requirement must be a package name, for example numpy or numpy>=2.1, got {text!r}"
            ) from None
        marker, need.marker = need.marker, None
        if marker is None or any(marker.evaluate(environment | {"extra": extra}) for extra in ("", *extras)):
            found.append(need)
    return found


def unmet(wheels: Iterable[Path], requirements: Iterable[str], target: Target) -> Iterator[str]:
    """What the requirements need on the target, and is not among the wheels in a version that they take."""
    there = {canonical_name(wheel.name.split("-")[0]): wheel for wheel in wheels if wheel.suffix == ".whl"}
    left = needs(requirements, target)
    seen = set()
    while left:
        need = left.pop()
        wheel = there.get(canonical_name(need.name))
        if wheel is None or not need.specifier.contains(wheel.name.split("-")[1], prereleases=True):
            yield str(need)
            continue
        for extra in ("", *sorted(need.extras)):
            if (wheel, extra) not in seen:
                seen.add((wheel, extra))
                left += needs(_requires(wheel), target, [extra])


def _requires(wheel: Path) -> list[str]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if entry.filename.endswith(".dist-info/METADATA") and entry.filename.count("/") == 1
            ]
            contents = [read_entry(archive, entry, _LARGEST_METADATA) for entry in entries]
    except (OSError, *ZIP_DAMAGE) as error:
        raise InputError(f"{wheel.name} is damaged ({error}): remove it from pip's cache") from None
    return [need for content in contents for need in parse_email(content)[0].get("requires_dist", [])]


def _environment(target: Target) -> dict[str, str]:
    """The markers' variables; what a patch release or a kernel would say is not known."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }
