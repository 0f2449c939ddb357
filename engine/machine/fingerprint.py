"""The fingerprint of this machine, which every session carries, and what its processes may use.

A container may use less than the machine has: CPU affinity, and cgroup limits of both versions, are honoured.
Functions that read Linux's files take the root of the file system, so that tests can hand them another.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import msgspec

from lbench.engine.machine.thread_variables import BLAS_VARIABLES

__all__ = [
    "Environment",
    "MachineSample",
    "cgroup_cores",
    "cgroup_memory_bytes",
    "cgroups",
    "fingerprint",
    "memory_bytes",
    "physical_cores",
    "usable_cores",
]

_ROOT = Path("/")
_PACKAGES = (
    "lbench",
    "numpy",
    "scipy",
    "scikit-learn",
    "msgspec",
    "aiohttp",
    "aioboto3",
    "aiobotocore",
    "botocore",
    "boto3",
    "awslambdaric",
    "moto",
    "httptools",
    "joblib",
    "threadpoolctl",
    "psutil",
    "backports.zstd",
)

# That decide which instructions a library computes with, the order of a set, or the local time.
_VARIABLES = (
    *("OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "BLIS_ARCH_TYPE", "NPY_DISABLE_CPU_FEATURES"),
    *("ATEN_CPU_CAPABILITY", "PYTHONHASHSEED", "TZ"),
)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the software that a session was measured on; null: not measured."""

    cpu_model: str | None = None
    logical_cores: int | None = None
    physical_cores: int | None = None
    usable_cores: float | None = None  # logical cores by affinity and cgroup quota
    cgroup_quota: float | None = None  # cores; null: no quota
    cpu_governor: str | None = None
    memory_bytes: int | None = None  # the cgroup's limit where that is less than the machine's
    os: str | None = None
    python: str | None = None
    packages: dict[str, str] = {}
    blas_threads: int | None = None  # of one worker
    load_1m: float | None = None
    hostname: str | None = None
    variables: dict[str, str] = {}  # set ones that results may depend on; local workers have them, environments do not


class MachineSample(msgspec.Struct, frozen=True):
    """The machine's condition at one moment of a run; null: not measured."""

    t_s: float  # since the run's start
    load: float | None = None  # processes that run or wait to, over the last minute
    steal: float | None = None  # share of CPU time that the hypervisor gave to others, since the sample before
    mhz: float | None = None  # of one core
    temperature_c: float | None = None
    throttled_periods: int | None = None  # in which a CPU quota stopped this process's cgroup, since the sample before
    swapped_bytes: int | None = None  # to and from the disk, by anyone, since the sample before


def fingerprint(blas_threads: int | None = None) -> Environment:
    """What this machine is, and its software. `blas_threads` of a worker, where the caller has set them.

    May take some 40 ms (versions are read, nothing is imported), so it is made once, before a run.
    """
    quota = cgroup_cores()
    return Environment(
        cpu_model=cpu_model(),
        logical_cores=os.cpu_count(),
        physical_cores=physical_cores(),
        usable_cores=usable_cores(),
        cgroup_quota=quota,
        cpu_governor=_text(_ROOT / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_bytes=memory_bytes(),
        os=_os_name(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=_versions(),
        blas_threads=_blas_threads() if blas_threads is None else blas_threads,
        load_1m=load_1m(),
        hostname=socket.gethostname() or None,
        variables={name: value for name in _VARIABLES if (value := os.environ.get(name))},
    )


def usable_cores(root: Path = _ROOT) -> float:
    """Logical cores that this process may keep busy: by its affinity and the cgroup's quota; above 0."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores(root)
    return float(allowed) if quota is None else min(float(allowed), quota)


def physical_cores() -> int | None:
    """Cores without hyperthreads."""
    import psutil

    found: int | None = psutil.cpu_count(logical=False)
    return found


def memory_bytes(root: Path = _ROOT) -> int:
    """Bytes of memory that processes may use: the machine's, or the cgroup's limit."""
    import psutil

    total: int = psutil.virtual_memory().total
    limit = cgroup_memory_bytes(root)
    return total if limit is None else min(total, limit)


def load_1m() -> float | None:
    """The load average over the last minute."""
    with contextlib.suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)
    return None


def cpu_model(root: Path = _ROOT) -> str | None:
    """The processor's name; on arm Linux its implementer and part, as the kernel gives no name there."""
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            argv = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=True)
            return done.stdout.strip() or None
        return None
    fields: dict[str, str] = {}
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    if model := fields.get("model name"):
        return model
    if part := fields.get("CPU part"):
        return f"{platform.machine()} implementer {fields.get('CPU implementer', '?')} part {part}"
    return platform.processor() or None


def cgroup_cores(root: Path = _ROOT) -> float | None:
    """The cgroup's CPU quota in cores, the tightest from this process's group up; None: there is none."""
    quotas = []
    for folder, version in cgroups(root, "cpu"):
        files = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        fields = " ".join(_text(folder / name) or "" for name in files).split()
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max", or a file that is not there
            quota_us, period_us = map(int, fields)
            if quota_us > 0:
                quotas.append(quota_us / period_us)
    return min(quotas, default=None)


def cgroup_memory_bytes(root: Path = _ROOT) -> int | None:
    """The cgroup's memory limit in bytes, the tightest from this process's group up; None: there is none."""
    limits = []
    for folder, version in cgroups(root, "memory"):
        text = _text(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        with contextlib.suppress(ValueError):  # "max"
            if text is not None and 0 < int(text) < 2**60:  # version 1 says "no limit" by a huge number
                limits.append(int(text))
    return min(limits, default=None)


def cgroups(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield this process's control group and all above it, each with its version (1 or 2).

    Where the hierarchy is mounted is read from mountinfo: a container often sees its own group as
    the mount's root.
    """
    groups: dict[str, str] = {}  # "" for version 2
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            groups[name] = path
    for line in (_text(root / "proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if len(place) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if kind[0] == "cgroup2" else 1
        if version == 1 and controller not in kind[2].split(","):
            continue
        key = "" if version == 2 else controller
        if key not in groups:
            continue
        mount = root / place[4].lstrip("/")
        inside = Path(groups[key])
        if inside.is_relative_to(place[3]):
            inside = inside.relative_to(place[3])
        group = mount / str(inside).lstrip("/")
        if ".." in inside.parts or not group.is_dir():
            group = mount  # the group is named as seen from outside the container
        while True:
            yield group, version
            if group == mount:
                break
            group = group.parent


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _os_name() -> str:
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform == "darwin":
        return f"{name} (macOS {platform.mac_ver()[0]})"
    with contextlib.suppress(OSError, KeyError):
        return f"{name} ({platform.freedesktop_os_release()['PRETTY_NAME']})"
    return name


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _blas_threads() -> int | None:
    for variable in BLAS_VARIABLES:
        with contextlib.suppress(ValueError):
            if threads := int(os.environ.get(variable, "")):
                return threads
    return None
