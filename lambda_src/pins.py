"""The driver's own versions of what is packed: a task should compute there what it computes here."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from lbench.config.manifest import canonical_name

__all__ = ["driver_versions"]


def driver_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions here of these distributions and of all that they require; what is not installed is left out.

    Markers are not evaluated (they are the target's, not ours): one too many pins nothing.
    """
    found: dict[str, str] = {}
    left = [canonical_name(name) for name in names]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = distribution.version
        for requirement in distribution.requires or ():
            wanted, _, marker = requirement.partition(";")
            if "extra ==" not in marker:
                left.append(canonical_name(wanted))
    return dict(sorted(found.items()))
