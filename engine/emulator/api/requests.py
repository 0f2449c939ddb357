"""The bodies of requests on functions, as typed JSON, and the settings made of them; refusals in AWS's words."""

from __future__ import annotations

import json
import platform
from typing import Any, TypeVar

import msgspec

from lbench.config.limits import limits
from lbench.decoding import decode_json
from lbench.engine.emulator.api.constraints import check
from lbench.engine.emulator.api.describe import architecture
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.spec import FunctionSpec, Logging

__all__ = [
    "Code",
    "Create",
    "Publish",
    "Settings",
    "Tagging",
    "UpdateCode",
    "check_architectures",
    "check_tags",
    "decode",
    "invalid",
    "with_settings",
]

T = TypeVar("T")
_TAGS_LIMIT = 50
# Runtimes that AWS takes for new functions (its own list and order, recorded in November 2025); older ones get their
# own error. Only Python is emulated.
_RUNTIMES = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
    "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, "
    "dotnet6, nodejs18.x, provided.al2, java8.al2"
)
_OLD_RUNTIMES = frozenset(
    [
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "java8",
        "python2.7",
        "python3.6",
        "python3.7",
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "ruby2.5",
        "ruby2.7",
        "provided",
    ]
)
# Variables that Lambda sets itself ("Defined runtime environment variables", Developer Guide)
_RESERVED = frozenset(
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    ]
)
_VARIABLES_TEXT = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided "
)


class _Variables(msgspec.Struct, rename="pascal"):
    variables: dict[str, str | None] | None = None


class _Storage(msgspec.Struct, rename="pascal"):
    size: int


class _Tracing(msgspec.Struct, rename="pascal"):
    mode: str | None = None


class _SnapStart(msgspec.Struct, rename="pascal"):
    apply_on: str | None = None


class _Logging(msgspec.Struct, rename="pascal"):
    log_format: str | None = None
    application_log_level: str | None = None
    system_log_level: str | None = None
    log_group: str | None = None


class Code(msgspec.Struct, rename="pascal"):
    """The source of a function's code: only a zip in the request is accepted."""

    zip_file: bytes | None = None
    image_uri: str | None = None


class Settings(msgspec.Struct, rename="pascal", kw_only=True):
    """The members that CreateFunction and UpdateFunctionConfiguration have in common."""

    runtime: str | None = None
    role: str | None = None
    handler: str | None = None
    description: str | None = None
    timeout: int | None = None
    memory_size: int | None = None
    environment: _Variables | None = None
    ephemeral_storage: _Storage | None = None
    tracing_config: _Tracing | None = None
    snap_start: _SnapStart | None = None
    logging_config: _Logging | None = None
    revision_id: str | None = None


class Create(Settings, rename="pascal", kw_only=True):
    """The body of CreateFunction."""

    function_name: str
    code: Code
    publish: bool | None = None
    package_type: str | None = None
    architectures: list[str] | None = None
    tags: dict[str, str] | None = None


class UpdateCode(Code, rename="pascal", kw_only=True):
    """The body of UpdateFunctionCode."""

    publish: bool | None = None
    dry_run: bool | None = None
    revision_id: str | None = None
    architectures: list[str] | None = None


class Publish(msgspec.Struct, rename="pascal"):
    """The body of PublishVersion."""

    code_sha256: str | None = msgspec.field(default=None, name="CodeSha256")
    description: str | None = None
    revision_id: str | None = None


class Tagging(msgspec.Struct, rename="pascal"):
    """The body of TagResource."""

    tags: dict[str, str | None]


