"""The driver's own versions of what is packed: a task should compute there what it computes here."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

__all__ = ["canonical", "driver_versions"]


def canonical(name: str) -> str:
    """A distribution's name in the one form in which names can be compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def driver_versions(names: Iterable[str]) -> dict[str, str]:
    """The versions here of these distributions and of all that they require; what is not installed is left out.

    Markers are not evaluated (they are the target's, not ours): one too many pins nothing.
    """
    found: dict[str, str] = {}
    left = [canonical(name) for name in names]
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
            required = re.match(r"[A-Za-z0-9._-]+", wanted.strip())
            if required is not None and "extra ==" not in marker:
                left.append(canonical(required[0]))
    return dict(sorted(found.items()))
