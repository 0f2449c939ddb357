"""The settings of each backend, as typed fields: options, forms and `lbench backends` come from them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from lbench.config.deployment import DEFAULT_STACK
from lbench.config.folders import is_folder
from lbench.config.limits import MemoryMb, TimeoutS, limits
from lbench.config.server_url import is_loopback
from lbench.decoding import decode_json
from lbench.errors import InputError
from lbench.workloads.textfile import check_regular

__all__ = [
    "AwsSettings",
    "ClusterSettings",
    "DaskSettings",
    "EmulatedSettings",
    "ExecutorSettings",
    "LambdaSettings",
    "LocalSettings",
    "S3Prefix",
    "SequentialSettings",
    "ServedSettings",
    "SimulatedSettings",
    "check_store_folder",
    "parse_store",
]

_SCHEDULER_FILE_BYTES = 1 << 20  # far more than one has: of a data file named by mistake no more is read
_Rate = Annotated[float, Meta(ge=0, le=1)]
_Milliseconds = Annotated[float, Meta(ge=0, le=900_000)]
_Concurrency = Annotated[int, Meta(ge=1, le=10_000)]


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `threads` and `processes`."""

    concurrency: Annotated[_Concurrency | None, Meta(description="workers; default: the usable cores")] = None
    blas_threads: Annotated[int, Meta(ge=1, le=1024, description="BLAS/OpenMP threads of each worker")] = 1


class SequentialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `sequential`."""

    blas_threads: Annotated[int, Meta(ge=1, le=1024, description="BLAS/OpenMP threads of the worker")] = 1


class LambdaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Lambda: on AWS, emulated or simulated."""

    concurrency: Annotated[
        _Concurrency | None,
        Meta(
            description="environments; default: as many as this machine can run, on AWS as the account's limit allows"
        ),
    ] = None
    memory: Annotated[MemoryMb, Meta(description="memory of a function in MB; 1,769 MB give one vCPU")] = (
        limits().memory_mb_per_vcpu
    )
    arch: Annotated[
        Literal["x86_64", "arm64"] | None,
        Meta(
            description="processor architecture (sets the price); default: x86_64 on AWS, this machine's when emulated"
        ),
    ] = None
    region: Annotated[str | None, Meta(description="AWS region; default: the AWS configuration's, else us-east-1")] = (
        None
    )
    transport: Annotated[
        Literal["direct", "event", "http-api"],
        Meta(
            description="direct: synchronous Invoke (up to 900 s); event: asynchronous Invoke, results through S3; "
            "http-api: through API Gateway (up to 30 s)"
        ),
    ] = "direct"


