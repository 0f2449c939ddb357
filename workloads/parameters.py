"""Parameters as forms and command lines show them, and their values from text."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import re
from collections.abc import Container, Mapping
from typing import Any, TypeVar

import msgspec

from lbench.decoding import decode_json
from lbench.errors import InputError, UnknownNameError
from lbench.workloads.model import Params

__all__ = ["Field", "check_seed", "fields", "parse", "parse_values", "settable"]

P = TypeVar("P", bound=msgspec.Struct)

_RESERVED = frozenset(field.name for field in msgspec.structs.fields(Params))
_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "numbers": "must be numbers separated by commas",
    "yes or no": "must be yes or no",
    "text": "must be text",
    "date": "must be a date, as in 2026-01-31",
    "date and time": "must be a date and a time, as in 2026-01-31T12:00:00",
    "time": "must be a time, as in 12:00:00",
    "decimal": "must be a number",
    "UUID": "must be a UUID, as in 123e4567-e89b-12d3-a456-426614174000",
}
_FORMS: dict[type[msgspec.inspect.Type], str] = {
    msgspec.inspect.DateType: "date",
    msgspec.inspect.DateTimeType: "date and time",
    msgspec.inspect.TimeType: "time",
    msgspec.inspect.DecimalType: "decimal",
    msgspec.inspect.UUIDType: "UUID",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_LONGEST = 60  # characters of a value that a message repeats


class Field(msgspec.Struct, frozen=True):
    """One parameter as forms and command lines show it."""

    name: str
    type: str  # "int", "float", "text", "choice", "numbers", "yes or no", "value" (JSON, else text), "date" ... (`_FORMS`)
    default: Any
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # accepted in place of a number, such as "auto"
    optional: bool = False
    required: bool = False  # has no default


def _describe_type(kind: msgspec.inspect.Type) -> dict[str, Any]:
    inspect = msgspec.inspect
    described: dict[str, Any] = {}
    if isinstance(kind, inspect.Metadata):
        extra = kind.extra_json_schema or {}
        described = _describe_type(kind.type)
        if "description" in extra:
            described["meaning"] = extra["description"]
        return described
    if isinstance(kind, inspect.UnionType):
        inner = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
        described = _describe_type(inner[0]) | {"optional": len(inner) < len(kind.types)}
        words = [_describe_type(other).get("choices", ()) for other in inner[1:]]
        return described | {"words": tuple(itertools.chain.from_iterable(words))}
    if isinstance(kind, inspect.BoolType):
        return {"type": "yes or no"}
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return {
            "type": "int" if isinstance(kind, inspect.IntType) else "float",
            "minimum": kind.ge if kind.ge is not None else kind.gt,
            "maximum": kind.le if kind.le is not None else kind.lt,
        }
    if isinstance(kind, inspect.LiteralType):
        return {"type": "choice", "choices": tuple(str(v) for v in kind.values)}
    if isinstance(kind, inspect.TupleType | inspect.VarTupleType | inspect.ListType):
        return {"type": "numbers"}
    if form := _FORMS.get(type(kind)):
        return {"type": form}
    return {"type": "value" if isinstance(kind, inspect.AnyType) else "text"}


def fields(struct: type[msgspec.Struct]) -> list[Field]:
    """The fields that a user may set, in their order; the run's own (`tasks`, `seed`) are left out."""
    own = _RESERVED if issubclass(struct, Params) else frozenset()
    return [field for field in _all_fields(struct) if field.name not in own]


@functools.cache
def _all_fields(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    found = []
    for field in info.fields:
        default = field.default if field.default is not msgspec.NODEFAULT else None
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        required = field.required or (field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT)
        described: dict[str, Any] = {"meaning": "", "required": required} | _describe_type(field.type)
        found.append(Field(name=field.name, default=default, **described))
    return tuple(found)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):  # the record of a run is JSON, which has no such numbers
        raise ValueError(text)
    return number


def _read(field: Field, text: str, what: str) -> Any:
    if field.optional and text.lower() in ("", "none", "null"):
        return None
    if text in field.words:
        return text
    try:
        if field.type == "int":
            return int(text)
        if field.type == "float":
            return _number(text)
        if field.type == "numbers":
            return [_number(part) for part in text.split(",")]
    except ValueError:
        kind = " or ".join((_KINDS[field.type], *field.words))
        raise InputError(f"{what} {field.name}={_shown(text)}: {kind}") from None
    if field.type == "yes or no":
        if text.lower() in ("yes", "true", "1", "on"):
            return True
        if text.lower() in ("no", "false", "0", "off"):
            return False
        raise InputError(f"{what} {field.name}={_shown(text)}: {_KINDS[field.type]}")
    if field.type == "value":
        with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
            return decode_json(text)
    return text


