"""Three small computations of different kinds, the same everywhere: how fast is a core here, on Lambda, on any worker?

Each was measured on Lambda by somebody else, so that a few seconds here give a ratio (`config/kernels.toml`). As tasks:
`lbench run probe -p kind=kernels -b sequential -b lambda`. As a program, `python -m lbench.workloads.probe.kernels` prints
the CPU seconds of each (the least of a few) as JSON; BLAS should have one thread.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable

import numpy as np

__all__ = ["KERNELS", "best_seconds", "run_kernel"]

_HASHES = 500_000
_SIZE = 1024
_PRODUCTS = 3
_SORTED = 1_000_000
_REPEATS = {"python": 3, "blas": 3, "memory": 1}


def _python() -> int:
    """A loop of the interpreter that chains SHA-256 over 32 bytes, half a million times."""
    sha256 = hashlib.sha256
    data = b"one core of this machine, in vCPUs of AWS Lambda"
    for _ in range(_HASHES):
        data = sha256(data).digest()
    return int.from_bytes(data[:4], "big")


def _blas() -> int:
    """Three products of matrices of 1,024 x 1,024 doubles; whole numbers, so that every BLAS gives the same sum."""
    one = (np.arange(_SIZE * _SIZE, dtype=np.float64) % 7).reshape(_SIZE, _SIZE)
    other = (np.arange(_SIZE * _SIZE, dtype=np.float64) % 5).reshape(_SIZE, _SIZE)
    return int(sum(float((one @ other).sum()) for _ in range(_PRODUCTS)))


def _memory() -> int:
    """A million random numbers made and sorted as Python's objects: it waits for memory more than it computes."""
    bits = random.Random(1).getrandbits
    ordered = sorted([bits(30) for _ in range(_SORTED)])
    return sum(ordered[:: _SORTED // 1000])


KERNELS: dict[str, Callable[[], int]] = {"python": _python, "blas": _blas, "memory": _memory}


def run_kernel(number: int) -> int:
    """Run the kernel whose turn it is; its checksum."""
    return list(KERNELS.values())[number % len(KERNELS)]()


def best_seconds() -> dict[str, float]:
    """The CPU seconds of each kernel in this thread, the least of a few."""
    found = {}
    for name, kernel in KERNELS.items():
        times = []
        for _ in range(_REPEATS[name]):
            began_s = time.thread_time()
            kernel()
            times.append(time.thread_time() - began_s)
        found[name] = min(times)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(best_seconds()))
