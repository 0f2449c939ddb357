"""Settings: config.toml, then the environment's LBENCH_*, then the command line; the later wins.

AWS credentials, endpoints, proxies and CA are never settings of lbench: botocore's usual chain finds them.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lbench.config.folders import config_file
from lbench.config.limits import MemoryMb, TimeoutS, limits
from lbench.decoding import decode_toml
from lbench.errors import InputError, utf8
from lbench.folders import refusal

__all__ = [
    "ForSeconds",
    "Loaded",
    "Repeats",
    "Retries",
    "ScheduleChoice",
    "Seed",
    "Setting",
    "Settings",
    "TaskTimeout",
    "Warmup",
    "known_settings",
    "load",
    "on_hangup",
]

_PREFIX = "LBENCH_"


_NAMES = {"memory_mb": "memory", "timeout_s": "timeout", "for_s": "for"}

# Those that the screens' form has too.
Repeats = Annotated[
    Annotated[int, Meta(ge=1, le=10_000)] | Literal["auto"],
    Meta(description="runs of each backend; auto: 6 or more, until speedups are known to 5 %"),
]
ForSeconds = Annotated[float, Meta(gt=0, le=1e6, description="seconds after which auto begins no other round")]
Warmup = Annotated[int, Meta(ge=0, le=1_000, description="warm-up runs before those, excluded from statistics")]
ScheduleChoice = Annotated[
    Literal["isolated", "alternating", "concurrent"] | None,
    Meta(
        description="isolated: one backend after the other; alternating: they take turns (none: alternating, and AWS beside)"
    ),
]
TaskTimeout = Annotated[TimeoutS, Meta(description="deadline of a task in seconds")]
Retries = Annotated[int, Meta(ge=0, le=100, description="further attempts of a failed or throttled task")]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1, description="random seed")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES):
    """What can be chosen once for all runs. A setting has the name of its option; None: see its meaning."""

    repeats: Repeats = "auto"
    for_s: ForSeconds = 60.0
    warmup: Warmup = 0
    concurrency: (
        Annotated[int, Meta(ge=1, le=10_000, description="workers or environments at once (none: the backend's)")]
        | None
    ) = None
    memory_mb: Annotated[MemoryMb, Meta(description="MB of a Lambda environment")] = limits().memory_mb_per_vcpu
    arch: Annotated[
        Literal["x86_64", "arm64"] | None,
        Meta(description="Lambda's processor (none: x86_64; emulated: this machine's)"),
    ] = None
    region: Annotated[
        str | None,
        Meta(description="AWS region (none: as AWS's own tools find it, else us-east-1)"),
    ] = None
    s3_endpoint: Annotated[str | None, Meta(description="URL of an S3 server (none: the embedded one, or AWS's)")] = (
        None
    )
    client: Annotated[
        Literal["fast", "aioboto3"], Meta(description="client for Lambda: lbench's own, or the SDK's")
    ] = "fast"
    schedule: ScheduleChoice = None
    timeout_s: TaskTimeout = 300.0
    retries: Retries = 2
    seed: Seed = 1
    ask_above_usd: Annotated[
        float, Meta(ge=0, le=1e6, description="ask before a comparison on AWS that is expected to cost more dollars")
    ] = 0.25
    fps: (
        Annotated[float, Meta(gt=0, le=60, description="most frames a second of the screens (none: by the terminal)")]
        | None
    ) = None
    marker: Annotated[
        Literal["braille", "block", "ascii"] | None,
        Meta(description="what charts are drawn with, for fonts without braille (none: by the terminal)"),
    ] = None
    on_hangup: Annotated[
        Literal["finish", "stop"] | None,
        Meta(description="what the engine does when its terminal is closed (none: after `run` it stops)"),
    ] = None


class Setting(msgspec.Struct, frozen=True):
    """A setting as a person sees it."""

    name: str  # in config.toml; the option is --NAME with hyphens
    variable: str  # LBENCH_NAME
    default: Any
    expected: str  # "a whole number from 1 to 10000", "fast or aioboto3", "a text"
    meaning: str


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and where each came from."""

    values: Settings
    origins: dict[str, str]  # name: "default", "config.toml", "LBENCH_NAME" or "command line"
    file: str  # the settings file's path, there or not


