"""What `lbench doctor` finds, line by line."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Finding", "Verdict"]

Verdict = Literal["good", "weak", "bad", "note"]


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and what to do where that is not good."""

    verdict: Verdict
    what: str
    found: str
    remedy: str = ""
