"""The probe's task functions, and the faults that tests ask a backend to survive."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

from lbench.workloads.functions import task_function

__all__ = ["carry", "crash_once", "fail", "kernel", "noop", "sleep", "spawn", "spin"]


@task_function("probe.noop")
def noop(number: int) -> int:
    """Nothing."""
    return number


@task_function("probe.spin")
def spin(number: int, seconds: float, threads: int = 1) -> int:
    """Use so many seconds of CPU time, in equal parts on each thread."""
    if threads == 1:
        _spin(seconds)
    else:
        each = [threading.Thread(target=_hash, args=(seconds / threads,)) for _ in range(threads)]
        for thread in each:
            thread.start()
        for thread in each:
            thread.join()
    return number


def _spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _hash(seconds: float) -> None:
    """Hashing leaves the interpreter's lock to the other threads."""
    block = bytes(1 << 20)
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        hashlib.sha256(block)


@task_function("probe.sleep")
def sleep(number: int, seconds: float) -> int:
    """Wait."""
    time.sleep(seconds)
    return number


@task_function("probe.carry")
def carry(number: int, blob: bytes) -> bytes:
    """Send the bytes back."""
    return blob


@task_function("probe.spawn")
def spawn(number: int, seconds: float) -> int:
    """Start a process that sleeps, every other one in a session of its own, and do not wait for it."""
    import subprocess

    subprocess.Popen(["sleep", str(seconds)], start_new_session=number % 2 == 1)
    return number


@task_function("probe.kernel")
def kernel(number: int) -> int:
    """One of three kinds of computing (`kernels`)."""
    from lbench.workloads.probe.kernels import run_kernel

    return run_kernel(number)


@task_function("probe.fail")
def fail(number: int, message: str) -> int:
    """Raise, as a user's own code may."""
    raise ValueError(message)


@task_function("probe.crash_once")
def crash_once(number: int, marker: str) -> int:
    """End the whole process the first time, succeed afterwards; `marker` is a path that remembers."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os._exit(3)
    return number