def known_settings() -> list[Setting]:
    """All settings, in the order in which they are shown."""
    info = msgspec.inspect.type_info(Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    return [
        Setting(
            name=field.encode_name,
            variable=_PREFIX + field.encode_name.upper(),
            default=field.default,
            expected=_expected(field.type),
            meaning=_meaning(field.type),
        )
        for field in info.fields
    ]


def on_hangup(settings: Settings, launcher: Literal["tui", "run"]) -> Literal["finish", "stop"]:
    """What the engine does when its terminal is closed: as set, else a TUI's finishes and `run`'s stops."""
    return settings.on_hangup or ("finish" if launcher == "tui" else "stop")


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Loaded:
    """Read the settings. `overrides` are the command line's, by the setting's name; None: not given there.

    A variable LBENCH_* that is empty counts as unset; an unknown one is refused where it resembles a setting, else left
    alone: lbench's own processes use some.

    Raises:
        InputError: an unknown setting, or an invalid value; the message names the place.
    """
    file = config_file() if file is None else file
    environ = os.environ if environ is None else environ
    known = {setting.name: setting for setting in known_settings()}
    values: dict[str, Any] = {}
    origins = dict.fromkeys(known, "default")

    def take(name: str, value: Any, origin: str, where: str, strict: bool) -> None:
        try:  # one at a time, so that the message can name it
            read = msgspec.convert({name: value}, Settings, strict=strict)
        except msgspec.ValidationError:
            raise InputError(f"{where} must be {known[name].expected}, got {value}") from None
        values[name] = msgspec.to_builtins(read)[name]
        origins[name] = origin

    for name, value in _read(file).items():
        if name not in known:
            raise InputError(f"{file}: unknown setting {name!r}{_nearest(name, known)}")
        take(name, value, "config.toml", f"{file}: {name}", strict=True)
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX):
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name in known and variable.isupper():
            if not text:
                continue  # as other programs do: set to nothing is not set
            take(name, text, variable, variable, strict=False)
        elif near := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
            raise InputError(f"unknown setting {variable} in the environment: did you mean {known[near[0]].variable}?")
    for name, value in (overrides or {}).items():
        if name not in known:
            raise InputError(f"unknown setting {name!r}{_nearest(name, known)}")
        if value is not None:
            take(name, value, "command line", f"--{name.replace('_', '-')}", strict=False)
    return Loaded(msgspec.convert(values, Settings), origins, str(file))


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_uid not in (0, os.geteuid()):
            raise InputError(f"{file} belongs to another user: set XDG_CONFIG_HOME to a folder that you own")
        return decode_toml(utf8(file.read_bytes()).decode())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not TOML ({error}): correct or remove it") from None
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {refusal(error)}; correct that, or set XDG_CONFIG_HOME to another folder"
        ) from None


def _nearest(name: str, known: Mapping[str, Setting]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(known)}"


def _plain(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    """The type without its description and without None."""
    inspect = msgspec.inspect
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _plain(next(part for part in kind.types if not isinstance(part, inspect.NoneType)))
    return kind


def _meaning(kind: msgspec.inspect.Type) -> str:
    inspect = msgspec.inspect
    if isinstance(kind, inspect.UnionType):
        return next((text for part in kind.types if (text := _meaning(part))), "")
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra_json_schema or {}).get("description", "")) or _meaning(kind.type)
    return ""


def _expected(kind: msgspec.inspect.Type) -> str:
    inspect = msgspec.inspect
    if isinstance(kind, inspect.Metadata):
        return _expected(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_expected(part) for part in kind.types if not isinstance(part, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.IntType):
        return f"a whole number from {kind.ge} to {kind.le}"
    if isinstance(kind, inspect.FloatType):
        least = f"above {kind.gt:g} and" if kind.gt is not None else f"from {kind.ge:g}"
        return f"a number {least} up to {kind.le:,g}"
    return "a text"
