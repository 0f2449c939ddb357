"""A parameter's type as JSON and back, so that a form can be filled in without importing the user's module."""

from __future__ import annotations

import copy
import datetime
import functools
import uuid
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import msgspec
from msgspec import Meta, inspect

from lbench.errors import InputError

__all__ = ["FieldSpec", "Kind", "TypeSpec", "params_struct", "spec_of"]


Kind = Literal[
    "bool", "int", "float", "str", "choice", "list", "tuple", "date", "datetime", "time", "decimal", "uuid", "any"
]  # any: JSON, else text


class TypeSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a parameter may be. `limits` are arguments of `msgspec.Meta`."""

    kind: Kind
    limits: dict[str, Any] = {}
    values: list[Any] = []  # of a choice
    item: TypeSpec | None = None  # of a list
    optional: bool = False
    description: str | None = None


class FieldSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter."""

    name: str
    type: TypeSpec
    default: Any = None
    required: bool = False
    own: bool = False  # the default is for people: the function is called without the argument, as it could not be sent


_NUMBER_LIMITS = ("ge", "gt", "le", "lt", "multiple_of")
_TEXT_LIMITS = ("min_length", "max_length", "pattern")
_LIST_LIMITS = ("min_length", "max_length")
_SCALARS: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "decimal": Decimal,
    "uuid": uuid.UUID,
    "any": Any,
}


def spec_of(annotation: Any) -> TypeSpec:
    """The annotation as a spec.

    Raises:
        InputError: no such value can be written on a command line.
    """
    try:
        return _spec(inspect.type_info(_inward(annotation)))
    except (TypeError, ValueError):
        pass
    raise InputError("its annotation must be int, float, str, bool, Literal or a list of numbers")


def _inward(annotation: Any) -> Any:
    """`Annotated[X | None, ...]` as `Annotated[X, ...] | None`: msgspec takes a limit for a number's alone."""
    if get_origin(annotation) is not Annotated:
        return annotation
    inner, *extra = get_args(annotation)
    others = [one for one in get_args(inner) if one is not type(None)]
    if get_origin(inner) not in (Union, UnionType) or len(others) != 1:
        return annotation
    return Optional[Annotated[(others[0], *extra)]]  # noqa: UP045 - a value, not an annotation


def _spec(kind: inspect.Type) -> TypeSpec:
    if isinstance(kind, inspect.Metadata):
        description = (kind.extra_json_schema or {}).get("description")
        inner = _spec(kind.type)
        return msgspec.structs.replace(inner, description=description or inner.description)
    if isinstance(kind, inspect.UnionType):
        inner_types = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(inner_types) != 1 or len(inner_types) == len(kind.types):
            raise TypeError
        return msgspec.structs.replace(_spec(inner_types[0]), optional=True)
    if isinstance(kind, inspect.BoolType):
        return TypeSpec("bool")
    if isinstance(kind, inspect.IntType):
        return TypeSpec("int", _limits(kind, _NUMBER_LIMITS))
    if isinstance(kind, inspect.FloatType):
        return TypeSpec("float", _limits(kind, _NUMBER_LIMITS))
    if isinstance(kind, inspect.StrType):
        return TypeSpec("str", _limits(kind, _TEXT_LIMITS))
    if isinstance(kind, inspect.LiteralType):
        values = [one for one in kind.values if one is not None]
        if all(isinstance(one, bool) for one in values):
            return TypeSpec("bool", optional=None in kind.values)
        return TypeSpec("choice", values=values, optional=None in kind.values)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        item = _spec(kind.item_type)
        if item.kind not in ("int", "float"):
            raise TypeError
        name: Literal["list", "tuple"] = "list" if isinstance(kind, inspect.ListType) else "tuple"
        return TypeSpec(name, _limits(kind, _LIST_LIMITS), item=item)
    if isinstance(kind, inspect.TupleType):
        items = [_spec(one) for one in kind.item_types]
        if not items or any(item.kind not in ("int", "float") for item in items):
            raise TypeError
        return TypeSpec("tuple", {"min_length": len(items), "max_length": len(items)}, item=items[0])
    raise TypeError


def _limits(kind: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(kind, name)) is not None}


def annotation_of(spec: TypeSpec) -> Any:
    """The spec as an annotation."""
    made: Any
    if spec.kind == "choice":
        made = Literal[tuple(spec.values)]
    elif spec.item is not None:
        made = tuple[annotation_of(spec.item), ...]  # type: ignore[misc]
    else:
        made = _SCALARS[spec.kind]
    if spec.limits or spec.description:
        made = Annotated[made, Meta(description=spec.description, **spec.limits)]
    return Optional[made] if spec.optional and spec.kind != "any" else made  # noqa: UP045 - a value, not an annotation


def params_struct(
    name: str,
    fields: list[FieldSpec],
    base: type[msgspec.Struct],
    *,
    unset: bool = False,
    namespace: dict[str, Any] | None = None,
) -> Any:
    """A Struct of these parameters, as a workload of lbench's own would have one.

    Args:
        name: of the class.
        fields: the parameters.
        base: its base class.
        unset: whether a parameter may have no value, also one that is required.
        namespace: more attributes of the class.

    Raises:
        InputError: a default is out of its parameter's range.
    """
    made: list[Any] = []
    for field in fields:
        kind = annotation_of(field.type)
        if field.required:
            made.append((field.name, Union[kind, msgspec.UnsetType], msgspec.UNSET) if unset else (field.name, kind))  # noqa: UP007
            continue
        try:
            default = msgspec.convert(field.default, kind)
        except msgspec.ValidationError as error:
            raise InputError(f"the default of parameter {field.name} is invalid: {error}") from None
        if field.own and unset:
            default = msgspec.UNSET
        elif isinstance(default, list | dict):  # each object has its own
            default = msgspec.field(default_factory=functools.partial(copy.deepcopy, default))
        made.append((field.name, Union[kind, msgspec.UnsetType] if unset else kind, default))  # noqa: UP007
    return msgspec.defstruct(
        name, made, bases=(base,), namespace=namespace, frozen=True, kw_only=True, forbid_unknown_fields=True
    )
