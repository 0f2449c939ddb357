"""Findings of `lbench doctor`."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Finding", "Verdict"]

Verdict = Literal["good", "weak", "bad", "note"]


class Finding(NamedTuple):
    """One line: the subject, the finding, and the remedy if there is one."""

    verdict: Verdict
    what: str
    found: str
    remedy: str = ""
