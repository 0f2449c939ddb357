"""What can be set on each backend, as typed fields: options, forms and `lbench backends` come from them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lbench.config.deployment import DEFAULT_STACK
from lbench.config.limits import MemoryMb, TimeoutS, limits

__all__ = ["AwsSettings", "EmulatedSettings", "LambdaSettings", "LocalSettings", "SequentialSettings"]

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
    """Settings of Lambda, wherever it is."""

    concurrency: Annotated[
        _Concurrency | None,
        Meta(
            description="environments; default: what this machine can carry, and on AWS what the account's limit allows"
        ),
    ] = None
    memory: Annotated[MemoryMb, Meta(description="MB of a function; 1,769 MB are one vCPU")] = (
        limits().memory_mb_per_vcpu
    )
    arch: Annotated[
        Literal["x86_64", "arm64"] | None,
        Meta(description="the processor; default: x86_64 on AWS, emulated this machine's (and its price)"),
    ] = None
    region: Annotated[str | None, Meta(description="default: the AWS configuration's, else us-east-1")] = None
    transport: Annotated[
        Literal["direct", "event", "http-api"],
        Meta(
            description="how an invocation travels: direct waits for the answer (to 900 s); event is asynchronous, its "
            "result comes by S3; http-api is API Gateway's front with its 30 s"
        ),
    ] = "direct"
    client: Annotated[
        Literal["fast", "aioboto3"], Meta(description="fast: lbench's own; aioboto3: the SDK, to see the difference")
    ] = "fast"
    print_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 30,
            description="bytes of log that a task's prints may fill: AWS charges for them; what is beyond is dropped",
        ),
    ] = 1 << 18
    s3_endpoint: Annotated[
        str | None, Meta(description="an S3 endpoint to use; default: an embedded one, when needed")
    ] = None


class AwsSettings(LambdaSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Lambda on AWS."""

    stack: Annotated[
        str, Meta(description="the deployment, as `lbench deploy` named it (with -arm64 for that processor)")
    ] = DEFAULT_STACK


class EmulatedSettings(LambdaSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of Lambda on this machine: besides Lambda's own, the conditions to inject, all at rest by default."""

    region: Annotated[str, Meta(description="whose prices are charged")] = "us-east-1"
    latency_ms: Annotated[_Milliseconds, Meta(description="injected: network, added to each round trip")] = 0.0
    jitter_ms: Annotated[_Milliseconds, Meta(description="injected: up to this much more, evenly spread")] = 0.0
    cold_delay_ms: Annotated[_Milliseconds, Meta(description="injected: wait before a new environment is started")] = (
        0.0
    )
    fail_rate: Annotated[
        _Rate, Meta(description="injected: share of requests answered with an error of the service")
    ] = 0.0
    throttle_rate: Annotated[_Rate, Meta(description="injected: share of requests answered with 429")] = 0.0
    slow_rate: Annotated[_Rate, Meta(description="injected: share of environments that are slow")] = 0.0
    slow_factor: Annotated[float, Meta(ge=1, le=1000, description="how many times as long a slow one takes")] = 2.0
    lost_rate: Annotated[_Rate, Meta(description="injected: share of requests that run, and whose answer is lost")] = (
        0.0
    )
    duplicate_rate: Annotated[
        _Rate, Meta(description="injected: share of requests that run twice, and whose answer comes twice")
    ] = 0.0
    condition_seed: Annotated[int, Meta(ge=0, description="of what the conditions hit")] = 1
    cpu_share: Annotated[
        Literal["best", "duty-cycle", "none"],
        Meta(description="how an environment's share of CPU is held; default: the best that this machine allows"),
    ] = "best"
    front_timeout: Annotated[
        TimeoutS, Meta(description="seconds after which the front of transport=http-api gives up; AWS's: 30")
    ] = 30.0
    package: Annotated[
        str | None,
        Meta(description="a zip of `lbench package` to run, libraries and all; default: this Python and its packages"),
    ] = None
    handler: Annotated[
        str | None, Meta(description="for the workload function: what is called of the code, as in app.handler")
    ] = None
    code: Annotated[str | None, Meta(description="for the workload function: the folder of its code, or a zip")] = None
