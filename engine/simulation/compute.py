"""The compute time of a task at a memory size: the CPU share that it buys, and the threads that can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lbench.errors import InputError

__all__ = ["Work", "fit_work", "speed", "vcpus"]


def vcpus(memory_mb: float, mb_per_vcpu: float = 1769.0) -> float:
    """The vCPUs of a function: in proportion to its memory (AWS documentation)."""
    return memory_mb / mb_per_vcpu


def speed(memory_mb: float, threads: float = 1.0, mb_per_vcpu: float = 1769.0) -> float:
    """How fast a task with so many busy threads computes, as a multiple of one thread on a whole vCPU.

    Below one vCPU the quota stops every thread alike; above it a task gains as far as its threads can use more.
    """
    return min(vcpus(memory_mb, mb_per_vcpu), threads)


@dataclass(frozen=True)
class Work:
    """What a task does: it waits (network, storage) and it computes, with so many threads."""

    cpu_s: float  # CPU seconds on Lambda, over all threads
    wait_s: float = 0.0  # seconds that no memory size shortens
    threads: float = 1.0

    def seconds(self, memory_mb: float, mb_per_vcpu: float = 1769.0) -> float:
        """Its duration at a memory size."""
        return self.wait_s + self.cpu_s / speed(memory_mb, self.threads, mb_per_vcpu)


def fit_work(seconds_by_memory: Mapping[float, float], threads: float = 1.0) -> Work:
    """The work that explains durations at two or more memory sizes: least squares of wait + cpu / speed.

    Errors are weighted by the durations, so that each size counts alike. Neither part is negative. With one size all of it
    is taken for computing, which cannot be distinguished from waiting there.

    Raises:
        InputError: no sizes, or durations that are not positive.
    """
    if not seconds_by_memory or min(seconds_by_memory.values()) <= 0:
        raise InputError("fitting a task's work needs a positive duration at one memory size at least")
    sizes = sorted(seconds_by_memory)
    times = np.array([seconds_by_memory[size] for size in sizes])
    slow = np.array([1.0 / speed(size, threads) for size in sizes])
    if len(sizes) == 1 or np.ptp(slow) < 1e-9:
        return Work(cpu_s=float(np.mean(times / slow)), threads=threads)
    design = np.column_stack([np.ones_like(slow), slow]) / times[:, None]
    (wait_s, cpu_s), *_ = np.linalg.lstsq(design, np.ones_like(times), rcond=None)
    if wait_s < 0:
        ratio = slow / times
        wait_s, cpu_s = 0.0, float(ratio.sum() / (ratio @ ratio))
    elif cpu_s < 0:
        ratio = 1.0 / times
        wait_s, cpu_s = float(ratio.sum() / (ratio @ ratio)), 0.0
    return Work(cpu_s=float(cpu_s), wait_s=float(wait_s), threads=threads)
