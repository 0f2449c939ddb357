"""The limits of AWS Lambda, read from `limits.toml`, where every limit has its source and its date."""

from __future__ import annotations

import errno
import functools
from typing import Annotated

import msgspec

from lbench.config.tables import read_rows

__all__ = [
    "INLINE_BYTES",
    "LOOPBACK_DOWN",
    "NO_TEMPORARY",
    "TOO_MANY_FILES",
    "TOO_MANY_PROCESSES",
    "LambdaLimits",
    "MemoryMb",
    "TimeoutS",
    "fits_inline",
    "limits",
    "no_more_processes",
    "no_temporary",
]

INLINE_BYTES = 6_000_000  # of an event or its answer as JSON, as lbench sends them: below `payload_max_bytes`
_ENVELOPE_BYTES = 2048  # an event without its task, at most


class LambdaLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits that lbench meets, with AWS's defaults; MB are of 1,048,576 bytes."""

    memory_min_mb: int
    memory_max_mb: int
    memory_mb_per_vcpu: int
    new_account_memory_mb: int  # the most of a function, until AWS raises it
    timeout_max_s: int
    init_max_s: int
    payload_max_bytes: int  # of a synchronous request
    response_max_bytes: int
    event_max_bytes: int  # of an asynchronous request
    environment_variables_max_bytes: int  # names and values together
    package_zipped_max_bytes: int  # of a zip that travels in the request; a larger one goes through S3
    package_unzipped_max_bytes: int
    python_versions: tuple[str, ...]  # minor versions, the oldest first
    glibc: str  # of the runtimes: a wheel that asks for a newer one does not load there
    ephemeral_min_mb: int  # of /tmp, and free
    ephemeral_max_mb: int
    concurrency: int  # environments at once, per account and region
    ramp_environments_per_10_s: int
    log_tail_max_bytes: int
    log_retention_days: tuple[int, ...]  # that a log group can have
    throttle_reasons: tuple[str, ...]
    regions_enabled_by_default: tuple[str, ...]  # any other has to be enabled for the account first
    regions_with_lambda: tuple[str, ...]  # that charge in US dollars


LOOPBACK_DOWN = (
    "127.0.0.1 cannot be reached, which emulated Lambda needs: is the loopback interface down? "
    "Start it with `ip link set lo up`"
)
TOO_MANY_FILES = "too many open files: raise the limit with `ulimit -n 4096`, or lower --concurrency"
TOO_MANY_PROCESSES = (
    "no more processes or threads can be started: raise the limit with `ulimit -u 4096`, or lower --concurrency"
)
NO_TEMPORARY = "no folder for temporary files can be written: set TMPDIR to one that can"


def no_temporary(error: BaseException) -> bool:
    """Whether `tempfile` says that it has found no folder."""
    return isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error)


def no_more_processes(error: BaseException | None) -> bool:
    """Whether the error says that the limit of processes and threads (RLIMIT_NPROC, a cgroup's pids) is reached."""
    if isinstance(error, RuntimeError):  # of a thread Python says no more
        return "can't start new thread" in str(error)
    return isinstance(error, OSError) and error.errno == errno.EAGAIN


@functools.cache
def limits() -> LambdaLimits:
    """The limits of `limits.toml`, read once."""
    rows = read_rows("limits.toml")
    return msgspec.convert({name: row["value"] for name, row in rows.items()}, LambdaLimits)


def fits_inline(size_bytes: float, most: int = INLINE_BYTES) -> bool:
    """Whether encoded bytes travel within an event of so many bytes, in base64; else they go through S3."""
    return size_bytes * 4 // 3 + _ENVELOPE_BYTES <= most


MemoryMb = Annotated[int, msgspec.Meta(ge=limits().memory_min_mb, le=limits().memory_max_mb)]
TimeoutS = Annotated[float, msgspec.Meta(gt=0, le=limits().timeout_max_s)]
