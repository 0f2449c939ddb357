"""A function's configuration, as the API returns it."""

from __future__ import annotations

import base64
import platform
import sys
import time
from typing import Any

from lbench.config.limits import limits
from lbench.engine.emulator.api.functions import LATEST
from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.environment.process import libraries

__all__ = ["architecture", "configuration", "timestamp"]


def architecture() -> str:
    """This machine's architecture, by AWS's name."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def timestamp() -> str:
    """The current time, in `LastModified`'s format."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime())


def configuration(
    spec: FunctionSpec, region: str, stamps: dict[str, str], *, qualified: bool = False
) -> dict[str, Any]:
    """A version's FunctionConfiguration; `stamps`: its `LastModified` and `RevisionId`."""
    digest = base64.b64encode(bytes.fromhex(spec.code_sha256)).decode() if spec.code_sha256 else ""
    python = f"emulated; Python {platform.python_version()} and its libraries from {', '.join(libraries())}"
    whole: dict[str, Any] = {
        "FunctionName": spec.name,
        "FunctionArn": naming.arn(region, spec.name, spec.version if qualified or spec.version != LATEST else ""),
        "Runtime": spec.runtime or f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Role": spec.role or f"arn:aws:iam::{naming.ACCOUNT}:role/lbench-emulated",
        "Handler": spec.handler,
        "CodeSize": spec.code_bytes,
        "Description": python[:256] if spec.description is None else spec.description,
        "Timeout": max(1, round(spec.timeout_s)),
        "MemorySize": spec.memory_mb,
        "CodeSha256": digest,
        "Version": spec.version,
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [architecture()],
        "EphemeralStorage": {"Size": limits().ephemeral_min_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{spec.name}"},
        **stamps,
    }
    if spec.environment:
        whole["Environment"] = {"Variables": spec.environment}
    return whole
