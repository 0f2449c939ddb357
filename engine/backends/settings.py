"""What can be set on each backend, as typed fields: options, forms and `lbench backends` come from them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ["LambdaSettings", "LocalSettings", "SequentialSettings"]

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
        Meta(description="environments; default: what this machine's cores and memory can carry"),
    ] = None
    memory: Annotated[int, Meta(ge=128, le=10_240, description="MB of a function; 1,769 MB are one vCPU")] = 1769
    arch: Annotated[
        Literal["x86_64", "arm64"] | None, Meta(description="whose price is charged; default: this machine's")
    ] = None
    region: Annotated[str, Meta(description="whose prices are charged")] = "us-east-1"
    transport: Annotated[Literal["direct"], Meta(description="how an invocation travels")] = "direct"
    client: Annotated[
        Literal["fast", "aioboto3"], Meta(description="fast: lbench's own; aioboto3: the SDK, to see the difference")
    ] = "fast"
    s3_endpoint: Annotated[
        str | None, Meta(description="an S3 endpoint to use; default: an embedded one, when needed")
    ] = None
