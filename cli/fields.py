"""Typed fields (a workload's parameters, a backend's settings) as a person and as a program read them."""

from __future__ import annotations

from typing import Any

import msgspec

from lbench.cli.listing import Column
from lbench.workloads.parameters import Field, fields

__all__ = ["field_columns", "fields_json"]


def fields_json(struct: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """Name, type, default, meaning; minimum, maximum and choices where there are any."""
    told = []
    for field in fields(struct):
        values = msgspec.to_builtins(field)
        told.append({name: value for name, value in values.items() if value is not None or name == "default"})
        if not field.choices:
            told[-1].pop("choices")
    return told


def field_columns(struct: type[msgspec.Struct]) -> list[Column]:
    """The same as columns of a table."""
    name, default, values, meaning = (
        Column("  NAME"),
        Column("DEFAULT"),
        Column("VALUES", rank=1),
        Column("MEANING", wrap=True),
    )
    for field in fields(struct):
        name.add(f"  {field.name}")
        default.add(_text(field.default))
        values.add(_range(field))
        meaning.add(field.meaning)
    return [name, default, values, meaning]


def _range(field: Field) -> str:
    if field.choices:
        return " | ".join(field.choices)
    if field.minimum is None:
        return field.type
    upper = "" if field.maximum is None else f" to {_text(field.maximum)}"
    return f"{field.type} {'from ' * (not upper)}{_text(field.minimum)}{upper}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ",".join(_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
