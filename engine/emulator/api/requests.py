"""What the operations on functions are asked, as typed JSON, and the refusal of what cannot be, in AWS's words."""

from __future__ import annotations

import platform
import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from lbench.config.limits import limits
from lbench.engine.emulator.api.describe import architecture
from lbench.engine.emulator.core.errors import Refusal
from lbench.engine.emulator.core.spec import FunctionSpec

__all__ = [
    "Code",
    "Create",
    "Publish",
    "Settings",
    "UpdateCode",
    "check_architectures",
    "decode",
    "invalid",
    "out_of_bounds",
    "with_settings",
]

T = TypeVar("T")
_VARIABLES_LIMIT = limits().environment_variables_max_bytes
_BOUNDS = {
    "MemorySize": ("memorySize", limits().memory_min_mb, limits().memory_max_mb),
    "Timeout": ("timeout", 1, limits().timeout_max_s),
}
_FOREIGN = (  # what AWS has and this has not: named rather than passed over in silence
    "VpcConfig",
    "DeadLetterConfig",
    "KMSKeyArn",
    "Layers",
    "FileSystemConfigs",
    "ImageConfig",
    "CodeSigningConfigArn",
    "CapacityProviderConfig",
    "DurableConfig",
    "TenancyConfig",
)


class _Variables(msgspec.Struct, rename="pascal"):
    variables: dict[str, str] = {}


class Code(msgspec.Struct, rename="pascal"):
    """Where a function's code comes from: only a zip in the request is taken."""

    zip_file: bytes | None = None
    s3_bucket: str | None = None
    image_uri: str | None = None


class Settings(msgspec.Struct, rename="pascal", kw_only=True):
    """What CreateFunction and UpdateFunctionConfiguration have in common."""

    runtime: str | None = None
    role: str | None = None
    handler: str | None = None
    description: Annotated[str, Meta(max_length=256)] | None = None
    timeout: int | None = None
    memory_size: int | None = None
    environment: _Variables | None = None
    revision_id: str | None = None


class Create(Settings, rename="pascal", kw_only=True):
    """CreateFunction."""

    function_name: str
    code: Code
    publish: bool = False
    package_type: str = "Zip"
    architectures: list[str] | None = None


class UpdateCode(Code, rename="pascal", kw_only=True):
    """UpdateFunctionCode."""

    publish: bool = False
    dry_run: bool = False
    revision_id: str | None = None
    architectures: list[str] | None = None


class Publish(msgspec.Struct, rename="pascal"):
    """PublishVersion."""

    code_sha256: str | None = msgspec.field(default=None, name="CodeSha256")
    description: str | None = None
    revision_id: str | None = None


def with_settings(spec: FunctionSpec, asked: Settings) -> FunctionSpec:
    """The version with what was asked for.

    Raises:
        Refusal: that is not possible.
    """
    change: dict[str, Any] = {}
    if asked.runtime is not None:
        if not re.fullmatch(r"python3\.\d+", asked.runtime):
            raise invalid(
                f"Value {asked.runtime} at 'runtime' failed to satisfy constraint: only Python is emulated here, and "
                f"what runs is Python {platform.python_version()}"
            )
        change["runtime"] = asked.runtime
    if asked.memory_size is not None:
        change["memory_mb"] = _within("MemorySize", asked.memory_size)
    if asked.timeout is not None:
        change["timeout_s"] = float(_within("Timeout", asked.timeout))
    if asked.handler is not None:
        if not re.fullmatch(r"[^\s]{1,128}", asked.handler):
            raise invalid(
                f"1 validation error detected: Value '{asked.handler}' at 'handler' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [^\\s]+"
            )
        change["handler"] = asked.handler
    if asked.environment is not None:
        variables = asked.environment.variables
        if sum(len(f"{name}{value}".encode()) for name, value in variables.items()) > _VARIABLES_LIMIT:
            raise invalid(
                "Lambda was unable to configure your environment variables because the environment variables you have "
                f"provided exceeded the {_VARIABLES_LIMIT // 1024}KB limit."
            )
        change["environment"] = variables
    if asked.role is not None:
        change["role"] = asked.role
    change["description"] = asked.description if asked.description is not None else spec.description or ""
    return msgspec.structs.replace(spec, **change)


def _within(field: str, value: int) -> int:
    name, least, most = _BOUNDS[field]
    if not least <= value <= most:
        raise out_of_bounds(name, value, least, most)
    return value


def out_of_bounds(name: str, value: Any, least: int, most: int | None) -> Refusal:
    """The refusal of a number."""
    too_small = not isinstance(value, int) or value < least
    bound = f"greater than or equal to {least}" if too_small else f"less than or equal to {most}"
    return invalid(
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must have value {bound}"
    )


def check_architectures(asked: list[str] | None) -> None:
    """Only this machine's can be had.

    Raises:
        Refusal: another is asked for.
    """
    if asked not in (None, [], [architecture()]):
        raise invalid(f"Architectures {asked}: what runs here is {architecture()}")


def invalid(text: str) -> Refusal:
    """The refusal of a parameter."""
    return Refusal("InvalidParameterValueException", text)


def decode(body: bytes | bytearray, kind: type[T]) -> T:
    """The request's body.

    Raises:
        Refusal: it is no JSON, or not of that kind, or asks for what is not emulated.
    """
    try:
        whole = msgspec.json.decode(body or b"{}")
        foreign = [name for name in _FOREIGN if isinstance(whole, dict) and _any_value(whole.get(name))]
        if foreign:
            raise invalid(f"{foreign[0]} is not emulated: leave it out")
        return msgspec.convert(whole, kind)
    except msgspec.ValidationError as problem:
        raise invalid(f"1 validation error detected: {problem}") from None
    except msgspec.DecodeError as problem:
        raise Refusal("InvalidRequestContentException", f"Could not parse request body into json: {problem}") from None


def _any_value(value: Any) -> bool:
    """Whether something is asked for: `{"SubnetIds": []}` is nothing."""
    if isinstance(value, dict):
        return any(_any_value(one) for one in value.values())
    return bool(value)
