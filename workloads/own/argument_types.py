"""The types of a function's annotated arguments: how each is written, and what the function gets for it.

Arguments travel as JSON's kinds and arrays. A date, a path, a member of an Enum travels as a text, a dataclass as a dict;
the function gets what its annotation names, also one of numpy's numbers or an array. What the annotation does not explain
arrives as it travels.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import functools
import inspect
import sys
import types
import typing
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

import msgspec

from lbench.workloads.own.type_spec import Kind, TypeSpec
from lbench.workloads.signatures import parameters_of

__all__ = [
    "SCALARS",
    "adapted",
    "annotation_for",
    "enum_of",
    "hints_of",
    "members",
    "number_of_numpy",
    "travels",
    "without_none",
]

SCALARS: dict[Any, Kind] = {
    datetime.date: "date",
    datetime.datetime: "datetime",
    datetime.time: "time",
    Decimal: "decimal",
    uuid.UUID: "uuid",
}
_MADE = (PurePath, complex, Fraction)  # of what travels: a text, a number
_TRAVELLED = (str, int, float, list, dict)  # other values are what the caller meant
_OF_DEFAULTS = (bool, int, float, str, *SCALARS, Path, enum.Enum)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """A function's annotations by parameter, without those that name what is not there."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # an annotation may be any expression: each by itself, then
        pass
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for name, parameter in parameters_of(function).items():
        annotation = parameter.annotation
        if annotation is not parameter.empty:
            with contextlib.suppress(Exception):
                found[name] = eval(annotation, names) if isinstance(annotation, str) else annotation
    return found


def annotation_for(annotation: Any, default: Any) -> Any:
    """The annotation; without one, the type of the default where that can be written. None: neither."""
    if annotation is None and isinstance(default, _OF_DEFAULTS):
        return Path if isinstance(default, PurePath) else type(default)
    return annotation


def without_none(annotation: Any) -> Any:
    """`X` of `X | None`; everything else as it is."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    others = [one for one in typing.get_args(annotation) if one is not type(None)]
    return others[0] if len(others) == 1 else annotation


def enum_of(annotation: Any) -> type[enum.Enum] | None:
    """The Enum that an annotation names, itself or with None."""
    inner = without_none(annotation)
    return inner if isinstance(inner, type) and issubclass(inner, enum.Enum) and len(inner) else None


def members(kind: type[enum.Enum]) -> dict[str, enum.Enum]:
    """The members of an Enum as they are written: by their values where all are texts, else by their names."""
    if all(isinstance(one.value, str) for one in kind):
        return {str(one.value): one for one in kind}
    return {one.name: one for one in kind}


def travels(annotation: Any, default: Any) -> bool:
    """Whether a function gets its own default where that is sent as JSON.

    Raises:
        TypeError: JSON has no such value.
        ValueError: likewise.
    """
    sent = msgspec.json.decode(msgspec.json.encode(default))
    convert = _converter("", annotation_for(annotation, default))
    got = sent if convert is None or not isinstance(sent, _TRAVELLED) else convert(sent)
    return type(got) is type(default) and bool(got == default)


def adapted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a task calls it: by names alone, with arguments as they travel."""
    hints = hints_of(function)
    parameters = parameters_of(function)
    converters = {
        name: made
        for name, one in parameters.items()
        if (made := _converter(name, annotation_for(hints.get(name), one.default))) is not None
    }
    by_place = [one for one in parameters.values() if one.kind is one.POSITIONAL_ONLY]
    if not converters and not by_place:
        return function

    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        for name, convert in converters.items():
            if isinstance(arguments.get(name), _TRAVELLED):
                arguments[name] = convert(arguments[name])
        first = [arguments.pop(one.name, one.default) for one in by_place]
        return function(*first, **arguments)

    return call