class ServedSettings(LambdaSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Lambda as a service that is called over a network, on AWS or on this machine."""

    client: Annotated[
        Literal["fast", "aioboto3"],
        Meta(description="fast: lbench's own client; aioboto3: the AWS SDK, for comparison"),
    ] = "fast"
    print_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 30,
            description="maximum bytes that a task may print to the log, which AWS charges for; the rest is dropped",
        ),
    ] = 1 << 18
    s3_endpoint: Annotated[
        str | None, Meta(description="S3 endpoint (URL); default: an embedded server, started when needed")
    ] = None


class AwsSettings(ServedSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Lambda on AWS."""

    stack: Annotated[
        str,
        Meta(description="name of the CloudFormation stack from `lbench deploy` (with -arm64 for that architecture)"),
    ] = DEFAULT_STACK


class EmulatedSettings(ServedSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of emulated Lambda: those of Lambda, and injected conditions (none by default)."""

    region: Annotated[str, Meta(description="AWS region whose prices are used")] = "us-east-1"
    latency_ms: Annotated[_Milliseconds, Meta(description="injected: network latency added to each round trip")] = 0.0
    jitter_ms: Annotated[
        _Milliseconds, Meta(description="injected: additional latency, uniform between 0 and this")
    ] = 0.0
    cold_delay_ms: Annotated[_Milliseconds, Meta(description="injected: delay before a new environment starts")] = 0.0
    fail_rate: Annotated[_Rate, Meta(description="injected: share of requests that fail with a service error")] = 0.0
    throttle_rate: Annotated[_Rate, Meta(description="injected: share of requests that are throttled (429)")] = 0.0
    slow_rate: Annotated[_Rate, Meta(description="injected: share of slow environments")] = 0.0
    slow_factor: Annotated[
        float, Meta(ge=1, le=1000, description="injected: how many times as long a slow environment takes")
    ] = 2.0
    lost_rate: Annotated[_Rate, Meta(description="injected: share of requests that run but whose response is lost")] = (
        0.0
    )
    duplicate_rate: Annotated[
        _Rate, Meta(description="injected: share of requests that run twice and respond twice")
    ] = 0.0
    condition_seed: Annotated[int, Meta(ge=0, description="random seed of the injected conditions")] = 1
    cpu_share: Annotated[
        Literal["best", "duty-cycle", "none"],
        Meta(
            description="how the CPU share of an environment is enforced; best: the most exact method of this machine"
        ),
    ] = "best"
    front_timeout: Annotated[
        TimeoutS, Meta(description="timeout in seconds of the HTTP front (transport=http-api); AWS: 30")
    ] = 30.0
    package: Annotated[
        str | None,
        Meta(description="zip from `lbench package` to run, with its libraries; default: this Python and its packages"),
    ] = None
    handler: Annotated[
        str | None, Meta(description="workload function: handler in the code, for example app.handler")
    ] = None
    code: Annotated[str | None, Meta(description="workload function: folder or zip with its code")] = None


class SimulatedSettings(LambdaSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Lambda as a model (`engine.simulation`) in virtual time."""

    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None,
        Meta(description="concurrent calls; default: the account's concurrency limit, 1,000"),
    ] = None
    region: Annotated[str, Meta(description="AWS region whose prices are used")] = "us-east-1"
    transport: Annotated[
        Literal["direct", "http-api"],
        Meta(description="direct: synchronous Invoke (up to 900 s); http-api: through API Gateway (up to 30 s)"),
    ] = "direct"
    python: Annotated[
        Literal["3.12", "3.13", "3.14"], Meta(description="Python version of the runtime, which decides its init time")
    ] = "3.13"
    seed: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="random seed; default: the run's")] = None
    answers: Annotated[
        Literal["replay", "compute"],
        Meta(
            description="replay: task times come from a recorded run, answers are not computed (probe needs no recording); "
            "compute: each task runs once on this machine, and its result and time are cached by its digest"
        ),
    ] = "replay"
    threads: Annotated[
        float, Meta(ge=1, le=64, description="busy threads inside a task (probe has its own parameter)")
    ] = 1.0
    core_ratio: Annotated[
        Annotated[float, Meta(gt=0, le=100)] | None,
        Meta(description="speed of one core of this machine in Lambda vCPUs; default: the model's"),
    ] = None
    account: Annotated[
        Literal["usual", "new"], Meta(description="new: concurrency limit 10 and at most 3,008 MB per function")
    ] = "usual"
    account_concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="concurrency limit of the account; calls beyond it are throttled"),
    ] = None
    import_s: Annotated[
        Annotated[float, Meta(ge=0, le=900)] | None,
        Meta(description="import time of a new environment in seconds on one vCPU; default: as recorded, else 0"),
    ] = None
    idle: Annotated[
        float, Meta(ge=0, le=1e7, description="seconds between two runs, during which idle environments are evicted")
    ] = 0.0
    spread: Annotated[
        float, Meta(ge=0, le=10, description="factor on every standard deviation of the model; 0: no variation")
    ] = 1.0
    fail_rate: Annotated[_Rate, Meta(description="injected: share of requests that fail with a service error")] = 0.0
    throttle_rate: Annotated[_Rate, Meta(description="injected: share of requests that are throttled (429)")] = 0.0
    timeout_rate: Annotated[_Rate, Meta(description="injected: share of requests that hang until their deadline")] = 0.0
    model: Annotated[
        str | None,
        Meta(
            description="file of model parameters (TOML), as `lbench calibrate` writes, or study-2017; default: built in"
        ),
    ] = None


