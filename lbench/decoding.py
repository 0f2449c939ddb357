"""JSON and TOML from outside: what is nested too deeply to be read is damaged content, as callers already expect it."""

from __future__ import annotations

import tomllib
from typing import Any, TypeVar, overload

import msgspec

__all__ = ["decode_json", "decode_toml", "decode_with"]

T = TypeVar("T")

_TOO_DEEP = "it is nested too deeply"


@overload
def decode_json(content: bytes | bytearray | memoryview | str) -> Any: ...


@overload
def decode_json(content: bytes | bytearray | memoryview | str, kind: type[T]) -> T: ...


def decode_json(content: bytes | bytearray | memoryview | str, kind: Any = Any) -> Any:
    """As `msgspec.json.decode`.

    Raises:
        msgspec.MsgspecError: it is not JSON, not of this kind, or nested too deeply.
        UnicodeDecodeError: a text in it is not UTF-8.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise msgspec.DecodeError(_TOO_DEEP) from None


def decode_with(decoder: msgspec.json.Decoder[T], content: bytes | bytearray | memoryview | str) -> T:
    """The same with a decoder."""
    try:
        return decoder.decode(content)
    except RecursionError:
        raise msgspec.DecodeError(_TOO_DEEP) from None


def decode_toml(text: str) -> dict[str, Any]:
    """As `tomllib.loads`.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError(_TOO_DEEP) from None
