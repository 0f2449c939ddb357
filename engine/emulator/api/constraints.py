"""AWS's constraints on the members of requests, and what is emulated of them.

They are those of botocore's model of Lambda (1.44.8 of 2026), written down here so that they hold whatever botocore
is installed. The texts of `problems` are AWS's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from lbench.config.limits import limits
from lbench.engine.emulator.core.arn import FUNCTION, invalid_member
from lbench.engine.emulator.core.errors import Refusal

__all__ = ["OPERATIONS", "Member", "check"]

Kind = Literal["string", "integer", "boolean", "blob", "list", "map", "structure", "foreign"]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member's shape. `foreign`: AWS has it, the emulator does not, and refuses a value for it by its name."""

    kind: Kind = "string"
    least: int | None = None  # of a number's value, of a text's or a list's length
    most: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    members: Mapping[str, Member] = {}
    item: Member | None = None  # of a list; of a map's values
    keys: Member | None = None  # of a map
    required: bool = False
    secret: bool = False  # AWS leaves its value out of messages
    hint: str = "leave it out"  # what to do about a foreign one


_LIMITS = limits()
_FOREIGN = Member(kind="foreign")
_STRING = Member()
_BOOLEAN = Member(kind="boolean")
_NAME = Member(pattern=FUNCTION, least=1, most=140, required=True)
_CODE = Member(kind="foreign", hint="send the code as a ZipFile")
_ARCHITECTURES = Member(kind="list", least=1, most=1, item=Member(choices=("x86_64", "arm64")))
_DESCRIPTION = Member(least=0, most=256)
_TAGS = Member(kind="map", keys=Member(least=1, most=128), item=Member(least=0, most=256))
_DESTINATION = Member(
    kind="structure",
    members={
        "Destination": Member(
            least=0,
            most=350,
            pattern=r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
            r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
        )
    },
)
_EVENT_INVOKE_CONFIG = {
    "MaximumRetryAttempts": Member(kind="integer", least=0, most=2),
    "MaximumEventAgeInSeconds": Member(kind="integer", least=60, most=21_600),
    "DestinationConfig": Member(kind="structure", members={"OnSuccess": _DESTINATION, "OnFailure": _DESTINATION}),
}
_CODE_SOURCES = {
    "S3Bucket": _CODE,
    "S3Key": _CODE,
    "S3ObjectVersion": _CODE,
    "S3ObjectStorageMode": _CODE,
    "SourceKMSKeyArn": _FOREIGN,
}
_CONFIGURATION = {
    "Role": Member(pattern=r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", most=10_000),
    "Handler": Member(pattern=r"[^\s]+", least=0, most=128),
    "Description": _DESCRIPTION,
    "Timeout": Member(kind="integer", least=1, most=_LIMITS.timeout_max_s),
    "MemorySize": Member(kind="integer", least=_LIMITS.memory_min_mb, most=_LIMITS.memory_max_mb),
    "Environment": Member(
        kind="structure",
        members={
            "Variables": Member(kind="map", keys=Member(pattern=r"[a-zA-Z]([a-zA-Z0-9_])+"), item=_STRING, secret=True)
        },
    ),
    "Runtime": _STRING,
    "EphemeralStorage": Member(
        kind="structure",
        members={
            "Size": Member(kind="integer", least=_LIMITS.ephemeral_min_mb, most=_LIMITS.ephemeral_max_mb, required=True)
        },
    ),
    "TracingConfig": Member(kind="structure", members={"Mode": Member(choices=("Active", "PassThrough"))}),
    "SnapStart": Member(kind="structure", members={"ApplyOn": Member(choices=("PublishedVersions", "None"))}),
    "LoggingConfig": Member(
        kind="structure",
        members={
            "LogFormat": Member(choices=("JSON", "Text")),
            "ApplicationLogLevel": Member(choices=("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")),
            "SystemLogLevel": Member(choices=("DEBUG", "INFO", "WARN")),
            "LogGroup": Member(pattern=r"[\.\-_/#A-Za-z0-9]+", least=1, most=512),
        },
    ),
    "VpcConfig": _FOREIGN,
    "DeadLetterConfig": Member(kind="foreign", hint="use a destination on failure"),
    "KMSKeyArn": _FOREIGN,
    "Layers": Member(kind="foreign", hint="put the libraries into the zip"),
    "FileSystemConfigs": _FOREIGN,
    "ImageConfig": _FOREIGN,
    "CapacityProviderConfig": _FOREIGN,
    "DurableConfig": _FOREIGN,
    "RuntimeConfig": _FOREIGN,
    "AcceleratorConfig": _FOREIGN,
}
# The members in each operation's body; those of path and query are checked where they are parsed.
OPERATIONS: dict[str, dict[str, Member]] = {
    "CreateFunction": {
        "FunctionName": _NAME,
        **_CONFIGURATION,
        "Role": msgspec.structs.replace(_CONFIGURATION["Role"], required=True),
        "Code": Member(
            kind="structure",
            members={"ZipFile": Member(kind="blob"), "ImageUri": _CODE, **_CODE_SOURCES},
            required=True,
        ),
        "Publish": _BOOLEAN,
        "PackageType": Member(choices=("Zip", "Image")),
        "Tags": _TAGS,
        "Architectures": _ARCHITECTURES,
        "PublishTo": _FOREIGN,
        "CodeSigningConfigArn": _FOREIGN,
        "TenancyConfig": _FOREIGN,
    },
    "UpdateFunctionConfiguration": {**_CONFIGURATION, "RevisionId": _STRING},
    "UpdateFunctionCode": {
        "ZipFile": Member(kind="blob"),
        "ImageUri": _STRING,
        "Publish": _BOOLEAN,
        "DryRun": _BOOLEAN,
        "RevisionId": _STRING,
        "Architectures": _ARCHITECTURES,
        "PublishTo": _FOREIGN,
        **_CODE_SOURCES,
    },
    "PublishVersion": {
        "CodeSha256": _STRING,
        "Description": _DESCRIPTION,
        "RevisionId": _STRING,
        "PublishTo": _FOREIGN,
    },
    "PutFunctionConcurrency": {"ReservedConcurrentExecutions": Member(kind="integer", least=0, required=True)},
    "PutFunctionEventInvokeConfig": _EVENT_INVOKE_CONFIG,
    "UpdateFunctionEventInvokeConfig": _EVENT_INVOKE_CONFIG,
    "TagResource": {"Tags": msgspec.structs.replace(_TAGS, required=True)},
}
_JSON_TYPES: dict[Kind, type | tuple[type, ...]] = {
    "string": str,
    "blob": str,
    "integer": int,
    "boolean": bool,
    "list": list,
    "map": dict,
    "structure": dict,
}
_SINGULAR = {"string": "a String", "blob": "a String", "integer": "an Integer", "boolean": "a Boolean"}


def check(operation: str, body: Any) -> None:
    """Check a request's body against the operation's members.

    Raises:
        Refusal: it is no object, a member has another type or does not satisfy its constraints, or is not emulated.
    """
    if not isinstance(body, dict):
        raise _misplaced(body)
    members = OPERATIONS[operation]
    _check_types(body, members)
    problems = _structure(body, members, "")
    if problems:
        raise Refusal.invalid(problems)


def _check_types(values: dict[str, Any], members: Mapping[str, Member], path: str = "") -> None:
    for name, value in values.items():
        member = members.get(name)
        if member is None or member.kind == "foreign":
            if _any_value(value):
                hint = "leave it out" if member is None else member.hint
                raise Refusal("InvalidParameterValueException", f"{path}{name} is not emulated: {hint}")
        elif value is not None:
            _check_type(value, member, f"{path}{name}.")


def _check_type(value: Any, member: Member, path: str) -> None:
    right: Any = isinstance(value, _JSON_TYPES[member.kind]) and isinstance(value, bool) == (member.kind == "boolean")
    if not right:
        if isinstance(value, dict | list) or member.kind not in _SINGULAR:
            raise _misplaced(value)
        token = "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"
        if isinstance(value, bool):
            token = f"{value}_VALUE".upper()
        raise Refusal("SerializationException", f"{token} can not be converted to {_SINGULAR[member.kind]}")
    if member.kind == "structure":
        _check_types(value, member.members, path)
    elif member.item is not None:
        for one in value.values() if member.kind == "map" else value:
            if one is not None:
                _check_type(one, member.item, path)


def _misplaced(value: Any) -> Refusal:
    text = "Expected a structure, list or map."
    if isinstance(value, dict | list):
        what = "structure or map" if isinstance(value, dict) else "list"
        text = f"Start of {what} found where not expected."
    return Refusal("SerializationException", text)


def _any_value(value: Any) -> bool:
    """Whether a value is requested: `{"SubnetIds": []}` is not."""
    if isinstance(value, dict):
        return any(_any_value(one) for one in value.values())
    return bool(value)


def _structure(values: dict[str, Any], members: Mapping[str, Member], path: str) -> list[str]:
    found: list[str] = []
    for name, member in members.items():
        value = values.get(name)
        place = f"{path}{name[0].lower()}{name[1:]}"
        if value is not None:
            found += _problems(value, member, place)
        elif member.required:
            found.append(invalid_member(place, None, "Member must not be null"))
    return found


def _problems(value: Any, member: Member, place: str) -> list[str]:
    match member.kind:
        case "structure":
            return _structure(value, member.members, f"{place}.")
        case "map":
            return _map_problems(value, member, place)
        case "list":
            shown = f"[{', '.join(map(str, value))}]"
            if member.item is not None and any(_constraints(one, member.item) for one in value):
                inner = [*_all_constraints(member.item), "Member must not be null"]
                return [invalid_member(place, shown, f"Member must satisfy constraint: [{', '.join(inner)}]")]
            return [invalid_member(place, shown, text) for text in _length(len(value), member)]
        case "foreign" | "blob" | "boolean":
            return []
    return [invalid_member(place, value, text) for text in _constraints(value, member)]


def _map_problems(value: dict[str, Any], member: Member, place: str) -> list[str]:
    for noun, shape, ones in (("keys", member.keys, value), ("value", member.item, value.values())):
        if shape is not None and any(one is not None and _constraints(one, shape) for one in ones):
            text = f"Map {noun} must satisfy constraint: [{', '.join(_all_constraints(shape))}]"
            if member.secret:
                return [f"Value at '{place}' failed to satisfy constraint: {text}"]
            shown = "{" + ", ".join(f"{key}={one}" for key, one in value.items()) + "}"
            return [invalid_member(place, shown, text)]
    return []


def _constraints(value: Any, member: Member) -> list[str]:
    """The constraints of a text or a number that the value does not satisfy."""
    if isinstance(value, int):
        return _bounds(value, member, "value")
    found = _length(len(value), member)
    if member.pattern is not None and not re.fullmatch(member.pattern, value):
        found.append(_pattern(member))
    if member.choices and value not in member.choices:
        found.append(_choices(member))
    return found


def _all_constraints(member: Member) -> list[str]:
    found = []
    if member.most is not None:
        found.append(f"Member must have length less than or equal to {member.most}")
        found.append(f"Member must have length greater than or equal to {member.least or 0}")
    if member.pattern is not None:
        found.append(_pattern(member))
    if member.choices:
        found.append(_choices(member))
    return found


def _length(length: int, member: Member) -> list[str]:
    return _bounds(length, member, "length")


def _bounds(value: int, member: Member, what: str) -> list[str]:
    if member.least is not None and value < member.least:
        return [f"Member must have {what} greater than or equal to {member.least}"]
    if member.most is not None and value > member.most:
        return [f"Member must have {what} less than or equal to {member.most}"]
    return []


def _pattern(member: Member) -> str:
    return f"Member must satisfy regular expression pattern: {member.pattern}"


def _choices(member: Member) -> str:
    return f"Member must satisfy enum value set: [{', '.join(member.choices)}]"
