"""From typed parameters to forms, command lines and back: what each field is, and how its text is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from lbench.errors import InputError, UnknownNameError
from lbench.workloads.model import Params

__all__ = ["Field", "fields", "parse", "settable"]

P = TypeVar("P", bound=msgspec.Struct)

_RESERVED = frozenset(field.name for field in msgspec.structs.fields(Params))


class Field(msgspec.Struct, frozen=True):
    """One parameter as a person sees it."""

    name: str
    type: str  # "int", "float", "text", "one of ...", "numbers", "yes or no"
    default: Any
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False


def _describe_type(kind: msgspec.inspect.Type) -> dict[str, Any]:
    inspect = msgspec.inspect
    told: dict[str, Any] = {}
    if isinstance(kind, inspect.Metadata):
        extra = kind.extra_json_schema or {}
        told = _describe_type(kind.type)
        if "description" in extra:
            told["meaning"] = extra["description"]
        return told
    if isinstance(kind, inspect.UnionType):
        inner = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
        return _describe_type(inner[0]) | {"optional": len(inner) < len(kind.types)}
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
    return {"type": "text"}


def fields(struct: type[msgspec.Struct]) -> list[Field]:
    """The fields that a user may set, in their order; the run's own (`tasks`, `seed`) are left out."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    told = []
    for field in info.fields:
        if issubclass(struct, Params) and field.name in _RESERVED:
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else None
        told.append(Field(name=field.name, default=default, **({"meaning": ""} | _describe_type(field.type))))
    return told


def _read(field: Field, text: str, what: str) -> Any:
    if field.optional and text.lower() in ("", "none", "null"):
        return None
    try:
        if field.type == "int":
            return int(text.replace("_", ""))
        if field.type == "float":
            return float(text)
        if field.type == "numbers":
            return [float(part) for part in text.split(",")]
    except ValueError:
        kind = {"int": "a whole number", "float": "a number", "numbers": "numbers with commas between them"}
        raise InputError(f"{what} {field.name}={text}: {kind[field.type]} is expected") from None
    if field.type == "yes or no":
        if text.lower() in ("yes", "true", "1", "on"):
            return True
        if text.lower() in ("no", "false", "0", "off"):
            return False
        raise InputError(f"{what} {field.name}={text}: say yes or no")
    if field.type == "choice" and text not in field.choices:
        raise InputError(f"{what} {field.name}={text}: it is one of {', '.join(field.choices)}")
    return text


def parse(struct: type[P], texts: Mapping[str, Any], *, what: str = "parameter", **reserved: Any) -> P:
    """Build the Struct from texts as a user typed them (values that are no text are taken as they are).

    Raises:
        UnknownNameError: a name that is no field, with the nearest one that is.
        InputError: a text that is no value of the field, or a value out of its range.
    """
    known = {field.name: field for field in fields(struct)}
    values: dict[str, Any] = dict(reserved)
    for name, text in texts.items():
        if name not in known:
            raise UnknownNameError(what, name, known)
        values[name] = _read(known[name], text, what) if isinstance(text, str) else text
    try:
        return msgspec.convert(values, struct)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`").split("[")[0]
        given = f" {name}={values[name]}" if name in values else ""
        raise InputError(f"{what}{given}: {message[:1].lower()}{message[1:]}") from None


def settable(params: Params) -> dict[str, Any]:
    """All of a workload's parameters as JSON values, without the run's own."""
    values: dict[str, Any] = msgspec.to_builtins(params)
    return {name: value for name, value in values.items() if name not in _RESERVED}
