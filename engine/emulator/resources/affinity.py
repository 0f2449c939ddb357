"""Chooses the CPUs of an environment: as many as it sees on Lambda, those with the least load."""

from __future__ import annotations

import contextlib
import os

__all__ = ["CpuChoice"]


class CpuChoice:
    """An emulator's CPUs, and the shares of the environments bound to each."""

    def __init__(self) -> None:
        there = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._load = dict.fromkeys(there, 0.0)

    def take(self, count: int, share: float) -> list[int]:
        """Choose that many CPUs for a share, or all there are."""
        chosen = sorted(self._load, key=lambda cpu: (self._load[cpu], cpu))[:count]
        for cpu in chosen:
            self._load[cpu] += share / len(chosen)
        return chosen

    def give_back(self, cpus: list[int], share: float) -> None:
        """Undo a choice."""
        for cpu in cpus:
            self._load[cpu] -= share / len(cpus)

    def bind(self, pid: int, cpus: list[int]) -> None:
        """Keep a process, just started, and its children on these CPUs, unless they are all."""
        if len(cpus) < len(self._load):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(pid, cpus)
