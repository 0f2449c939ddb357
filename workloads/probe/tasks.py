"""The probe's task functions, and the faults that tests ask a backend to survive."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lbench.workloads.functions import task_function

__all__ = ["carry", "crash_once", "fail", "noop", "sleep", "spawn", "spin"]


@task_function("probe.noop")
def noop(number: int) -> int:
    """Nothing."""
    return number


@task_function("probe.spin")
def spin(number: int, seconds: float) -> int:
    """Use CPU time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return number


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
