"""The speed of a core of this machine by three kernels (`workloads.probe.kernels`): two seconds, kept for the machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import msgspec

from lbench.config.folders import cache_folder, write_whole
from lbench.engine.machine.fingerprint import fingerprint
from lbench.engine.machine.thread_variables import THREAD_VARIABLES
from lbench.errors import LbenchError

__all__ = ["KernelTimes", "kernel_times"]

_LIMIT_S = 60.0
_KEPT_DAYS = 30
_MOST_LOAD = 0.75  # of the usable cores


class KernelTimes(msgspec.Struct, frozen=True):
    """Seconds by kernel; `machine` is what they depend on."""

    seconds: dict[str, float]
    machine: str
    python: str  # "3.13"
    created: str  # ISO 8601


def kernel_times() -> KernelTimes | None:
    """The kernels' seconds on one core here; measured where they are not kept, or are older than a month.

    None: the machine is busy, which would make it look slow for a month.

    Raises:
        LbenchError: they cannot be run.
    """
    found = fingerprint()
    versions = found.packages.get("numpy", "")
    machine = f"{found.cpu_model}, Python {found.python}, numpy {versions}"
    path = cache_folder("samples") / "kernels.json"
    with contextlib.suppress(OSError, msgspec.MsgspecError, ValueError):
        kept = msgspec.json.decode(path.read_bytes(), type=KernelTimes)
        age = datetime.now(UTC) - datetime.fromisoformat(kept.created)
        if kept.machine == machine and 0 <= age.days < _KEPT_DAYS:
            return kept
    if (found.load_1m or 0.0) > _MOST_LOAD * (found.usable_cores or 1.0):
        return None
    times = KernelTimes(
        _measure(), machine, f"{sys.version_info.major}.{sys.version_info.minor}", datetime.now(UTC).isoformat()
    )
    with contextlib.suppress(OSError):
        write_whole(path, msgspec.json.encode(times))
    return times


def _measure() -> dict[str, float]:
    argv = [sys.executable, "-P", "-m", "lbench.workloads.probe.kernels"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, "1"),
            timeout=_LIMIT_S,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=dict[str, float])
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        raise LbenchError(f"the kernels that measure a core of this machine cannot run: {error}") from None
