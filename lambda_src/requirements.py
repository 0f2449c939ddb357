"""What distributions require on the target, by the markers of their metadata read with its eyes (PEP 508)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement

from lbench.config.manifest import canonical_name
from lbench.errors import InputError
from lbench.lambda_src.targets import Target

__all__ = ["needs", "unmet"]


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
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1]
        return [need for name in names for need in parse_email(archive.read(name))[0].get("requires_dist", [])]


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
