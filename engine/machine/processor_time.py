"""The processor time and threads of tasks, by what the kernel counts of their worker (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

__all__ = ["ProcessorTime", "Usage", "processor_time", "total_time", "usage"]

_LEAST_S = 0.2  # of tasks, below which the kernel's ticks of 10 ms are too coarse
_LEAST_WAIT = 0.1  # of their time; less is the machine's own disturbance
_LEAST_THREADS = 1.2
_OTHERS = 0.1  # of the tasks' time that other threads or programs compute
_TICKS_S = 0.05  # of which the kernel's counts may be off


class ProcessorTime(NamedTuple):
    """Seconds of a process so far."""

    cpu_s: float  # of all its threads, and of its children that have ended
    main_s: float  # of its first thread
    ready_s: float  # the first thread could have run, and no core was free


class Usage(msgspec.Struct, frozen=True):
    """What tasks do with their time."""

    wait: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0  # the share in which nothing computes: network, disk, sleep
    threads: Annotated[float, msgspec.Meta(ge=1, le=100_000)] = 1.0  # that are busy in the rest
    ready: Annotated[float, msgspec.Meta(ge=0, le=1)] = (
        0.0  # the share in which they could compute, had a core been free
    )


def processor_time(pid: int) -> ProcessorTime | None:
    """What the kernel has counted of a process; None: it does not say."""
    folder = Path(f"/proc/{pid}")
    try:
        ticks = sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15]))
        main, ready = map(int, (folder / "schedstat").read_text().split()[:2])
    except (OSError, ValueError):
        return None
    return ProcessorTime(ticks / os.sysconf("SC_CLK_TCK"), main / 1e9, ready / 1e9)


def total_time(pids: Iterable[int]) -> ProcessorTime | None:
    """What the kernel has counted of several processes together; None: not of all."""
    times = [processor_time(pid) for pid in pids]
    known = [one for one in times if one is not None]
    if not known or len(known) < len(times):
        return None
    return ProcessorTime(*map(sum, zip(*known, strict=True)))


def usage(seconds: float, before: ProcessorTime | None, after: ProcessorTime | None) -> Usage | None:
    """What tasks of so many seconds together did between two counts; None: not known, or they are too short.

    Where other threads or programs compute, their waiting for a core is not known, and counts as computing. Where they
    compute little, but more than the first thread, nobody knows what that one waits for.
    """
    if before is None or after is None or seconds < _LEAST_S:
        return None
    cpu_s, main_s, ready_s = (max(0.0, new - old) for new, old in zip(after, before, strict=True))
    others_s = max(0.0, cpu_s - main_s)
    cpu_s = min(main_s, seconds) + others_s  # beyond its tasks the first thread encodes arguments and results
    wait = 1 - (cpu_s + ready_s) / seconds
    alone = others_s < _OTHERS * seconds
    if alone and others_s > main_s + _TICKS_S and wait >= _LEAST_WAIT:
        return None
    return Usage(
        wait=min(wait, 1.0) if alone and wait >= _LEAST_WAIT else 0.0,
        threads=cpu_s / seconds if cpu_s >= _LEAST_THREADS * seconds else 1.0,
        ready=max(0.0, min(ready_s, seconds - cpu_s)) / seconds if alone else 0.0,  # the rest is outside its tasks
    )