def _shown(value: Any) -> str:
    parts = value if isinstance(value, list | tuple) else [value]
    text = ",".join(str(part) for part in parts)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _explain(field: Field, message: str) -> str:
    """Msgspec's message in a user's words."""
    if field.type == "choice":
        return f"must be one of {', '.join(field.choices)}"
    if bound := re.fullmatch(r"Expected `(?:int|float)` ([<>]=?) (\S+)", message):
        return f"must be {_BOUNDS[bound[1]]} {float(bound[2]):.15g}"
    if length := re.fullmatch(r"Expected `array` of length (?:([<>]=?) )?(\d+)(?:, got (\d+))?", message):
        count = f"{_BOUNDS[length[1]]} {length[2]}" if length[1] else length[2]
        got = f", got {length[3]}" if length[3] else ""
        return f"must be {count} numbers separated by commas{got}"
    if letters := re.fullmatch(r"Expected `str` of length ([<>]=?) (\d+)", message):
        return f"must have {_BOUNDS[letters[1]]} {letters[2]} characters"
    if multiple := re.fullmatch(r"Expected `(?:int|float)` that's a multiple of (\S+)", message):
        return f"must be a multiple of {multiple[1]}"
    if message.startswith("Expected `") or field.type in _FORMS.values():
        return _KINDS[field.type]
    return message[:1].lower() + message[1:]


def parse(struct: type[P], texts: Mapping[str, Any], *, what: str = "parameter", **reserved: Any) -> P:
    """Build the Struct from texts as a user typed them; other values are taken as they are.

    Raises:
        UnknownNameError: an unknown name, with the nearest field's.
        InputError: a text that is not a value of the field, or a value out of its range.
    """
    known = {field.name: field for field in fields(struct)}
    values: dict[str, Any] = dict(reserved)
    for name, text in texts.items():
        if name not in known:
            raise UnknownNameError(what, name, known)
        values[name] = _read(known[name], text, what) if isinstance(text, str) else text
    try:
        # Not strict: lets a text choose among numbers (Literal[1, 2]).
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = re.split(r"[.`\[]", path)[0]
        if not path:  # the Struct's own check; it may begin with a field's name
            first, _, rest = message.partition(": ")
            name, message = (first, rest) if first in known and rest else ("", message)
        field = next((field for field in _all_fields(struct) if field.name == name), None)
        if missing := re.fullmatch(r"Object missing required field `(\w+)`", message):
            raise InputError(f"{what} {missing[1]} is required: it has no default") from None
        if field is None:
            raise InputError(f"{what}s: {message}") from None
        given = f"={_shown({**texts, **reserved}[name])}" if name in texts or name in reserved else ""
        raise InputError(f"{what} {name}{given}: {_explain(field, message)}") from None


def parse_values(
    annotation: Any, name: str, values: list[Any], shown: str, *, typed: bool | Container[int]
) -> list[Any]:
    """Values of one parameter. `shown`: what a message quotes; `typed`: texts, or those at these places, are values, and not
    to be read as such.

    Raises:
        InputError: one is not a value of the parameter.
    """
    field = Field(name=name, default=None, **({"meaning": ""} | _describe_type(msgspec.inspect.type_info(annotation))))
    if typed is not True:
        kept = typed or ()
        values = [
            _read_one(field, value, name, shown) if isinstance(value, str) and place not in kept else value
            for place, value in enumerate(values)
        ]
    try:
        return msgspec.convert(values, list[annotation], strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$[")
        place = re.match(r"\d+", path)
        one = f" ({_shown(values[int(place[0])])})" if place and len(values) > 1 else ""
        raise InputError(f"{name}={shown}{one}: {_explain(field, message)}") from None


def _read_one(field: Field, text: str, name: str, shown: str) -> Any:
    try:
        return _read(field, text, "")
    except InputError as error:
        one = "" if text == shown else f" ({_shown(text)})"
        raise InputError(f"{name}={shown}{one}: {str(error).rpartition(': ')[2]}") from None


def check_seed(seed: int, why: str = "") -> None:
    """Check a seed for generators of 32 bits; `why` follows the range in the message.

    Raises:
        InputError: it is out of range.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed must be from 0 to {2**32 - 1:,}{why}, got {seed}")


def settable(params: Params) -> dict[str, Any]:
    """All of a workload's parameters as JSON values, without the run's own."""
    values: dict[str, Any] = msgspec.to_builtins(params)
    return {name: value for name, value in values.items() if name not in _RESERVED}