_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX_MAX = 512  # characters: a key has at most 1,024 bytes


class S3Prefix(msgspec.Struct, frozen=True):
    """A bucket, and what all keys in it begin with; maybe nothing."""

    bucket: str
    prefix: str


def parse_store(text: str) -> Path | S3Prefix:
    """What `store=` names: a folder, or s3://bucket/prefix.

    Raises:
        InputError: neither.
    """
    scheme, mark, rest = text.partition("://")
    if not text or (scheme != "s3" and mark) or (not mark and text.startswith("s3:")):
        raise InputError(f"store must be a folder or s3://bucket/prefix, got {text!r}")
    if not mark:
        return Path(text)
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"store={text}: a bucket's name must be 3 to 63 lower-case letters, digits, dots or hyphens")
    if len(prefix) > _PREFIX_MAX or not prefix.isprintable():
        raise InputError(f"store={text[:80]}: the prefix must be at most {_PREFIX_MAX} printable characters")
    return S3Prefix(bucket, prefix)


def check_store_folder(text: str, label: str) -> None:
    """Check that a store that is a folder is there, for the driver as for the workers.

    Raises:
        InputError: it is not, or it is neither a folder's name nor a bucket's.
    """
    if isinstance(parse_store(text), Path) and not is_folder(text):
        raise InputError(f"{label}: store={text}: there is no such folder")


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of workers that are not lbench's own."""

    concurrency: Annotated[_Concurrency | None, Meta(description="calls under way at most; default: the workers")] = (
        None
    )
    blas_threads: Annotated[int, Meta(ge=1, le=1024, description="BLAS/OpenMP threads of each worker")] = 1
    usd_per_hour: Annotated[
        Annotated[float, Meta(gt=0, le=10_000)] | None,
        Meta(description="price of one worker an hour, idle or not; default: no price is known"),
    ] = None
    store: Annotated[
        str | None,
        Meta(
            description="for jobs that exchange objects (map_reduce): a folder that all workers share, or s3://bucket/prefix"
        ),
    ] = None


class DaskSettings(ClusterSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `dask`."""

    scheduler: Annotated[
        str | None,
        Meta(description="tls://host:8786; default: DASK_SCHEDULER_ADDRESS, else a local cluster of processes"),
    ] = None
    scheduler_file: Annotated[str | None, Meta(description="the file that `dask scheduler` wrote")] = None
    ca: Annotated[str | None, Meta(description="the certificate authority's file, for tls://")] = None
    cert: Annotated[str | None, Meta(description="the client certificate's file, for tls://")] = None
    key: Annotated[str | None, Meta(description="the client key's file, for tls://")] = None
    any_versions: Annotated[bool, Meta(description="use workers whose Python or libraries differ, and only say so")] = (
        False
    )

    def address(self) -> str | None:
        """The scheduler's address: the setting, the file's, or DASK_SCHEDULER_ADDRESS; None: a cluster is started here.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no scheduler's file.
        """
        if self.scheduler_file is not None:
            check_regular(Path(self.scheduler_file))
            with Path(self.scheduler_file).open("rb") as file:
                found = decode_json(file.read(_SCHEDULER_FILE_BYTES))
            if not isinstance(found, dict) or not isinstance(found.get("address"), str):
                raise ValueError("it has no address")
            return str(found["address"])
        return self.scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS") or None

    @property
    def starts_cluster(self) -> bool:
        """Whether no cluster is named: one of this machine's processes is started."""
        return not (self.scheduler or self.scheduler_file or os.environ.get("DASK_SCHEDULER_ADDRESS"))

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the cluster is started here, or is reached by the loopback interface."""
        try:
            where = self.address()
            return where is None or is_loopback(urlsplit(where).hostname or "")
        except (OSError, ValueError):
            return False


class ExecutorSettings(ClusterSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `executor`."""

    factory: Annotated[
        str, Meta(description="module:callable or ./file.py:callable that gives a concurrent.futures.Executor")
    ] = ""