def with_settings(spec: FunctionSpec, asked: Settings) -> FunctionSpec:
    """The version with the requested settings.

    Raises:
        Refusal: a setting is impossible or not emulated.
    """
    change: dict[str, Any] = {}
    if asked.runtime is not None:
        _check_runtime(asked.runtime)
        change["runtime"] = asked.runtime
    if asked.memory_size is not None:
        change["memory_mb"] = asked.memory_size
    if asked.timeout is not None:
        change["timeout_s"] = float(asked.timeout)
    if asked.handler is not None:
        change["handler"] = asked.handler
    if asked.environment is not None:
        change["environment"] = _variables(asked.environment)
    if asked.role is not None:
        change["role"] = asked.role
    if asked.ephemeral_storage is not None:
        change["ephemeral_mb"] = asked.ephemeral_storage.size
    if asked.logging_config is not None:
        change["logging"] = _logging(spec, asked.logging_config)
    if asked.tracing_config is not None and asked.tracing_config.mode is not None:
        change["tracing"] = asked.tracing_config.mode
    if asked.snap_start is not None and asked.snap_start.apply_on == "PublishedVersions":
        raise invalid("SnapStart ApplyOn PublishedVersions is not emulated: use None")
    change["description"] = asked.description if asked.description is not None else spec.description or ""
    return msgspec.structs.replace(spec, **change)


def _check_runtime(runtime: str) -> None:
    if runtime in _OLD_RUNTIMES:
        raise invalid(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime not in _RUNTIMES.split(", "):
        raise invalid(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{_RUNTIMES}] or be a valid ARN"
        )
    if not runtime.startswith("python"):
        raise invalid(f"Runtime {runtime} is not emulated: use Python (this one is {platform.python_version()})")


def _variables(asked: _Variables) -> dict[str, str]:
    """The variables; a null value is an unset variable.

    Raises:
        Refusal: they are reserved, too large, or hold a null character.
    """
    variables = {name: value for name, value in (asked.variables or {}).items() if value is not None}
    reserved = [name for name in variables if name in _RESERVED]
    if reserved:
        raise invalid(
            f"{_VARIABLES_TEXT}contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    most = limits().environment_variables_max_bytes
    measured = json.dumps(variables, ensure_ascii=False, separators=(",", ":"))
    if len(measured.encode()) > most:
        raise invalid(f"{_VARIABLES_TEXT}exceeded the {most // 1024}KB limit. String measured: {measured}")
    for name, value in variables.items():
        if "\0" in value:
            raise invalid(f"{_VARIABLES_TEXT}contains a null character in the value of {name}")
    return variables


def _logging(spec: FunctionSpec, asked: _Logging) -> Logging:
    """The logging settings: what is not named stays; the levels belong to JSON."""
    old = spec.logging or Logging()
    format_ = old.format if asked.log_format is None else asked.log_format
    if format_ != "JSON":
        if asked.application_log_level or asked.system_log_level:
            raise invalid("ApplicationLogLevel and SystemLogLevel are only available with LogFormat JSON")
        return Logging(group=asked.log_group or old.group)
    return Logging(
        format="JSON",
        application_level=asked.application_log_level or old.application_level,
        system_level=asked.system_log_level or old.system_level,
        group=asked.log_group or old.group,
    )


def check_architectures(asked: list[str] | None) -> None:
    """Only this machine's architecture runs here.

    Raises:
        Refusal: another is requested.
    """
    if asked not in (None, [], [architecture()]):
        raise invalid(f"Architectures {asked} is not emulated: use {architecture()}")


def check_tags(tags: dict[str, str]) -> dict[str, str]:
    """The tags of a function.

    Raises:
        Refusal: there are too many.
    """
    if len(tags) > _TAGS_LIMIT:
        raise invalid("Number of tags exceeds resource tag limit.")
    return tags


def invalid(text: str) -> Refusal:
    """The refusal of a parameter."""
    return Refusal("InvalidParameterValueException", text)


def decode(body: bytes | bytearray, kind: type[T], operation: str) -> T:
    """The request's body.

    Raises:
        Refusal: it is not JSON, or not the operation's, or requests what is not emulated.
    """
    try:
        whole = decode_json(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Refusal("SerializationException", f"Could not parse request body into json: {problem}") from None
    check(operation, whole)
    if isinstance(whole, dict):
        whole = {name: value for name, value in whole.items() if value is not None}
    try:
        return msgspec.convert(whole, kind)
    except msgspec.ValidationError as problem:
        raise Refusal("SerializationException", str(problem)) from None