def _converter(name: str, annotation: Any) -> Callable[[Any], Any] | None:
    """Gives an argument what the annotation names; None: it has that already, or the annotation is not understood."""
    if (kind := enum_of(annotation)) is not None:
        named = members(kind)
        return lambda value: named.get(value, value) if isinstance(value, str) else value
    if without_none(annotation) is bytes:
        return lambda value: value.encode() if isinstance(value, str) else value
    try:
        if annotation is None or not _changes(msgspec.inspect.type_info(annotation), set()):
            return None
    except (TypeError, ValueError):
        return None

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, annotation, strict=False, str_keys=True, dec_hook=_made)
        except (msgspec.ValidationError, ArithmeticError) as error:
            raise TypeError(f"its argument {name} must be as annotated: {error}") from None

    return convert


def _made(kind: Any, value: Any) -> Any:
    """A value of a class that msgspec does not know, of what travels for it."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(typing.get_origin(kind) or kind, numpy.ndarray):
        return kind(value)
    (dtype,) = typing.get_args(typing.get_args(kind)[1]) or (None,) if typing.get_args(kind) else (None,)
    return numpy.asarray(value, dtype if dtype in _numpy_scalars() else None)


def _numpy_scalars() -> set[Any]:
    """The classes of numpy's values, without those that only group others."""
    numpy = sys.modules.get("numpy")
    return set() if numpy is None else {*numpy.sctypeDict.values()} - {numpy.object_, numpy.void}


def _is_made(kind: type) -> bool:
    """Whether `_made` knows this class."""
    numpy = sys.modules.get("numpy")
    return (
        issubclass(kind, _MADE) or kind in _numpy_scalars() or (numpy is not None and issubclass(kind, numpy.ndarray))
    )


def number_of_numpy(annotation: Any) -> TypeSpec | None:
    """The number that an annotation of numpy names, itself or with None; None: it names none."""
    numpy, inner = sys.modules.get("numpy"), without_none(annotation)
    if numpy is None or inner not in _numpy_scalars():
        return None
    if issubclass(inner, numpy.integer):
        info = numpy.iinfo(inner)
        return TypeSpec("int", {"ge": int(info.min), "le": int(info.max)} if info.bits < 64 else {})
    return (
        TypeSpec("float") if issubclass(inner, numpy.floating) else TypeSpec("bool") if inner is numpy.bool_ else None
    )


class _NotUnderstood(TypeError):
    """A part of an annotation is a class of somebody's own."""


_TRAVELS = (
    msgspec.inspect.AnyType,
    msgspec.inspect.NoneType,
    msgspec.inspect.BoolType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.StrType,
    msgspec.inspect.LiteralType,
    msgspec.inspect.BytesType,
)


def _changes(kind: Any, seen: set[int]) -> bool:
    """Whether a value of this type travels as another one.

    Raises:
        TypeError: that is not known.
    """
    if id(kind) in seen:
        return False
    seen.add(id(kind))
    if isinstance(kind, _TRAVELS):
        return False
    if isinstance(kind, msgspec.inspect.Metadata):
        return _changes(kind.type, seen)
    if isinstance(kind, msgspec.inspect.UnionType):
        return any([_changes(one, seen) for one in kind.types])
    if isinstance(kind, msgspec.inspect.ListType):
        return _changes(kind.item_type, seen)
    if isinstance(kind, msgspec.inspect.DictType):
        return any([_changes(one, seen) for one in (kind.key_type, kind.value_type)]) or isinstance(
            kind.key_type, msgspec.inspect.IntType | msgspec.inspect.FloatType
        )
    if isinstance(kind, msgspec.inspect.TupleType):
        return bool([_changes(one, seen) for one in kind.item_types]) or True
    if isinstance(kind, msgspec.inspect.CollectionType):  # tuple[X, ...], set, frozenset
        _changes(kind.item_type, seen)
        return True
    if isinstance(kind, msgspec.inspect.CustomType):
        if not _is_made(kind.cls):
            raise _NotUnderstood(kind.cls)
        return True
    for field in getattr(kind, "fields", ()):
        _changes(field.type, seen)
    return not isinstance(kind, msgspec.inspect.TypedDictType) or any(_changes(one.type, set()) for one in kind.fields)
