"""A function's configuration, as the API returns it."""

from __future__ import annotations

import base64
import hashlib
import platform
import sys
from typing import Any

from lbench.engine.emulator.core import arn as naming
from lbench.engine.emulator.core.spec import FunctionSpec
from lbench.engine.emulator.environment.process import libraries

__all__ = ["architecture", "code_sha256", "configuration"]


def architecture() -> str:
    """This machine's architecture, by AWS's name."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


def code_sha256(spec: FunctionSpec) -> str:
    """The digest of a version's code in Lambda's format, base64."""
    return base64.b64encode(bytes.fromhex(spec.code_sha256)).decode() if spec.code_sha256 else ""


def configuration(
    spec: FunctionSpec, region: str, state: dict[str, str], *, qualified: bool, listed: bool = False
) -> dict[str, Any]:
    """A version's FunctionConfiguration; `state`: its members that change by themselves; `listed`: as in a list."""
    python = f"emulated; Python {platform.python_version()} and its libraries from {', '.join(libraries())}"
    runtime = spec.runtime or f"python{sys.version_info.major}.{sys.version_info.minor}"
    whole: dict[str, Any] = {
        "FunctionName": spec.name,
        "FunctionArn": naming.arn(region, spec.name, spec.version if qualified else ""),
        "Runtime": runtime,
        "Role": spec.role or f"arn:aws:iam::{naming.ACCOUNT}:role/lbench-emulated",
        "Handler": spec.handler,
        "CodeSize": spec.code_bytes,
        "Description": python[:256] if spec.description is None else spec.description,
        "Timeout": max(1, round(spec.timeout_s)),
        "MemorySize": spec.memory_mb,
        "CodeSha256": code_sha256(spec),
        "Version": spec.version,
        "TracingConfig": {"Mode": spec.tracing},
        "PackageType": "Zip",
        "Architectures": [architecture()],
        "EphemeralStorage": {"Size": spec.ephemeral_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": _logging(spec),
        **state,
    }
    if spec.environment is not None:
        whole["Environment"] = {"Variables": spec.environment}
    if not listed:
        # There is one runtime here, this interpreter: its version stands for AWS's.
        version = hashlib.sha256(f"{runtime} {platform.python_version()}".encode()).hexdigest()
        whole["RuntimeVersionConfig"] = {"RuntimeVersionArn": f"arn:aws:lambda:{region}::runtime:{version}"}
    return whole


def _logging(spec: FunctionSpec) -> dict[str, str]:
    members = {"LogFormat": "Text", "LogGroup": spec.log_group}
    if spec.logging is not None and spec.logging.format == "JSON":
        members["LogFormat"] = "JSON"
        members["ApplicationLogLevel"] = spec.logging.application_level or "INFO"
        members["SystemLogLevel"] = spec.logging.system_level or "INFO"
    return members
